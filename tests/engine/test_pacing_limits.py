"""What ends a run early, and that it keeps what it did."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pacing_world import Desk, open_desk

from lapse import clock
from lapse.engine.limits import Allowance, Limits
from lapse.engine.status import status
from lapse.errors import ExitCode
from lapse.instant import Nanos
from lapse.model.report import Status
from lapse.ports import Burden
from lapse.testing.memory import WORLDS, Memory


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """100 lapsed records, slices of 10."""
    return open_desk(tmp_path, monkeypatch)


@pytest.mark.parametrize(("rows", "slice_rows"), [(1, 10), (9, 10), (10, 10), (37, 10), (99, 10), (50, 1000), (7, 2)])
def test_a_budget_of_records_is_used_up_and_never_exceeded(desk: Desk, rows: int, slice_rows: int) -> None:
    """The last slice is cut to what is left; the report says what remains, and the exit code is 0."""
    report = desk.run(slice_rows=slice_rows, rows=rows)

    found = desk.dataset(report)
    assert (found.records, found.remaining, desk.left) == (rows, 100 - rows, 100 - rows)
    assert found.status is Status.ENDED
    assert report.ended == f"the budget of {rows} records is spent"
    assert report.exit_code is ExitCode.DONE


@pytest.mark.parametrize("rows", [100, 101, 5000])
def test_a_budget_that_suffices_is_not_mentioned(desk: Desk, rows: int) -> None:
    """Nothing remains, so the run did not end early."""
    report = desk.run(rows=rows)

    assert (desk.left, report.ended, desk.dataset(report).status) == (0, None, Status.DONE)


@given(
    rows=st.integers(1, 500),
    wanted=st.integers(1, 500),
    sizes=st.lists(st.integers(0, 5), min_size=100, max_size=400),
)
def test_what_a_slice_may_have_is_bounded_and_changes_seldom(rows: int, wanted: int, sizes: list[int]) -> None:
    """Never more than is left or wanted; and the answer changes a logarithmic number of times."""
    allowance = Allowance(Limits(rows=rows), stop_file=Path("/nowhere/stop"), stopping=lambda: False, started=0)
    left, answers = rows, []
    for size in sizes:
        if left == 0:
            break
        answers.append(allowance.slice_rows(wanted))
        assert 1 <= answers[-1] <= min(left, wanted)
        removed = min(size, answers[-1])
        allowance.spend(removed)
        left -= removed

    changes = sum(one != other for one, other in pairwise(answers))
    assert changes <= wanted.bit_length() + 1


@given(rows=st.integers(1, 130), slice_rows=st.integers(1, 130))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_budget_removes_as_many_records_as_it_allows(desk: Desk, rows: int, slice_rows: int) -> None:
    """Over all sizes of slices and budgets."""
    desk.fill(100)

    desk.run(slice_rows=slice_rows, rows=rows)

    assert desk.left == max(0, 100 - rows)


def test_a_budget_of_records_counts_over_all_datasets(desk: Desk) -> None:
    """`--rows` is about the run, not about each dataset."""
    policy = desk.folder / "lapse.yaml"
    WORLDS["more"] = Memory(dict(WORLDS["calls"].records))
    second = '  more: {store: "memory://more", table: more, time: at, keep: 90 days, archive: none}\n'
    policy.write_text(policy.read_text() + second)

    report = desk.run(rows=130)

    assert [(each.records, each.remaining, each.status) for each in report.datasets] == [
        (100, 0, Status.DONE),
        (30, 70, Status.ENDED),
    ]


def test_time_ends_a_run_between_slices(desk: Desk) -> None:
    """Slices of 10 records last 10 s here: three of them begin within 25 s."""
    desk.others.seconds = lambda records: float(records)

    report = desk.run(seconds=25.0)

    assert (desk.dataset(report).slices, desk.left) == (3, 70)
    assert report.ended == "its time of 25 s is over"
    assert report.exit_code is ExitCode.DONE


def test_a_clock_on_the_wall_ends_a_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--until` is about the real time, whatever decides about the records."""
    start = clock.real_now()
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(start + int((desk.time.now - 1000) * 1_000_000_000)))
    desk.others.seconds = lambda records: float(records)

    report = desk.run(until=Nanos(start + 15_000_000_000))

    assert desk.left == 80
    assert (report.ended or "").startswith("it is ")


@pytest.mark.parametrize("own", [True, False])
def test_a_stop_file_ends_a_run_and_is_remembered(desk: Desk, own: bool) -> None:
    """It ends runs for as long as it lies there, so runs and `status` warn of it."""
    file = desk.folder / "halt" if own else desk.folder / "state" / "stop"

    def seconds(records: int) -> float:
        if desk.left <= 70:
            file.touch()
        return 0.01

    desk.others.seconds = seconds

    report = desk.run(stop_file=desk.folder / "halt")

    assert desk.left == 60
    assert report.ended == f"the stop file {file} is there"
    assert report.exit_code is ExitCode.DONE
    assert any(str(file) in warning for warning in report.warnings)
    assert any(str(file) in warning for warning in status(desk.session()).warnings) is not own


def test_a_signal_ends_a_run_incomplete(desk: Desk) -> None:
    """Nobody planned for it, so the exit code is 1; what was done stays done."""
    report = desk.run(stopping=lambda: desk.left <= 50)

    found = desk.dataset(report)
    assert (found.status, found.records, found.remaining) == (Status.INCOMPLETE, 50, 50)
    assert found.trouble is not None
    assert found.trouble.message == report.ended == "the run was asked to stop"
    assert report.exit_code is ExitCode.INCOMPLETE


def test_a_signal_ends_a_wait_at_once(desk: Desk) -> None:
    """A run that waits for others looks every quarter of a second whether it is to end."""
    desk.others.burden = lambda: Burden(wait="replica b is 99 s behind")

    report = desk.run(stopping=lambda: desk.time.now >= 1060)

    assert desk.time.now - 1060 <= 0.25
    assert desk.left == 100
    assert desk.dataset(report).waited_for == "replica b is 99 s behind"


def test_the_next_run_goes_on(desk: Desk) -> None:
    """Three budgets of 40 are enough for 100 records."""
    ends = [desk.run(rows=40).ended for _ in range(3)]

    assert desk.left == 0
    assert [end is None for end in ends] == [False, False, True]
