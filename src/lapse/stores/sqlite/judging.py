"""A table under a selection: the SQL that gives each row its code, tenant and time."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import json

from lapse.model.bounds import Going
from lapse.model.match import Glob, Range
from lapse.model.selection import RECORD_KEY, Selection
from lapse.sqlcore.conditions import between, closed
from lapse.sqlcore.fields import field_path, fields_of, inner_numbers, widened
from lapse.sqlcore.fragments import Fragment, joined, placeholders
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.lookups import lookups_of
from lapse.sqlcore.newest import Members
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64, RuleCompiler, has_lapsed
from lapse.sqlcore.sidetables import Session
from lapse.sqlcore.thresholds import Thresholds, spelled
from lapse.stores.sqlite.ranges import KeyRange, KeyWalk
from lapse.stores.sqlite.schema import Table
from lapse.stores.sqlite.timecolumn import TimeReading

_TEXT = "CASE typeof({0}) WHEN 'text' THEN {0} WHEN 'integer' THEN CAST({0} AS TEXT) END"
_TENANT = _TEXT.format("w")


class SqliteDialect:
    """SQLite's comparisons on the columns ``f0``, ``f1``, … of a subquery, one for each field."""

    placeholder = "?"

    def __init__(self, fields: tuple[str, ...], *, numbers: tuple[str, ...] = (), key: tuple[str, ...] = ()) -> None:
        """Compare *fields*; ``n0``, … are what `lapse_number` says of *numbers*, and *key* has what names a row."""
        self._names = {field: f"f{number}" for number, field in enumerate(fields)}
        self._numbers = {field: f"n{number}" for number, field in enumerate(numbers)}
        self._key = key

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

    def within(self, field: str, numbers: Range) -> Fragment:
        """An integer, or a text that comes back the same from a short integer."""
        if field in self._numbers:
            return between(self._numbers[field], numbers, "?")
        name = self._names[field]
        number = f"CAST({name} AS INTEGER)"
        integer = f"(typeof({name}) = 'integer' AND " + between(name, numbers, "?") + ")"
        same = f" AND CAST({number} AS TEXT) = +{name} COLLATE BINARY)"
        text = f"(typeof({name}) = 'text' AND " + between(number, closed(numbers), "?") + same
        return "(" + integer + " OR " + text + ")"

    def named(self, field: str, keys: tuple[str, ...]) -> Fragment:
        """Whether a row has one of *keys*; true of all where only a rowid names rows that a rebuild changes.

        They are bound as one value: SQLite limits how many there may be.
        """
        if field != RECORD_KEY:
            names = [self._names[field]]
        elif self._key:
            names = list(self._key)
        else:
            return Fragment("TRUE")
        text = " || ',' || ".join(_TEXT.format(name) for name in names)
        listed = Fragment("(SELECT value FROM json_each(?))", (json.dumps(keys),))
        return f"+({text}) COLLATE BINARY IN " + listed

    def text(self, field: str) -> Fragment:
        """A text, or the decimal form of an integer."""
        return Fragment(_TEXT.format(self._names[field]))

    def blank(self, field: str) -> Fragment:
        """NULL or an empty text; an empty blob is a value."""
        name = self._names[field]
        return Fragment(f"({name} IS NULL OR +{name} = '' COLLATE BINARY)")


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or str(int(text)) != text:
        return None
    return int(text) if MIN_INT64 <= int(text) <= MAX_INT64 else None


def _naming(table: Table, selection: Selection) -> dict[str, str]:
    """The columns whose texts name a row, by what a query calls them: ``k0``, … are there anyway, ``h0``, … are not.

    None where no hold asks for them, or only a rowid names rows that a rebuild changes.
    """
    key = table.naming_key()
    if not key.lasting or all(hold.keys is None for hold in selection.holds):
        return {}
    sign = "k" if key == table.row_key() else "h"
    return {f"{sign}{number}": column for number, column in enumerate(key.columns)}


