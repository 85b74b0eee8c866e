"""While others are busy a slice is taken in steps: short stretches of its places, with rests in between."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pg_looking import connected, run

from lapse import clock
from lapse.model.pace import AUTO_REST, BURST, Pace
from lapse.stores.postgresql import reclaiming
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.courtesy import Courtesy
from lapse.stores.postgresql.places import Leaf, Stretch
from lapse.stores.postgresql.stepping import Steps

LEAF = Leaf(oid=7, sql="log", pages=1000, rows=40_000)


class Others:
    """Others who are busy until they are not; rests and work take time on a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.now = 0.0
        self.busy = True
        self.rested: list[float] = []
        if monkeypatch is not None:
            monkeypatch.setattr(clock, "monotonic", lambda: self.now)

    def burst(self) -> float | None:
        """A millisecond, while they are busy."""
        return 0.001 if self.busy else None

    def rest(self, seconds: float) -> None:
        """Four times as long as the step."""
        self.rested.append(seconds)
        self.now += 4 * seconds


def walked(steps: Steps, others: Others, *, page: float) -> Iterator[Stretch]:
    """Every step; a page takes *page* seconds."""
    for stretch in steps.stretches():
        with steps.step():
            others.now += page * (stretch.last[0] - stretch.first[0])
        yield stretch


@given(
    first=st.tuples(st.integers(0, 50), st.integers(0, 9)),
    pages=st.integers(1, 200),
    row=st.integers(0, 9),
    page=st.floats(0, 0.01),
    latest=st.floats(0, 3),
)
def test_steps_meet_every_place_once(first: tuple[int, int], pages: int, row: int, page: float, latest: float) -> None:
    """In order and without a gap, however long they take, and wherever a slice begins and ends."""
    with pytest.MonkeyPatch.context() as patch:
        others, whole = Others(patch), Stretch(7, first, (first[0] + pages, row))

        found = list(walked(Steps(whole, LEAF, others, latest=latest), others, page=page))

    assert found[0].first == whole.first
    assert found[-1].last == whole.last
    assert all(later.first == earlier.last for earlier, later in pairwise(found))
    assert all(each.first < each.last for each in found)


def test_steps_get_as_long_as_others_can_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rest follows every step but the last; soon each takes about the burst."""
    others = Others(monkeypatch)

    found = list(walked(Steps(Stretch(7, (0, 0), (1000, 0)), LEAF, others, latest=99), others, page=0.0001))

    assert len(others.rested) == len(found) - 1
    assert others.rested[-5:] == pytest.approx([0.001] * 5, rel=0.2)


def test_a_transaction_that_is_open_for_long_rests_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the slice goes in one step."""
    others = Others(monkeypatch)

    found = list(walked(Steps(Stretch(7, (0, 0), (1000, 0)), LEAF, others, latest=0.1), others, page=0.0001))

    assert others.now < 0.1 + 0.005 + 1000 * 0.0001
    assert found[-1].last[0] - found[-1].first[0] > 500


def test_nobody_rests_for_others_who_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked before each step."""
    others = Others(monkeypatch)
    others.busy = False

    found = list(walked(Steps(Stretch(7, (0, 0), (1000, 0)), LEAF, others, latest=99), others, page=0.0001))

    assert (len(found), others.rested) == (1, [])


@pytest.mark.parametrize(("pace", "burst"), [(Pace(), BURST), (Pace(rest=0.0), None), (Pace(rest=0.5), BURST)])
def test_counting_and_tidying_rest_as_the_pace_says(pg_database: str, pace: Pace, burst: float | None) -> None:
    """By a look of their own at who is busy, where the pace leaves it to that."""
    with connected(pg_database) as connection, connected(pg_database) as other:
        other.rows("SELECT set_config('application_name', 'shop', FALSE)")

        assert Courtesy(connection, pace).burst() == burst


def test_a_vacuum_that_rests_leaves_the_session_as_it_was(pg_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rests are settings of the server's own, and hold for it alone."""
    run(pg_database, "CREATE TABLE log AS SELECT i FROM generate_series(1, 1000) i", "DELETE FROM log")
    vacuum, during = reclaiming._vacuum, list[str]()

    def look(connection: Connection, leaf: Leaf, options: str) -> Iterator[str]:
        during.extend(connection.value(f"SHOW vacuum_cost_{name}") for name in ("delay", "limit"))
        yield from vacuum(connection, leaf, options)

    monkeypatch.setattr(reclaiming, "_vacuum", look)
    with connected(pg_database) as connection:
        reclaiming.tidy(connection, [find_table(connection, "log")], rest=AUTO_REST)

        assert during == ["2ms", "222"]  # a tenth of the time is work
        assert connection.value("SHOW vacuum_cost_delay") == "0"
