"""How a writer is told to open its log anew, as logrotate's ``postrotate`` does."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import PolicyError

_NO_ANSWER = {"KILL", "STOP"}
_WAY = "Write `signal: HUP` with a `pid file:`, or a `command:` as a list of the program and its arguments."


@dataclass(frozen=True, slots=True)
class Reopen:
    """How a writer is told: by a signal to the process that a file names, or by a command.

    Attributes:
        signal: Name of the signal without ``SIG``, such as ``HUP``. None where a command does it.
        pid_file: File with the number of the process, absolute. None where a command does it.
        command: Program and arguments, run without a shell. Empty where a signal does it.

    Raises:
        PolicyError: If it is neither the one nor the other, or the signal is none that a process could follow.
    """

    signal: str | None
    pid_file: Path | None
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        by_signal = self.signal is not None and self.pid_file is not None and not self.command
        by_command = self.signal is None and self.pid_file is None and bool(self.command)
        if not by_signal and not by_command:
            raise PolicyError("nothing says how the writer is told to open its log anew", hint=_WAY)
        if self.signal is not None:
            parse_signal(self.signal)


def parse_signal(text: str) -> str:
    """The name of a signal, ``SIG`` left out.

    Raises:
        PolicyError: If there is none of that name, or one that no process can follow.
    """
    name = text.removeprefix("SIG")
    if f"SIG{name}" not in signals.Signals.__members__ or name in _NO_ANSWER:
        raise PolicyError(f"{text!r} is no signal that a writer follows", hint="Usual are HUP and USR1.")
    return name