class Judge:
    """What decides about the rows of one table.

    Its queries give, for each row in key order, the columns ``code``, ``tenant`` (text or NULL), ``t``
    (nanoseconds or NULL), ``k0``… (the key) and, where asked for, ``c0``… (the table's own columns).
    """

    def __init__(
        self,
        table: Table,
        selection: Selection,
        reading: TimeReading,
        walk: KeyWalk,
        *,
        sides: Session | None = None,
        newest: Thresholds | None = None,
    ) -> None:
        """Decide about the rows of *table*.

        Arguments:
            table: The table.
            selection: What decides.
            reading: How the time is read.
            walk: Its key.
            sides: Where very many rules are looked up. None tries each.
            newest: What tells the newest of each group from the others. None tells none.
        """
        self._table = table
        self._walk = walk
        self._keys = ", ".join(f"k{number}" for number in range(len(table.row_key().columns)))
        self._columns = ", ".join(f"c{number}" for number in range(len(table.columns)))
        selection = widened(selection, lambda column: table.find(column) is not None)
        dataset, fields = selection.dataset, fields_of(selection)
        sources = [f"{reading.sql(self._reference(dataset.time))} AS t"]
        sources += [f"r.{quote(name)} AS k{number}" for number, name in enumerate(table.row_key().columns)]
        names = _naming(table, selection)
        sources += [f"r.{quote(column)} AS {name}" for name, column in names.items() if name.startswith("h")]
        tenant = Fragment("NULL") if dataset.tenant is None else self._field(dataset.tenant)
        compared = [self._field(field) + f" AS f{number}" for number, field in enumerate(fields)]
        numbers = inner_numbers(selection)
        compared += [self._field(field, "lapse_number") + f" AS n{number}" for number, field in enumerate(numbers)]
        self._sources = joined(", ", [Fragment(", ".join(sources)), tenant + " AS w", *compared])
        self._all = "".join(f", r.{quote(column.name)} AS c{n}" for n, column in enumerate(table.columns))
        self._selection = selection
        dialect = SqliteDialect(fields, numbers=numbers, key=tuple(names))
        self._compiler = RuleCompiler(dialect, "t", newest=None if newest is None else newest.seen_at("t"))
        self._lookups = None if sides is None else lookups_of(selection, sides)
        self._code = self._compiler.selection(selection, self._lookups)

    def _reference(self, column: str) -> str:
        return f"r.{quote(self._table.column(column).name)}"

    def _field(self, field: str, inside: str = "lapse_json") -> Fragment:
        """The value of a field; what the function *inside* says of one that lies in a JSON text."""
        path = field_path(field)
        column = self._reference(path.column)
        if not path.keys:
            return Fragment(column)
        keys = placeholders(path.keys)
        return f"CASE typeof({column}) WHEN 'text' THEN {inside}(CAST({column} AS BLOB), " + keys + ") END"

    def judged(
        self, keys: KeyRange, *, whole: bool = False, extra: Fragment | None = None, going: Fragment | None = None
    ) -> Fragment:
        """A subquery of judged rows.

        Arguments:
            keys: Which rows.
            whole: Whether it has the table's own columns, too.
            extra: A further condition on the row ``r``.
            going: What is to be the column ``goes``. None gives no such column.
        """
        where = self._walk.within(keys) if extra is None else self._walk.within(keys) + " AND " + extra
        inner = self._rows(where, whole=whole)
        columns = Fragment(f"t, {_TENANT} AS tenant, {self._keys}" + (f", {self._columns}" if whole else ""))
        if going is not None:
            columns = columns + ", " + going + " AS goes"
        return "(SELECT " + self._code + " AS code, " + columns + " FROM (" + inner + ") LIMIT -1)"

    def _rows(self, where: Fragment, *, whole: bool = False) -> Fragment:
        """The rows with the values that decide."""
        # LIMIT -1 keeps SQLite from merging the subqueries, which would evaluate their expressions repeatedly.
        chosen = "SELECT " + self._sources + (self._all if whole else "") + f" FROM {self._table.quoted} AS r"
        return chosen + " WHERE " + where + f" ORDER BY {self._walk.order} LIMIT -1"

    def members(self, keys: KeyRange) -> Members:
        """The records of a range of which the newest stay."""
        rows = self._rows(self._walk.within(keys))
        return Members(
            selection=self._selection,
            compiler=self._compiler,
            lookups=self._lookups,
            instant="t",
            spell=spelled,
            # LIMIT -1 as in `judged`: of what is looked up, SQLite's merging even makes NULL where it is not.
            rows=lambda columns: "SELECT " + columns + " FROM (" + rows + ") LIMIT -1",
        )

    def groups(self, keys: KeyRange, row_size: int) -> Fragment:
        """Rows of code, tenant, count, bytes, earliest and latest time, and checksum, over a range of keys.

        Arguments:
            keys: Which rows.
            row_size: Bytes of a row.
        """
        return (
            f"SELECT code, tenant, count(*), count(*) * {row_size}, min(t), max(t), sum({self._number()}) FROM "
            + self.judged(keys)
            + " GROUP BY code, tenant"
        )

    def listed(self, keys: KeyRange) -> Fragment:
        """Rows of code, tenant, time (0 where there is none) and part of the checksum, over a range of keys.

        Then the key, where it `lists_keys`.
        """
        key = f", {self._keys}" if self.lists_keys else ""
        return f"SELECT code, tenant, coalesce(t, 0), {self._number()}{key} FROM " + self.judged(keys)

    @property
    def lists_keys(self) -> bool:
        """Whether the key is one integer."""
        return self._table.row_key().integer

    @property
    def looks_up(self) -> bool:
        """Whether rules are looked up, since there are very many."""
        return self._lookups is not None

    def _number(self) -> str:
        """A number made of key and time, small enough that a sum over a range stays within 64 bits."""
        time = "coalesce(t % 2147483629, 0)"
        return f"(k0 % 2147483647) * 1009 + {time}" if self._table.row_key().integer else time

    def lapsed(self, keys: KeyRange, codes: Going, *, whole: bool, rows: int = -1) -> Fragment:
        """Lapsed rows in key order: the table's columns if *whole*, then code, tenant, time and key."""
        columns = f"{self._columns}, " if whole else ""
        return (
            f"SELECT {columns}code, tenant, t, {self._keys} FROM " + self._gone(keys, codes, whole) + f" LIMIT {rows}"
        )

    def nth_lapsed(self, keys: KeyRange, codes: Going, number: int) -> Fragment:
        """The key of lapsed row *number* of a range, from 1."""
        return f"SELECT {self._keys} FROM " + self._gone(keys, codes, False) + f" LIMIT 1 OFFSET {number - 1}"

    def _gone(self, keys: KeyRange, codes: Going, whole: bool) -> Fragment:
        """A subquery of judged rows, and the condition that their code is one of *codes*."""
        if self._lookups is None:
            return self.judged(keys, whole=whole) + " WHERE code IN (" + placeholders(codes) + ")"
        if codes.is_all:  # then nothing is looked up but for the code
            return self.judged(keys, whole=whole) + " WHERE " + has_lapsed(self._selection, "code")
        goes = self._compiler.going(self._selection, self._lookups, codes)
        return self.judged(keys, whole=whole, going=goes) + " WHERE goes"
