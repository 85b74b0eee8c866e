"""Real processes that write to a log: by appending or not, keeping it open or not, or reopening it when told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SCRIPT = """
import json, os, signal, sys
path, how, prefix = sys.argv[1:4]
flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if how in ("append", "batches", "reopen") else 0)

def opened():
    fd = os.open(path, flags, 0o640)
    if how.startswith("seek"):
        os.lseek(fd, 0, os.SEEK_END)
    return fd

fd = opened()

def reopen(*_):
    global fd
    os.close(fd)
    fd = opened()

signal.signal(signal.SIGHUP, reopen if "reopen" in how else signal.SIG_IGN)
number = 0
print("ready", flush=True)
for order in sys.stdin:
    if how == "batches":
        os.close(fd)
        fd = opened()
    for _ in range(int(order)):
        line = json.dumps({"time": sys.argv[4], "by": prefix, "n": number}).encode() + b"\\n"
        assert os.write(fd, line) == len(line)
        number += 1
    print(number, flush=True)
"""


class Writer:
    """A process that writes lines when it is told to."""

    def __init__(self, process: subprocess.Popen[str], prefix: str, time: str) -> None:
        self._process = process
        self._prefix = prefix
        self._time = time
        self.written = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def write(self, count: int) -> None:
        """Write so many lines, and return once they are written."""
        self.order(count)
        self.settle()

    def order(self, count: int) -> None:
        """Have so many lines written, sooner or later."""
        _pipe(self._process.stdin).write(f"{count}\n")
        _pipe(self._process.stdin).flush()

    def settle(self) -> None:
        """Wait until the ordered lines are written."""
        self.written = int(_pipe(self._process.stdout).readline())

    def lines(self) -> list[bytes]:
        """Every line that it has written."""
        return [
            json.dumps({"time": self._time, "by": self._prefix, "n": n}).encode() + b"\n" for n in range(self.written)
        ]


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@contextmanager
def writer(path: Path, how: str, *, time: str, prefix: str = "w") -> Iterator[Writer]:
    """A process that has *path* open.

    Arguments:
        path: The log.
        how: ``append``, ``batches`` (opens anew for each order), ``seek`` (no ``O_APPEND``), ``reopen`` and
            ``seek-reopen`` (open anew after SIGHUP).
        time: Time of its lines.
        prefix: What its lines are known by.
    """
    command = [sys.executable, "-c", _SCRIPT, str(path), how, prefix, time]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    )
    try:
        assert _pipe(process.stdout).readline() == "ready\n"
        yield Writer(process, prefix, time)
    finally:
        _pipe(process.stdin).close()
        process.wait(timeout=20)
        _pipe(process.stdout).close()
