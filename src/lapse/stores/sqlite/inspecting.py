"""A look around a SQLite file: which tables could be logs, and which columns say when, what, for whom and by whom.

Values are sampled from both ends of a table; nothing is scanned but the count of its rows.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapse import clock
from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, TimeFormat
from lapse.model.selection import SKEW
from lapse.model.timetext import number_instant, parse_time_text
from lapse.ports import Sketch
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.numeric_times import NUMERIC, plausible
from lapse.sqlcore.roles import ACTORS, TENANTS, TIMES, TYPES, is_passing, rank
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.identifying import fingerprint
from lapse.stores.sqlite.looking import row_size
from lapse.stores.sqlite.ranges import KeyWalk
from lapse.stores.sqlite.schema import Affinity, Table, TableColumn, tables

_SAMPLE = 500
_FEW = 40  # distinct values of a type, at most
_CERTAIN = 0.9
_LIKELY = 0.5
_TIME_TYPES = re.compile(r"DATE|TIME", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimeGuess:
    """A column that holds times.

    Attributes:
        column: Its name.
        format: How numbers are written. `TimeFormat.AUTO` for texts.
        share: Share of the sampled values that are believable times, 0 to 1.
        naive: Whether texts have no offset.
        score: How much speaks for it.
    """

    column: str
    format: TimeFormat
    share: float
    naive: bool
    score: float


def inspect(address: str) -> Iterator[Sketch]:
    """Describe every table, the likeliest log first; those without a time come last."""
    database = Database(address, shown=address, read_only=True)
    try:
        found = [_Look(database, table, address).sketch() for table in tables(database) if table.key is not None]
    finally:
        database.close()
    yield from sorted(found, key=lambda sketch: (-_likelihood(sketch), sketch.table or ""))


def _likelihood(sketch: Sketch) -> int:
    roles = (sketch.type, sketch.tenant, sketch.actor)
    return 0 if sketch.time is None else 1_000_000_000_000 * sum(1 for role in roles if role) + 1 + sketch.records


class _Look:
    """One table and a sample of its rows."""

    def __init__(self, database: Database, table: Table, address: str) -> None:
        self._database = database
        self._table = table
        self._address = address
        self._walk = KeyWalk(database, table)
        self._latest = Nanos(clock.real_now() + SKEW)
        rows = self._sample()
        self._cells = {
            column.name: [row[place] for row in rows if row[place] is not None]
            for place, column in enumerate(table.columns)
        }

    def _sample(self) -> list[Sequence[object]]:
        columns = ", ".join(f"r.{quote(column.name)}" for column in self._table.columns)
        with self._database.replacing_invalid_text():
            return [
                row
                for order in (self._walk.order, self._walk.backwards)
                for row in self._database.rows(
                    f"SELECT {columns} FROM {self._table.quoted} AS r ORDER BY {order} LIMIT {_SAMPLE}"
                )
            ]

    def sketch(self) -> Sketch:
        """What the table looks like."""
        table, database = self._table, self._database
        records = int(database.row(f"SELECT count(*) FROM {table.quoted}")[0])
        guesses = sorted(self._times(), key=lambda guess: -guess.score)
        time = guesses[0] if guesses else None
        taken = {guess.column for guess in guesses}
        types = self._role(TYPES, taken, few=True)
        tenant = self._role(TENANTS, taken | {types or ""})
        actor = self._role(ACTORS, taken | {types or "", tenant or ""})
        used = table.used(tuple(name for name in (time and time.column, types, tenant) if name))
        oldest, newest = self._extent(time)
        return Sketch(
            store=self._address,
            table=table.name,
            records=records,
            size=records * row_size(database, table, self._walk),
            time=time.column if time else None,
            time_format=time.format if time else TimeFormat.AUTO,
            type=types,
            tenant=tenant,
            actor=actor,
            oldest=oldest,
            newest=newest,
            types=self._shares(types),
            notes=tuple(self._notes(guesses)),
            fingerprint=fingerprint(database, table, used).text,
        )

    def _times(self) -> Iterator[_TimeGuess]:
        for column in self._table.columns:
            cells = self._cells[column.name]
            named = rank(TIMES, column.name)
            declared = bool(_TIME_TYPES.search(column.declared))
            if not cells:
                if declared and named is not None:
                    yield _TimeGuess(column=column.name, format=TimeFormat.AUTO, share=0, naive=False, score=0.1)
                continue
            form, share, naive = self._believable(cells)
            if share < _LIKELY or not (declared or named is not None or share >= _CERTAIN):
                continue
            if column.key and form is not TimeFormat.AUTO and named is None:
                continue  # a key that happens to be as large as a time
            score = share + (0 if named is None else 1 - named * 0.2) + (0.5 if declared else 0)
            score -= 1 if is_passing(column.name) else 0
            yield _TimeGuess(column=column.name, format=form, share=share, naive=naive, score=score)

    def _believable(self, cells: Sequence[object]) -> tuple[TimeFormat, float, bool]:
        """The commonest way to read the cells, the share that is a time so, and whether texts are naive."""
        counts: Counter[TimeFormat] = Counter()
        naive = False
        for cell in cells:
            if isinstance(cell, str):
                instant = parse_time_text(cell, None)
                if instant is not None and DOUBT_BEFORE_DEFAULT <= instant <= self._latest:
                    counts[TimeFormat.AUTO] += 1
                    naive = naive or not re.search(r"[Zz]$|[+-]\d\d(:?\d\d)?$", cell[10:])
            elif isinstance(cell, int | float):
                counts.update(form for form in NUMERIC if _in(plausible(form, self._latest), cell))
        form, count = counts.most_common(1)[0] if counts else (TimeFormat.AUTO, 0)
        return form, count / len(cells), naive

    def _role(self, names: tuple[re.Pattern[str], ...], taken: set[str], *, few: bool = False) -> str | None:
        """The column whose name speaks clearest for a role; *few*: only with few different values."""
        found = []
        for place, column in enumerate(self._table.columns):
            clear = rank(names, column.name)
            if clear is None or column.name in taken or not self._comparable(column):
                continue
            distinct = len(set(self._cells[column.name]))
            if few and distinct > min(_FEW, max(2, len(self._cells[column.name]) // 2)):
                continue
            found.append((clear, place, column.name))
        return min(found)[2] if found else None

    def _comparable(self, column: TableColumn) -> bool:
        """Whether its values can be matched: texts and integers; not the key alone."""
        cells = self._cells[column.name]
        alone = column.key and sum(1 for other in self._table.columns if other.key) == 1
        return not alone and all(text_of(cell) is not None for cell in cells)

    def _shares(self, column: str | None) -> tuple[tuple[str, float], ...]:
        if column is None:
            return ()
        cells = self._cells[column]
        counts = Counter(text_of(cell) or "" for cell in cells)
        return tuple((text, round(count / len(cells), 3)) for text, count in counts.most_common(8))

    def _extent(self, time: _TimeGuess | None) -> tuple[Nanos | None, Nanos | None]:
        """Earliest and latest believable time of the sample: both ends of a log, in the order of its key."""
        if time is None:
            return None, None
        instants = [
            instant
            for cell in self._cells[time.column]
            if (instant := _instant(cell, time.format)) is not None and DOUBT_BEFORE_DEFAULT <= instant <= self._latest
        ]
        return min(instants, default=None), max(instants, default=None)

    def _notes(self, guesses: Sequence[_TimeGuess]) -> Iterator[str]:
        if not guesses:
            return
        time = guesses[0]
        if time.naive:
            yield f"{time.column} has no time zone and is read as UTC; say `time zone:` if that is wrong"
        if time.format is not TimeFormat.AUTO:
            yield f"{time.column} is a number of {_SPOKEN[time.format]}"
        if 0 < time.share < 1:
            yield f"{1 - time.share:.1%} of the sampled values of {time.column} are no believable times and stay"
        if len(guesses) > 1:
            yield f"other columns with times: {', '.join(guess.column for guess in guesses[1:6])}"
        if any(column.affinity is Affinity.TEXT and self._is_json(column) for column in self._table.columns):
            names = ", ".join(column.name for column in self._table.columns if self._is_json(column))
            yield f"JSON inside {names}: a rule can look into it, like `$.{names.split(',')[0]}.key`"

    def _is_json(self, column: TableColumn) -> bool:
        cells = self._cells[column.name][:20]
        return bool(cells) and all(isinstance(cell, str) and cell.startswith('{"') for cell in cells)


_SPOKEN = {
    TimeFormat.SECONDS: "seconds since 1970",
    TimeFormat.MILLISECONDS: "milliseconds since 1970",
    TimeFormat.MICROSECONDS: "microseconds since 1970, as Firefox writes them",
    TimeFormat.NANOSECONDS: "nanoseconds since 1970",
    TimeFormat.WEBKIT: "microseconds since 1601, as Chrome and WebKit write them",
}


def _instant(cell: object, form: TimeFormat) -> Nanos | None:
    if isinstance(cell, str):
        return parse_time_text(cell, None)
    return number_instant(cell, form) if isinstance(cell, int | float) else None


def _in(bounds: tuple[int, int], number: float) -> bool:
    return bounds[0] <= number <= bounds[1]
