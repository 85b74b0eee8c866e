"""Addresses for messages and names: what is secret in them replaced."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@]*:)[^\s]*(?P<at>@)")
_SETTING = re.compile(
    r"(?P<head>[?&;][^=&;\s]*(?:pass|pwd|secret|token|key|credential|signature|sig)[^=&;\s]*=)[^&;\s]+", re.IGNORECASE
)
_MASK = "***"


def masked(text: str) -> str:
    """The text with passwords in URLs, and settings that look like secrets, replaced by ``***``."""
    return _SETTING.sub(rf"\g<head>{_MASK}", _PASSWORD.sub(rf"\g<head>{_MASK}\g<at>", text))
