"""How many rows a transaction may have, learnt from its own kind, and by whether others are to be let through."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lapse.ports import Breaks, Budget
from lapse.sqlcore.learning import Learner

_LEAST = 200  # rows of a transaction
_SHORT_UNREAD, _SHORT_COPIED = 0.02, 0.1
"""Seconds of a transaction that cannot rest inside while others are busy; each that is copied makes a file."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes slices alike in how long they take.

    Attributes:
        copied: Whether their rows are read.
        stepped: Whether they can rest inside, and are let do it.
        gentle: Whether others are to be let through.
    """

    copied: bool
    stepped: bool
    gentle: bool


class Sizes:
    """The sizes of the transactions of one table.

    Attributes:
        target: Seconds that a transaction should last at most.
        breaks: When to let others through. None never does.
    """

    def __init__(self) -> None:
        self.target = Budget().seconds
        self.breaks: Breaks | None = None
        self._learners: defaultdict[Kind, Learner] = defaultdict(lambda: Learner(least=_LEAST))

    def kind(self, *, copied: bool, divisible: bool) -> Kind:
        """What slices are now; *divisible* are those that can be taken in steps."""
        gentle = self.breaks is not None and self.breaks.burst() is not None
        return Kind(copied=copied, stepped=gentle and divisible, gentle=gentle)

    def learner(self, kind: Kind) -> Learner:
        """Knows how many rows such a slice may have."""
        learner = self._learners[kind]
        short = _SHORT_COPIED if kind.copied else _SHORT_UNREAD
        learner.target = min(self.target, short) if kind.gentle and not kind.stepped else self.target
        return learner
