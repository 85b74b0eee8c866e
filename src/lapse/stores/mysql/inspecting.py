"""A look around a database: each table, with the columns that could be its time, type, tenant and actor.

Large tables are not read through: their rows and bytes are the server's own estimates, and values are sampled
from both ends of the key.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lapse import clock
from lapse.errors import PolicyError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, TimeFormat
from lapse.model.selection import SKEW
from lapse.ports import Sketch
from lapse.sqlcore.roles import ACTORS, TENANTS, TIMES, TYPES, is_passing, rank
from lapse.stores.mysql.address import parse
from lapse.stores.mysql.catalog import Table, TableColumn, find_table, tables
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dependents import dependents_of
from lapse.stores.mysql.dialect import MysqlDialect
from lapse.stores.mysql.encoding import size_sql
from lapse.stores.mysql.identifying import fingerprint, refusal
from lapse.stores.mysql.partitions import inventory
from lapse.stores.mysql.times import instant_sql, is_naive, is_number, is_text, read_format

_SAMPLE = 500  # rows from each end
_FEW = 40  # distinct values of a type, at most
_LIKELY = 0.5
_SHOWN_TYPES = 8
_COUNTED = 100_000
"""Rows up to which a table is counted, not estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Time:
    """A column that holds times.

    Attributes:
        column: The column.
        format: How numbers are written, else AUTO.
        share: Share of the sampled values that are believable times, 0 to 1.
        score: How much speaks for it.
    """

    column: TableColumn
    format: TimeFormat
    share: float
    score: float


def inspect(address: str) -> Iterator[Sketch]:
    """Describe every table of the address's database, the likeliest log first; those without a time come last."""
    shown = re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", address)
    connection = Connection(parse(address, shown=shown), shown=shown, read_only=True)
    try:
        found = [_Look(connection, find_table(connection, name), address).sketch() for name in tables(connection)]
    finally:
        connection.close()
    yield from sorted(found, key=_likelihood, reverse=True)


def _likelihood(sketch: Sketch) -> tuple[bool, int, int]:
    roles = sum(1 for role in (sketch.type, sketch.tenant, sketch.actor) if role)
    return sketch.time is not None, roles, sketch.records


def _orders(order: str, backwards: str) -> list[str]:
    return [f"ORDER BY {order}", f"ORDER BY {backwards}"] if order else [""]


