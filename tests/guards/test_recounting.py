"""What is missing after a removal: a pure comparison of two counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.plan import Tally
from lapse.model.policy import Dataset, Last, Rule
from lapse.model.selection import Selection, select
from lapse.stages.recounting import Standing, missing, standings


def selection(last: Last | None = None) -> Selection:
    """One rule, and no holds."""
    rule = Rule(index=0, match=Match(), keep=parse_period("90 days"), waived=True, last=last)
    dataset = Dataset(name="log", store="x", shown="x", time="at", rules=(rule,))
    return select(dataset, floors=(), holds=(), now=Nanos(10**18), real_now=Nanos(10**18))


ONE = selection()
LAPSED, KEPT = ONE.lapsed_code(0), ONE.lapsed_code(0) + 1


def standing(records: int, oldest: int | None = 100) -> Standing:
    """So many records, the oldest of that time."""
    return Standing(records, None if oldest is None else Nanos(oldest))


@given(
    lapsed=st.integers(1, 50), kept=st.integers(1, 50), removed=st.integers(0, 50), came=st.integers(0, 50)
)  # fmt: skip
def test_what_was_sealed_is_not_missing_whatever_comes(lapsed: int, kept: int, removed: int, came: int) -> None:
    """Fewer lapsed records by what was removed, and new ones that are younger, are as it should be."""
    removed = min(removed, lapsed)
    before = {LAPSED: standing(lapsed, 1), KEPT: standing(kept)}
    after = {LAPSED: standing(lapsed - removed, 1), KEPT: standing(kept + came)}

    assert missing(ONE, before, after, removed=removed) is None


@given(kept=st.integers(1, 50), lost=st.integers(1, 50))
def test_every_record_that_nobody_sealed_is_missed(kept: int, lost: int) -> None:
    """One record less than there should be is enough."""
    before = {LAPSED: standing(10, 1), KEPT: standing(kept + lost)}

    found = missing(ONE, before, {KEPT: standing(kept)}, removed=10)

    assert found is not None
    assert f"{lost} went unsealed" in found


def test_the_oldest_that_stays_is_missed_even_where_new_records_make_up_for_it() -> None:
    """The sum is right, but the first record that a cutoff kept is gone."""
    before = {LAPSED: standing(10, 1), KEPT: standing(5, 100)}

    found = missing(ONE, before, {KEPT: standing(500, 101)}, removed=10)

    assert found is not None
    assert "the oldest record was of 1970-01-01T00:00:00.000000100Z" in found
    assert "kept by rule 1" in found


def test_who_is_among_the_newest_may_change() -> None:
    """A record that came pushes another out of the newest ones, which then has lapsed: nothing is missing."""
    newest = selection(Last(5))
    code = newest.newest_code(0)
    before = {LAPSED: standing(10, 1), code: standing(5, 50)}
    after = {LAPSED: standing(2, 50), code: standing(5, 60)}

    assert missing(newest, before, after, removed=8) is None
    assert missing(ONE, {LAPSED: standing(10, 1), KEPT: standing(5, 50)}, {KEPT: standing(7, 60)}, removed=8)


def test_a_record_that_others_touched_is_not_missing() -> None:
    """An old record got a new time meanwhile: it stays now, and the sum is the same."""
    before = {LAPSED: standing(10, 1), KEPT: standing(5, 100)}

    assert missing(ONE, before, {LAPSED: standing(1, 1), KEPT: standing(6, 100)}, removed=8) is None


@pytest.mark.parametrize("tenants", [("a", "b"), ("a", None)])
def test_tenants_are_added_up(tenants: tuple[str | None, ...]) -> None:
    """A standing is that of all tenants, with the oldest time of any."""
    tallies = [
        Tally(code=KEPT, tenant=tenant, records=2, size=0, oldest=Nanos(100 - number))
        for number, tenant in enumerate(tenants)
    ]

    assert standings(tallies) == {KEPT: standing(4, 99)}
