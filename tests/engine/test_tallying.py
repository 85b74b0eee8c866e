"""Counts of stretches added up as they come are the tallies of the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally, merge
from lapse.sqlcore.tallying import Row, Running, tally_of

_TIMES = st.none() | st.integers(-3, 3)
_ROWS: st.SearchStrategy[Row] = st.tuples(
    st.integers(0, 2),
    st.sampled_from([None, "", "a", "b"]),
    st.integers(1, 5),
    st.integers(0, 50),
    _TIMES,
    _TIMES,
    st.integers(0, 3 * CHECKSUM_MODULUS),
)


def _merged(rows: list[Row]) -> tuple[Tally, ...]:
    return merge(map(tally_of, rows))


@given(st.lists(_ROWS, max_size=12), st.lists(_ROWS, max_size=12))
def test_stretches_add_up_to_the_whole(first: list[Row], second: list[Row]) -> None:
    """Records, sizes, extents and checksums by outcome and tenant, in their order, whichever way they came."""
    running = Running()

    running.add_rows(first)
    running.add(map(tally_of, second))

    assert running.merged() == _merged([*first, *second])


def test_a_stretch_without_times_leaves_the_extent() -> None:
    """Records that have no time that can be read are counted, and widen nothing."""
    running = Running()

    running.add_rows([(0, None, 1, 10, None, None, 1), (0, None, 2, 20, 5, 6, 2), (0, None, 3, 30, None, None, 3)])

    (tally,) = running.merged()
    assert (tally.records, tally.size, tally.oldest, tally.newest) == (6, 60, Nanos(5), Nanos(6))
