"""What can start the runs."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """What starts the runs."""

    SYSTEMD = "systemd"
    CRON = "cron"
    KUBERNETES = "kubernetes"
    COMPOSE = "compose"

    @property
    def is_installable(self) -> bool:
        """Whether it can be installed from here; the others are printed, to be applied elsewhere."""
        return self in (Form.SYSTEMD, Form.CRON)
