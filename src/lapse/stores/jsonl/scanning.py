"""Log files read once, line by line, in bounded memory: counts by outcome, and doubts by kind."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lapse.errors import ChangedError
from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally, merge
from lapse.stores.jsonl.codec import Head, blocks, encoding_of
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.fields import Doubtful
from lapse.stores.jsonl.judging import Judged
from lapse.stores.jsonl.lines import Line, Shape, lines
from lapse.stores.jsonl.manysums import Packed, Sums, apart
from lapse.stores.jsonl.numpyloading import one_thread
from lapse.stores.jsonl.summing import Sum, number_of
from lapse.stores.jsonl.trouble import translated

if TYPE_CHECKING:
    from lapse.stores.jsonl.columncounts import ColumnCounts

_FEW = 4096
"""Counts up to which another process takes less to add them up one by one than to load what adds up columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The beginning of a file: what one look at it is about, however it grows meanwhile.

    Attributes:
        path: The file.
        inode: Its inode.
        size: Bytes from its beginning.
    """

    path: Path
    inode: int
    size: int


@contextmanager
def opened(extent: Extent) -> Iterator[int]:
    """A read-only descriptor of the file.

    Raises:
        StoreError: If it cannot be read.
        ChangedError: If another file stands there now, or it has become shorter.
    """
    with translated("open it", extent.path):
        descriptor = open_log(extent.path)
    try:
        found = os.fstat(descriptor)
        if found.st_ino != extent.inode or found.st_size < extent.size:
            raise ChangedError(
                f"{extent.path} was {'replaced' if found.st_ino != extent.inode else 'cut'} since it was looked at",
                hint="Run again: it looks at what is there now.",
            )
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reading(descriptor: int, extent: Extent) -> Iterator[tuple[Head, Iterator[Line]]]:
    """The lines of an open file, and the bytes they come from."""
    head = Head(descriptor, extent.size)
    with translated("read it", extent.path):
        encoding = encoding_of(descriptor)
    with blocks(head, encoding, extent.path) as content:
        yield head, lines(content)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Lines of one kind that could not be judged.

    Attributes:
        kind: Which.
        count: How many.
        file: Path of the file with the first one.
        line: Its line number, from 1.
    """

    kind: Doubtful
    count: int
    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.count:,} × {self.kind.value}, first {self.file}:{self.line}"


class Doubts:
    """Counts lines that could not be judged, by kind, with the place of the first."""

    def __init__(self) -> None:
        self._found: dict[Doubtful, tuple[int, Path, int]] = {}

    def add(self, kind: Doubtful, file: Path, line: int, *, count: int = 1) -> None:
        """Count some, the first of which is on that line."""
        before, first, number = self._found.get(kind, (0, file, line))
        self._found[kind] = (before + count, first, number)

    def merge(self, other: Doubts) -> None:
        """Take in what was found in later files."""
        for kind, (count, file, line) in other._found.items():
            self.add(kind, file, line, count=count)

    def all(self) -> tuple[Doubt, ...]:
        """Every kind that was found, in the order of their kinds."""
        return tuple(Doubt(kind, *self._found[kind]) for kind in Doubtful if kind in self._found)


class _Key(NamedTuple):
    code: int
    tenant: str | None


@dataclass(slots=True)
class _Sum:
    records: int = 0
    size: int = 0
    oldest: Nanos | None = None
    newest: Nanos | None = None
    checksum: int = 0

    def widen(self, oldest: Nanos | None, newest: Nanos | None) -> None:
        if oldest is not None:
            self.oldest = oldest if self.oldest is None else min(self.oldest, oldest)
        if newest is not None:
            self.newest = newest if self.newest is None else max(self.newest, newest)


class Counts:
    """Counts lines by outcome and tenant."""

    def __init__(self) -> None:
        self._sums: dict[_Key, _Sum] = {}
        self._many: ColumnCounts | None = None

    def add(self, line: Line, judged: Judged, tenant: str | None) -> None:
        """Count a line; further pieces of a long one only add their bytes."""
        found = self._sums.setdefault(_Key(judged.code, tenant), _Sum())
        found.records += line.shape is not Shape.LONG_REST
        found.size += len(line.data)
        found.checksum += number_of(line.data, judged.instant)
        found.widen(judged.instant, judged.instant)

    def add_sum(self, lines: Sum) -> None:
        """Count lines that were added up already."""
        key = _Key(lines.code, lines.tenant)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum()
        found.records += lines.records
        found.size += lines.size
        found.checksum += lines.checksum
        found.widen(lines.oldest, lines.newest)

    def add_sums(self, sums: Sums) -> None:
        """Count lines that were added up already."""
        named, others = apart(sums)
        if named is not None:
            self._columns().add_named(named)
        for item in others:
            self.add_sum(item)

    def add_packed(self, packed: Packed) -> None:
        """Count lines that were added up already, in columns."""
        self._columns().add_packed(packed)

    def settle(self) -> None:
        """Hold what is in columns by itself, unless it is very much: who takes it over need not know of columns."""
        if self._many is not None and len(self._many) <= _FEW:
            for tally in self._many.merged():
                self.add_sum(
                    Sum(
                        tally.code, tally.tenant, (), tally.records, tally.size,
                        tally.oldest, tally.newest, tally.checksum,
                    )
                )  # fmt: skip
            self._many = None

    def merge(self, other: Counts) -> None:
        """Take over what another one has counted, which is not to be used any more."""
        if other._many is not None:
            self._columns().merge(other._many)
        if not self._sums:
            self._sums = other._sums
            return
        for key, found in other._sums.items():
            mine = self._sums.get(key)
            if mine is None:
                self._sums[key] = found
                continue
            mine.records += found.records
            mine.size += found.size
            mine.checksum += found.checksum
            mine.widen(found.oldest, found.newest)

    def tallies(self) -> tuple[Tally, ...]:
        """The counts so far, ordered by code and tenant."""
        keys = sorted(self._sums, key=lambda key: (key.code, key.tenant is not None, key.tenant or ""))
        found = tuple(
            Tally(
                code=key.code,
                tenant=key.tenant,
                records=each.records,
                size=each.size,
                oldest=each.oldest,
                newest=each.newest,
                checksum=each.checksum % CHECKSUM_MODULUS,
            )
            for key in keys
            for each in (self._sums[key],)
        )
        many = () if self._many is None else self._many.merged()
        return merge((*many, *found)) if many and found else many or found

    def __getstate__(self) -> object:
        return self._sums, None if self._many is None else pickle.dumps(self._many)

    def __setstate__(self, state: Any) -> None:
        self._sums, many = state
        with one_thread():  # numpy comes with it
            self._many = None if many is None else pickle.loads(many)  # noqa: S301 - of our own child

    def _columns(self) -> ColumnCounts:
        """What is counted in columns."""
        if self._many is None:
            with one_thread():
                from lapse.stores.jsonl.columncounts import ColumnCounts  # numpy is for who has very many counts
            self._many = ColumnCounts()
        return self._many
