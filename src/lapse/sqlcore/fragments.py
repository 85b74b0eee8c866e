"""Pieces of SQL with the values bound to them, so that no value is ever spliced into a statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL.

    Attributes:
        sql: Its text, with a placeholder for each value.
        values: What is bound, in the order of the placeholders.
    """

    sql: str
    values: tuple[object, ...] = ()

    def __add__(self, other: Fragment | str) -> Fragment:
        if isinstance(other, str):
            return Fragment(self.sql + other, self.values)
        return Fragment(self.sql + other.sql, self.values + other.values)

    def __radd__(self, text: str) -> Fragment:
        return Fragment(text + self.sql, self.values)


def joined(separator: str, fragments: Iterable[Fragment]) -> Fragment:
    """The fragments, one after the other, *separator* between them."""
    found = list(fragments)
    return Fragment(
        separator.join(fragment.sql for fragment in found),
        tuple(value for fragment in found for value in fragment.values),
    )


def placeholders(values: Iterable[object], mark: str = "?") -> Fragment:
    """``?, ?, ?`` with a value for each."""
    bound = tuple(values)
    return Fragment(", ".join([mark] * len(bound)), bound)
