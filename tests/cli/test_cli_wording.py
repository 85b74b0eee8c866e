"""Values as people read them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.cli import wording
from lapse.instant import beginning, parse_rfc3339


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_687_770, "12.1 MiB"), (3 * 1024**6, "3,072.0 PiB")],
)
def test_sizes_are_in_binary_units(number: int, text: str) -> None:
    """Bytes stay whole; from KiB on there is one decimal."""
    assert wording.size(number) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "record", "no records"), (1, "entry", "1 entry"), (1234, "entry", "1,234 entries"), (2, "slice", "2 slices")],
)
def test_counts_agree_with_their_nouns(number: int, noun: str, text: str) -> None:
    """One is singular, everything else plural, with thousands separators."""
    assert wording.some(number, noun) == text


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_share_is_never_rounded_to_all_or_nothing(one: int, other: int) -> None:
    """100% is said of everything only, 0% of nothing only."""
    part, whole = sorted((one, one + other))

    assert wording.share(part, whole) not in ("0%", "100%", "0.0%", "100.0%")
    assert wording.share(whole, whole) == "100%"
    assert wording.share(0, whole) == "0%"


@given(st.text(st.characters(codec=None)))
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    """Escape sequences, line ends, half characters and marks that turn the direction are shown, not obeyed."""
    shown = wording.plain(text)

    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)
    assert "\u202e" not in shown


def test_the_first_instant_of_something_is_said_by_the_last_one_before_it() -> None:
    """A deadline is a nanosecond behind the last instant that is kept; a round one is itself."""
    assert beginning(parse_rfc3339("2026-01-31T12:00:00.000000001Z")) == "after 2026-01-31T12:00:00Z"
    assert beginning(parse_rfc3339("2026-01-31T12:00:00.123457001Z")) == "after 2026-01-31T12:00:00.123457Z"
    assert beginning(parse_rfc3339("2026-03-01T00:00:00Z")) == "at 2026-03-01T00:00:00Z"


def test_instants_are_exact_and_days_are_utc() -> None:
    """A moment keeps its nanoseconds; a day is the UTC date."""
    instant = parse_rfc3339("2026-01-01T00:30:00.000000001+01:00")

    assert wording.moment(instant) == "2025-12-31T23:30:00.000000001Z"
    assert wording.second(instant) == "2025-12-31T23:30:00Z"
    assert wording.day(instant) == "2025-12-31"
    assert wording.moment(None) == wording.NOTHING


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.2 s"), (125, "2 min 05 s"), (11_400, "3 h 10 min")])
def test_durations_have_units(seconds: float, text: str) -> None:
    """Seconds, then minutes, then hours."""
    assert wording.duration(seconds) == text
