"""A process that writes numbered lines to a log until SIGTERM; prints how many it wrote.

Usage: python turning_writer.py LOG NAME HOW. HOW is ``batch`` (opens the log for each few lines), ``append`` (keeps it
open with O_APPEND), ``offset`` (keeps it open without) or ``reopen`` (keeps it open, opens it anew on SIGHUP).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from turning_world import line

_BATCH = 5


class Writer:
    """One writer."""

    def __init__(self, log: str, name: str, how: str) -> None:
        self.log, self.name, self.how = log, name, how
        self.written = 0
        self.stopped = self.told = False
        self.descriptor = -1 if how == "batch" else self.opened()

    def opened(self) -> int:
        """The log, found by its name."""
        append = 0 if self.how == "offset" else os.O_APPEND
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | append, 0o644)

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """No more lines."""
        self.stopped = True

    def tell(self, _number: int, _frame: FrameType | None) -> None:
        """Open the log anew before the next line."""
        self.told = True

    def step(self) -> None:
        """Write one batch."""
        if self.told:
            self.told = False
            os.close(self.descriptor)
            self.descriptor = self.opened()
        lines = b"".join(line(self.written + n, writer=self.name) for n in range(_BATCH))
        descriptor = self.opened() if self.how == "batch" else self.descriptor
        if os.write(descriptor, lines) != len(lines):
            raise OSError("a short write")
        if self.how == "batch":
            os.close(descriptor)
        self.written += _BATCH


def main(log: str, name: str, how: str) -> None:
    """Write until told to stop."""
    writer = Writer(log, name, how)
    signal.signal(signal.SIGTERM, writer.stop)
    signal.signal(signal.SIGHUP, writer.tell)
    print("ready", flush=True)
    while not writer.stopped:
        writer.step()
        time.sleep(0.001)
    print(writer.written, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
