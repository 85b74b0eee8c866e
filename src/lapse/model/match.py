"""What a rule, floor or hold applies to: conditions on fields, compared by their text.

A field is a column or top-level key (``type``), or a JSON path inside one (``$.detail.user``).
Values are compared as text, exactly: integers in decimal, booleans as ``true`` and ``false``. NULL,
floating point numbers, bytes, objects and lists equal nothing. Ranges compare whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from lapse.model.glob import Glob as Glob
from lapse.model.ranges import Range as Range
from lapse.model.ranges import whole_number

_ANYTHING = Glob("*")
_SHOWN = 20
"""Values of a condition that are named in reasons: a list may have thousands."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,4000}")  # Python writes no longer ones


def text_of(value: object) -> str | None:
    """The text that a record's value is compared by. None if it equals nothing."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Condition:
    """One field that must have one of some values, or must have none of them.

    Attributes:
        field: Column, top-level key, or JSON path beginning with ``$.``.
        values: Texts, any of which matches.
        globs: Patterns, any of which matches too.
        role: What the policy called the field: ``type``, ``tenant`` or the field itself. For messages.
        numbers: Whole numbers, any of which matches too; the same digits as text do not. Drop-ins say so of text
            logs, policies cannot.
        ranges: Ranges of whole numbers, any of which matches too; digits as text do as well.
        negated: Whether it matches everything but those: also a record that has no such field.
    """

    field: str
    values: tuple[str, ...]
    globs: tuple[Glob, ...] = ()
    role: str = ""
    numbers: tuple[int, ...] = ()
    ranges: tuple[Range, ...] = ()
    negated: bool = False

    def matches(self, value: object) -> bool:
        """Whether a record's *value* of this field is one of those; if negated, whether it is none of them."""
        return self._names(value) is not self.negated

    @property
    def is_plain(self) -> bool:
        """Whether it asks for equal texts and for nothing else."""
        return not (self.globs or self.numbers or self.ranges or self.negated)

    def excludes(self, other: Condition) -> bool:
        """Whether no value could match both, as far as can be proven."""
        if self.negated and other.negated:
            return False  # no value at all is what both match
        if self.negated or other.negated:
            return other._lies_in(self) if self.negated else self._lies_in(other)
        return not self._meets(other)

    def covers(self, other: Condition) -> bool:
        """Whether every value that matches *other* matches this one too, as far as can be proven."""
        if not self.negated:
            return not other.negated and other._lies_in(self)
        return self._lies_in(other) if other.negated else not self._meets(other)

    def _names(self, value: object) -> bool:
        """Whether *value* is one of those, negated or not."""
        if self.numbers and isinstance(value, int) and not isinstance(value, bool) and value in self.numbers:
            return True
        if self.ranges:
            number = whole_number(value)
            if number is not None and any(each.has(number) for each in self.ranges):
                return True
        text = text_of(value)
        return text is not None and (text in self.values or any(glob.matches(text) for glob in self.globs))

    def _single(self) -> Iterator[object]:
        """Every value that it names one by one: a text stands for the number or boolean of that text, too."""
        yield from self.numbers
        for text in self.values:
            yield text
            if text in ("true", "false"):
                yield text == "true"
            elif _INTEGER.fullmatch(text):
                yield int(text)

    def _meets(self, other: Condition) -> bool:
        """Whether a value could be one of both, negated or not. On doubt it could."""
        return (
            any(map(other._names, self._single()))
            or any(map(self._names, other._single()))
            or any(mine.meets(theirs) for mine in self.globs for theirs in other.globs)
            or any(mine.meets(theirs) for mine in self.ranges for theirs in other.ranges)
            or bool(other.ranges and any(glob.may_be_number for glob in self.globs))
            or bool(self.ranges and any(glob.may_be_number for glob in other.globs))
        )

    def _lies_in(self, other: Condition) -> bool:
        """Whether each of its values is provably one of *other*'s, negated or not."""
        return (
            all(map(other._names, self._single()))
            and all(any(theirs.covers(mine) for theirs in other.globs) for mine in self.globs)
            and all(map(other._spans, self.ranges))
        )

    def _spans(self, numbers: Range) -> bool:
        """Whether all of *numbers* are provably among its values, as integers and as texts."""
        singles = [Range(found, found) for text in self.values if (found := whole_number(text)) is not None]
        return numbers.lies_in([*self.ranges, *singles]) or any(glob.covers(_ANYTHING) for glob in self.globs)

    def __str__(self) -> str:
        if len(self.values) == 1 and self.is_plain:  # as nearly all of very many are
            return f"{self.role or self.field} {self.values[0]}"
        named = (*self.values, *self.numbers, *self.globs, *self.ranges)
        shown = ", ".join(map(str, named[:_SHOWN]))
        more = f" and {len(named) - _SHOWN:,} more" if len(named) > _SHOWN else ""
        return f"{self.role or self.field} {'not ' if self.negated else ''}{shown}{more}"


@dataclass(frozen=True)
class Match:
    """Conditions that must all hold. Without any, everything matches."""

    conditions: tuple[Condition, ...] = ()

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields it looks at, each once, in the order written."""
        return tuple(dict.fromkeys(condition.field for condition in self.conditions))

    def matches(self, read: Callable[[str], object]) -> bool:
        """Whether a record matches; *read* gives the record's value of a field, None if it has none."""
        return all(condition.matches(read(condition.field)) for condition in self.conditions)

    def excludes(self, other: Match) -> bool:
        """Whether no record could match both, as far as can be proven."""
        return any(
            mine.field == theirs.field and mine.excludes(theirs)
            for mine in self.conditions
            for theirs in other.conditions
        )

    def covers(self, other: Match) -> bool:
        """Whether every record that matches *other* matches this one too, as far as can be proven."""
        return all(
            any(mine.field == theirs.field and mine.covers(theirs) for theirs in other.conditions)
            for mine in self.conditions
        )

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions)) or "everything"
