"""Log files as they were found, of which there may be very many: what is known of them takes little memory."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from types import GenericAlias
from typing import Protocol, TypeVar

import msgspec

from lapse.stores.jsonl.numbered import Numbered
from lapse.stores.jsonl.spool import Spool

_PAGE = 256
_SORTED = 8_192


class LogFile(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
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


class Named(Protocol):
    """A value that is about a file, and that msgspec can put into bytes."""

    @property
    def name(self) -> str:
        """The path of the file."""
        ...


ValueT = TypeVar("ValueT", bound=Named)


class Listing(Numbered[ValueT]):
    """Values ordered by path. They are put aside by the page, and a page is read when one of its values is asked for.

    The last page that was read is held: they are mostly asked for in order.
    """

    def __init__(self, kind: type[ValueT], values: Iterable[ValueT] = ()) -> None:
        """A listing of values of one *kind*: of *values*, and of those that are added."""
        self._pages = GenericAlias(list, (kind,))
        self._spool = Spool()
        self._firsts: list[str] = []
        self._page: tuple[int, list[ValueT]] = (-1, [])
        self._last: list[ValueT] = []
        for value in values:
            self.add(value)

    def add(self, value: ValueT) -> None:
        """Take in a value; its path comes after those of all others."""
        if not self._last:
            self._firsts.append(value.name)
        self._last.append(value)
        if len(self._last) == _PAGE:
            self._spool.append(msgspec.msgpack.encode(self._last))
            self._last = []

    def __len__(self) -> int:
        return len(self._spool) * _PAGE + len(self._last)

    def value(self, number: int) -> ValueT:
        """The value of a number, from its page."""
        page, place = divmod(number, _PAGE)
        return self._read(page)[place]

    def __iter__(self) -> Iterator[ValueT]:
        for number in range(len(self._firsts)):
            yield from self._read(number)

    def named(self, name: str) -> ValueT | None:
        """The value about the file of that path. None if there is none."""
        number = bisect_right(self._firsts, name) - 1
        page = self._read(number) if number >= 0 else []
        place = bisect_left(page, name, key=attrgetter("name"))
        return page[place] if place < len(page) and page[place].name == name else None

    def _read(self, number: int) -> list[ValueT]:
        if number == len(self._spool):
            return self._last
        known, page = self._page
        if known != number:
            page = msgspec.msgpack.decode(self._spool[number], type=self._pages)
            self._page = (number, page)
        return page


class LogFiles(Listing[LogFile]):
    """Files ordered by path."""

    def __init__(self, files: Iterable[LogFile] = ()) -> None:
        """Those of *files*, which come ordered by path."""
        super().__init__(LogFile, files)


class FileMarks(Mapping[str, tuple[int, ...]]):
    """The size in bytes and the inode of each file by its path, as the mark of a plan has them."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files

    def __getitem__(self, name: str) -> tuple[int, ...]:
        file = self._files.named(name)
        if file is None:
            raise KeyError(name)
        return file.size, file.inode

    def __iter__(self) -> Iterator[str]:
        return (file.name for file in self._files)

    def __len__(self) -> int:
        return len(self._files)


def in_order(names: Iterable[str]) -> Iterator[str]:
    """Each of some paths once, in order; of very many, only some are held in memory at a time."""
    spool, runs, left = Spool(), list[range](), iter(names)
    while some := sorted(islice(left, _SORTED)):
        first = len(spool)
        for start in range(0, len(some), _PAGE):
            spool.append(msgspec.msgpack.encode([os.fsencode(name) for name in some[start : start + _PAGE]]))
        runs.append(range(first, len(spool)))
    for name, _ in groupby(merge(*(_names(spool, run) for run in runs))):
        yield name


def _names(spool: Spool, pages: range) -> Iterator[str]:
    for number in pages:
        yield from map(os.fsdecode, msgspec.msgpack.decode(spool[number], type=list[bytes]))