class _Look:
    """One table."""

    def __init__(self, connection: Connection, table: Table, address: str) -> None:
        self._connection = connection
        self._table = table
        self._address = address
        self._latest = Nanos(clock.real_now() + SKEW)
        order = ", ".join(column.sql for column in table.key)
        backwards = ", ".join(f"{column.sql} DESC" for column in table.key)
        names = ", ".join(column.sql for column in table.columns)
        ends = [f"(SELECT {names} FROM {table.sql} {by} LIMIT {_SAMPLE})" for by in _orders(order, backwards)]
        self._sample = f"({' UNION ALL '.join(ends)}) AS sampled"

    def sketch(self) -> Sketch:
        """What the table looks like."""
        table = self._table
        records, size = self._weight()
        time = self._times[0] if self._times else None
        taken = {guess.column.name for guess in self._times}
        types = self._role(TYPES, taken, few=True)
        tenant = self._role(TENANTS, taken | {types or ""})
        actor = self._role(ACTORS, taken | {types or "", tenant or ""})
        oldest, newest = (None, None) if time is None else self._extent(time)
        used = [name for name in (time and time.column.name, types, tenant) if name]
        return Sketch(
            store=self._address,
            table=table.shown,
            records=records,
            size=size,
            time=time.column.name if time else None,
            time_format=time.format if time else TimeFormat.AUTO,
            type=types,
            tenant=tenant,
            actor=actor,
            oldest=oldest,
            newest=newest,
            types=self._shares(types),
            notes=tuple(self._notes()),
            fingerprint=fingerprint(self._connection, table, tuple(used)).text,
        )

    @cached_property
    def _is_large(self) -> bool:
        return self._table.rows > _COUNTED

    @property
    def _rows(self) -> str:
        """What is read for figures: all of a table, or the sample of a large one."""
        return self._sample if self._is_large else self._table.sql

    def _weight(self) -> tuple[int, int]:
        if self._is_large:
            return self._table.rows, self._table.size
        ((records, size),) = self._connection.rows(
            f"SELECT COUNT(*), COALESCE(SUM({size_sql(self._table)}), 0) FROM {self._table.sql}"
        )
        return int(records), int(size)

    @cached_property
    def _times(self) -> list[_Time]:
        """Columns that hold times, the likeliest first."""
        found = [guess for column in self._table.columns if (guess := self._time(column)) is not None]
        return sorted(found, key=lambda guess: -guess.score)

    def _time(self, column: TableColumn) -> _Time | None:
        named, loose = rank(TIMES, column.name), is_number(column) or is_text(column)
        if loose and (named is None or column in self._table.key):
            return None
        try:
            form = read_format(
                self._connection, self._table, column, TimeFormat.AUTO, latest=self._latest, rows=self._rows
            )
            instant = instant_sql(column, form, None)
        except (PolicyError, UnsupportedError):
            return None  # several units, or no type of a time
        ((values, times),) = self._connection.rows(
            f"SELECT COUNT({column.sql}), COALESCE(SUM({instant} BETWEEN %s AND %s), 0) FROM {self._sample}",
            (DOUBT_BEFORE_DEFAULT, self._latest),
        )
        share = int(times) / int(values) if values else 0.0
        if share < _LIKELY and (loose or values):
            return None
        served = 0.1 if self._table.serving(column) is not None else 0
        score = share + (0 if named is None else 1 - named * 0.2) + 0.5 * (not loose) - is_passing(column.name) + served
        return _Time(column=column, format=form, share=share, score=score)

    def _role(self, names: tuple[re.Pattern[str], ...], taken: set[str], *, few: bool = False) -> str | None:
        """The column whose name speaks clearest for a role; *few*: only with few different values."""
        found = []
        for place, column in enumerate(self._table.columns):
            speaks = rank(names, column.name)
            if speaks is None or column.name in taken or self._table.key == (column,):
                continue
            if not self._is_comparable(column) or (few and self._distinct(column) > _FEW):
                continue
            found.append((speaks, place, column.name))
        return min(found)[2] if found else None

    def _is_comparable(self, column: TableColumn) -> bool:
        try:
            MysqlDialect(self._table).text(column.name)
        except UnsupportedError:
            return False
        return True

    def _distinct(self, column: TableColumn) -> int:
        ((count,),) = self._connection.rows(f"SELECT COUNT(DISTINCT {column.sql}) FROM {self._sample}")
        return int(count)

    def _shares(self, name: str | None) -> tuple[tuple[str, float], ...]:
        if name is None:
            return ()
        text = f"CAST({MysqlDialect(self._table).text(name).sql} AS BINARY)"
        rows = self._connection.rows(
            f"SELECT {text} AS named, COUNT(*) FROM {self._rows} GROUP BY named HAVING named IS NOT NULL "
            "ORDER BY 2 DESC, 1"
        )
        total = sum(int(count) for _, count in rows)
        return tuple((bytes(one).decode(), round(int(count) / total, 3)) for one, count in rows[:_SHOWN_TYPES])

    def _extent(self, time: _Time) -> tuple[Nanos | None, Nanos | None]:
        """Earliest and latest believable time."""
        instant = instant_sql(time.column, time.format, None)
        ((oldest, newest),) = self._connection.rows(
            f"SELECT MIN({instant}), MAX({instant}) FROM {self._rows} WHERE {instant} BETWEEN %s AND %s",
            (DOUBT_BEFORE_DEFAULT, self._latest),
        )
        return (None, None) if oldest is None else (Nanos(int(oldest)), Nanos(int(newest)))

    def _notes(self) -> Iterator[str]:
        refused = refusal(self._connection, dependents_of(self._connection, self._table))
        if refused is not None:
            yield f"nothing can be removed here: {refused}"
        if self._is_large:
            yield "rows and bytes are the server's estimates, and times and types are of a sample"
        yield from self._partition_note()
        if not self._times:
            return
        time, *others = self._times
        if is_naive(time.column):
            yield f"{time.column.name} has no time zone and is read as UTC; say `time zone:` if that is wrong"
        if time.format is not TimeFormat.AUTO:
            yield f"{time.column.name} is a number of {time.format.value}"
        if 0 < time.share < 1:
            yield f"{1 - time.share:.1%} of the sampled values of {time.column.name} are no believable times and stay"
        index = self._table.serving(time.column)
        yield f"index {index.name} finds rows by {time.column.name}" if index else f"no index on {time.column.name}"
        if others:
            yield f"other columns with times: {', '.join(guess.column.name for guess in others[:5])}"

    def _partition_note(self) -> Iterator[str]:
        ((count, method),) = self._connection.rows(
            "SELECT COUNT(PARTITION_NAME), MAX(PARTITION_METHOD) FROM information_schema.PARTITIONS "
            "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            (self._table.database, self._table.name),
        )
        if count:
            found = inventory(self._connection, self._table)
            how = "what lapses as a whole is dropped" if found.partitions else f"no drops: {found.obstacle}"
            yield f"{count} partitions by {str(method).lower()}; {how}"
