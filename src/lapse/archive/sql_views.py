"""The SQL of a dataset's view: its segments, one after the other, as one table."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from lapse.archive.catalog import SegmentEntry
from lapse.archive.line_tables import LINE, JsonKeys, write_lines
from lapse.errors import VerificationError
from lapse.segments import PARQUET, read_segment

_FAMILIES = (
    ("number", re.compile(r"u?int\d+|float|double|decimal")),
    ("text", re.compile("string|large_string")),
    ("binary", re.compile("binary|large_binary")),
)
_WILDCARD = re.compile(r"[*?\[]")
WHICH_COPIES = "Run `lapse archive verify` to see which copies are intact."
_Columns = tuple[tuple[str, str], ...]
"""Names and Arrow types of a segment's columns."""


class Source:
    """The segments that one view reads."""

    def __init__(self) -> None:
        self._rows: defaultdict[_Columns, list[str]] = defaultdict(list)
        self._lines: list[str] = []
        self._keys = JsonKeys()

    def add(self, entry: SegmentEntry, own: Path) -> None:
        """Add a segment, through the file *own* if it cannot be read where it lies.

        Raises:
            TargetError: If it cannot be read.
            VerificationError: If it holds lines and is damaged.
        """
        if entry.manifest.format == PARQUET:
            # The odd column is not among them: it holds cells in Lapse's own form.
            columns = tuple((column.name, column.arrow) for column in entry.manifest.columns)
            self._rows[columns].append(_local(entry, own))
            return
        try:
            with entry.target.open(entry.path) as file:
                write_lines(read_segment(entry.manifest.format, file), own, self._keys)
        except VerificationError as error:
            raise VerificationError(f"{entry.path} in archive {entry.archive}: {error}", hint=WHICH_COPIES) from error
        self._lines.append(str(own))

    def files(self) -> list[str]:
        """Every file that the view reads."""
        return [*self._lines, *(file for files in self._rows.values() for file in files)]

    def selected(self) -> str:
        """The view's SELECT."""
        mixed = _mixed(self._rows)
        selects = [_select(_cells(columns, mixed), files) for columns, files in self._rows.items()]
        if self._lines:
            selects.append(_select(_line_and_keys(self._keys), self._lines))
        return " UNION ALL BY NAME ".join(selects)


def _local(entry: SegmentEntry, own: Path) -> str:
    """The path of a file with the segment's bytes."""
    place = entry.target.location()
    with entry.target.open(entry.path) as file:
        if place is not None and not _WILDCARD.search(str(place)):
            return str(place / entry.path)
        with own.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    return str(own)


def _mixed(schemas: Iterable[_Columns]) -> frozenset[str]:
    """Columns whose types no common type can hold, such as numbers in one segment and text in another."""
    families: defaultdict[str, set[str]] = defaultdict(set)
    for columns in schemas:
        for name, arrow in columns:
            if arrow != "null":
                families[name].add(_family(arrow))
    return frozenset(name for name, found in families.items() if len(found) > 1)


def _family(arrow: str) -> str:
    plain = re.split(r"[\[(]", arrow)[0]
    return next((name for name, pattern in _FAMILIES if pattern.fullmatch(plain)), plain)


def _cells(columns: _Columns, mixed: frozenset[str]) -> list[str]:
    quoted = [(identifier(name), name in mixed) for name, _ in columns]
    return [f"CAST({name} AS VARCHAR) AS {name}" if as_text else name for name, as_text in quoted]


def _line_and_keys(keys: JsonKeys) -> list[str]:
    return [identifier(LINE), *(_extracted(*column) for column in keys.columns())]


def _extracted(name: str, key: str, kind: str) -> str:
    """One key of a line by JSON pointer (RFC 6901); null where the line is no JSON."""
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    value = f"json_extract_string({identifier(LINE)}, {_text(pointer)})"
    return f"CASE WHEN json_valid({identifier(LINE)}) THEN TRY_CAST({value} AS {kind}) END AS {identifier(name)}"


def _select(expressions: list[str], files: list[str]) -> str:
    return f"SELECT {', '.join(expressions)} FROM read_parquet({text_list(files)})"  # noqa: S608, all is quoted


def identifier(name: str) -> str:
    """*name* as SQL writes a name, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def text_list(values: Iterable[str]) -> str:
    """A list of texts as DuckDB writes it."""
    return f"[{', '.join(map(_text, values))}]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
