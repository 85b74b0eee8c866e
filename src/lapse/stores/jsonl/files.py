"""Which files an address means: a path or a glob in, regular log files out, everything else refused.

A file that is named exactly may be a symbolic link; one that a glob finds may not. ``*``, ``?`` and
``[…]`` match within one name and no leading dot, ``**`` matches any number of folders. ``{segments}`` in a file's
name means a log and the segments beside it, as ``lapse.stores.jsonl.series`` says; the log itself is named exactly.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lapse.errors import StoreMissingError, UnsupportedError
from lapse.stores.jsonl.listed import LogFile, LogFiles, in_order
from lapse.stores.jsonl.names import is_reserved, parse
from lapse.stores.jsonl.series import SEGMENTS, Series
from lapse.stores.jsonl.trouble import translated

_WILD = re.compile(r"[*?\[]|" + re.escape(SEGMENTS))
_ANY_DEPTH = "**"


class LogSet:
    """The log files that one address means."""

    def __init__(self, address: str) -> None:
        self.pattern = os.path.normpath(address.removeprefix("jsonl://"))
        self.exact = _WILD.search(self.pattern) is None
        self._series: Series | None = None
        self._linked: Path | None = None
        if self.exact:
            real = Path(os.path.realpath(self.pattern))
            self.base, self._last = real.parent, real.name
            self._between: list[str] = []
            return
        parts = Path(self.pattern).parts
        first = next(index for index, part in enumerate(parts) if _WILD.search(part))
        self.base = Path(*parts[:first])
        self._between, self._last = list(parts[first:-1]), parts[-1]
        if SEGMENTS in self._last:
            self._series = Series(self._last)
            self._linked = _link_target(self.base / self._series.first) if not self._between else None
        if self._last == _ANY_DEPTH:
            self._between, self._last = [*self._between, _ANY_DEPTH], "*"

    def files(self) -> LogFiles:
        """Every file meant, ordered by path.

        Raises:
            StoreMissingError: If there is none.
            UnsupportedError: If one is a symbolic link that was not named, has hard links, is no regular file,
                or has a name that is no text.
            StoreError: If a folder cannot be read.
        """
        found = LogFiles(map(_look, in_order(self.names())))
        if not found:
            raise self._missing()
        return found

    def names(self) -> Iterator[str]:
        """Paths of everything that matches, unordered; nothing is refused yet, but a glob means no folders."""
        if self.exact:
            path = self.base / self._last
            yield from [str(path)] if os.path.lexists(path) else []
            return
        if self._linked is not None and os.path.lexists(self._linked):
            yield str(self._linked)
        for folder in self.folders():
            for entry in _entries(folder):
                if self._finds(entry):
                    yield entry.path

    def _finds(self, entry: os.DirEntry[str]) -> bool:
        if self._series is not None:
            is_named = entry.name == self._series.first and self._linked is not None
            return self._series.has(entry.name) and not is_named
        return self.matches(entry.name) and not entry.is_dir(follow_symlinks=False)

    def folders(self) -> Iterator[Path]:
        """The folders where the files can be, that exist."""
        if self.base.is_dir():
            yield from _descend(self.base, self._between)
        if self._linked is not None and self._linked.parent != self.base and self._linked.parent.is_dir():
            yield self._linked.parent

    def matches(self, name: str) -> bool:
        """Whether a file of this name, in one of the folders, is meant."""
        if self.exact:
            return name == self._last
        if self._series is not None:
            return self._series.has(name) or (self._linked is not None and name == self._linked.name)
        return _fits(name, self._last) and not is_reserved(name)

    def relative(self, path: Path) -> str:
        """The path within the set, from its base folder."""
        if self._series is not None and path == self._linked:
            return self._series.first
        return os.path.relpath(path, self.base)

    def staying(self, files: Sequence[LogFile]) -> set[Path]:
        """Those that are never removed, even if nothing in them stays: the dataset must not vanish.

        That is a file that was named exactly; of a glob, and of a log with segments in a folder, the newest: its
        writer may want it.
        """
        if self._series is None:
            return {file.path for file in files} if self.exact else {max(files, key=lambda file: file.mtime_ns).path}
        newest: dict[Path, LogFile] = {}
        for file in files:
            folder = file.path.parent
            if self._begun(file) >= self._begun(newest.setdefault(folder, file)):
                newest[folder] = file
        found = {file.path for file in newest.values()}
        return found if self._linked is None else {*found, self._linked}

    def segment_named(self, name: str, number: int) -> str | None:
        """The name of a segment as old as the file *name*, with *number* behind it. None without segments."""
        return None if self._series is None else self._series.numbered(name, number)

    def _begun(self, file: LogFile) -> tuple[str, int]:
        assert self._series is not None  # noqa: S101 - the caller has seen it
        return self._series.age(file.path.name)

    def sole(self, files: Sequence[LogFile]) -> Path | None:
        """The file that lines are added to: the one that was named exactly, or a log that has no segments. None with
        several."""
        is_log = self._series is not None and len(files) == 1 and self._begun(files[0]) == ("", 0)
        return files[0].path if self.exact or is_log else None

    def _missing(self) -> StoreMissingError:
        if self.exact:
            return StoreMissingError(f"{self.pattern}: there is no such file", hint="Check `store:` in the policy.")
        why = f"nothing in {self.base} fits" if self.base.is_dir() else f"there is no folder {self.base}"
        return StoreMissingError(
            f"{self.pattern} matches no file: {why}",
            hint="Check `store:` in the policy; `*` does not cross folders, `**` does.",
        )


def _look(name: str) -> LogFile:
    with translated("look at it", name):
        facts = os.lstat(name)
    _refuse_others(name, facts)
    return LogFile(name=name, inode=facts.st_ino, size=facts.st_size, mtime_ns=facts.st_mtime_ns)


def _link_target(path: Path) -> Path | None:
    """The file that a symbolic link leads to. None if it is none."""
    return Path(os.path.realpath(path)) if path.is_symlink() else None


def _refuse_others(path: str, facts: os.stat_result) -> None:
    if not path.isprintable():
        raise UnsupportedError(f"{path!r}: its name is no plain text", hint="Rename the file, or narrow the glob.")
    if stat.S_ISLNK(facts.st_mode):
        raise UnsupportedError(
            f"{path} is a symbolic link, and a glob follows none",
            hint="Narrow the glob, or name the file itself in a dataset of its own.",
        )
    if stat.S_ISDIR(facts.st_mode):
        raise UnsupportedError(f"{path} is a folder", hint=f"Name the files in it: {path}/*.jsonl")
    if not stat.S_ISREG(facts.st_mode):
        raise UnsupportedError(f"{path} is no regular file", hint="Narrow the glob so that it names log files only.")
    if facts.st_nlink > 1 and facts.st_nlink - _own_links(Path(path).parent, facts.st_ino) > 1:
        raise UnsupportedError(
            f"{path} has {facts.st_nlink} hard links: a rewrite would leave the others as they are",
            hint="Remove the other names of the file (find them with `find -inum`), or narrow the glob.",
        )


def _own_links(folder: Path, inode: int) -> int:
    """How many names Lapse itself gave to a file in *folder*, in a commit that was interrupted."""
    return sum(parse(entry.name) is not None and entry.inode() == inode for entry in _entries(folder))


def _descend(folder: Path, parts: Sequence[str], places: Iterable[int] = (0,)) -> Iterator[Path]:
    """The folders below *folder* that match *parts*, each once; symbolic links are not followed.

    The *places* are those in *parts* from which on the rest is to match: several, as two stars stand for any depth.
    """
    reached = {end for place in places for end in _reached(parts, place)}
    if len(parts) in reached:
        yield folder
    before = reached - {len(parts)}
    for entry in _entries(folder) if before else ():
        fitting = [place for place in before if _fits(entry.name, parts[place])]
        if fitting and entry.is_dir(follow_symlinks=False):
            after = {place if parts[place] == _ANY_DEPTH else place + 1 for place in fitting}
            yield from _descend(Path(entry.path), parts, after)


def _reached(parts: Sequence[str], place: int) -> Iterator[int]:
    """A place, and those behind the two stars that stand there."""
    yield place
    while place < len(parts) and parts[place] == _ANY_DEPTH:
        place += 1
        yield place


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with translated("list the folder", folder), os.scandir(folder) as entries:
        yield from entries


def _fits(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return pattern == _ANY_DEPTH or fnmatchcase(name, pattern)
