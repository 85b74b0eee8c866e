"""A look around a database: each table, with the columns that could be its time, type, tenant and actor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from lapse import clock
from lapse.errors import BusyError
from lapse.instant import Nanos, rfc3339
from lapse.model.bytesize import size_text
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, TimeFormat
from lapse.model.selection import SKEW
from lapse.model.timetext import number_instant, parse_time_text
from lapse.ports import Sketch
from lapse.sqlcore.holdstable import HOLDS_TABLE
from lapse.sqlcore.markers import FILES_TABLE, MARKER_TABLE
from lapse.sqlcore.numeric_times import NUMERIC, plausible
from lapse.sqlcore.roles import ACTORS, TENANTS, TIMES, TYPES, is_passing, rank
from lapse.stores.postgresql import aside
from lapse.stores.postgresql.catalog import INTEGERS, Table, TableColumn, table_of
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.identifying import fingerprint
from lapse.stores.postgresql.noticing import NAIVE
from lapse.stores.postgresql.preflight import members, references
from lapse.stores.postgresql.sampling import Cells, Extent, bounds, ends, extent, readable, sample, shares

_TIMES = ("timestamp with time zone", *NAIVE)
_NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
_TEXTS = ("text", "character varying", "character", "citext")
_MATCHED = (*_TEXTS, *INTEGERS, "uuid", "boolean")
_FEW = 40  # distinct values of a type, at most
_LIKELY = 0.5
_CHANGING = 0.05  # updates for each insert, from which a table is no log
_LOOK = "2s"
_LOCK = "500ms"
_PASSWORD = re.compile(r"^([^:]+://[^@/:]*):[^@/]*@")
_SECRET = re.compile(r"(?:^|&)[^=&]*(?:pass|secret|token)[^=&]*=[^&]*", re.IGNORECASE)


def without_secrets(address: str) -> str:
    """The address without its password; libpq takes that from ``PGPASSWORD`` or ``~/.pgpass``."""
    head, mark, query = _PASSWORD.sub(r"\1@", address).partition("?")
    rest = _SECRET.sub("", query).lstrip("&")
    return head + (mark + rest if rest else "")


def sketches(connection: Connection, address: str) -> Iterator[Sketch]:
    """Describe every table, the likeliest log first; those without a time come last.

    Partitions stand behind their table. No table is read whole, unless it is small.
    """
    found = [_sketch(connection, oid, address) for oid in _tables(connection)]
    yield from (sketch for sketch, _ in sorted(found, key=_likelihood, reverse=True))


def _tables(connection: Connection) -> list[int]:
    """Tables of people: no partitions, none that is set aside, none of an extension, none of Lapse's own."""
    found = connection.rows(
        "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' "
        "AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%' AND c.relname <> ALL(%s) "
        "AND NOT coalesce(starts_with(obj_description(c.oid, 'pg_class'), %s), FALSE) "
        "AND has_schema_privilege(n.oid, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend d "
        "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY n.nspname, c.relname",
        ([MARKER_TABLE, FILES_TABLE, HOLDS_TABLE], aside.MARK),
    )
    return [int(oid) for (oid,) in found]


def _likelihood(found: tuple[Sketch, bool]) -> tuple[bool, bool, int, int]:
    sketch, growing = found
    roles = sum(1 for role in (sketch.type, sketch.tenant, sketch.actor) if role)
    return sketch.time is not None, growing, roles, sketch.records


def _sketch(connection: Connection, oid: int, address: str) -> tuple[Sketch, bool]:
    """The table of that number, and whether it only grows."""
    table = table_of(connection, oid)
    try:
        with connection.transaction("READ ONLY"):
            connection.run(f"SET LOCAL statement_timeout = '{_LOOK}'; SET LOCAL lock_timeout = '{_LOCK}'")
            look = _Look(connection, table, address)
            return look.sketch(), look.grows
    except BusyError as error:
        note = f"it could not be looked at: {error.message}"
        store = without_secrets(address)
        return Sketch(store=store, table=table.shown, records=0, size=0, time=None, notes=(note,)), False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Time:
    """A column that holds times.

    Attributes:
        column: The column.
        format: How its numbers are written, else AUTO.
        share: Share of the sampled values that are believable times, 0 to 1.
        score: How much speaks for it.
    """

    column: TableColumn
    format: TimeFormat
    share: float
    score: float


