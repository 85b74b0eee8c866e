"""A table of thresholds beside a table of records, and the look at it that a row takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lapse.sqlcore.fragments import Fragment

Spell = Callable[[str, Fragment | None], Fragment]
"""Writes what names a group: an expression for the rule's index, and the text that the group has in common."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of a selection in a session.

    Attributes:
        name: Their table: ``k`` names a group, ``since`` is the first time of it that stays, in nanoseconds.
        spell: How groups are named.
        collation: What is written behind such a name so that it is compared to the byte; may be empty.
    """

    name: str
    spell: Spell
    collation: str = ""

    def seen_at(self, instant: str) -> Sight:
        """The same for rows whose time is *instant*, a BIGINT of nanoseconds."""
        return LookedUp(self, instant)


def spelled(rule: str, text: Fragment | None) -> Fragment:
    """What names a group, in the usual SQL."""
    number = f"CAST({rule} AS TEXT)"
    if text is None:
        return Fragment(f"({number} || ':')")
    return f"coalesce({number} || '=' || " + text + f", {number} || ':')"


class Sight(Protocol):
    """Thresholds as the rows of one query look at them."""

    def passed(self, rule: str, text: Fragment | None) -> Fragment:
        """Whether a record is older than the newest of its group; NULL where all of the group stays.

        Arguments:
            rule: An expression for the index of its rule.
            text: The text that its group has in common. None where the rule names no field.
        """
        ...


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Each row looks its group up.

    Attributes:
        thresholds: The thresholds.
        instant: The record time, a BIGINT of nanoseconds.
    """

    thresholds: Thresholds
    instant: str

    def passed(self, rule: str, text: Fragment | None) -> Fragment:
        """The comparison with what is looked up."""
        known = self.thresholds
        key = known.spell(rule, text) + known.collation
        return f"({self.instant} < (SELECT s.since FROM {known.name} AS s WHERE s.k = " + key + "))"  # noqa: S608 - ours


@dataclass(frozen=True, slots=True)
class Joined:
    """The threshold of its group is joined to each row.

    Attributes:
        since: The column with it.
        instant: The record time, a BIGINT of nanoseconds.
    """

    since: str
    instant: str

    def passed(self, rule: str, text: Fragment | None) -> Fragment:
        """The comparison of the two."""
        return Fragment(f"({self.instant} < {self.since})")
