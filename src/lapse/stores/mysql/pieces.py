"""What a slice of a table is: a range of keys or of times, or a whole partition; and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lapse.model.policy import TimeFormat
from lapse.stores.mysql.ranges import Bound, KeyRange


class Way(Enum):
    """What slices go by."""

    KEY = "key"
    TIME = "time"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A slice's rows.

    Attributes:
        time_format: How the time column is written.
        way: What it goes by.
        keys: From where to where; everything where it is a whole partition.
        partition: The partition that it lies in. None: wherever in the table.
    """

    time_format: TimeFormat
    way: Way
    keys: KeyRange
    partition: str | None = None

    def bounds(self) -> tuple[Bound, ...]:
        """The piece as a slice carries it."""
        return (self.time_format.value, self.way.value, *self.keys.bounds(), self.partition)

    @classmethod
    def of(cls, bounds: tuple[Bound, ...]) -> Piece:
        """Read back what `bounds` wrote."""
        time_format, way, after, until, partition = bounds
        return cls(
            time_format=TimeFormat(time_format),
            way=Way(way),
            keys=KeyRange.of(after, until),
            partition=None if partition is None else str(partition),
        )
