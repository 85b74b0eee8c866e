"""The first rule that matches is the same, looked up or tried one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lapse.model.dispatch import dispatch
from lapse.model.match import Condition, Glob, Match

FIELDS = ("action", "actor", "tenant")
TEXTS = ("", "a", "b", "1", "true", "A")
VALUES: tuple[object, ...] = (*TEXTS, 1, True, None, 1.0, b"a", [], 10**30)

conditions = st.builds(
    Condition,
    st.sampled_from(FIELDS),
    st.lists(st.sampled_from(TEXTS), max_size=3).map(tuple),
    st.lists(st.sampled_from((Glob("*"), Glob("a*"), Glob("?"))), max_size=1).map(tuple),
    numbers=st.lists(st.just(1), max_size=1).map(tuple),
)
plain = st.builds(
    Condition, st.sampled_from(FIELDS), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2).map(tuple)
)
matches = st.builds(Match, st.lists(conditions | plain, max_size=3).map(tuple))
records = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES))


@given(st.lists(matches, max_size=12), records)
def test_the_first_match_is_found_as_if_each_were_tried(given_matches: list[Match], record: dict[str, object]) -> None:
    """Lookups and single tries together answer what the definition does."""
    tried = next((n for n, match in enumerate(given_matches) if match.matches(record.get)), None)

    assert dispatch(given_matches).first(record.get) == tried


def test_many_plain_matches_become_one_lookup() -> None:
    """Ten thousand tenants with rules of their own are found by one look, not by ten thousand tries."""
    of_tenants = [Match((Condition("tenant", (f"t{n}",)), Condition("action", ("a", "b")))) for n in range(10_000)]

    found = dispatch([*of_tenants, Match()])

    assert len(found.lookups) == 1
    assert [number for number, _ in found.singles] == [10_000]
    assert found.first({"tenant": "t9999", "action": "b"}.get) == 9_999


def test_a_match_of_very_many_combinations_is_tried_by_itself() -> None:
    """A lookup never grows by the product of long lists."""
    long = tuple(map(str, range(100)))

    found = dispatch([Match((Condition("tenant", long), Condition("action", long)))])

    assert not found.lookups
    assert found.first({"tenant": 99, "action": "7"}.get) == 0
