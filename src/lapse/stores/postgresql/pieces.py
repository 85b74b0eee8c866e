"""What a slice of a table is: a range of places, a range of times, or a whole partition; and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from lapse.instant import Nanos
from lapse.model.selection import Selection
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.places import Stretch, within
from lapse.stores.postgresql.scene import Scene
from lapse.stores.postgresql.timecuts import Span, condition

Bounds = tuple[str | int | None, ...]
"""A piece as `lapse.ports.Slice` carries it."""


@dataclass(frozen=True, slots=True)
class OfPlaces:
    """Rows by their places.

    Attributes:
        highest: Highest key, inclusive. None has no limit.
        stretch: The places.
    """

    highest: int | None
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class OfTimes:
    """Rows by their times.

    Attributes:
        highest: Highest key, inclusive. None has no limit.
        span: The times.
    """

    highest: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole partition.

    Attributes:
        leaf: Its number in the catalogue.
    """

    leaf: int


Piece = OfPlaces | OfTimes | Whole


def pack(piece: Piece) -> Bounds:
    """A piece as a slice carries it."""
    match piece:
        case OfPlaces(highest, stretch):
            return ("places", highest, *stretch.bounds())
        case OfTimes(highest, span):
            place = () if span.place is None else span.place.bounds()
            return ("times", highest, span.first, span.last, *place)
        case Whole(leaf):
            return ("whole", leaf)


def unpack(bounds: Bounds) -> Piece:
    """Read back what `pack` wrote."""
    kind, *rest = bounds
    if kind == "whole":
        return Whole(cast("int", rest[0]))
    highest, *found = cast("list[int]", rest)
    if kind == "places":
        return OfPlaces(highest, Stretch.of(tuple(found)))
    first, last, *place = found
    return OfTimes(highest, Span(Nanos(first), Nanos(last), Stretch.of(tuple(place)) if place else None))


def highest_of(piece: Piece) -> int | None:
    """The highest key that a row of it may have, inclusive. None has no limit."""
    return None if isinstance(piece, Whole) else piece.highest


def leaf_of(scene: Scene, piece: OfPlaces | OfTimes) -> str:
    """The table that holds the rows, as it stands in a fragment."""
    oid = piece.stretch.leaf if isinstance(piece, OfPlaces) else scene.leaves[0].oid
    return escaped(scene.leaf(oid).sql)


def rows_of(scene: Scene, selection: Selection, piece: OfPlaces | OfTimes) -> Fragment:
    """The condition that a row ``r`` belongs to the piece, lapsed or not."""
    below = scene.below(piece.highest)
    if isinstance(piece, OfTimes):
        return condition(scene, selection, piece.span) + " AND (" + below + ")"
    return "(" + within(scene.connection, piece.stretch) + ") AND (" + below + ")"