class _Look:
    """One table, within one transaction."""

    def __init__(self, connection: Connection, table: Table, address: str) -> None:
        self._connection = connection
        self._table = table
        self._address = address
        self._latest = Nanos(clock.real_now() + SKEW)

    @cached_property
    def _extent(self) -> Extent:
        return extent(self._connection, self._table, members(self._connection, self._table))

    @cached_property
    def _readable(self) -> bool:
        return readable(self._connection, self._table)

    @cached_property
    def _cells(self) -> Cells:
        """A sample; empty columns where the rows may not be read, or could not be in time."""
        if self._readable:
            with suppress(BusyError), self._connection.attempt():
                return sample(self._connection, self._table, self._extent.pages)
        return {column.name: () for column in self._table.columns}

    @property
    def grows(self) -> bool:
        """Whether its rows are hardly ever changed, as a log's are not."""
        return self._extent.updated <= _CHANGING * max(self._extent.inserted, self._extent.records)

    def sketch(self) -> Sketch:
        """What the table looks like."""
        table, times = self._table, self._times
        time = times[0] if times else None
        taken = {guess.column.name for guess in times}
        kind = self._role(TYPES, taken, few=True)
        tenant = self._role(TENANTS, taken | {kind or ""})
        actor = self._role(ACTORS, taken | {kind or "", tenant or ""})
        oldest, newest = (None, None) if time is None else self._span(time)
        used = tuple(name for name in (time and time.column.name, kind, tenant) if name)
        return Sketch(
            store=without_secrets(self._address),
            table=table.shown,
            records=self._extent.records,
            size=self._extent.size + self._extent.index_size,
            time=time.column.name if time else None,
            time_format=time.format if time else TimeFormat.AUTO,
            type=kind,
            tenant=tenant,
            actor=actor,
            oldest=oldest,
            newest=newest,
            types=() if kind is None else shares(self._connection, table, kind, self._cells),
            notes=tuple(self._notes()),
            fingerprint=fingerprint(self._connection, table, used).text,
        )

    @cached_property
    def _times(self) -> list[_Time]:
        """Columns that hold times, the likeliest first."""
        found = [guess for column in self._table.columns if (guess := self._time(column)) is not None]
        return sorted(found, key=lambda guess: -guess.score)

    def _time(self, column: TableColumn) -> _Time | None:
        cells, named = self._cells[column.name], rank(TIMES, column.name)
        declared = column.base in _TIMES
        if not declared and (named is None or column.name in self._table.key):
            return None
        if not declared and column.base not in (*_NUMBERS, *_TEXTS):
            return None
        form, share = self._believable(column, cells)
        if share < _LIKELY and not (declared and not cells):
            return None
        score = share + (0 if named is None else 1 - named * 0.2) + 0.5 * declared - is_passing(column.name)
        return _Time(column=column, format=form, share=share, score=score)

    def _believable(self, column: TableColumn, cells: Sequence[str]) -> tuple[TimeFormat, float]:
        """The commonest way to read the cells, and the share that is a time so."""
        if not cells:
            return TimeFormat.AUTO, 0.0
        forms = NUMERIC if column.base in _NUMBERS else (TimeFormat.AUTO,)
        counts = Counter({form: len(self._instants(cells, form)) for form in forms})
        form, count = counts.most_common(1)[0]
        return form, count / len(cells)

    def _instants(self, cells: Sequence[str], form: TimeFormat) -> list[Nanos]:
        """The believable ones among the cells."""
        found = (_instant(cell, form) for cell in cells)
        return [instant for instant in found if instant and DOUBT_BEFORE_DEFAULT <= instant <= self._latest]

    def _span(self, time: _Time) -> tuple[Nanos | None, Nanos | None]:
        """Earliest and latest believable time: of an index's ends, else of the sample and of the key's ends."""
        cells = [*self._cells[time.column.name]]
        if self._readable and cells:
            with suppress(BusyError), self._connection.attempt():
                cells += self._indexed_ends(time) or ends(self._connection, self._table).get(time.column.name, ())
        instants = self._instants(cells, time.format)
        return min(instants, default=None), max(instants, default=None)

    def _indexed_ends(self, time: _Time) -> tuple[str, ...]:
        column = time.column
        if column.base in _TEXTS or self._table.serving(column.name) is None:
            return ()
        first, last = (rfc3339(instant) for instant in (DOUBT_BEFORE_DEFAULT, self._latest))
        if time.format is not TimeFormat.AUTO:
            first, last = map(str, plausible(time.format, self._latest))
        return bounds(self._connection, self._table, column.name, first=first, last=last)

    def _role(self, names: tuple[re.Pattern[str], ...], taken: set[str], *, few: bool = False) -> str | None:
        """The column whose name speaks clearest for a role; *few*: only with few different values."""
        found = []
        for place, column in enumerate(self._table.columns):
            speaks = rank(names, column.name)
            if speaks is None or column.name in taken or (column.name,) == self._table.key:
                continue
            if column.base not in _MATCHED and column.kind != "e":
                continue
            if few and len(set(self._cells[column.name])) > _FEW:
                continue
            found.append((speaks, place, column.name))
        return min(found)[2] if found else None

    def _notes(self) -> Iterator[str]:
        if not self._readable:
            yield "this role may not read its rows; only its columns were looked at"
        if not self._extent.exact:
            yield "the number of records is the server's estimate; times are of its index or a sample"
        yield from self._storage_notes()
        if not self.grows:
            found = self._extent
            yield f"{found.updated:,} updates for {found.inserted:,} inserts: rows change, as a log's do not"
        yield from self._dependent_notes()
        if self._times:
            yield from self._time_notes()

    def _storage_notes(self) -> Iterator[str]:
        if self._extent.index_size:
            yield f"{size_text(self._extent.index_size)} of it are indexes"
        if self._table.kind == "p":
            yield _partitioning(self._connection, self._table)
        if without_secrets(self._address) != self._address:
            yield "the password was left out of `store:`; PGPASSWORD or ~/.pgpass hold it, or write ${NAME} there"

    def _dependent_notes(self) -> Iterator[str]:
        for key in references(self._connection, self._table):
            missing = "" if key.indexed else f", without an index on {', '.join(key.child_columns)}"
            yield f"table {key.child.shown} refers to it (ON DELETE {key.action.value}){missing}"

    def _time_notes(self) -> Iterator[str]:
        time, *others = self._times
        name = time.column.name
        index = self._table.serving(name)
        yield f"index {index.name} finds rows by {name}" if index else f"no index finds rows by {name}"
        if time.column.base in NAIVE:
            yield f"{name} has no time zone and is read as UTC; say `time zone:` if that is wrong"
        if time.format is not TimeFormat.AUTO:
            yield f"{name} is a number of {time.format.value}"
        if 0 < time.share < 1:
            yield f"{1 - time.share:.1%} of the sampled values of {name} are no believable times and stay"
        if others:
            yield f"other columns with times: {', '.join(guess.column.name for guess in others[:5])}"


def _partitioning(connection: Connection, table: Table) -> str:
    """``partitioned by RANGE (eventtime) into 24 partitions, one of them DEFAULT``."""
    ((key, count, default),) = connection.rows(
        "SELECT pg_get_partkeydef(%s::oid), count(*), "
        "coalesce(bool_or(pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'), FALSE) "
        "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s",
        (table.oid, table.oid),
    )
    return f"partitioned by {key} into {count:,} partitions" + (", one of them DEFAULT" if default else "")


def _instant(cell: str, form: TimeFormat) -> Nanos | None:
    if form is TimeFormat.AUTO:
        return parse_time_text(cell, None)
    try:
        return number_instant(float(cell), form)
    except ValueError:
        return None
