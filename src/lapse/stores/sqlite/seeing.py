"""Reading the lapsed rows of a slice, and remembering what was seen: keys, counts, the version of the file."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.msgpack import Ext

from lapse.instant import Nanos
from lapse.model.plan import Tally
from lapse.ports import Slice
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.identifiers import quote
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.failures import UndecodableTextError
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange, KeyWalk
from lapse.stores.sqlite.schema import Table
from lapse.stores.sqlite.slicing import Known, Pace

PAGE_ROWS = 10_000
_PAGE_SIZE = 8 * 1024 * 1024
_KEYS = "temp.lapse_keys"

Page = list[Any]
"""The cells of some rows, column by column: the table's own columns, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a take works on.

    Attributes:
        database: The file.
        table: The table.
        walk: Its rows in key order.
        judge: What decides about them.
        pace: Learns from the commits.
        row_size: Bytes of an average row, about.
    """

    database: Database
    table: Table
    walk: KeyWalk
    judge: Judge
    pace: Pace
    row_size: int


class Seen:
    """What was read of a slice.

    Attributes:
        rows: How many rows lapsed.
        keys: Their keys, ascending: integers, or tuples of a longer key. Empty where the survey is relied on and
            nothing was read.
        covers: All rows in the slice's range, lapsed or not.
        complete: Whether the slice was read through.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.keys: list[Any] = []
        self.covers = -1
        self.complete = False
        self._versions: set[int] = set()
        self._known: Sequence[Tally] | None = None
        self._sums: dict[tuple[int, str | None], list[int]] = {}  # rows, the earliest and the latest time of each

    @classmethod
    def as_surveyed(cls, known: Known) -> Seen:
        """What a survey saw."""
        seen = cls()
        seen.rows, seen.covers, seen.keys = known.rows, known.covers, list(known.keys)
        seen.complete = True
        seen._known = known.tallies
        seen._versions = {known.version}
        return seen

    def note(self, version: int, covers: int) -> None:
        """Take note of the snapshot that a page was read from."""
        self._versions.add(version)
        self.covers = covers

    def is_current(self, version: int) -> bool:
        """Whether nobody else has committed anything since the first page was read."""
        return self._versions == {version}

    def add(self, keys: list[Any], codes: Sequence[int], names: Sequence[object], times: Sequence[int]) -> None:
        """Take in rows, column by column; *names* are those of tenants."""
        self.keys += keys
        self.rows += len(keys)
        sums, tenants = self._sums, map(_text_of, names)
        for group, time in zip(zip(codes, tenants, strict=True), times, strict=True):
            found = sums.get(group)
            if found is None:
                sums[group] = [1, time, time]
                continue
            found[0] += 1
            if time < found[1]:
                found[1] = time
            elif time > found[2]:
                found[2] = time

    def tallies(self, size: int) -> Sequence[Tally]:
        """The counts; *size* is the bytes of a row."""
        if self._known is not None:
            return self._known
        return tuple(
            Tally(
                code=code,
                tenant=tenant,
                records=count,
                size=count * size,
                oldest=Nanos(oldest),
                newest=Nanos(newest),
            )
            for (code, tenant), (count, oldest, newest) in sorted(self._sums.items(), key=_code)
        )


def _code(counted: tuple[tuple[int, str | None], list[int]]) -> int:
    return counted[0][0]


def _text_of(name: Any) -> str | None:
    """A tenant; one that is no UTF-8 as it is shown."""
    return bytes(name.data).decode(errors="replace") if isinstance(name, Ext) else name


