"""Who writes to a log, and in which way: crews of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from live_lines import Profile

RATE = 5000
"""Lines a second of each writer."""

_FIRST_NAMESPACE = "pid:[4026531836]"
_WRITER = Path(__file__).with_name("live_writer.py")


@dataclass(frozen=True, slots=True)
class Seat:
    """A writer of a crew.

    Attributes:
        kind: How it writes; see `live_writer`.
        file: The log it writes to.
    """

    kind: str
    file: str = "a.jsonl"


@dataclass(frozen=True, slots=True)
class Crew:
    """Who writes, and what Lapse is told about it.

    Attributes:
        seats: The writers.
        reopen: What the policy says about reopening; `{home}` and `{pids}` are filled in. Empty: nothing.
        arguments: What a run is told besides.
    """

    seats: tuple[Seat, ...]
    reopen: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """What the policy promises of writers that append, where Lapse cannot see everyone's processes."""
        sees_all = os.geteuid() == 0 and os.readlink("/proc/self/ns/pid") == _FIRST_NAMESPACE  # noqa: PTH115  no path
        return "" if sees_all or any("plain" in seat.kind for seat in self.seats) else "    writers: append-only\n"


CREWS = {
    "append": Crew((Seat("append"), Seat("append"))),
    # Two of these in one file would overwrite each other.
    "plain": Crew((Seat("plain", "a.jsonl"), Seat("plain", "b.jsonl"))),
    "reopening": Crew(
        (Seat("reopening"), Seat("batch")), "    reopen: {{signal: HUP, pid file: {home}/pid}}\n", ("--rewrite",)
    ),
    "reopening-plain": Crew(
        (Seat("reopening-plain", "a.jsonl"), Seat("reopening-plain", "b.jsonl")),
        "    reopen: {{command: [kill, -HUP, {pids}]}}\n",
        ("--rewrite",),
    ),
    "batch": Crew((Seat("batch"), Seat("batch"))),
    # It writes parts of lines, so that a second one would tear the lines of the first.
    "mxcp": Crew((Seat("mxcp"),)),
}


def is_refused(crew: str, *, collapses: bool) -> bool:
    """Whether nothing can be removed safely: the writers hold the file, and would not follow to another one."""
    return crew == "plain" or (crew == "append" and not collapses)


def is_rewritten(crew: str, *, collapses: bool) -> bool:
    """Whether a new file takes the log's place."""
    return not collapses or "--rewrite" in CREWS[crew].arguments


class Writer:
    """A process that writes to a log."""

    def __init__(self, seat: Seat, folder: Path, name: str, profile: Profile) -> None:
        self.name, self.lines, self.longest = name, 0, 0.0
        arguments = [seat.kind, str(folder / seat.file), name, str(RATE), profile.value]
        self._process = subprocess.Popen([sys.executable, str(_WRITER), *arguments], stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def _out(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def await_ready(self) -> None:
        """Wait until it has written its first lines."""
        assert self._out.readline() == "ready\n"

    def ask_to_stop(self) -> None:
        """Let it end what it is writing."""
        self._process.terminate()

    def stopped(self) -> None:
        """Wait for its end, and note what it wrote and how long it had to wait."""
        with self._process:
            lines, longest = self._out.read().split()
        assert self._process.returncode == 0
        self.lines, self.longest = int(lines), float(longest)
