"""Log files as they were found, of which there may be very many: what is known of each takes little room."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A log file as it was found.

    Attributes:
        name: Its path, absolute, symbolic links in a file's own name resolved.
        inode: Its inode.
        size: Bytes.
        mtime_ns: Last modification, nanoseconds since the epoch, as the file system says.
    """

    name: str
    inode: int
    size: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.name)


class LogFiles(Sequence[LogFile]):
    """Files ordered by path, each made a value when it is asked for."""

    def __init__(self, files: Iterable[LogFile]) -> None:
        """Those of *files*, which come ordered by path."""
        self.names: list[str] = []
        self._inodes, self._sizes, self._times = array("Q"), array("Q"), array("q")
        for file in files:
            self.names.append(file.name)
            self._inodes.append(file.inode)
            self._sizes.append(file.size)
            self._times.append(file.mtime_ns)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> LogFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LogFile]: ...
    def __getitem__(self, index: int | slice) -> LogFile | Sequence[LogFile]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return LogFile(
            name=self.names[index],
            inode=self._inodes[index],
            size=self._sizes[index],
            mtime_ns=self._times[index],
        )


class FileMarks(Mapping[str, tuple[int, ...]]):
    """The size in bytes and the inode of each file by its path, as the mark of a plan has them."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files

    def __getitem__(self, name: str) -> tuple[int, ...]:
        names = self._files.names
        place = bisect_left(names, name)
        if names[place : place + 1] != [name]:
            raise KeyError(name)
        file = self._files[place]
        return file.size, file.inode

    def __iter__(self) -> Iterator[str]:
        return iter(self._files.names)

    def __len__(self) -> int:
        return len(self._files)
