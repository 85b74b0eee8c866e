"""What a rule, floor or hold applies to: conditions on fields, compared by their text.

A field is a column or top-level key (``type``), or a JSON path inside one (``$.detail.user``).
Values are compared as text, exactly: integers in decimal, booleans as ``true`` and ``false``. NULL,
floating point numbers, bytes, objects and lists equal nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache


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
class Glob:
    """A pattern: ``*`` is any run of characters, ``?`` any one; everything else is itself."""

    pattern: str

    def matches(self, text: str) -> bool:
        """Whether the whole of *text* fits, case included."""
        return _compiled(self.pattern).fullmatch(text) is not None

    def __str__(self) -> str:
        return f"glob:{self.pattern}"


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(char) or re.escape(char) for char in pattern), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """One field that must have one of some values.

    Attributes:
        field: Column, top-level key, or JSON path beginning with ``$.``.
        values: Texts, any of which matches.
        globs: Patterns, any of which matches too.
        role: What the policy called the field: ``type``, ``tenant`` or the field itself. For messages.
        numbers: Whole numbers, any of which matches too; the same digits as text do not. Drop-ins say so of text
            logs, policies cannot.
    """

    field: str
    values: tuple[str, ...]
    globs: tuple[Glob, ...] = ()
    role: str = ""
    numbers: tuple[int, ...] = ()

    def matches(self, value: object) -> bool:
        """Whether a record's *value* of this field is one of those."""
        if isinstance(value, int) and not isinstance(value, bool) and value in self.numbers:
            return True
        text = text_of(value)
        return text is not None and (text in self.values or any(glob.matches(text) for glob in self.globs))

    @property
    def is_plain(self) -> bool:
        """Whether it asks for equal texts and for nothing else."""
        return not self.globs and not self.numbers

    def excludes(self, other: Condition) -> bool:
        """Whether no value could match both. Two patterns are taken to meet, and so is a number with anything."""
        if (self.globs and other.globs) or self.numbers or other.numbers:
            return False
        return not any(map(self.matches, other.values)) and not any(map(other.matches, self.values))

    def __str__(self) -> str:
        shown = ", ".join([*self.values, *map(str, self.numbers), *map(str, self.globs)])
        return f"{self.role or self.field} {shown}"


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

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions)) or "everything"
