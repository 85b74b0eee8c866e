"""Kill a rotation at every step on the disk, recover, and say what is left; one JSON line a case.

Usage: python turning_crash.py FOLDER PACKING HOW. HOW is ``exchange`` or ``plain``, for a file system that cannot
exchange names. The process forks for each case, so that what dies by SIGKILL is a real process with real files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from turning_world import Logs, line, logs

from lapse.model.reopening import Reopen
from lapse.model.rotation import Packing
from lapse.stores.jsonl import disk, rotating

_STEPS = ("open", "write", "fsync", "link", "rename", "unlink", "fchmod", "fchown", "utime")


class Bomb:
    """Kills its own process before or after the n-th step."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse
        self.moments = 0

    def arm(self) -> None:
        """Put a moment before and after every step on the disk."""
        for name in _STEPS:
            setattr(os, name, self._wrapped(getattr(os, name)))
        special = "_renamed"
        setattr(disk, special, self._wrapped(getattr(disk, special)))

    def _tick(self) -> None:
        self.moments += 1
        if self.moments == self.fuse:
            os.kill(os.getpid(), signal.SIGKILL)

    def _wrapped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(step)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._tick()
            result = step(*args, **kwargs)
            self._tick()
            return result

        return wrapped


def in_child(work: Callable[[], None]) -> int:
    """Run *work* in a forked process; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  a forked child must not return into its parent's stack
            print(json.dumps({"error": repr(error)}), flush=True)
            os._exit(70)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def case(folder: Path, packing: Packing, fuse: int) -> bool:
    """Kill at one moment, look, recover, rotate again. False if there is no such moment."""
    shutil.rmtree(folder, ignore_errors=True)
    world: Logs = logs(folder).packed(packing).with_(reopen=Reopen(None, None, ("true",)))
    lines = sorted([*(line(n) for n in range(4)), b'{"torn'])
    world.write(*lines)
    bomb = Bomb(fuse)

    def work() -> None:
        bomb.arm()
        world.rotate()

    ended = in_child(work)
    seen = world.lines()
    world.recover()
    recovered = world.lines()
    named = world.log.exists()
    world.rotate()
    facts = {
        "fuse": fuse,
        "ended": ended,
        "never_twice": len(seen) == len(set(seen)),
        "recovered": recovered == lines and named,
        "whole": world.lines() == lines and world.log.exists() and not world.log.stat().st_size,
        "files": len(world.names()),
        "packed": all(name.endswith(("audit.jsonl", packing.suffix)) for name in world.names()),
        "again": world.rotate() == [],
    }
    print(json.dumps(facts), flush=True)
    return ended == -signal.SIGKILL


def main(folder: Path, packing: Packing, how: str) -> None:
    """Every moment, until the rotation ends by itself."""
    rotating._GRACE = 0.0
    if how == "plain":
        special = "_renamed"
        setattr(disk, special, lambda *_: False)
    fuse = 1
    while case(folder, packing, fuse):
        fuse += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Packing(sys.argv[2]), sys.argv[3])
