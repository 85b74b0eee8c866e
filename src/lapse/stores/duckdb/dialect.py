"""How DuckDB compares a field: by its text, to the byte, whatever collation a column has."""

from __future__ import annotations

import re

from lapse.errors import UnsupportedError
from lapse.model.match import Glob, Range
from lapse.model.ranges import MOST
from lapse.sqlcore.conditions import between, closed
from lapse.sqlcore.fields import FieldPath, field_path
from lapse.sqlcore.fragments import Fragment, placeholders
from lapse.sqlcore.identifiers import quote
from lapse.stores.duckdb.catalog import INTEGERS, Table
from lapse.stores.duckdb.keys import named

_WHOLE_DECIMAL = re.compile(r"DECIMAL\([0-9]+,0\)")
_COMPARED = (*INTEGERS, "BOOLEAN", "UUID")
_NESTED = ("STRUCT(", "MAP(")
_VAST = ("UHUGEINT", "BIGNUM")
_DECIMAL = "'0|-?[1-9][0-9]{0,17}'"


class DuckdbDialect:
    """Comparisons for `lapse.sqlcore.rules`, on the columns of one table."""

    placeholder = "?"

    def __init__(self, table: Table) -> None:
        self._table = table

    def one_of(self, field: str, values: tuple[str, ...]) -> Fragment:
        """Whether the field's text is one of *values*."""
        marks = placeholders([value.encode() for value in values])
        return "coalesce(encode(" + self.text(field) + ") IN (" + marks + "), FALSE)"

    def fits(self, field: str, glob: Glob) -> Fragment:
        """Whether the field's text fits *glob*."""
        return "coalesce(regexp_full_match(" + self.text(field) + ", ?, 's'), FALSE)" + Fragment("", (_regex(glob),))

    def within(self, field: str, numbers: Range) -> Fragment:
        """Whether the field is one of *numbers*."""
        path = field_path(field)
        if path.keys:
            return between(self._json_number(path), numbers, "?")
        column = self._table.find(path.column)
        if column is not None and column.type in INTEGERS and column.type not in _VAST:
            return between(quote(column.name), numbers, "?")
        if column is not None and (column.type in _VAST or _WHOLE_DECIMAL.fullmatch(column.type)):
            return between(_clamped(f"CAST({quote(column.name)} AS VARCHAR)"), numbers, "?")
        return between(_read(self.text(field)), closed(numbers), "?")

    def blank(self, field: str) -> Fragment:
        """Whether the field has no value."""
        path = field_path(field)
        column = self._table.find(path.column)
        if column is None:
            return Fragment("TRUE")
        if path.keys:
            return "(" + self._json_type(path) + " IS NULL OR coalesce(strlen(" + self.text(field) + ") = 0, FALSE))"
        if column.type == "VARCHAR" or column.type.startswith("ENUM("):
            text = f"CAST({quote(column.name)} AS VARCHAR)"
            return Fragment(f"({text} IS NULL OR strlen({text}) = 0)")
        return Fragment(f"({quote(column.name)} IS NULL)")

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
            return Fragment("NULL::VARCHAR")
        if path.keys:
            return self._json_text(path)
        name, kind = quote(column.name), column.type
        if kind == "VARCHAR":
            return Fragment(name)
        if (
            kind in INTEGERS
            or kind in ("BOOLEAN", "UUID")
            or kind.startswith("ENUM(")
            or _WHOLE_DECIMAL.fullmatch(kind)
        ):
            return Fragment(f"CAST({name} AS VARCHAR)")
        raise UnsupportedError(
            f"column {column.name} is {kind}, which policies cannot compare",
            hint="Match on a column of text, integers or booleans, or on a path inside the column.",
        )

    def _json_text(self, path: FieldPath) -> Fragment:
        kind, value = self._json_type(path), self._json_value(path)
        string = "WHEN 'VARCHAR' THEN json_extract_string(" + value + ", '$') "
        number = "WHEN 'BIGINT' THEN CAST(" + value + " AS VARCHAR) WHEN 'UBIGINT' THEN CAST(" + value + " AS VARCHAR) "
        return "(CASE " + kind + " " + string + number + "WHEN 'BOOLEAN' THEN CAST(" + value + " AS VARCHAR) END)"

    def _json_number(self, path: FieldPath) -> Fragment:
        kind, value = self._json_type(path), self._json_value(path)
        string = "WHEN 'VARCHAR' THEN CAST(" + _read("json_extract_string(" + value + ", '$')") + " AS HUGEINT) "
        number = "THEN TRY_CAST(CAST(" + value + " AS VARCHAR) AS HUGEINT)"
        return "(CASE " + kind + " " + string + "WHEN 'BIGINT' " + number + " WHEN 'UBIGINT' " + number + " END)"

    def _json_type(self, path: FieldPath) -> Fragment:
        return "nullif(json_type(" + self._json_value(path) + "), 'NULL')"

    def _json_value(self, path: FieldPath) -> Fragment:
        """The value at the path, NULL where an object or a key is missing, or where the text is no JSON."""
        column = self._table.column(path.column)
        value = Fragment(_json(column.name, column.type))
        for key in path.keys:
            pointer = "/" + key.replace("~", "~0").replace("/", "~1")
            inside = "json_extract(" + value + ", ?)" + Fragment("", (pointer,))
            value = "(CASE WHEN json_type(" + value + ") = 'OBJECT' THEN " + inside + " END)"
        return value


def _json(name: str, kind: str) -> str:
    if kind.startswith(_NESTED):
        return f"to_json({quote(name)})"
    if kind in ("JSON", "VARCHAR"):
        # Text that is no JSON would stop the statement: it has no fields.
        return f"(CASE WHEN json_valid({quote(name)}) THEN CAST({quote(name)} AS JSON) END)"
    raise UnsupportedError(f"column {name} is {kind}, which has no fields inside", hint="Name the column itself.")


def _read(text: Fragment) -> Fragment:
    """The number that a text is for ranges."""
    return "(CASE WHEN regexp_full_match(" + text + f", {_DECIMAL}) THEN TRY_CAST(" + text + " AS BIGINT) END)"


def _clamped(number: str) -> str:
    """A whole number, written as text; what is longer than any end of a range lies beyond them all."""
    exact = f"WHEN regexp_full_match({number}, {_DECIMAL}) THEN TRY_CAST({number} AS BIGINT)"
    return f"(CASE {exact} WHEN {number} LIKE '-%' THEN -{MOST + 1} WHEN {number} LIKE '_%' THEN {MOST + 1} END)"


def _regex(glob: Glob) -> str:
    wild = {"*": ".*", "?": "."}
    return "".join(wild.get(char) or _literal(char) for char in glob.pattern)


def _literal(char: str) -> str:
    return char if char.isalnum() or ord(char) >= 0x80 else f"\\x{{{ord(char):x}}}"
