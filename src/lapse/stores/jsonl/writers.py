"""Who has a log file open, and whether it may be changed in place under them.

The kernel's lease proves that nobody writes. Where somebody does, ``/proc`` shows how: a writer that appends is moved
along with the end of the file, one that does not would leave a hole. What cannot be seen counts as the latter, unless
the policy promises otherwise; what is seen beats every promise.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import StoreError, UnsupportedError
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.quiet import Writers, is_written, write_lease

NO_WRITERS = "none"
APPEND_ONLY = "append-only"

_PROC = Path("/proc")
_FIRST_NAMESPACE = "pid:[4026531836]"
_LOOKS = 10
_PAUSE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The processes that have a file open, as far as they can be seen.

    Attributes:
        appending: Pids that write to its end only.
        elsewhere: Pids that write without ``O_APPEND``, or through a shared mapping.
        reading: Pids that only read.
        blind: Why there may be more that cannot be seen. None if all can.
    """

    appending: tuple[int, ...] = ()
    elsewhere: tuple[int, ...] = ()
    reading: tuple[int, ...] = ()
    blind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a file stands with its writers.

    Attributes:
        state: What the lease said.
        sight: Who was seen. Empty where nobody writes: then nobody was looked for.
        promise: The dataset's ``writers:``.
    """

    state: Writers
    sight: Sight = Sight()
    promise: str | None = None

    @property
    def quiet(self) -> bool:
        """Whether nobody writes: proved, or promised where it cannot be told."""
        return self.state is Writers.NONE or (self.state is Writers.UNKNOWN and self.promise == NO_WRITERS)

    @property
    def trouble(self) -> str | None:
        """Why the file cannot be changed in place. None if it can."""
        if self.quiet:
            return None
        return why_not(self.sight, self.promise, seen=bool(self.sight.appending))


def why_not(sight: Sight, promise: str | None, *, seen: bool) -> str | None:
    """Why a file that others have open cannot be changed in place. None if it can.

    Arguments:
        sight: Who was seen.
        promise: The dataset's ``writers:``.
        seen: Whether that explains that the file is open.
    """
    if sight.elsewhere:
        return f"pid {_listed(sight.elsewhere)} writes to it without O_APPEND"
    if promise == APPEND_ONLY:
        return None
    if sight.blind is not None:
        return f"who writes to it cannot be seen: {sight.blind}"
    return None if seen else "somebody has it open who cannot be seen"


def stand(descriptor: int, path: Path, *, promise: str | None, patience: float = 0) -> Standing:
    """Ask the kernel whether somebody writes to a file that is open read-only, and who.

    A writer that is gone again before it is seen is asked after once more; one that stays gets *patience* seconds.
    """
    for _ in range(_LOOKS):
        with write_lease(descriptor, path, patience=patience) as state:
            pass
        standing = Standing(state=state, promise=promise)
        if standing.quiet:
            return standing
        sight = look(descriptor)
        standing = Standing(state=state, sight=sight, promise=promise)
        if state is Writers.UNKNOWN or sight.appending or sight.elsewhere or sight.blind:
            return standing
        time.sleep(_PAUSE)
    return standing


def refusal(standing: Standing, path: Path, *, why: str) -> StoreError:
    """The error for a file that somebody writes to, and that cannot be changed under them.

    Arguments:
        standing: How it stands.
        path: The file.
        why: Why it cannot be changed in place.
    """
    if standing.state is Writers.UNKNOWN:
        return UnsupportedError(
            f"{path}: this file system, or this user, cannot tell whether somebody writes to the file",
            hint="Run as the owner of the file. If it is certain that nobody writes, say `writers: none` in the"
            " dataset; if they only append, say `writers: append-only`.",
        )
    writing = (*standing.sight.appending, *standing.sight.elsewhere)
    pids = _listed(writing) if writing else "one that this user cannot see"
    unseen = not standing.sight.elsewhere
    promised = "Say `writers: append-only` in the dataset if all of its writers append" if unseen else "Let it append"
    return StoreError(
        f"{path} is open for writing (pid {pids}), and lines could be lost: {why}. Nothing was removed from it",
        hint=f"{promised}; or say in `reopen:` how its writers are told to open it anew; or rotate the file, or stop"
        " the writer, then run again.",
    )


def look(descriptor: int) -> Sight:
    """Find the processes that have a file open, other than by this very descriptor."""
    wanted = os.fstat(descriptor)
    appending, elsewhere, reading = set[int](), set[int](), set[int]()
    blind = _hidden()
    for folder in _processes():
        pid = int(folder.name)
        try:
            for flags in _flags(folder, wanted, own=descriptor):
                group = _group(flags, appending=appending, elsewhere=elsewhere, reading=reading)
                group.add(pid)
            if _maps(folder, wanted):
                elsewhere.add(pid)
        except PermissionError:
            # The system's first process may be closed even to root; it keeps no logs open.
            blind = blind or (None if pid == 1 else "processes of other users")
        except OSError:
            continue  # it has ended
    return Sight(
        appending=tuple(sorted(appending - elsewhere)),
        elsewhere=tuple(sorted(elsewhere)),
        reading=tuple(sorted(reading)),
        blind=blind,
    )


def look_at(path: Path) -> Sight:
    """Find the processes that have the file at *path* open. OSErrors are the caller's.

    Raises:
        StoreError: If it is no regular file.
    """
    descriptor = open_log(path)
    try:
        return look(descriptor)
    finally:
        os.close(descriptor)


def _hidden() -> str | None:
    """Why ``/proc`` cannot show every process. None if it can."""
    try:
        if str((_PROC / "self/ns/pid").readlink()) != _FIRST_NAMESPACE:
            return "processes outside this container"
        next((_PROC / "1/fd").iterdir(), None)
    except PermissionError:
        return "processes of other users"
    except OSError:
        return "there is no /proc that shows processes"
    return None


def _processes() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (path for path in _PROC.iterdir() if path.name.isdigit())


def _flags(process: Path, wanted: os.stat_result, *, own: int) -> Iterator[int]:
    """The flags with which a process has a file open, for each of its descriptors."""
    mine = int(process.name) == os.getpid()
    for link in (process / "fd").iterdir():
        if mine and int(link.name) == own:
            continue
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            facts = link.stat()
            if (facts.st_ino, facts.st_dev) == (wanted.st_ino, wanted.st_dev):
                words = (process / "fdinfo" / link.name).read_text(encoding="ascii").split()
                yield int(words[words.index("flags:") + 1], 8)


def _group(flags: int, *, appending: set[int], elsewhere: set[int], reading: set[int]) -> set[int]:
    if flags & os.O_ACCMODE == os.O_RDONLY:
        return reading
    return appending if flags & os.O_APPEND else elsewhere


def _maps(process: Path, wanted: os.stat_result) -> bool:
    """Whether a process can write to a file through memory."""
    device = b"%02x:%02x" % (os.major(wanted.st_dev), os.minor(wanted.st_dev))
    inode = b"%d" % wanted.st_ino
    for line in (process / "maps").read_bytes().splitlines():
        if inode in line:
            words = line.split(None, 5)
            if words[3:5] == [device, inode] and words[1][1:2] == b"w" and words[1][3:4] == b"s":
                return True
    return False


def _listed(pids: tuple[int, ...]) -> str:
    return ", ".join(map(str, pids))


def written_last(files: Iterable[LogFile]) -> Iterator[LogFile]:
    """The same files; those that somebody has open for writing come last, so that they hold up no other."""
    written = []
    for file in files:
        if is_written(file.path):
            written.append(file)
        else:
            yield file
    yield from written
