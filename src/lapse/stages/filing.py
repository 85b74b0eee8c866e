"""Filing: files whose rows are gone go, too. Paths that others wrote in, what became of each file out.

Nothing is removed but regular files below one folder, with the ending that the policy names, if it does. Below the
folder no symbolic link is followed, whoever puts one there and when: each folder on the way is opened from the one
above it. The folder itself was given, and may be a link.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lapse.errors import StoreError
from lapse.model.files import PendingFile

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # needs no right to list the folder
_OUTSIDE = "outside of the folder"
_OTHER = "another ending than the policy's"
_NO_PATH = "no path of a file"


@dataclass(slots=True)
class Unlinked:
    """What became of files.

    Attributes:
        gone: Those that are not there, and will not be after a crash either.
        removed: How many of these were there until now.
        left: Those that may still be there, by the reason.
    """

    gone: list[PendingFile] = field(default_factory=list)
    removed: int = 0
    left: dict[str, list[PendingFile]] = field(default_factory=lambda: defaultdict(list))


def unlink(files: Sequence[PendingFile], *, under: str, ending: str | None = None) -> Unlinked:
    """Remove *files*; one that is missing is gone, and an error concerns a file or its folder alone.

    Arguments:
        files: Their paths are absolute or relative to *under*, and may be anything.
        under: The folder below which they must lie.
        ending: What their names must end in; case does not matter. None: anything.

    Raises:
        StoreError: If that folder is not there, as where a disk is not mounted: then nothing says that files are gone.
    """
    done = Unlinked()
    folders: dict[tuple[bytes, ...], list[tuple[bytes, PendingFile]]] = defaultdict(list)
    for file in files:
        steps = _steps(file.path, under, ending)
        if not isinstance(steps, str):
            folders[steps[:-1]].append((steps[-1], file))
        elif steps in (_OUTSIDE, _OTHER) and _is_missing(Path(under, file.path)):
            done.gone.append(file)
        else:
            done.left[steps].append(file)
    if not folders:
        return done
    with _opened(under) as root:
        for way, inside in folders.items():
            _empty(root, way, inside, done)
    return done


def _steps(path: str, under: str, ending: str | None) -> tuple[bytes, ...] | str:
    """The names on the way from *under* to the file; or why there is no such way."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        return "`..` in its path"
    if path.startswith("/"):
        above = [name for name in under.split("/") if name]
        if names[: len(above)] != above:
            return _OUTSIDE
        names = names[len(above) :]
    if not names or "\0" in path:
        return _NO_PATH
    if ending is not None and not names[-1].lower().endswith(ending.lower()):
        return _OTHER
    try:
        return tuple(name.encode() for name in names)
    except UnicodeEncodeError:
        return _NO_PATH


def _is_missing(path: Path) -> bool:
    """Whether nothing is there; where that cannot be told, something may be."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


@contextmanager
def _opened(under: str) -> Iterator[int]:
    try:
        root = os.open(under, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            f"the folder {under} of the files cannot be opened: {error.strerror}",
            hint="Mount it, or mend `files: {under: …}` in the policy. Then run again.",
        ) from error
    try:
        yield root
    finally:
        os.close(root)


def _empty(root: int, way: Sequence[bytes], inside: Sequence[tuple[bytes, PendingFile]], done: Unlinked) -> None:
    """Remove files of one folder, and make that last."""
    files = [file for _, file in inside]
    try:
        folder = _walk(root, way)
    except FileNotFoundError:
        done.gone += files
        return
    except OSError as error:
        done.left[_reason(error)] += files
        return
    try:
        _remove(folder, inside, done)
    finally:
        os.close(folder)


def _walk(root: int, way: Sequence[bytes]) -> int:
    """Open the folder at the end of *way*, a descriptor that the caller closes."""
    folder = os.dup(root)
    for number, name in enumerate(way, start=1):
        try:
            below = os.open(name, _FOLDER if number == len(way) else _ON_THE_WAY, dir_fd=folder)
        except NotADirectoryError as error:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise OSError(error.errno, "a symbolic link on its way") from error
            raise
        finally:
            os.close(folder)
        folder = below
    return folder


def _remove(folder: int, inside: Sequence[tuple[bytes, PendingFile]], done: Unlinked) -> None:
    gone, removed = [], 0
    for name, file in inside:
        try:
            removed += _removed(folder, name)
        except OSError as error:
            done.left[_reason(error)].append(file)
        else:
            gone.append(file)
    try:
        os.fsync(folder)
    except OSError as error:  # after a power cut they could be back: look again next time
        done.left[_reason(error)] += gone
        return
    done.gone += gone
    done.removed += removed


def _removed(folder: int, name: bytes) -> bool:
    """Remove a regular file. False if there is none of that name."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, _kind(mode))
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "no regular file"


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
