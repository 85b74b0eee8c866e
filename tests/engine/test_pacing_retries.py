"""A store that is too busy for a slice: tried again, later and smaller, and no progress is lost."""

from __future__ import annotations

from pathlib import Path

import pacing_world
import pytest
from pacing_world import Desk, DivisibleStore, SharedStore, open_desk

from lapse.errors import BusyError, ExitCode
from lapse.model.disposal import Disposal, Proof
from lapse.model.report import Status
from lapse.state.journal import unsettled
from lapse.testing.memory import MemoryTake


@pytest.fixture(params=[SharedStore, DivisibleStore])
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """100 lapsed records, slices of 10, in stores that can cut a slice in two and that cannot."""
    return open_desk(tmp_path, monkeypatch, request.param)


def test_a_lock_of_twenty_seconds_delays_its_own_slice_only(desk: Desk) -> None:
    """The others go on at once; the slice comes again until it goes through, and the run is done."""
    desk.others.locked = lambda: frozenset({35}) if desk.time.now < 1020 else frozenset()

    report = desk.run()

    assert (desk.left, report.exit_code, desk.dataset(report).status) == (0, ExitCode.DONE, Status.DONE)
    assert desk.dataset(report).waited > 10
    assert desk.dataset(report).waited_for == "lock timeout"
    assert not list(unsettled(desk.folder / "state"))


def test_a_lock_that_stays_costs_its_own_slice_only(desk: Desk) -> None:
    """It is skipped in the end: the dataset is incomplete and says how much remains and why."""
    desk.others.locked = lambda: frozenset({35})

    report = desk.run()

    found = desk.dataset(report)
    assert desk.left == found.remaining == (1 if issubclass(pacing_world.STORE, DivisibleStore) else 10)
    assert (found.status, report.exit_code) == (Status.INCOMPLETE, ExitCode.INCOMPLETE)
    assert found.trouble is not None
    assert found.trouble.message == f"a slice had to be skipped, {desk.left} records remain: lock timeout"
    assert desk.time.now - 1000 < 60


def test_a_lock_that_stays_does_not_end_a_long_run(desk: Desk) -> None:
    """Other slices go through all the time, so the store is not given up however long that takes."""
    desk.others.locked = lambda: frozenset({15, 35, 55, 75})
    desk.others.seconds = lambda records: 20.0

    report = desk.run()

    assert desk.left == (4 if issubclass(pacing_world.STORE, DivisibleStore) else 40)
    assert report.exit_code is ExitCode.INCOMPLETE


def test_a_store_too_busy_at_the_commit_leaves_nothing_open(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that nothing was removed, so the slice is put back like any other, and comes again."""
    commit, failures = MemoryTake.commit, iter([True])

    def deadlocked(take: MemoryTake, proof: Proof) -> Disposal:
        if next(failures, False):
            raise BusyError("deadlock detected", hint="-")
        return commit(take, proof)

    monkeypatch.setattr(MemoryTake, "commit", deadlocked)

    report = desk.run()

    assert (desk.left, report.exit_code) == (0, ExitCode.DONE)
    assert not list(unsettled(desk.folder / "state"))


def test_a_stalled_store_is_not_tried_slice_by_slice(desk: Desk) -> None:
    """Each slice would wait for the same lock: after a few, only those few come again."""
    desk.fill(1000)
    desk.others.locked = lambda: frozenset(range(1, 1001))

    desk.run(seconds=20.0)

    assert max(int(str(last)) for _, last in desk.others.takes) <= 50


def test_a_store_that_lets_nothing_through_is_given_up_in_bounded_time(desk: Desk) -> None:
    """After a minute without any success the dataset is left as it is, and nothing is lost."""
    desk.fill(1000)
    desk.others.locked = lambda: frozenset(range(1, 1001))

    report = desk.run()

    found = desk.dataset(report)
    assert (desk.left, found.status) == (1000, Status.INCOMPLETE)
    assert found.trouble is not None
    assert "nothing could be removed for" in found.trouble.message
    assert 60 <= desk.time.now - 1000 < 80
    desk.others.locked = frozenset
    assert desk.run().exit_code is ExitCode.DONE
    assert desk.left == 0


def test_a_store_that_recovers_within_a_minute_is_not_given_up(desk: Desk) -> None:
    """A table lock of 30 s holds up every slice: the run waits instead of going through them all."""
    desk.fill(1000)
    desk.others.locked = lambda: frozenset(range(1, 1001)) if desk.time.now < 1030 else frozenset()

    report = desk.run()

    assert (desk.left, report.exit_code) == (0, ExitCode.DONE)


def test_a_store_too_busy_to_cut_slices_is_asked_again(desk: Desk) -> None:
    """A statement timeout while the next slice is looked for loses nothing."""
    desk.others.cut_fails = 3

    report = desk.run()

    assert (desk.left, report.exit_code) == (0, ExitCode.DONE)


def test_a_store_that_never_cuts_slices_is_given_up(desk: Desk) -> None:
    """A bounded number of times, then the error is the dataset's trouble."""
    desk.others.cut_fails = 100

    report = desk.run()

    found = desk.dataset(report)
    assert found.trouble is not None
    assert found.trouble.message == "cutting took too long"
    assert desk.others.cut_fails > 80


def test_a_slice_too_long_for_the_server_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement timeout that only short slices meet: the halves of the halves go through."""
    desk = open_desk(tmp_path, monkeypatch, DivisibleStore)
    take = DivisibleStore.take

    def too_long(store: DivisibleStore, piece: object) -> object:
        first, last = piece.bounds  # type: ignore[attr-defined]
        desk.others.locked = lambda: frozenset({first}) if last - first >= 8 else frozenset()
        return take(store, piece)  # type: ignore[arg-type]

    monkeypatch.setattr(DivisibleStore, "take", too_long)

    report = desk.run(slice_rows=32)

    assert (desk.left, report.exit_code) == (0, ExitCode.DONE)
