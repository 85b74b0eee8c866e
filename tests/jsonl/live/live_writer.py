"""A process that writes to a log until SIGTERM: `python live_writer.py KIND FILE NAME RATE PROFILE`.

It prints ``ready`` once the first lines are in the file. At its end it prints how many lines it wrote, and the
longest time in seconds that one piece of writing took.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from live_lines import Profile, next_line

_TICK = 0.005
_MOST_AT_ONCE = 200


class Out(Protocol):
    """How a kind of writer gets its lines into the file."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write whole lines."""
        ...

    def reopen(self) -> None:
        """SIGHUP came."""
        ...


class Held:
    """Holds the file open; each line is one write, at the end of the file or at its own offset."""

    def __init__(self, path: Path, *, append: bool, reopens: bool) -> None:
        self._path, self._append, self._reopens = path, append, reopens
        self._descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self._append else 0)
        descriptor = os.open(self._path, flags, 0o640)
        os.lseek(descriptor, 0, os.SEEK_END)
        return descriptor

    def write(self, lines: Sequence[bytes]) -> None:
        """One write a line."""
        for line in lines:
            assert os.write(self._descriptor, line) == len(line)

    def reopen(self) -> None:
        """As servers do: open the new one, then let the old one go."""
        if self._reopens:
            old, self._descriptor = self._descriptor, self._open()
            os.close(old)


class Batches:
    """Opens the file for each batch, and appends it in one write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, lines: Sequence[bytes]) -> None:
        """One write a batch."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        data = b"".join(lines)
        assert os.write(descriptor, data) == len(data)
        os.close(descriptor)

    def reopen(self) -> None:
        """Nothing is held."""


class Mxcp:
    """As an MXCP server writes: text, through a buffer that is written out in the middle of lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, lines: Sequence[bytes]) -> None:
        """A batch of lines."""
        with self._path.open("a", encoding="utf-8") as file:
            for line in lines:
                file.write(line.decode())

    def reopen(self) -> None:
        """Nothing is held."""


OUTS: dict[str, Callable[[Path], Out]] = {
    "append": lambda path: Held(path, append=True, reopens=False),
    "plain": lambda path: Held(path, append=False, reopens=False),
    "reopening": lambda path: Held(path, append=True, reopens=True),
    "reopening-plain": lambda path: Held(path, append=False, reopens=True),
    "batch": Batches,
    "mxcp": Mxcp,
}


class Signals:
    """What the process was told since it last looked."""

    def __init__(self) -> None:
        self.stop = self.reopen = False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))
        signal.signal(signal.SIGHUP, lambda *_: setattr(self, "reopen", True))


def main(kind: str, path: Path, name: str, rate: int, profile: Profile) -> None:
    """Write *rate* lines a second; after a pause that somebody caused, catch up."""
    told, out = Signals(), OUTS[kind](path)
    number, longest, began = 0, 0.0, time.monotonic()
    parent = os.getppid()
    while not told.stop and os.getppid() == parent:  # nobody writes on when the tests were killed
        if told.reopen:
            told.reopen = False
            out.reopen()
        due = min(int((time.monotonic() - began) * rate) + 1 - number, _MOST_AT_ONCE)
        lines = [next_line(name, number + n, profile=profile, now=time.time()) for n in range(due)]
        before = time.monotonic()
        if lines:
            out.write(lines)
        longest = max(longest, time.monotonic() - before)
        if number == 0:
            print("ready", flush=True)
        number += len(lines)
        time.sleep(_TICK)
    print(number, f"{longest:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), Profile(sys.argv[5]))
