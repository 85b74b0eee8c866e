"""How PostgreSQL compares a field: by its text, to the byte, whatever collation a column has.

``char(n)`` is compared without the blanks that pad it: PostgreSQL itself gives them no meaning.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import re
from uuid import UUID

from lapse.errors import UnsupportedError
from lapse.model.match import Glob, Range
from lapse.model.ranges import MOST
from lapse.sqlcore.conditions import between, closed
from lapse.sqlcore.fields import FieldPath, field_path
from lapse.sqlcore.fragments import Fragment, placeholders
from lapse.stores.postgresql.catalog import INTEGERS, Table, TableColumn
from lapse.stores.postgresql.keys import named

_TEXTS = ("text", "character varying", "character", "name")
_WHOLE = re.compile(r"numeric\([0-9]+,(0|-[0-9]+)\)")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_JSON_TESTS_SINCE = 160_000
_ODD_ESCAPE = r"\\u(?:0000|[dD][89a-fA-F])"
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = f"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}"
_DECIMAL = "'^(0|-?[1-9][0-9]{0,17})$'"
_JSON_NUMBER = (
    "CASE WHEN v.v #>> '{{}}' ~ '^(0|-?[1-9][0-9]{{0,17}})$' THEN (v.v #>> '{{}}')::bigint "
    # What is longer lies beyond the ends of every range.
    "WHEN {kind} = 'number' AND v.v #>> '{{}}' ~ '^-?[0-9]+$' THEN CASE WHEN v.v #>> '{{}}' = '-0' THEN 0 "
    f"WHEN left(v.v #>> '{{{{}}}}', 1) = '-' THEN -{MOST + 1} ELSE {MOST + 1} END END"
)
_JSON_TEXT = (
    "CASE {kind} WHEN 'string' THEN v.v #>> '{{}}' WHEN 'boolean' THEN v.v::text "
    # JSON's -0 is the integer 0.
    "WHEN 'number' THEN CASE WHEN v.v::text ~ '^-?[0-9]+$' THEN regexp_replace(v.v::text, '^-0$', '0') END END"
)


def is_text(column: TableColumn) -> bool:
    """Whether a column holds texts, ``citext`` of whatever schema included."""
    return column.base in _TEXTS or column.base.rpartition(".")[2] == "citext"


class PostgresDialect:
    """Comparisons for `lapse.sqlcore.rules`, on the columns of one table with the alias ``r``."""

    placeholder = "%s"

    def __init__(self, table: Table, *, version: int = 0) -> None:
        """Compare fields of *table*; *version* is the server's, such as 160004, and 0 stands for the oldest."""
        self._table = table
        self._version = version

    def one_of(self, field: str, values: tuple[str, ...]) -> Fragment:
        """Whether the field's text is one of *values*."""
        path = field_path(field)
        column = None if path.keys else self._table.find(path.column)
        native = None if column is None else _native(column.base, values)
        if column is not None and native is not None:
            return f"{column.sql} IN (" + native + ")" if native.values else Fragment("FALSE")
        text, known = self.text(field), tuple(filter(_storable, values))
        return text + " IN (" + placeholders(known, "%s") + ")" if known else Fragment("FALSE")

    def fits(self, field: str, glob: Glob) -> Fragment:
        """Whether the field's text fits *glob*."""
        text = self.text(field)
        if not _storable(glob.pattern):
            return Fragment("FALSE")
        return "(" + text + Fragment(' COLLATE "C" LIKE %s)', (_pattern(glob),))

    def within(self, field: str, numbers: Range) -> Fragment:
        """Whether the field is one of *numbers*."""
        path = field_path(field)
        if path.keys:
            return between(self._json(path, _JSON_NUMBER), numbers, "%s")
        column = self._table.find(path.column)
        if column is not None and column.base in INTEGERS:
            return between(column.sql, numbers, "%s")
        if column is not None and _WHOLE.fullmatch(column.type):
            return between(f"nullif({column.sql}, 'NaN')", numbers, "%s")
        text = self.text(field)
        return between("(CASE WHEN " + text + f" ~ {_DECIMAL} THEN " + text + "::bigint END)", closed(numbers), "%s")

    def blank(self, field: str) -> Fragment:
        """Whether the field has no value."""
        path = field_path(field)
        column = self._table.find(path.column)
        if column is None:
            return Fragment("TRUE")
        if path.keys:
            return self._json(path, "coalesce({kind}, 'null') = 'null' OR v.v #>> '{{}}' = ''")
        if is_text(column) or column.kind == "e":
            return "(" + Fragment(f"{column.sql} IS NULL OR ") + self.text(field) + " = '')"
        return Fragment(f"({column.sql} IS NULL)")

    def named(self, field: str, keys: tuple[str, ...]) -> Fragment:
        """Whether a row has one of *keys*."""
        return named(self._table, field, keys)

    def text(self, field: str) -> Fragment:
        """The text a field is compared by, NULL where it has none (`lapse.model.match.text_of`).

        A hold or floor for many datasets may name a column that this table lacks: NULL, too.

        Raises:
            UnsupportedError: If its type has no such text: then no rule could match, and no hold hold.
        """
        path = field_path(field)
        column = self._table.find(path.column)
        if column is None:
            return Fragment("NULL::text")
        if path.keys:
            return self._json(path, _JSON_TEXT)
        name = column.sql
        if is_text(column):
            exact = ' COLLATE "C"' if column.collation is not None else ""
            return Fragment(f"({name}::text{exact})")
        if column.base in (*INTEGERS, "boolean", "uuid") or column.kind == "e":
            return Fragment(f"({name}::text)")
        if _WHOLE.fullmatch(column.type):
            return Fragment(f"nullif({name}::text, 'NaN')")
        raise UnsupportedError(
            f"column {column.name} is {column.type}, which policies cannot compare",
            hint="Match on a column of text, integers, booleans or UUIDs, or on a path inside a json column.",
        )

    def _json(self, path: FieldPath, answer: str) -> Fragment:
        """What *answer* says of the value ``v.v`` at the path, whose type is ``{kind}``; read once."""
        column = self._table.column(path.column)
        value = Fragment(self._document(column))
        for key in path.keys:
            # A key that no text can be is in no object.
            step = Fragment(" -> %s::text)", (key,)) if _storable(key) else Fragment(" -> NULL::text)")
            value = "(" + value + step
        kind = "jsonb_typeof(v.v)" if column.base == "jsonb" else "json_typeof(v.v)"
        return f"(SELECT {answer.format(kind=kind)} FROM (SELECT " + value + " AS v OFFSET 0) AS v)"

    def _document(self, column: TableColumn) -> str:
        name = column.sql
        if column.base == "jsonb":
            return name
        if column.base == "json":
            return _readable(name)
        if is_text(column) and self._version >= _JSON_TESTS_SINCE:
            return f"(CASE WHEN pg_input_is_valid({name}::text, 'json') THEN {_readable(name)} END)"
        if is_text(column):
            raise UnsupportedError(
                f"column {column.name} is {column.type}, and before version 16 the server cannot look into such "
                "texts without stopping at one that is no JSON",
                hint="Make it a json or jsonb column, or match on another one.",
            )
        raise UnsupportedError(
            f"column {column.name} is {column.type}, which has no fields inside", hint="Name the column itself."
        )


