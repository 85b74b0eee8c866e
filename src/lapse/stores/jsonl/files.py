"""Which files an address means: a path or a glob in, regular log files out, everything else refused.

A file that is named exactly may be a symbolic link; one that a glob finds may not. ``*``, ``?`` and
``[…]`` match within one name and no leading dot, ``**`` matches any number of folders.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lapse.errors import StoreMissingError, UnsupportedError
from lapse.stores.jsonl.names import is_reserved, parse
from lapse.stores.jsonl.trouble import translated

_WILD = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A log file as it was found.

    Attributes:
        path: Absolute, symbolic links in a file's own name resolved.
        inode: Its inode.
        size: Bytes.
        mtime_ns: Last modification, nanoseconds since the epoch, as the file system says.
    """

    path: Path
    inode: int
    size: int
    mtime_ns: int


class LogSet:
    """The log files that one address means."""

    def __init__(self, address: str) -> None:
        self.pattern = os.path.normpath(address.removeprefix("jsonl://"))
        self.exact = _WILD.search(self.pattern) is None
        if self.exact:
            real = Path(os.path.realpath(self.pattern))
            self.base, self._last = real.parent, real.name
            self._between: list[str] = []
            return
        parts = Path(self.pattern).parts
        first = next(index for index, part in enumerate(parts) if _WILD.search(part))
        self.base = Path(*parts[:first])
        self._between, self._last = list(parts[first:-1]), parts[-1]
        if self._last == _ANY_DEPTH:
            self._between, self._last = [*self._between, _ANY_DEPTH], "*"

    def files(self) -> list[LogFile]:
        """Every file meant, ordered by path.

        Raises:
            StoreMissingError: If there is none.
            UnsupportedError: If one is a symbolic link that was not named, has hard links, is no regular file,
                or has a name that is no text.
            StoreError: If a folder cannot be read.
        """
        found = [self._look(path) for path in sorted(self.paths(), key=str)]
        if not found:
            raise self._missing()
        return found

    def paths(self) -> Iterator[Path]:
        """Paths of everything that matches, unordered; nothing is refused yet, but a glob means no folders."""
        if self.exact:
            path = self.base / self._last
            yield from [path] if os.path.lexists(path) else []
            return
        for folder in self.folders():
            for entry in _entries(folder):
                if self.matches(entry.name) and not entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)

    def folders(self) -> Iterator[Path]:
        """The folders where the files can be, that exist."""
        if self.base.is_dir():
            yield from dict.fromkeys(_descend(self.base, self._between))

    def matches(self, name: str) -> bool:
        """Whether a file of this name, in one of the folders, is meant."""
        if self.exact:
            return name == self._last
        return _fits(name, self._last) and not is_reserved(name)

    def relative(self, path: Path) -> str:
        """The path within the set, from its base folder."""
        return os.path.relpath(path, self.base)

    def _look(self, path: Path) -> LogFile:
        with translated("look at it", path):
            facts = path.lstat()
        _refuse_others(path, facts)
        return LogFile(path=path, inode=facts.st_ino, size=facts.st_size, mtime_ns=facts.st_mtime_ns)

    def _missing(self) -> StoreMissingError:
        if self.exact:
            return StoreMissingError(f"{self.pattern}: there is no such file", hint="Check `store:` in the policy.")
        why = f"nothing in {self.base} fits" if self.base.is_dir() else f"there is no folder {self.base}"
        return StoreMissingError(
            f"{self.pattern} matches no file: {why}",
            hint="Check `store:` in the policy; `*` does not cross folders, `**` does.",
        )


def _refuse_others(path: Path, facts: os.stat_result) -> None:
    if not str(path).isprintable():
        raise UnsupportedError(f"{str(path)!r}: its name is no plain text", hint="Rename the file, or narrow the glob.")
    if stat.S_ISLNK(facts.st_mode):
        raise UnsupportedError(
            f"{path} is a symbolic link, and a glob follows none",
            hint="Narrow the glob, or name the file itself in a dataset of its own.",
        )
    if stat.S_ISDIR(facts.st_mode):
        raise UnsupportedError(f"{path} is a folder", hint=f"Name the files in it: {path}/*.jsonl")
    if not stat.S_ISREG(facts.st_mode):
        raise UnsupportedError(f"{path} is no regular file", hint="Narrow the glob so that it names log files only.")
    if facts.st_nlink > 1 and facts.st_nlink - _own_links(path, facts.st_ino) > 1:
        raise UnsupportedError(
            f"{path} has {facts.st_nlink} hard links: a rewrite would leave the others as they are",
            hint="Remove the other names of the file (find them with `find -inum`), or narrow the glob.",
        )


def _own_links(path: Path, inode: int) -> int:
    """How many names Lapse itself gave to the file, in a commit that was interrupted."""
    return sum(parse(entry.name) is not None and entry.inode() == inode for entry in _entries(path.parent))


def _descend(folder: Path, parts: list[str]) -> Iterator[Path]:
    """The folders below *folder* that match *parts*; symbolic links are not followed."""
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == _ANY_DEPTH:
        yield from _descend(folder, rest)
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False) and _fits(entry.name, first):
            yield from _descend(Path(entry.path), parts if first == _ANY_DEPTH else rest)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with translated("list the folder", folder), os.scandir(folder) as entries:
        yield from entries


def _fits(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return pattern == _ANY_DEPTH or fnmatchcase(name, pattern)
