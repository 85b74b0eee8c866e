"""Units for systemd: a service that may touch what the policy needs and nothing else, and its timer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse.engine.units.calendars import on_calendar
from lapse.engine.units.needs import Needs
from lapse.engine.units.stamping import stamped
from lapse.state.folders import SYSTEM_ROOT

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - to find out what lies there
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
# Root without these could not work on the files of others: read and replace them, keep their owner and mode, know
# and tell their writers.
_OF_ROOT = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER CAP_LEASE CAP_SYS_PTRACE CAP_KILL"
_ANYWHERE = """\
NoNewPrivileges=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
KeyringMode=private
UMask=0077
"""
_OF_THE_SYSTEM = """\
ProtectSystem=strict
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RemoveIPC=yes
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """A file to install.

    Attributes:
        name: File name.
        text: Its content, stamped.
    """

    name: str
    text: str


def systemd_units(needs: Needs, *, system: bool) -> tuple[Unit, Unit]:
    """The service and its timer.

    Arguments:
        needs: What a run needs.
        system: Whether they are for the machine's own manager; a user's cannot fence its services in as well.
    """
    service = "\n".join(_service(needs, system=system)) + "\n"
    timer = "\n".join(_timer(needs)) + "\n"
    policy = str(needs.policy)
    return Unit(f"{needs.name}.service", stamped(service, policy)), Unit(f"{needs.name}.timer", stamped(timer, policy))


def environment_file(needs: Needs, *, system: bool) -> str:
    """Where the service reads the variables that the policy refers to; secrets belong there, not into the unit."""
    return f"/etc/lapse/{needs.name}.env" if system else f"%h/.config/lapse/{needs.name}.env"


def _service(needs: Needs, *, system: bool) -> Iterator[str]:
    yield "# Add to it with `systemctl edit`; what this file itself says comes from the policy."
    yield "[Unit]"
    yield f"Description=Remove what has lapsed, by {_escaped(str(needs.policy))}"
    if needs.network and system:
        yield from ("Wants=network-online.target", "After=network-online.target")
    yield from ("", "[Service]", "Type=oneshot")
    yield f"ExecStart={' '.join(_argument(each) for each in needs.command)}"
    yield "# 4: another run is at work, and does what this one would have done."
    yield "SuccessExitStatus=4"
    yield "# A run that is stopped finishes the slice under way."
    yield from ("KillMode=mixed", "TimeoutStopSec=10min")
    yield f"Environment={_word(f'LAPSE_STATE_DIR={needs.state}')}"
    if needs.variables:
        yield f"# {', '.join(needs.variables)}: one NAME=value a line, in a file that only its owner can read."
        yield f"EnvironmentFile={environment_file(needs, system=system)}"
    if system:
        yield f"User={needs.user}"
    yield from ("Nice=10", "IOSchedulingClass=best-effort", "IOSchedulingPriority=7", "MemoryMax=2G", "")
    yield from _ANYWHERE.splitlines()
    yield f"RestrictAddressFamilies={'AF_UNIX AF_INET AF_INET6' if needs.network else 'AF_UNIX'}"
    if system:
        yield from _fence(needs)


def _fence(needs: Needs) -> Iterator[str]:
    """What only the machine's own manager can do."""
    yield from _OF_THE_SYSTEM.splitlines()
    yield f"CapabilityBoundingSet={_OF_ROOT if needs.user == 'root' else ''}"
    yield f"PrivateTmp={'no' if _any_below(needs, _TEMPORARY) else 'yes'}"
    yield f"ProtectHome={'read-only' if _any_below(needs, _HOMES) else 'yes'}"
    if not needs.network:
        yield "IPAddressDeny=any"
    if needs.has_logs:
        yield "# No ProtectProc=: who writes to a log is found out in /proc."
    else:
        yield "ProtectProc=invisible"
    if needs.state == SYSTEM_ROOT:
        yield from ("StateDirectory=lapse", "StateDirectoryMode=0700")
    for folder in needs.written:
        if folder != SYSTEM_ROOT:
            yield f"ReadWritePaths={_word(str(folder))}"


def _any_below(needs: Needs, folders: tuple[Path, ...]) -> bool:
    used = (*needs.written, needs.policy, Path(needs.program[0]).resolve(), Path(needs.program[0]))
    return any(folder in path.parents or folder == path for path in used for folder in folders)


def _timer(needs: Needs) -> Iterator[str]:
    yield from ("[Unit]", f"Description=When {needs.name}.service runs: {_escaped(needs.schedule.text)}")
    yield from ("", "[Timer]")
    yield from (f"OnCalendar={calendar}" for calendar in on_calendar(needs.schedule))
    yield f"RandomizedDelaySec={needs.schedule.jitter:.0f}"
    yield "# A run that was due while the machine was off is made up for."
    yield "Persistent=true"
    yield from ("", "[Install]", "WantedBy=timers.target")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    """One word of a command line, where alone a ``$`` would begin a variable."""
    return _word(text.replace("$", "$$"))


def _word(text: str) -> str:
    """One word of a unit: specifiers are not meant."""
    plain = _escaped(text)
    if _PLAIN.fullmatch(plain):
        return plain
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