def _readable(name: str) -> str:
    """A JSON text as ``json``, with U+FDD0 for what it can write but no text can hold: NUL and lone surrogates.

    Without that, one such row would stop every statement.
    """
    paired = f"replace(replace({name}::text, '\\\\', '\\u005c'), '\\u0000', '\\ufdd0')"
    repaired = f"regexp_replace({paired}, '{_LONE_SURROGATE}', '\\\\ufdd0', 'g')"
    return f"(CASE WHEN {name}::text ~ '{_ODD_ESCAPE}' THEN {repaired}::json ELSE {name}::json END)"


def _native(base: str, values: tuple[str, ...]) -> Fragment | None:
    """The values as ones of the column's own type, so that an index serves. None if it is compared as text."""
    if base in INTEGERS:
        numbers = [int(value) for value in values if _INTEGER.fullmatch(value) and len(value) <= 20]
        return placeholders([number for number in numbers if -(2**63) <= number < 2**63], "%s")
    if base == "boolean":
        return placeholders([value == "true" for value in values if value in ("true", "false")], "%s")
    if base == "uuid":
        return placeholders([value for value in values if _is_uuid(value)], "%s::uuid")
    return None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _storable(text: str) -> bool:
    """Whether a PostgreSQL text can be *text* at all."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _pattern(glob: Glob) -> str:
    wild = {"*": "%", "?": "_", "%": r"\%", "_": r"\_", "\\": r"\\"}
    return "".join(wild.get(char, char) for char in glob.pattern)
