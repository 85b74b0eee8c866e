"""Kill the commit of one log at every step on the disk, recover, and say what is left; one JSON line a case.

Usage: python crash_steps.py FOLDER KIND. KIND is ``exact``, ``glob``, ``gzip`` or ``removal``. The process
forks for each case, so that what dies by SIGKILL is a real process with real files.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from logs import NEW, OLD, Gone, line, opened, purge, selected, strays

from lapse.stores.jsonl import settling

_STEPS = ("open", "write", "fsync", "link", "rename", "unlink", "fchmod", "fchown", "utime", "ftruncate")


class Bomb:
    """Kills its own process before or after the n-th step."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse
        self.moments: list[str] = []

    def tick(self, moment: str) -> None:
        """Count a moment."""
        self.moments.append(moment)
        if len(self.moments) == self.fuse:
            os.kill(os.getpid(), signal.SIGKILL)

    def arm(self) -> None:
        """Put a moment before and after every step on the disk."""
        for name in _STEPS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        exchange = "exchange"
        setattr(settling, exchange, self._wrapped(exchange, getattr(settling, exchange)))

    def _wrapped(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(step)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.tick(f"before {name}")
            result = step(*args, **kwargs)
            self.tick(f"after {name}")
            return result

        return wrapped


class World:
    """One log to purge, and one beside it that stays."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.log = folder / ("a.jsonl.gz" if kind == "gzip" else "a.jsonl")
        self.address = self.log if kind == "exact" else folder / "*.jsonl*"
        kept = [] if kind == "removal" else [line(NEW, n=n) for n in range(5)] + [b"odd\n"]
        self.lines = sorted([line(OLD, n=n) for n in range(5)] + kept)

    def create(self) -> None:
        """Write the logs anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        data = b"".join(self.lines)
        self.log.write_bytes(gzip.compress(data) if self.kind == "gzip" else data)
        os.utime(self.log, ns=(0, 0))
        (self.folder / "z.jsonl").write_bytes(line(NEW, other=True))

    def content(self) -> list[bytes]:
        """What the log holds; nothing if it is gone."""
        if not self.log.exists():
            return []
        data = self.log.read_bytes()
        return (gzip.decompress(data) if self.kind == "gzip" else data).splitlines(keepends=True)

    def purge(self) -> list[Gone]:
        """Remove what has lapsed."""
        return purge(selected(self.address))


def tell(facts: dict[str, object]) -> None:
    """One line for the test."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def in_child(work: Callable[[], None]) -> int:
    """Run *work* in a forked process; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  a forked child must not return into its parent's stack
            tell({"error": repr(error)})
            os._exit(70)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def case(world: World, fuse: int) -> bool:
    """Kill at one moment, recover, purge again. False if there is no such moment."""
    world.create()
    bomb = Bomb(fuse)

    def work() -> None:
        bomb.arm()
        world.purge()

    ended = in_child(work)
    store = opened(selected(world.address))
    with store.lease():
        markers = list(store.recover(lambda _: True))
        again = list(store.recover(lambda _: True))
    left = world.content()
    went = [data for data in world.lines if OLD.encode() in data]
    stays = [data for data in world.lines if OLD.encode() not in data]
    first_half = left == (stays if markers else world.lines)
    second = world.purge()
    facts = {
        "fuse": fuse,
        "ended": ended,
        "markers": len(markers),
        "all_or_none": first_half and [m.records for m in markers] == [len(went)] * len(markers),
        "same_again": again == markers,
        "then_done": world.content() == stays and len(markers) + len(second) == 1,
        "strays": strays(world.folder),
        "beside": (world.folder / "z.jsonl").read_bytes() == line(NEW, other=True),
    }
    tell(facts)
    return ended == -signal.SIGKILL


def main(folder: Path, kind: str) -> None:
    """Every moment, until the purge ends by itself."""
    world = World(folder, kind)
    fuse = 1
    while case(world, fuse):
        fuse += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