class SliceReader:
    """Reads a slice, each page in a transaction of its own that has ended before the page is handed on."""

    def __init__(self, ground: Ground, piece: Slice, keys: KeyRange, known: Known | None) -> None:
        self._ground = ground
        self._range = keys
        self._known = known
        self._codes = piece.selection.lapsed_codes(piece.destination)
        self._width = len(ground.table.columns)
        self._integer = ground.table.row_key().integer
        self.seen = Seen()

    def pages(self) -> Iterator[Page]:
        """The lapsed rows in key order."""
        self.seen = Seen()
        rows = max(1, min(PAGE_ROWS, _PAGE_SIZE // self._ground.row_size))
        surveyed = self._as_surveyed()
        if surveyed is not None:
            for start in range(0, len(surveyed), rows):
                yield list(zip(*surveyed[start : start + rows], strict=True))[: self._width]
        else:
            yield from self._judged_pages(rows)
        self.seen.complete = True

    def _as_surveyed(self) -> list[Any] | None:
        """All rows of the range, if the survey saw every one of them lapse and nobody has written since."""
        known, database = self._known, self._ground.database
        if known is None or not known.is_all:
            return None
        with database.reading():
            if database.version() != known.version:
                return None
            table, walk = self._ground.table, self._ground.walk
            where = walk.within(self._range)
            query = f"SELECT {self._columns}, {walk.columns} FROM {table.quoted} AS r WHERE " + where
            found = _fetch(database, query + f" ORDER BY {walk.order}")
        if len(found) != known.rows:
            return None
        self.seen = Seen.as_surveyed(known)
        self.seen.keys = self._keys(list(zip(*found, strict=True))[self._width :])
        return found

    @property
    def _columns(self) -> str:
        return ", ".join(f"r.{quote(column.name)}" for column in self._ground.table.columns)

    def _keys(self, columns: list[Any]) -> list[Any]:
        return list(columns[0]) if self._integer else list(zip(*columns, strict=True))

    def _judged_pages(self, rows: int) -> Iterator[Page]:
        after, full = self._range.after, True
        while full:
            found = self._judged(KeyRange(after, self._range.until), whole=True, rows=rows)
            full = len(found) == rows
            if not found:
                return
            columns = list(zip(*found, strict=True))
            self._add(columns[self._width :])
            after = self.seen.keys[-1]
            after = (after,) if self._integer else after
            yield columns[: self._width]

    def _judged(self, keys: KeyRange, *, whole: bool, rows: int = -1) -> list[Any]:
        database = self._ground.database
        query = self._ground.judge.lapsed(keys, self._codes, whole=whole, rows=rows)
        with database.reading():
            found = _fetch(database, query)
            self.seen.note(database.version(), self._ground.walk.count(self._range))
        return found

    def _add(self, columns: list[Any]) -> None:
        codes, tenants, times, *keys = columns
        self.seen.add(self._keys(keys), codes, tenants, times)

    def count(self) -> None:
        """Count without reading the rows themselves."""
        known = self._known
        # Nobody else has written; the count tells whether this connection has.
        if (
            known is not None
            and self._ground.database.version() == known.version
            and self._ground.walk.count(self._range) == known.covers
        ):
            self.seen = Seen.as_surveyed(known)
            return
        self.seen = Seen()
        found = self._judged(self._range, whole=False)
        if found:
            self._add(list(zip(*found, strict=True)))
        self.seen.complete = True

    # Under the write lock

    def count_again(self) -> None:
        """Count within the transaction that is open."""
        self.seen = Seen()
        query = self._ground.judge.lapsed(self._range, self._codes, whole=False)
        found = _fetch(self._ground.database, query)
        if found:
            self._add(list(zip(*found, strict=True)))
        self.seen.covers = self._ground.walk.count(self._range)
        self.seen.complete = True

    def removed_pages(self) -> Iterator[Page]:
        """Remove the rows of the keys that were read, and yield what was removed, in the order of those keys.

        Whatever else has come into their range by now is left alone.
        """
        table, walk = self._ground.table, self._ground.walk
        names = ", ".join(quote(column.name) for column in table.columns)
        returning = f" RETURNING {names}, {walk.key_list}"
        for start in range(0, self.seen.rows, PAGE_ROWS):
            keys = self.seen.keys[start : start + PAGE_ROWS]
            delete = f"DELETE FROM {table.quoted} AS r WHERE " + self._by_keys(keys) + returning
            if columns := list(zip(*self._in_order(keys, _fetch_change(self._ground.database, delete)), strict=True)):
                yield columns[: self._width]

    def _in_order(self, keys: list[Any], rows: list[Any]) -> list[Any]:
        """RETURNING promises no order. A key spelled otherwise by now comes last, where it cannot pass for itself."""
        place, width, last = {key: number for number, key in enumerate(keys)}, self._width, len(keys)
        if self._integer:
            return sorted(rows, key=lambda row: place.get(row[width], last))
        return sorted(rows, key=lambda row: place.get(tuple(row[width:]), last))

    def chosen(self) -> Fragment:
        """The condition that a row ``r`` is one of those seen."""
        if self.seen.covers == self.seen.rows:
            return self._ground.walk.within(self._range)
        return self._by_keys(self.seen.keys)

    def _by_keys(self, keys: Sequence[Any]) -> Fragment:
        walk, database = self._ground.walk, self._ground.database
        if self._integer:
            return Fragment(f"{walk.columns} IN (SELECT value FROM json_each(?))", (json.dumps(keys),))
        names = ", ".join(f"k{number}" for number in range(len(keys[0])))
        database.rows(f"CREATE TABLE IF NOT EXISTS {_KEYS} ({names})")
        database.rows(f"DELETE FROM {_KEYS}")
        marks = ", ".join("?" * len(keys[0]))
        database.change_many(f"INSERT INTO {_KEYS} VALUES ({marks})", keys)
        return Fragment(f"({walk.columns}) IN (SELECT {names} FROM {_KEYS})")


def _fetch_change(database: Database, change: Fragment) -> list[Any]:
    """All rows that a statement returns of what it changed; it runs once, so every text is read with care."""
    with database.marking_invalid_text():
        return database.rows(change.sql, change.values)


def _fetch(database: Database, query: Fragment) -> list[Any]:
    """All rows of a query; texts that are no UTF-8 as `Ext`."""
    try:
        return database.rows(query.sql, query.values)
    except UndecodableTextError:
        with database.marking_invalid_text():
            return database.rows(query.sql, query.values)
