"""Let one trouble befall a run at every step on the disk; one JSON line a case.

Usage: python trouble_steps.py TROUBLE PROFILE FOLDER FIRST STRIDE. TROUBLE is ``full``: from that step on the disk
takes nothing more; ``replaced``: somebody puts another file in the log's place; ``rotated``: somebody renames
the log and begins a new one; ``cut``: somebody empties it. The process forks for each case, so that the run is a
process of its own.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from live_lines import Profile, make, text_of
from live_runs import Ended, become, redirect, rehearse
from trouble_world import TroubleWorld

from lapse.stores.jsonl import disk as store_disk
from servers.processes import await_condition

_STEPS = ("open", "write", "pwrite", "fsync", "fdatasync", "link", "rename", "replace", "mkdir", "unlink")
_SYSTEM_CALLS = ("fallocate", "renameat2")
_NEED_NO_ROOM = ("unlink",)
_STDERR = 2
_HELD_UP = 0.2
OTHER = 5


class Trouble:
    """Befalls its own process at the n-th step on the disk.

    Arguments:
        fuse: The number of the step, from 1.
        befall: What happens then.
        lasting: Whether the disk is full from then on.
    """

    def __init__(self, fuse: int, befall: Callable[[], None], *, lasting: bool) -> None:
        self._fuse, self._befall, self._lasting = fuse, befall, lasting
        self._count, self._befalling = 0, False

    def arm(self) -> None:
        """Put a moment before every step."""
        for name in _STEPS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

        for name in _SYSTEM_CALLS:
            setattr(store_disk._libc, name, self._answering(name, getattr(store_disk._libc, name)))

    def _wrapped(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self._befalling or not _needs_disk(name, args):
                return step(*args, **kwargs)
            if self._is_refused(name):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return step(*args, **kwargs)

        return wrapped

    def _answering(self, name: str, step: Callable[..., int]) -> Callable[..., int]:
        """The same for a call of the C library, which tells its errors in another way."""

        def wrapped(*args: Any) -> int:
            if not self._is_refused(name):
                return step(*args)
            ctypes.set_errno(errno.ENOSPC)
            return -1

        return wrapped

    def _is_refused(self, name: str) -> bool:
        """Count a step, and let the trouble befall if it is the one; whether there is no room for it."""
        self._count += 1
        if self._count == self._fuse:
            self._befalling = True
            self._befall()
            self._befalling = False
        return self._lasting and self._count >= self._fuse and name not in _NEED_NO_ROOM


def _needs_disk(name: str, args: Sequence[Any]) -> bool:
    """Whether a call may need room: opening does if it can make a file, and what is printed goes elsewhere."""
    if name == "open":
        return bool(args[1] & os.O_CREAT)
    return name != "write" or args[0] > _STDERR


def befall(trouble: str, log: Path) -> None:
    """What another process does to *log*; a full disk says so itself."""
    lines = b"".join(make("other", n, time=text_of(time.time())) for n in range(OTHER))
    match trouble:
        case "replaced":
            beside = log.with_name("other.new")
            beside.write_bytes(lines)
            beside.rename(log)
        case "rotated":
            log.rename(log.with_name("a-rotated.jsonl"))
            log.write_bytes(lines)
        case "cut":
            log.write_bytes(b"")


@dataclass(frozen=True, slots=True)
class Case:
    """One trouble at one step of a run.

    Attributes:
        world: The log.
        trouble: What befalls it.
        fuse: The number of the step, from 1.
    """

    world: TroubleWorld
    trouble: str
    fuse: int

    @property
    def _begun(self) -> Path:
        return self.world.folder / "begun"

    @property
    def _over(self) -> Path:
        return self.world.folder / "over"

    def tell(self) -> bool:
        """One trouble, then a run in peace, and what came of it. False if there is no such step."""
        shutil.rmtree(self.world.folder, ignore_errors=True)
        self.world.folder.mkdir(parents=True)
        self.world.create()
        first = self._run(Trouble(self.fuse, self._happen, lasting=self.trouble == "full"))
        happened = self._begun.exists()
        if happened:
            await_condition(self._over.exists, "the trouble to be over")
        last = self._run(None)
        written = {"other": OTHER} if happened and self.trouble in ("replaced", "rotated") else {}
        found = self.world.audit(**written)
        facts = {
            "fuse": self.fuse,
            "happened": happened,
            "first": asdict(first),
            "last": asdict(last),
            "faults": found.faults,
            "removed": found.removed,
            "strays": self.world.strays(),
            "other": self.world.log.read_bytes().count(b'"other-'),
        }
        print(json.dumps(facts), flush=True)
        return happened

    def _happen(self) -> None:
        """Another process does it; it may have to wait until the run lets the file go."""
        self._begun.touch()
        other = os.fork()
        if other == 0:
            befall(self.trouble, self.world.log)
            self._over.touch()
            os._exit(0)
        deadline = time.monotonic() + _HELD_UP
        while os.waitpid(other, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.001)

    def _run(self, trouble: Trouble | None) -> Ended:
        out, said = self.world.folder / "out", self.world.folder / "said"
        child = os.fork()
        if child == 0:
            os.environ.update(self.world.env)
            redirect(str(out), str(said))
            if trouble is not None:
                trouble.arm()
            become(self.world.run)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Ended(code, out.read_text(encoding="utf-8"), said.read_text(encoding="utf-8"))


def main(trouble: str, profile: Profile, folder: Path, first: int, stride: int) -> None:
    """Each *stride*-th step from *first* on, until the run has no more of them."""
    rehearse()
    fuse = first
    while Case(TroubleWorld(folder / "world", profile), trouble, fuse).tell():
        fuse += stride


if __name__ == "__main__":
    main(sys.argv[1], Profile(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
