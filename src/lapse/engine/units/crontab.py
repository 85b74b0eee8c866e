"""A block of a crontab: one line that runs Lapse, between two comments by which it is found again."""

from __future__ import annotations

import shlex

from lapse.engine.units.needs import Needs
from lapse.engine.units.stamping import stamped
from lapse.errors import UsageError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def crontab_block(needs: Needs) -> str:
    """The block, without the comments around it.

    Raises:
        UsageError: If the schedule has a time zone, which crons do not agree upon.
    """
    if needs.schedule.zone is not None:
        raise UsageError(
            f"cron runs by the machine's own clock, not by that of {needs.schedule.zone}",
            hint="Leave `time zone` out of the schedule; or use systemd or `lapse daemon`.",
        )
    variables = f". {shlex.quote(f'{needs.policy.parent}/{needs.name}.env')} && " if needs.variables else ""
    lines = [
        f"# {needs.schedule.text}. Two runs cannot meet: Lapse takes a lease of its own.",
        f"MAILTO={needs.user}",
        f"PATH={_PATH}",
    ]
    if needs.variables:
        lines.append(f"# {', '.join(needs.variables)}: `export NAME=value` lines in a file that only you can read.")
    state = f"LAPSE_STATE_DIR={shlex.quote(str(needs.state))}"  # a name in quotes would be a command, not a variable
    # A percent sign ends the command in a crontab.
    run = f"{variables}{state} {shlex.join((*needs.command, *needs.spread))}".replace("%", "\\%")
    return stamped("\n".join([*lines, f"{needs.schedule.cron} {run}"]) + "\n", str(needs.policy))
