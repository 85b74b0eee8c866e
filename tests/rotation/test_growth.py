"""How the files of a dataset grow: what runs remember, what follows from it, and when it is too much."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from turning_run import home
from turning_world import line

from lapse.errors import StateError
from lapse.instant import DAY, SECOND, Nanos
from lapse.model.growth import Growth, Sample, bytes_a_day
from lapse.state.growth_samples import GrowthSamples

_HOUR = 3600 * SECOND


def test_what_comes_in_between_runs_is_the_growth() -> None:
    """Removals and rotations of a run are none: only from after one run to before the next."""
    samples = [Sample(Nanos(0), 1000, 100), Sample(Nanos(DAY), 500, 0)]

    assert bytes_a_day(samples, size=200, at=Nanos(2 * DAY)) == (400 + 200) / 2


def test_less_than_an_hour_says_nothing() -> None:
    """An hour's worth is the least that a day is judged by."""
    assert bytes_a_day([Sample(Nanos(0), 0, 0)], size=9, at=Nanos(_HOUR - 1)) is None
    assert bytes_a_day([Sample(Nanos(0), 0, 0)], size=9, at=Nanos(_HOUR)) == 9 * 24


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), min_size=1, max_size=10))
def test_no_growth_is_negative(sizes: list[tuple[int, int]]) -> None:
    """Whatever others take away between two runs."""
    samples = [Sample(Nanos(n * DAY), before, after) for n, (before, after) in enumerate(sizes)]

    rate = bytes_a_day(samples, size=0, at=Nanos(len(sizes) * DAY))

    assert rate is not None
    assert rate >= 0


def test_the_last_thirty_samples_are_remembered(tmp_path: Path) -> None:
    """Sizes beyond what JSON can hold come back exactly."""
    samples = GrowthSamples(tmp_path)
    for number in range(40):
        samples.add("log", Sample(Nanos(number), 2**60 + number, 0))

    assert [each.before - 2**60 for each in samples.of("log")] == list(range(10, 40))
    assert samples.of("other") == ()


def test_samples_that_somebody_else_changed_are_refused(tmp_path: Path) -> None:
    """With the way out: nothing else needs them."""
    GrowthSamples(tmp_path).add("log", Sample(Nanos(0), 0, 0))
    (tmp_path / "runs" / "growth.json").write_text('{"log": [["x"]]}')

    with pytest.raises(StateError, match=r"growth\.json") as caught:
        GrowthSamples(tmp_path).of("log")
    assert "Remove this file" in str(caught.value.hint)


def test_with_one_look_the_times_of_the_records_tell_how_a_log_grows(tmp_path: Path) -> None:
    """24 lines in 23 hours: about a line an hour, and as many bytes."""
    mine = home(tmp_path)
    lines = [line(10, at=f"2026-11-21T{hour:02}:00:00Z") for hour in range(24)]
    mine.logs.write(*lines)

    found = mine.growth()

    size = sum(map(len, lines))
    assert (found.size, found.files) == (size, 1)
    assert found.bytes_a_day == pytest.approx(size * 24 / 23)
    assert found.lines_a_day == pytest.approx(24 * 24 / 23)
    free = os.statvfs(tmp_path)
    assert found.days_to_full == pytest.approx(free.f_bavail * free.f_frsize / (size * 24 / 23), rel=0.05)


def test_a_burst_in_the_newest_file_is_no_rate(tmp_path: Path) -> None:
    """A thousand lines in a second are not 86 million a day, which would fill every disk at once."""
    mine = home(tmp_path)
    mine.logs.write(*(line(10, at=f"2026-11-21T00:00:00.{number:03}Z") for number in range(1000)))

    found = mine.growth()

    assert (found.bytes_a_day, found.lines_a_day, found.days_to_full) == (None, None, None)


def test_runs_leave_samples_that_count_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hours after a run, what came in since is what is counted, whatever times the records have."""
    mine = home(tmp_path)
    mine.logs.write(line(1))
    mine.run()
    lines = [line(n) for n in range(4)]
    mine.logs.write(*lines)

    found = mine.growth(later=2 * _HOUR)

    assert found.bytes_a_day == pytest.approx(sum(map(len, lines)) * 12, rel=0.01)
    assert found.lines_a_day == pytest.approx(48, rel=0.01)


def test_a_log_without_readable_times_says_nothing_yet(tmp_path: Path) -> None:
    """Its size is known all the same."""
    mine = home(tmp_path)
    mine.logs.write(b"no json\n", b"no json\n")

    assert (mine.growth().size, mine.growth().bytes_a_day, mine.growth().days_to_full) == (16, None, None)


@pytest.mark.parametrize(("size", "over"), [(99, False), (100, True), (101, True)])
def test_too_much_begins_with_what_the_policy_says(size: int, over: bool) -> None:
    """The size itself is too much."""
    assert Growth(size=size, warn_at=100).over is over
    assert not Growth(size=size).over


def test_a_dataset_that_is_too_large_warns_in_runs_and_fails_status(tmp_path: Path) -> None:
    """A run warns and reports the figures, `lapse status` exits 1, and the metric is there."""
    mine = home(tmp_path, "warn at: 100 B")
    mine.logs.write(*(line(n) for n in range(3)))

    ran = mine.lapse("run", "--json", "--log-format", "json")
    status = mine.lapse("status", "--json", "--metrics", str(tmp_path / "lapse.prom"))

    run = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert [text for text in run["warnings"] if "the policy warns at 100 B" in text] != []
    assert run["result"]["datasets"][0]["growth"]["size"] == sum(len(line(n)) for n in range(3))
    events = [json.loads(each) for each in ran.stderr.splitlines()]
    assert [each["level"] for each in events if each["event"] == "dataset.large"] == ["warning"]
    assert status.returncode == 1
    assert [each["kind"] for each in json.loads(status.stdout)["result"]["problems"]] == ["growth"]
    metrics = (tmp_path / "lapse.prom").read_text()
    assert re.search(r'^lapse_\S*growth_warning\{.*dataset="log".*\} 1(\.0)?$', metrics, re.MULTILINE)


def test_below_that_nothing_is_said(tmp_path: Path) -> None:
    """Exit 0, and the size is shown."""
    mine = home(tmp_path, "warn at: 1 GB")
    mine.logs.write(line(1))
    mine.run()

    status = mine.lapse("status")

    assert status.returncode == 0
    assert "1 file, " in status.stdout
