"""How MariaDB and MySQL compare a field: by its text, to the byte, whatever collation a column has."""

from __future__ import annotations

from lapse.errors import UnsupportedError
from lapse.model.match import Glob, Range
from lapse.model.ranges import MOST
from lapse.sqlcore.conditions import between, closed
from lapse.sqlcore.fields import FieldPath, field_path
from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.mysql.catalog import INTEGERS, TEXTS, Table, TableColumn
from lapse.stores.mysql.keys import named

_ESCAPE = "|"
_BINARY_JSON = ("json",)
# What no character follows: $ would let a line end pass, and a backslash means something else in some modes.
_DECIMAL = "^(0|-?[1-9][0-9]{0,17})(?![^0]|0)"


class MysqlDialect:
    """Comparisons for `lapse.sqlcore.rules`, on the columns of one table."""

    placeholder = "%s"

    def __init__(self, table: Table) -> None:
        self._table = table

    def one_of(self, field: str, values: tuple[str, ...]) -> Fragment:
        """Whether the field's text is one of *values*: bytes are compared, so no blank and no case is lost."""
        # A lone surrogate cannot be stored in utf8mb4: its bytes equal nothing.
        marks = joined(", ", [Fragment("UNHEX(%s)", (value.encode(errors="surrogatepass").hex(),)) for value in values])
        return "COALESCE(CAST(" + self.text(field) + " AS BINARY) IN (" + marks + "), FALSE)"

    def fits(self, field: str, glob: Glob) -> Fragment:
        """Whether the field's text fits *glob*."""
        pattern = Fragment(f" COLLATE utf8mb4_bin LIKE %s ESCAPE '{_ESCAPE}', FALSE)", (_like(glob),))
        return "COALESCE(" + self.text(field) + pattern

    def within(self, field: str, numbers: Range) -> Fragment:
        """Whether the field is one of *numbers*."""
        path = field_path(field)
        if path.keys:
            return between(self._json_number(path), numbers, "%s")
        column = self._table.find(path.column)
        if column is not None and (column.type in INTEGERS or column.type == "year" or _is_whole(column)):
            return between(_plain(column), numbers, "%s")
        return between(_read(self.text(field)), closed(numbers), "%s")

    def blank(self, field: str) -> Fragment:
        """Whether the field has no value.

        Raises:
            UnsupportedError: If it cannot be read.
        """
        path = field_path(field)
        column = self._table.find(path.column)
        if column is None:
            return Fragment("TRUE")
        if path.keys:
            value = self._json_value(path)
            missing = "COALESCE(JSON_TYPE(" + value + "), 'NULL') = 'NULL'"
            return "(" + missing + " OR COALESCE(LENGTH(" + self.text(field) + ") = 0, FALSE))"
        if column.type in TEXTS:
            return Fragment(f"({column.sql} IS NULL OR LENGTH({column.sql}) = 0)")
        return Fragment(f"({column.sql} IS NULL)")

    def named(self, field: str, keys: tuple[str, ...]) -> Fragment:
        """Whether a row has one of *keys*."""
        return named(self._table, field, keys)

    def text(self, field: str) -> Fragment:
        """The text a field is compared by, in utf8mb4, NULL where it has none (`lapse.model.match.text_of`).

        A hold or floor for many datasets may name a column that this table lacks: NULL, too.

        Raises:
            UnsupportedError: If its type has no such text: then no rule could match, and no hold hold.
        """
        path = field_path(field)
        column = self._table.find(path.column)
        if column is None:
            return Fragment("CONVERT(NULL USING utf8mb4)")
        if path.keys:
            return self._json_text(path)
        if column.type in TEXTS and column.charset != "binary":
            return Fragment(f"CONVERT({column.sql} USING utf8mb4)")
        if column.type in INTEGERS or column.type in ("year", "uuid", "inet4", "inet6") or _is_whole(column):
            return Fragment(f"CONVERT(CAST({_plain(column)} AS CHAR) USING utf8mb4)")
        raise UnsupportedError(
            f"column {column.name} is {column.full}, which policies cannot compare",
            hint="Match on a column of text or whole numbers, or on a path inside a JSON column.",
        )

    def _json_text(self, path: FieldPath) -> Fragment:
        value = self._json_value(path)
        written = "CONVERT(" + value + " USING utf8mb4)"
        return (
            "(CASE JSON_TYPE(" + value + ") WHEN 'STRING' THEN CONVERT(JSON_UNQUOTE(" + value + ") USING utf8mb4) "
            # A whole number has one decimal text, but JSON knows -0.
            "WHEN 'INTEGER' THEN CASE WHEN " + written + " = '-0' THEN '0' ELSE " + written + " END "
            "WHEN 'UNSIGNED INTEGER' THEN " + written + " WHEN 'BOOLEAN' THEN " + written + " END)"
        )

    def _json_number(self, path: FieldPath) -> Fragment:
        value = self._json_value(path)
        string = _read("CONVERT(JSON_UNQUOTE(" + value + ") USING utf8mb4)")
        written = "CONVERT(" + value + " USING utf8mb4)"
        # A number that is no text of one is -0, or lies beyond the ends of every range.
        other = "CASE WHEN " + written + " = '-0' THEN 0 WHEN LEFT(" + written + f", 1) = '-' THEN -{MOST + 1} "
        number = "COALESCE(" + _read(written) + ", " + other + f"ELSE {MOST + 1} END)"
        kinds = "WHEN 'INTEGER' THEN " + number + " WHEN 'UNSIGNED INTEGER' THEN " + number
        return "(CASE JSON_TYPE(" + value + ") WHEN 'STRING' THEN " + string + " " + kinds + " END)"

    def _json_value(self, path: FieldPath) -> Fragment:
        """The value at the path, NULL where an object or a key is missing, or where the text is no JSON."""
        column = self._table.column(path.column)
        if not self._table.reads_json:
            raise UnsupportedError(
                f"field $.{'.'.join((path.column, *path.keys))} lies in a JSON text, where MariaDB misses a key that "
                "is written with escapes and takes the first of two equal ones",
                hint=f"Name a column. A computed one may hold the value: ADD COLUMN {path.keys[-1]} VARCHAR(190) "
                f"AS (JSON_VALUE({path.column}, '{'$.' + '.'.join(path.keys)}')).",
            )
        if column.type not in TEXTS:
            raise UnsupportedError(
                f"column {column.name} is {column.full}, which has no fields inside", hint="Name the column itself."
            )
        text = f"CONVERT({column.sql} USING utf8mb4)"
        value = Fragment(
            column.sql if column.type in _BINARY_JSON else f"(CASE WHEN JSON_VALID({text}) THEN {text} END)"
        )
        for key in path.keys:
            inside = "JSON_EXTRACT(" + value + ", %s)" + Fragment("", (_json_path(key),))
            value = "(CASE WHEN JSON_TYPE(" + value + ") = 'OBJECT' THEN " + inside + " END)"
        return value


def _plain(column: TableColumn) -> str:
    """A number as such: ZEROFILL is how it is shown, not what it is."""
    return f"({column.sql} + 0)" if "zerofill" in column.full or column.type == "year" else column.sql


def _read(text: Fragment) -> Fragment:
    """The number that a text is for ranges; nothing else is cast, as that would be an error in a DELETE."""
    return "(CASE WHEN " + text + Fragment(" REGEXP %s THEN CAST(", (_DECIMAL,)) + text + " AS SIGNED) END)"


def _is_whole(column: TableColumn) -> bool:
    return column.type == "decimal" and column.digits[1] == 0


def _json_path(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'


def _like(glob: Glob) -> str:
    wild = {"*": "%", "?": "_"}
    literal = {char: _ESCAPE + char for char in ("%", "_", _ESCAPE)}
    return "".join(wild.get(char) or literal.get(char, char) for char in glob.pattern)
