"""How to run the purge every night: the line for cron, or the units for systemd."""

from __future__ import annotations

from enum import Enum

JITTER = 1800
"""Seconds within which the start is moved at random, so that many servers do not begin at once."""

_CRON = """\
# Every night at 03:25, moved by up to {minutes} minutes. Cron mails what it says: set MAILTO.
25 3 * * *  root  sleep "$(shuf -i 0-{jitter} -n 1)" && {command}
"""
_SYSTEMD = """\
# /etc/systemd/system/lapse-xivo-purge-db.service
[Unit]
Description=Remove what has lapsed from the telephony database
After=postgresql.service

[Service]
Type=oneshot
ExecStart={command}

# /etc/systemd/system/lapse-xivo-purge-db.timer
[Unit]
Description=Remove what has lapsed from the telephony database, every night

[Timer]
OnCalendar=*-*-* 03:25:00
RandomizedDelaySec={jitter}
Persistent=true

[Install]
WantedBy=timers.target
"""


class Form(Enum):
    """What runs it."""

    CRON = "cron"
    SYSTEMD = "systemd"


def schedule(form: Form, *, command: str, days: int | None) -> str:
    """The text to put where *form* reads it.

    Arguments:
        form: What runs it.
        command: The program and what calls the drop-in, quoted for a shell.
        days: Days to keep, as on the command line. None leaves them to the configuration.
    """
    line = command if days is None else f"{command} -d {days}"
    if form is Form.CRON:
        return _CRON.format(command=line.replace("%", "\\%"), jitter=JITTER, minutes=JITTER // 60)
    return _SYSTEMD.format(command=line.replace("%", "%%").replace("$", "$$"), jitter=JITTER)
