"""A match in, the SQL that says whether a row matches out; and what a database has to bring for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lapse.errors import UnsupportedError
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.ranges import MOST
from lapse.sqlcore.fragments import Fragment, joined


class Dialect(Protocol):
    """How one database compares a field. An answer is true, or else false or NULL.

    Attributes:
        placeholder: How a bound value is written, such as ``?``.
    """

    @property
    def placeholder(self) -> str: ...

    def one_of(self, field: str, values: tuple[str, ...]) -> Fragment:
        """Whether the text of *field* (`lapse.model.match.text_of`) is one of *values*, to the byte."""
        ...

    def fits(self, field: str, glob: Glob) -> Fragment:
        """Whether the text of *field* fits *glob*."""
        ...

    def within(self, field: str, numbers: Range) -> Fragment:
        """Whether *field* is a number (`lapse.model.ranges.whole_number`) of *numbers*."""
        ...

    def text(self, field: str) -> Fragment:
        """The text that *field* is compared by (`lapse.model.match.text_of`). NULL where it has none."""
        ...

    def blank(self, field: str) -> Fragment:
        """Whether *field* is NULL, missing or an empty text."""
        ...

    def named(self, field: str, keys: tuple[str, ...]) -> Fragment:
        """Whether a row has one of *keys*, as `Store.find` takes them: the text of *field*, or of its own key.

        `lapse.model.selection.RECORD_KEY` stands for the latter. There may be very many. Where no row can be named so
        that the name stays with it, the answer is true: all of them may be meant.
        """
        ...


def compile_match(match: Match, dialect: Dialect) -> Fragment:
    """Whether a row matches: true, or else false or NULL."""
    if not match.conditions:
        return Fragment("TRUE")
    return joined(" AND ", [compile_condition(condition, dialect) for condition in match.conditions])


def compile_condition(condition: Condition, dialect: Dialect) -> Fragment:
    """Whether a row matches: true, or else false or NULL; never NULL if *condition* is negated."""
    ways = list(_ways(condition, dialect))
    if not ways:
        return Fragment("TRUE" if condition.negated else "FALSE")
    if condition.negated:
        # What is not known to be one of the values is none of them: NULL, too.
        return "(NOT COALESCE(" + joined(" OR ", ways) + ", FALSE))"
    return "(" + joined(" OR ", ways) + ")"


def _ways(condition: Condition, dialect: Dialect) -> Iterator[Fragment]:
    if condition.numbers:
        raise UnsupportedError(
            f"{condition} asks for numbers that are no texts, which only text logs can tell apart",
            hint="Compare by value or range.",
        )
    if condition.values:
        yield dialect.one_of(condition.field, condition.values)
    for glob in condition.globs:
        yield dialect.fits(condition.field, glob)
    for numbers in condition.ranges:
        yield dialect.within(condition.field, numbers)


def between(number: str | Fragment, numbers: Range, placeholder: str) -> Fragment:
    """Whether an SQL expression, an integer of any size or NULL, is one of *numbers*."""
    if numbers.last is None:
        return "(" + (number + Fragment(f" >= {placeholder})", (numbers.first,)))
    if numbers.first is None:
        return "(" + (number + Fragment(f" <= {placeholder})", (numbers.last,)))
    bounds = (numbers.first, numbers.last)
    return "(" + (number + Fragment(f" BETWEEN {placeholder} AND {placeholder})", bounds))


def closed(numbers: Range) -> Range:
    """The same range with both ends: what is open reaches as far as texts do that are numbers."""
    return Range(
        -MOST if numbers.first is None else numbers.first,
        MOST if numbers.last is None else numbers.last,
    )
