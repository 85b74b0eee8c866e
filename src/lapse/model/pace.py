"""How gently a run treats a store: what a policy says, and what an operator says while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from lapse.canonical import Json
from lapse.errors import PolicyError
from lapse.model.span import parse_span, span_text

AUTO_REST = 0.9
"""Share of the time that a run rests while others are busy, where its pace says ``rest: auto``."""
BURST = 0.001
"""Seconds of work in one go, where it can be done in steps: less than systems let a process run before another one."""

_NONE = "none"
_SHARE = re.compile(r"(?P<number>[0-9]{1,2}(\.[0-9]{1,6})?) ?%")
_LIMIT = 2**53  # the largest whole number of canonical JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How gently a run treats a store. It never decides what goes, only when.

    Attributes:
        transaction: Seconds that one transaction should last at most.
        rows_per_second: Records removed a second at most, on average. None does not throttle.
        rest: Share of the time in which the run rests, 0 to below 1. None is `AUTO_REST` while the store says that
            others are busy, and 0 while it does not.
        max_lag: Seconds by which a replica may be behind before the run waits. None asks no replica.
        pause_while: Query in the store's own language; the run waits while its first value is true or not zero.
            None asks nothing.
    """

    transaction: float = 1.0
    rows_per_second: int | None = None
    rest: float | None = None
    max_lag: float | None = 10.0
    pause_while: str | None = None

    def share(self, *, busy: bool) -> float:
        """Share of the time to rest while others are *busy* or not, 0 to below 1."""
        if self.rest is not None:
            return self.rest
        return AUTO_REST if busy else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What an operator has changed while runs go on; each value is spelled as in a policy. None is as the policy says.

    Attributes:
        transaction: As `Pace.transaction`: ``500 ms``.
        rows_per_second: As `Pace.rows_per_second`: a number, or ``none``.
        rest: As `Pace.rest`: ``auto``, ``none`` or ``50%``.
        paused: Whether runs wait.
    """

    transaction: str | None = None
    rows_per_second: str | None = None
    rest: str | None = None
    paused: bool = False

    def applied(self, pace: Pace) -> Pace:
        """*pace* with the changes.

        Raises:
            PolicyError: If one of them makes no sense.
        """
        if self.transaction is not None:
            pace = replace(pace, transaction=parse_transaction(self.transaction))
        if self.rows_per_second is not None:
            pace = replace(pace, rows_per_second=parse_rate(self.rows_per_second))
        if self.rest is not None:
            pace = replace(pace, rest=parse_rest(self.rest))
        return pace

    def changed(self, other: Tuning) -> Tuning:
        """This tuning with what *other* says beside it; whether runs wait is as here."""
        said = {each.name: getattr(other, each.name) for each in fields(other) if each.name != "paused"}
        return replace(self, **{name: value for name, value in said.items() if value is not None})

    @property
    def words(self) -> tuple[str, ...]:
        """The changes for people, one each; empty where nothing is changed."""
        said = (
            ("transaction", self.transaction),
            ("rows per second", self.rows_per_second),
            ("rest", self.rest),
        )
        paused = ("paused",) if self.paused else ()
        return (*paused, *(f"{name}: {value}" for name, value in said if value is not None))

    def facts(self) -> dict[str, Json]:
        """What `tuning_of` reads: only what was changed."""
        said: dict[str, Json] = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in said.items() if value not in (None, False)}


def rest_after(seconds: float, share: float) -> float:
    """Seconds of rest that make *share* of the time, after so many *seconds* of work."""
    return seconds * share / (1 - share)


def tuning_of(facts: object) -> Tuning:
    """The tuning that `Tuning.facts` wrote.

    Raises:
        PolicyError: If it is nothing of the kind.
    """
    if not isinstance(facts, Mapping) or not {each.name for each in fields(Tuning)}.issuperset(facts):
        raise PolicyError("these are no settings of a pace")
    found = Tuning(**facts)
    found.applied(Pace())  # complains about anything but the texts that it reads
    return found


def parse_transaction(value: object) -> float:
    """Seconds of a transaction, 10 ms to 5 minutes.

    Raises:
        PolicyError: For anything else.
    """
    seconds = parse_span(value)
    if not 0.01 <= seconds <= 300:
        raise PolicyError(f"a transaction of {span_text(seconds)} is not bearable", hint="Write 10 ms to 5 minutes.")
    return seconds


def parse_rate(value: object) -> int | None:
    """Records a second. None for ``none``: as many as there are.

    Raises:
        PolicyError: For anything else.
    """
    if value == _NONE:
        return None
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,15}", value) else value
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number < _LIMIT:
        return number
    raise PolicyError(f"{_shown(value)} is no number of records a second", hint="Write a number like 2000, or `none`.")


def parse_rest(value: object) -> float | None:
    """The share of the time in which a run rests. None for ``auto``.

    Raises:
        PolicyError: For anything else; who rests all the time never works.
    """
    if value == "auto":
        return None
    if value == _NONE:
        return 0.0
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise PolicyError(
            f"{_shown(value)} is no share of the time", hint="Write `auto`, `none`, or a share below 100%, like `50%`."
        )
    return float(found["number"]) / 100


def parse_lag(value: object) -> float | None:
    """Seconds by which a replica may be behind. None for ``none``: no replica is asked.

    Raises:
        PolicyError: For anything else.
    """
    return None if value == _NONE else parse_span(value)


def _shown(value: object) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)
