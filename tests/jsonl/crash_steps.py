"""Kill the commit of one log at every step on the disk, recover, and say what is left; one JSON line a case.

Usage: python crash_steps.py FOLDER KIND. KIND is ``exact``, ``glob``, ``gzip``, ``removal``, ``collapse``, ``splice``
or ``blanks``; with ``-live`` somebody has the log open for appending and writes to it after the kill, with ``-again``
the purge is killed once it is decided, and what is killed at every step is its recovery. The process forks for each
case, so that what dies by SIGKILL is a real process with real files.
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

from lapse.stores.jsonl import collapsing, settling

_STEPS = ("open", "write", "pwrite", "fsync", "link", "rename", "unlink", "fchmod", "fchown", "utime", "ftruncate")


class Bomb:
    """Kills its own process before or after the n-th step."""

    def __init__(self, fuse: int, last: str = "") -> None:
        self.fuse = fuse
        self.last = last
        self.moments: list[str] = []

    def tick(self, moment: str) -> None:
        """Count a moment."""
        self.moments.append(moment)
        if len(self.moments) == self.fuse or moment == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def arm(self) -> None:
        """Put a moment before and after every step on the disk."""
        for name in _STEPS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        exchange = "exchange"
        setattr(settling, exchange, self._wrapped(exchange, getattr(settling, exchange)))
        collapse = "collapse"
        setattr(collapsing, collapse, self._wrapped(collapse, getattr(collapsing, collapse)))

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
        self.kind, *ways = kind.split("-")
        self.live, self.again = "live" in ways, "again" in ways
        self.writer = -1
        self.log = folder / ("a.jsonl.gz" if kind == "gzip" else "a.jsonl")
        self.address = self.log if kind == "exact" else folder / "*.jsonl*"
        self.lines = _LINES[self.kind]()

    def create(self) -> None:
        """Write the logs anew."""
        if self.writer >= 0:
            os.close(self.writer)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        data = b"".join(self.lines)
        self.log.write_bytes(gzip.compress(data) if self.kind == "gzip" else data)
        os.utime(self.log, ns=(0, 0))
        (self.folder / "z.jsonl").write_bytes(line(NEW, other=True))
        if self.live:
            self.writer = os.open(self.log, os.O_WRONLY | os.O_APPEND)

    def append(self) -> list[bytes]:
        """Let the writer, if there is one, append a line."""
        if self.live:
            os.write(self.writer, _LATE)
        return [_LATE] if self.live else []

    def content(self) -> list[bytes]:
        """What the log holds; nothing if it is gone."""
        if not self.log.exists():
            return []
        data = self.log.read_bytes()
        return (gzip.decompress(data) if self.kind == "gzip" else data).lstrip(b" ").splitlines(keepends=True)

    def purge(self) -> list[Gone]:
        """Remove what has lapsed."""
        return purge(selected(self.address))


_LATE = line(NEW, late=True)


def _few() -> list[bytes]:
    return sorted([line(OLD, n=n) for n in range(5)] + [line(NEW, n=n) for n in range(5)] + [b"odd\n"])


def _lapsed() -> list[bytes]:
    return [line(OLD, n=n) for n in range(5)]


def _headed() -> list[bytes]:
    return [line(OLD, n=n, x="x" * 700) for n in range(15)] + [line(NEW, n=n, x="y" * 900) for n in range(20)]


def _mixed() -> list[bytes]:
    old = [line(OLD, n=n, x="x" * 700) for n in range(15)]
    new = [line(NEW, n=n, x="y" * 400) for n in range(15)]
    both = [data for pair in zip(new, old, strict=True) for data in pair]
    return both + [line(NEW, n=n, x="z" * 900) for n in range(50)]


def _short() -> list[bytes]:
    return [line(NEW, n=0), line(OLD, n=1), line(NEW, n=2), line(OLD, n=3), line(NEW, n=4)]


_LINES: dict[str, Callable[[], list[bytes]]] = {
    "exact": _few,
    "glob": _few,
    "gzip": _few,
    "removal": _lapsed,
    "collapse": _headed,
    "splice": _mixed,
    "blanks": _short,
}


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


def killed(world: World, fuse: int) -> int:
    """Purge, killed at one moment; or killed once it is decided, and then its recovery at that moment."""
    if not world.again:
        return _armed(world.purge, Bomb(fuse))
    _armed(world.purge, Bomb(0, "after rename"))

    def recover() -> None:
        store = opened(selected(world.address))
        with store.lease():
            list(store.recover(lambda _: True))

    return _armed(recover, Bomb(fuse))


def _armed(work: Callable[[], object], bomb: Bomb) -> int:
    def armed() -> None:
        bomb.arm()
        work()

    return in_child(armed)


def case(world: World, fuse: int) -> bool:
    """Kill at one moment, recover, purge again. False if there is no such moment."""
    world.create()
    ended = killed(world, fuse)
    late = world.append()
    store = opened(selected(world.address))
    with store.lease():
        markers = list(store.recover(lambda _: True))
        again = list(store.recover(lambda _: True))
    left = world.content()
    went = [data for data in world.lines if OLD.encode() in data]
    stays = [data for data in world.lines if OLD.encode() not in data] + late
    first_half = left == (stays if markers else world.lines + late)
    second = world.purge()
    facts = {
        "fuse": fuse,
        "ended": ended,
        "markers": len(markers),
        "all_or_none": first_half and [m.records for m in markers] == [len(went)] * len(markers),
        "same_again": again == markers,
        "then_done": world.content() == stays and len(markers) + len(second) == 1,
        "methods": sorted({item.disposal.method.value for item in second} | {m.method.value for m in markers}),
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
