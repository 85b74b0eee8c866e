"""A look around a file: each table, with the columns that could be its time, type, tenant and actor."""

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
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.roles import ACTORS, TENANTS, TIMES, TYPES, is_passing, rank
from lapse.stores.duckdb.catalog import Table, TableColumn, find_table, tables
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.dialect import DuckdbDialect
from lapse.stores.duckdb.encoding import size_sql
from lapse.stores.duckdb.formats import read_format
from lapse.stores.duckdb.identifying import fingerprint
from lapse.stores.duckdb.times import instant_steps, is_naive, is_number, timed

_SAMPLE = 1000
_FEW = 40  # distinct values of a type, at most
_LIKELY = 0.5
_SHOWN_TYPES = 8


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


def sketches(connection: Connection, address: str, path: str) -> Iterator[Sketch]:
    """Describe every table, the likeliest log first; those without a time come last."""
    looks = [_Look(connection, find_table(connection, _full(*name)), address, path) for name in tables(connection)]
    found = [look.sketch() for look in looks]
    yield from sorted(found, key=_likelihood, reverse=True)


def _full(schema: str, table: str) -> str:
    return table if schema == "main" else f"{schema}.{table}"


def _likelihood(sketch: Sketch) -> tuple[bool, int, int]:
    roles = sum(1 for role in (sketch.type, sketch.tenant, sketch.actor) if role)
    return sketch.time is not None, roles, sketch.records


class _Look:
    """One table."""

    def __init__(self, connection: Connection, table: Table, address: str, path: str) -> None:
        self._connection = connection
        self._table = table
        self._address = address
        self._path = path
        self._latest = Nanos(clock.real_now() + SKEW)
        self._sample = f"(SELECT * FROM {table.sql} LIMIT {_SAMPLE})"

    def sketch(self) -> Sketch:
        """What the table looks like."""
        table = self._table
        ((records, size),) = self._connection.rows(
            f"SELECT count(*), coalesce(sum({size_sql(table.columns)}), 0) FROM {table.sql}"
        )
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
            records=int(records),
            size=int(size),
            time=time.column.name if time else None,
            time_format=time.format if time else TimeFormat.AUTO,
            type=types,
            tenant=tenant,
            actor=actor,
            oldest=oldest,
            newest=newest,
            types=self._shares(types),
            notes=tuple(self._notes()),
            fingerprint=fingerprint(self._path, table, tuple(used)).text,
        )

    @cached_property
    def _times(self) -> list[_Time]:
        """Columns that hold times, the likeliest first."""
        found = [guess for column in self._table.columns if (guess := self._time(column)) is not None]
        return sorted(found, key=lambda guess: -guess.score)

    def _time(self, column: TableColumn) -> _Time | None:
        named, texts = rank(TIMES, column.name), column.type == "VARCHAR"
        if (is_number(column) or texts) and (named is None or column.name in self._table.key):
            return None
        try:
            form = read_format(self._connection, self._table, column, TimeFormat.AUTO, latest=self._latest)
            steps = instant_steps(column, form, None)
        except (PolicyError, UnsupportedError):
            return None  # several units, or no type of a time
        ((values, times),) = self._connection.rows(
            f"SELECT count({quote(column.name)}), count(*) FILTER (lapse_instant BETWEEN ? AND ?) "
            f"FROM {timed(self._sample, steps)}",
            (DOUBT_BEFORE_DEFAULT, self._latest),
        )
        share = times / values if values else 0.0
        declared = not (texts or is_number(column))
        if share < _LIKELY and not (declared and not values):
            return None
        score = share + (0 if named is None else 1 - named * 0.2) + 0.5 * declared - is_passing(column.name)
        return _Time(column=column, format=form, share=share, score=score)

    def _role(self, names: tuple[re.Pattern[str], ...], taken: set[str], *, few: bool = False) -> str | None:
        """The column whose name speaks clearest for a role; *few*: only with few different values."""
        found = []
        for place, column in enumerate(self._table.columns):
            speaks = rank(names, column.name)
            if speaks is None or column.name in taken or (column.name,) == self._table.key:
                continue
            if not self._comparable(column) or (few and self._distinct(column) > _FEW):
                continue
            found.append((speaks, place, column.name))
        return min(found)[2] if found else None

    def _comparable(self, column: TableColumn) -> bool:
        try:
            DuckdbDialect(self._table).text(column.name)
        except UnsupportedError:
            return False
        return True

    def _distinct(self, column: TableColumn) -> int:
        ((count,),) = self._connection.rows(f"SELECT count(DISTINCT {quote(column.name)}) FROM {self._sample}")
        return int(count)

    def _shares(self, column: str | None) -> tuple[tuple[str, float], ...]:
        if column is None:
            return ()
        text = DuckdbDialect(self._table).text(column).sql
        rows = self._connection.rows(
            f"SELECT {text}, count(*) / sum(count(*)) OVER () FROM {self._table.sql} WHERE {text} IS NOT NULL "
            f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_SHOWN_TYPES}"
        )
        return tuple((str(name), round(float(share), 3)) for name, share in rows)

    def _extent(self, time: _Time) -> tuple[Nanos | None, Nanos | None]:
        """Earliest and latest believable time."""
        ((oldest, newest),) = self._connection.rows(
            "SELECT min(lapse_instant), max(lapse_instant) FROM "
            f"{timed(self._table.sql, instant_steps(time.column, time.format, None))} "
            "WHERE lapse_instant BETWEEN ? AND ?",
            (DOUBT_BEFORE_DEFAULT, self._latest),
        )
        return (None, None) if oldest is None else (Nanos(int(oldest)), Nanos(int(newest)))

    def _notes(self) -> Iterator[str]:
        if self._table.refusal is not None:
            yield f"nothing can be removed here: {self._table.refusal}"
        if not self._times:
            return
        time, *others = self._times
        if is_naive(time.column):
            yield f"{time.column.name} has no time zone and is read as UTC; say `time zone:` if that is wrong"
        if time.format is not TimeFormat.AUTO:
            yield f"{time.column.name} is a number of {time.format.value}"
        if 0 < time.share < 1:
            yield f"{1 - time.share:.1%} of the sampled values of {time.column.name} are no believable times and stay"
        if others:
            yield f"other columns with times: {', '.join(guess.column.name for guess in others[:5])}"
