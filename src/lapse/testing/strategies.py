"""Random policies and records, crowded around the borders where decisions turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from lapse.instant import SECOND, Nanos
from lapse.model.match import Glob, Match, Range
from lapse.model.period import parse_period
from lapse.model.policy import Floor, Hold, Rule
from lapse.model.ranges import MOST
from lapse.model.selection import SKEW
from lapse.testing.flow import Not, days_ago, matching, rule
from lapse.testing.harness import NOW, Record, Traits

NAMES = (
    "acme", "Acme", "ACME", "acme ", " acme", "", "a'c\"me", "100%", "a_b", "axb", "zoë", "zoe\u0308",
    "*", "?", "[a]", "a\\b", "a\nb", "NULL", "7", "07",
)  # fmt: skip
"""Names that careless comparisons take for one another."""

PATTERNS = (
    "*",
    "?",
    "a*",
    "*e",
    "a?b",
    "A*",
    "[a]",
    "[a]*",
    "100%",
    "%",
    "a_b",
    "*\u0308",
    "",
    "zo?",
    "*'*",
    "**",
    "7*",
)
"""Patterns of which only ``*`` and ``?`` are wild."""

RANGES = (
    Range(7, 7),
    Range(-1, 6),
    Range(8),
    Range(last=-1),
    Range(0, 10),
    Range(-MOST, MOST),
    Range(last=0),
    Range(7),
)
"""Ranges whose ends lie at and beside the numbers of records."""

_PERIODS = ("1 day", "30 days", "12 months", "6 years", "forever")
_DAYS = (0, 1, 29.5, 30, 31, 365, 366, 2191, 2192, 6000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A policy for one dataset, and records to judge by it.

    Attributes:
        records: The records.
        rules: Ordered rules.
        floors: Floors.
        holds: Holds.
        require: Fields without which a record is doubtful.
    """

    records: tuple[Record, ...]
    rules: tuple[Rule, ...]
    floors: tuple[Floor, ...]
    holds: tuple[Hold, ...]
    require: tuple[str, ...]


def cases(traits: Traits) -> st.SearchStrategy[Case]:
    """Cases for a store with these traits."""
    return st.builds(
        Case,
        records=st.lists(_record(traits), max_size=12).map(_numbered),
        rules=st.lists(_rule(), max_size=4).map(tuple),
        floors=st.lists(_floor(), max_size=2).map(tuple),
        holds=st.lists(_hold(), max_size=2).map(tuple),
        require=st.lists(st.sampled_from(("tenant", "kind", "level", "body")), max_size=2, unique=True).map(tuple),
    )


def _numbered(records: Sequence[Record]) -> tuple[Record, ...]:
    return tuple(replace(record, key=10 * position + 1) for position, record in enumerate(records))


def _record(traits: Traits) -> st.SearchStrategy[Record]:
    name = st.none() | st.sampled_from(NAMES)
    return st.builds(
        Record, key=st.just(0), at=times(traits), kind=name, tenant=name,
        level=st.none() | st.sampled_from((0, 7, -1, 2**62)), body=st.sampled_from(("", "text", "ünï")),
    )  # fmt: skip


def times(traits: Traits) -> st.SearchStrategy[Nanos | str | None]:
    """Times at, just before and just after the instants where a decision turns; doubtful ones too."""
    turning = [days_ago(days) for days in _DAYS]
    turning += [Nanos(0), Nanos(631_152_000 * SECOND), Nanos(NOW + SKEW), Nanos(NOW + 400 * SECOND)]
    near = [Nanos(instant + shift * traits.step) for instant in turning for shift in (-1, 0, 1)]
    choices: list[Nanos | str | None] = [None, *near]
    if traits.garbage:
        choices += ["", "yesterday", "2020-13-01T00:00:00Z", "0000-00-00"]
    return st.sampled_from(choices)


def _match() -> st.SearchStrategy[Match]:
    item = st.sampled_from(NAMES) | st.sampled_from(PATTERNS).map(Glob) | st.sampled_from(RANGES)
    wanted = st.lists(item, min_size=1, max_size=3, unique=True)
    fields = st.dictionaries(st.sampled_from(("kind", "tenant", "body", "level")), wanted | wanted.map(Not), max_size=2)
    return fields.map(lambda chosen: matching(**chosen))


def _rule() -> st.SearchStrategy[Rule]:
    archives = st.sampled_from([(), ("cold",), ("cold", "vault")])

    def build(match: Match, period: str, chosen: tuple[str, ...]) -> Rule:
        return replace(rule(period, chosen), match=match)

    return st.builds(build, _match(), st.sampled_from(_PERIODS), archives)


def _floor() -> st.SearchStrategy[Floor]:
    return st.builds(
        Floor, match=_match(), at_least=st.sampled_from(_PERIODS).map(parse_period), because=st.just("the law")
    )


def _hold() -> st.SearchStrategy[Hold]:
    border = st.none() | st.sampled_from([days_ago(30), days_ago(365)])
    newer = st.none() | st.sampled_from([days_ago(1), days_ago(29.5)])
    return st.builds(Hold, matter=st.just("2026-17"), match=_match(), records_from=border, records_before=newer)
