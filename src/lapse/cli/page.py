"""What a command shows to people: a page of lines and tables, laid out as text. Nothing is printed here."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lapse.cli.wording import plain

GAP = 2
_NARROWEST = 16


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, folded where the terminal ends.

    Attributes:
        text: What it says; empty for a blank line.
        style: Name of a colour or weight. None is plain.
        indent: Spaces before it, and before what is folded.
    """

    text: str = ""
    style: str | None = None
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        right: Whether it is flush right, as numbers are.
        folds: Whether its cells are folded where the terminal is too narrow.
        kept: Whether its heading is data: it is shown as it is, and also over empty cells.
    """

    title: str
    right: bool = False
    folds: bool = False
    kept: bool = False

    @property
    def heading(self) -> str:
        """What stands over its cells."""
        return plain(self.title) if self.kept else self.title.upper()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One text for each column.
        style: Name of a colour or weight for the whole row. None is plain.
    """

    cells: tuple[str, ...]
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns under headings. A column without any text is left out."""

    columns: tuple[Column, ...]
    rows: Sequence[Row]
    indent: int = 0


Block: TypeAlias = Line | Table
BLANK = Line()


def lines(block: Block, width: int | None) -> Iterator[Line]:
    """The lines of *block*, none wider than *width* where that can be; None folds nothing."""
    if isinstance(block, Line):
        return _folded(block, width)
    return _tabled(block, width)


def _folded(line: Line, width: int | None) -> Iterator[Line]:
    text = plain(line.text)
    room = _NARROWEST if width is None else max(width - line.indent, _NARROWEST)
    pieces = [text] if width is None or _cells(text) <= room else _fold(text, room)
    for piece in pieces:
        yield Line(" " * line.indent + piece, line.style)


def _fold(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _tabled(table: Table, width: int | None) -> Iterator[Line]:
    rows = [Row(tuple(map(plain, row.cells)), row.style) for row in table.rows]
    shown = [
        index
        for index, column in enumerate(table.columns)
        if not rows or column.kept or any(row.cells[index] for row in rows)
    ]
    columns = [table.columns[index] for index in shown]
    rows = [Row(tuple(row.cells[index] for index in shown), row.style) for row in rows]
    widths = _widths(columns, rows, None if width is None else width - table.indent)
    heading = Row(tuple(column.heading for column in columns), "bold")
    for row in (heading, *rows) if any(heading.cells) else rows:
        yield from _laid_out(row, columns, widths, table.indent)


def _widths(columns: Sequence[Column], rows: Sequence[Row], room: int | None) -> list[int]:
    widths = [
        max([_cells(column.heading), *(_cells(row.cells[index]) for row in rows)])
        for index, column in enumerate(columns)
    ]
    if room is None:
        return widths
    over = sum(widths) + GAP * (len(widths) - 1) - room
    for index, column in enumerate(columns):
        if column.folds and over > 0:
            narrowed = max(widths[index] - over, _NARROWEST)
            over -= widths[index] - narrowed
            widths[index] = narrowed
    return widths


def _laid_out(row: Row, columns: Sequence[Column], widths: Sequence[int], indent: int) -> Iterator[Line]:
    folded = [
        _fold(cell, width) if column.folds and _cells(cell) > width else [cell]
        for cell, column, width in zip(row.cells, columns, widths, strict=True)
    ]
    for number in range(max(map(len, folded), default=0)):
        cells = [
            _padded(pieces[number] if number < len(pieces) else "", width, right=column.right)
            for pieces, column, width in zip(folded, columns, widths, strict=True)
        ]
        yield Line((" " * indent + (" " * GAP).join(cells)).rstrip(), row.style)


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _cells(text))
    return space + text if right else text + space


def _cells(text: str) -> int:
    """Terminal cells: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)
