"""Cutting: counted stretches in, stretches of bounded lapsed rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lapse.stores.postgresql.places import Place, Stretch
from lapse.stores.postgresql.surveying import Cell

Limit = Callable[[], int]
"""How many lapsed rows the next stretch may have; may change as slices are committed."""

Borders = Callable[[Stretch, int], list[Place]]
"""Where to cut a stretch so that each piece has that many lapsed rows: where each but the first begins."""

_WIDEST = 20
"""How many times its limit of rows a stretch may have in all, so that reading it stays short however few lapsed."""


def cut(cells: Iterable[Cell], codes: tuple[int, ...], *, limit: Limit, borders: Borders) -> Iterator[Stretch]:
    """Stretches that together have every lapsed row of *cells* once, in the order of their places."""
    pending: list[Cell] = []
    have = rows = 0
    for cell in cells:
        count = cell.count(codes)
        full = have + count > limit() or rows + cell.rows > _WIDEST * max(limit(), 100)
        if pending and (full or not _follows(pending[-1], cell)):
            yield _joined(pending)
            pending, have, rows = [], 0, 0
        if count > limit():
            yield from _split(cell.stretch, count, limit=limit, borders=borders)
        elif count:
            pending.append(cell)
            have, rows = have + count, rows + cell.rows
    if pending:
        yield _joined(pending)


def _follows(one: Cell, other: Cell) -> bool:
    """Whether *other* begins where *one* ends: what nothing lapsed in is not read."""
    return one.stretch.leaf == other.stretch.leaf and one.stretch.last == other.stretch.first


def _joined(cells: list[Cell]) -> Stretch:
    return Stretch(cells[0].stretch.leaf, cells[0].stretch.first, cells[-1].stretch.last)


def _split(stretch: Stretch, count: int, *, limit: Limit, borders: Borders) -> Iterator[Stretch]:
    """Pieces of even size; the limit is asked once, a stretch is small."""
    pieces = -(-count // limit())
    first = stretch.first
    for border in borders(stretch, -(-count // pieces)):
        yield Stretch(stretch.leaf, first, border)
        first = border
    yield Stretch(stretch.leaf, first, stretch.last)
