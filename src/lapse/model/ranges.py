"""Ranges of whole numbers, and the number that a record's value is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from lapse.errors import PolicyError

MOST = 10**18 - 1
"""The largest bound of a range, and the largest number that a text can be; the least is its negative."""

_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,17}")


def whole_number(value: object) -> int | None:
    """The number that a record's value is in a range. None if it is in none.

    That is an integer of any size, or a text that is one's plain decimal form of at most 18 digits; no boolean, no
    float, and no ``007``, ``+5`` or ``-0``.
    """
    match value:
        case bool():
            return None
        case int():
            return value
        case str() if _DECIMAL.fullmatch(value):
            return int(value)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers from one to another.

    Attributes:
        first: The least of them. None has no least.
        last: The largest of them. None has no largest.

    Raises:
        PolicyError: If it would be empty or without any end, or if an end has more than 18 digits.
    """

    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        if self.first is None and self.last is None:
            raise PolicyError("a range has a first number, a last one, or both", hint="Write one like `{from: 400}`.")
        for end in (self.first, self.last):
            if end is not None and abs(end) > MOST:
                raise PolicyError(f"{end} is too large for a range", hint="Its ends have at most 18 digits.")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise PolicyError(
                f"no number is from {self.first} to {self.last}", hint=f"Write it from {self.last} to {self.first}."
            )

    @property
    def begin(self) -> float:
        """The least number, or minus infinity."""
        return -inf if self.first is None else self.first

    @property
    def end(self) -> float:
        """The number after the largest, or infinity."""
        return inf if self.last is None else self.last + 1

    def has(self, number: int) -> bool:
        """Whether *number* is one of them."""
        return self.begin <= number < self.end

    def meets(self, other: Range) -> bool:
        """Whether some number is in both."""
        return self.begin < other.end and other.begin < self.end

    def lies_in(self, others: Iterable[Range]) -> bool:
        """Whether each of its numbers is in one of *others*."""
        reached = self.begin
        for other in sorted(others, key=lambda each: each.begin):
            if other.begin <= reached:
                reached = max(reached, other.end)
        return reached >= self.end

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.first} or more"
        return f"{self.last} or less" if self.first is None else f"{self.first} to {self.last}"
