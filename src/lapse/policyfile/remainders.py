"""What is left of a match once others have taken theirs, as boxes: for each field, the values that it may have.

Nothing here is guessed. A box is called empty only if no record can lie in it, and a witness is a record that does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.ranges import MOST

_ODD = "\N{SNOWMAN}"
"""A text that hardly any condition names."""


@dataclass(frozen=True, slots=True)
class Values:
    """Values that a field may have; without any attribute, all of them, and none at all.

    Attributes:
        named: All of them, one by one. None if there may be too many of them for that.
        wanted: Conditions on them that must all match; none is negated.
        barred: A negated condition that must match, too. None bars nothing.
    """

    named: tuple[object, ...] | None = None
    wanted: tuple[Condition, ...] = ()
    barred: Condition | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is provably none."""
        if self.named is not None:
            return not self.named
        both = self.wanted if self.barred is None else (*self.wanted, self.barred)
        return any(one.excludes(other) for number, one in enumerate(self.wanted) for other in both[number + 1 :])

    def has(self, value: object) -> bool:
        """Whether *value* is one of them."""
        if self.named is not None:
            return value in self.named
        barred = self.barred is not None and not self.barred.matches(value)
        return not barred and all(each.matches(value) for each in self.wanted)

    def within(self, condition: Condition) -> Values:
        """Those of them that *condition* matches."""
        if self.named is not None:
            return Values(named=tuple(value for value in self.named if condition.matches(value)))
        if condition.negated:
            return replace(self, barred=_joined(self.barred, condition))
        named = _named(condition)
        if named is None:
            return replace(self, wanted=(*self.wanted, condition))
        return Values(named=tuple(value for value in named if self.has(value)))

    def beyond(self, condition: Condition) -> Values:
        """Those of them that *condition* does not match."""
        return self.within(replace(condition, negated=not condition.negated))

    def one(self) -> Iterator[object]:
        """One of them. Nothing if there is none, or if none was found."""
        if self.named is not None:
            yield from self.named[:1]
            return
        found = next((value for value in self._candidates() if self.has(value)), _NOTHING)
        if found is not _NOTHING:
            yield found

    def _candidates(self) -> Iterator[object]:
        """Values that may well be among them, the likeliest first; None is a record without the field."""
        yield from (None, _ODD)
        yield from chain.from_iterable(map(_samples, self.wanted))
        if self.barred is not None:
            yield from _neighbours(self.barred)


_NOTHING = object()


def _named(condition: Condition) -> tuple[object, ...] | None:
    """Every value that fits a condition which is not negated: digits as text are also the number. None: too many."""
    if condition.globs or condition.ranges:
        return None
    return (*condition.values, *(number for text in condition.values for number in _whole(text)), *condition.numbers)


def _whole(text: str) -> Iterator[int]:
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 4000 and str(int(text)) == text:
        yield int(text)


def _joined(one: Condition | None, other: Condition) -> Condition:
    """Both negated conditions in one."""
    if one is None:
        return other
    return replace(
        one,
        values=(*one.values, *other.values),
        globs=(*one.globs, *other.globs),
        numbers=(*one.numbers, *other.numbers),
        ranges=(*one.ranges, *other.ranges),
    )


def _samples(condition: Condition) -> Iterator[object]:
    """Some values that fit a condition which is not negated."""
    yield from condition.values
    yield from condition.numbers
    yield from (text for glob in condition.globs for text in _texts(glob))
    yield from (number for numbers in condition.ranges for number in _ends(numbers))


def _texts(glob: Glob) -> Iterator[str]:
    for run in (_ODD, "", "0"):
        yield glob.pattern.replace("*", run).replace("?", _ODD if run else "0")


def _ends(numbers: Range) -> Iterator[int]:
    yield from (end for end in (numbers.first, numbers.last) if end is not None)


def _neighbours(condition: Condition) -> Iterator[int]:
    """Numbers just outside of what a condition names."""
    singles = [Range(number, number) for text in condition.values for number in _whole(text) if abs(number) <= MOST]
    for numbers in (*condition.ranges, *singles):
        if numbers.first is not None:
            yield numbers.first - 1
        if numbers.last is not None:
            yield numbers.last + 1


@dataclass(frozen=True, slots=True)
class Box:
    """Records whose fields have certain values.

    Attributes:
        fields: The values of each field. A field that is missing here may have any, or none.
    """

    fields: Mapping[str, Values] = field(default_factory=dict)

    @classmethod
    def of(cls, match: Match) -> Box:
        """All records that match."""
        fields: dict[str, Values] = {}
        for condition in match.conditions:
            fields[condition.field] = fields.get(condition.field, _ANY).within(condition)
        return cls(fields)

    @property
    def is_empty(self) -> bool:
        """Whether provably no record lies in it."""
        return any(values.is_empty for values in self.fields.values())

    def witness(self) -> Mapping[str, object] | None:
        """A record that lies in it, by field. None if none was found."""
        found = {name: value for name, values in self.fields.items() for value in values.one()}
        return found if len(found) == len(self.fields) else None

    def without(self, match: Match) -> Iterator[Box]:
        """What is left of it without the records that match, in boxes that have none in common."""
        rest = dict(self.fields)
        for condition in match.conditions:
            own = rest.get(condition.field, _ANY)
            left = Box({**rest, condition.field: own.beyond(condition)})
            if not left.is_empty:
                yield left
            rest[condition.field] = own.within(condition)
            if rest[condition.field].is_empty:
                return


_ANY = Values()
