"""Patterns that texts fit, and what two of them have to do with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_NUMERIC = frozenset("0123456789-*?")


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern: ``*`` is any run of characters, ``?`` any one; everything else is itself."""

    pattern: str

    def matches(self, text: str) -> bool:
        """Whether the whole of *text* fits, case included."""
        return _compiled(self.pattern).fullmatch(text) is not None

    def meets(self, other: Glob) -> bool:
        """Whether some text fits both."""
        return _meet(self.pattern, other.pattern)

    def covers(self, other: Glob) -> bool:
        """Whether every text that fits *other* provably fits this one, too."""
        return _covering(self.pattern).fullmatch(other.pattern) is not None

    @property
    def may_be_number(self) -> bool:
        """Whether the decimal form of a whole number could fit it."""
        return _NUMERIC.issuperset(self.pattern)

    def __str__(self) -> str:
        return f"glob:{self.pattern}"


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return _translated(pattern, {"*": ".*", "?": "."})


@lru_cache(maxsize=1024)
def _covering(pattern: str) -> re.Pattern[str]:
    """What those patterns fit whose texts all fit *pattern*: its ``*`` takes in all they have, its ``?`` no ``*``."""
    return _translated(pattern, {"*": ".*", "?": "[^*]"})


def _translated(pattern: str, wild: dict[str, str]) -> re.Pattern[str]:
    return re.compile("".join(wild.get(char) or re.escape(char) for char in pattern), re.DOTALL)


@lru_cache(maxsize=1024)
def _meet(one: str, other: str) -> bool:
    """Whether both patterns can be walked to their ends by one text."""
    reached, ahead = {(0, 0)}, [(0, 0)]
    while ahead:
        place = ahead.pop()
        if place == (len(one), len(other)):
            return True
        for step in _steps(one, other, *place):
            if step not in reached:
                reached.add(step)
                ahead.append(step)
    return False


def _steps(one: str, other: str, first: int, second: int) -> Iterator[tuple[int, int]]:
    mine, theirs = one[first : first + 1], other[second : second + 1]
    if mine == "*" or theirs == "*":
        # A star ends here, or takes in the next character of the other pattern.
        if mine:
            yield first + 1, second
        if theirs:
            yield first, second + 1
    elif mine and theirs and (mine == theirs or "?" in (mine, theirs)):
        yield first + 1, second + 1
