"""A table under a selection: the SQL that gives each row its code, tenant and time."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from lapse.model.match import Glob
from lapse.model.selection import Selection
from lapse.sqlcore.fields import field_path, fields_of, widened
from lapse.sqlcore.fragments import Fragment, joined, placeholders
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64, compile_rules
from lapse.stores.sqlite.ranges import KeyRange, KeyWalk
from lapse.stores.sqlite.schema import Table
from lapse.stores.sqlite.timecolumn import TimeReading

_TENANT = "CASE typeof(w) WHEN 'text' THEN w WHEN 'integer' THEN CAST(w AS TEXT) END"


class SqliteDialect:
    """SQLite's comparisons on the columns ``f0``, ``f1``, … of a subquery, one for each field."""

    placeholder = "?"

    def __init__(self, fields: tuple[str, ...]) -> None:
        self._names = {field: f"f{number}" for number, field in enumerate(fields)}

    def one_of(self, field: str, values: tuple[str, ...]) -> Fragment:
        """A text equals a text; an integer equals its decimal form. Collation and affinity play no part."""
        name = self._names[field]
        same = f"+{name} COLLATE BINARY IN (" + placeholders(values) + ")"
        numbers = [number for value in values if (number := _integer(value)) is not None]
        if not numbers:
            return same
        equal = f"(typeof({name}) = 'integer' AND +{name} IN (" + placeholders(numbers) + "))"
        return "(" + same + " OR " + equal + ")"

    def fits(self, field: str, glob: Glob) -> Fragment:
        """GLOB, with its third wildcard quoted; it stops at a NUL, so texts with one go to Python."""
        name = self._names[field]
        pattern = glob.pattern.replace("[", "[[]")
        fast = Fragment(f"CAST({name} AS TEXT) GLOB ?", (pattern,))
        slow = Fragment(f"lapse_fits(CAST({name} AS BLOB), ?)", (glob.pattern,))
        if "\0" in glob.pattern:
            fast = slow
        chosen = f"CASE WHEN instr({name}, char(0)) THEN " + slow + " ELSE " + fast + " END"
        return f"(typeof({name}) IN ('text', 'integer') AND " + chosen + ")"

    def blank(self, field: str) -> Fragment:
        """NULL or an empty text; an empty blob is a value."""
        name = self._names[field]
        return Fragment(f"({name} IS NULL OR +{name} = '' COLLATE BINARY)")


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or str(int(text)) != text:
        return None
    return int(text) if MIN_INT64 <= int(text) <= MAX_INT64 else None


class Judge:
    """What decides about the rows of one table.

    Its queries give, for each row in key order, the columns ``code``, ``tenant`` (text or NULL), ``t``
    (nanoseconds or NULL), ``k0``… (the key) and, where asked for, ``c0``… (the table's own columns).
    """

    def __init__(self, table: Table, selection: Selection, reading: TimeReading, walk: KeyWalk) -> None:
        self._table = table
        self._walk = walk
        self._keys = ", ".join(f"k{number}" for number in range(len(table.row_key().columns)))
        self._columns = ", ".join(f"c{number}" for number in range(len(table.columns)))
        selection = widened(selection, lambda column: table.find(column) is not None)
        dataset, fields = selection.dataset, fields_of(selection)
        sources = [f"{reading.sql(self._reference(dataset.time))} AS t"]
        sources += [f"r.{quote(name)} AS k{number}" for number, name in enumerate(table.row_key().columns)]
        tenant = Fragment("NULL") if dataset.tenant is None else self._field(dataset.tenant)
        compared = [self._field(field) + f" AS f{number}" for number, field in enumerate(fields)]
        self._sources = joined(", ", [Fragment(", ".join(sources)), tenant + " AS w", *compared])
        self._all = "".join(f", r.{quote(column.name)} AS c{n}" for n, column in enumerate(table.columns))
        self._code = compile_rules(selection, SqliteDialect(fields), instant="t")

    def _reference(self, column: str) -> str:
        return f"r.{quote(self._table.column(column).name)}"

    def _field(self, field: str) -> Fragment:
        """The value of a field."""
        path = field_path(field)
        column = self._reference(path.column)
        if not path.keys:
            return Fragment(column)
        keys = placeholders(path.keys)
        return f"CASE typeof({column}) WHEN 'text' THEN lapse_json(CAST({column} AS BLOB), " + keys + ") END"

    def judged(self, keys: KeyRange, *, whole: bool = False, extra: Fragment | None = None) -> Fragment:
        """A subquery of judged rows; *whole* adds the table's own columns, *extra* a condition on ``r``."""
        # LIMIT -1 keeps SQLite from merging the subqueries, which would evaluate their expressions repeatedly.
        where = self._walk.within(keys) if extra is None else self._walk.within(keys) + " AND " + extra
        inner = "SELECT " + self._sources + (self._all if whole else "") + f" FROM {self._table.quoted} AS r"
        inner = inner + " WHERE " + where + f" ORDER BY {self._walk.order} LIMIT -1"
        columns = f"t, {_TENANT} AS tenant, {self._keys}" + (f", {self._columns}" if whole else "")
        return "(SELECT " + self._code + f" AS code, {columns} FROM (" + inner + ") LIMIT -1)"

    def groups(self, keys: KeyRange) -> Fragment:
        """Rows of code, tenant, count, earliest and latest time, and checksum, over a range of keys."""
        return (
            f"SELECT code, tenant, count(*), min(t), max(t), sum({self._number()}) FROM "
            + self.judged(keys)
            + " GROUP BY code, tenant"
        )

    def _number(self) -> str:
        """A number made of key and time, small enough that a sum over a range stays within 64 bits."""
        time = "coalesce(t % 2147483629, 0)"
        return f"(k0 % 2147483647) * 1009 + {time}" if self._table.row_key().integer else time

    def lapsed(self, keys: KeyRange, codes: tuple[int, ...], *, whole: bool, rows: int = -1) -> Fragment:
        """Lapsed rows in key order: the table's columns if *whole*, then code, tenant, time and key."""
        columns = f"{self._columns}, " if whole else ""
        chosen = f"SELECT {columns}code, tenant, t, {self._keys} FROM " + self.judged(keys, whole=whole)
        return chosen + " WHERE code IN (" + placeholders(codes) + f") LIMIT {rows}"

    def nth_lapsed(self, keys: KeyRange, codes: tuple[int, ...], number: int) -> Fragment:
        """The key of lapsed row *number* of a range, from 1."""
        lapsed = f"SELECT {self._keys} FROM " + self.judged(keys) + " WHERE code IN (" + placeholders(codes) + ")"
        return lapsed + f" LIMIT 1 OFFSET {number - 1}"
