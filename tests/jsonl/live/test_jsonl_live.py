"""Logs that are written while runs purge them and are killed: 0 lines lost, 0 doubled, 0 torn, in every mode."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from live_audit import Audit
from live_crew import CREWS, RATE, is_refused, is_rewritten
from live_disks import NotHereError, collapses, disk, own_mounts
from live_lines import Profile
from live_runs import Runs
from live_world import Live, Mode

DISKS = ("ext4", "xfs", "overlay", "tmpfs")
MODES = [Mode(*mode) for mode in itertools.product(CREWS, Profile, DISKS)]
_PLACES = itertools.product(range(len(CREWS)), range(len(Profile)), range(len(DISKS)))
SOME = [mode for mode, places in zip(MODES, _PLACES, strict=True) if sum(places) % 2 == 0]
"""Half of them, as the white squares of a board: every crew on every disk, each with one profile of the two."""

Record = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done to a mode.

    Attributes:
        runs: Runs in all, beside the last one in peace.
        kills: How many of them are killed.
        keep: How long a line is kept.
        fresh: Whether each run starts an interpreter of its own.
    """

    runs: int
    kills: int
    keep: timedelta
    fresh: bool


_LATE = 8
"""How often lines may be out of order for a killed run: of each of two writers, in the log and in the segments."""

SHORT = Effort(runs=2, kills=1, keep=timedelta(seconds=1), fresh=False)
FULL = Effort(runs=100, kills=30, keep=timedelta(seconds=3), fresh=True)


@contextmanager
def _home() -> Iterator[Path]:
    """A folder in memory where there is one: what is synced there is not what is tested here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="lapse-live-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def _harass(live: Live, effort: Effort, chance: random.Random) -> None:
    """Run while they write; the first run is killed, which is when there is most to remove.

    The last run is not: what a killed one has sealed and taken out counts as removed once the next one has recorded it.
    """
    fates = [True] * (effort.kills - 1) + [False] * (effort.runs - effort.kills - 1)
    chance.shuffle(fates)
    with live.writing():
        live.call("plan")
        for killed in [True, *fates, False]:
            if killed:
                live.run_and_kill(chance)
            else:
                live.run()


def _counts(live: Live, found: Audit) -> str:
    course = live.course
    return (
        f"{course.removing} runs removed, {course.idle} had nothing to, {len(course.refused)} refused, "
        f"{course.killed} killed; {found.kept + found.removed:,} lines, {found.removed:,} removed, "
        f"longest wait of a writer {live.longest * 1000:.0f} ms: "
        f"{found.faults or 'none lost, doubled, torn or out of order'}"
    )


def purge_under_writers(mode: Mode, effort: Effort, folder: Path, runs: Runs, record: Record) -> None:
    """The whole test of one mode: writers, runs, kills, one run in peace, and the account."""
    chance = random.Random(str(mode))
    with _home() as home, disk(mode.disk, folder) as place:
        in_place = collapses(place)
        refused, anew = is_refused(mode.crew, collapses=in_place), is_rewritten(mode.crew, collapses=in_place)
        logs = place / "logs"
        logs.mkdir()
        live = Live(mode, logs, home, keep=effort.keep, fresh=effort.fresh, runs=runs)
        _harass(live, effort, chance)
        under_writers = live.audit()
        last = live.run()
        found = live.audit()
        counts = _counts(live, found)
        record("ran", f"{mode}: {counts}")
        most = _LATE * live.course.killed if anew else 0
        assert under_writers.faults_after_kills(most) == found.faults_after_kills(most) == {}, counts
        assert (last.exit, live.strays()) == (0, []), last.told
        assert live.call("ledger", "verify").exit == 0
    if refused:
        assert (live.course.removing, under_writers.removed) == (1, 0), counts  # the last run
        assert all("open for writing" in said for said in live.course.refused), live.course.refused
    else:
        waits = anew and live.course.killed > 0 and "plain" in mode.crew
        assert all(waits and "is not finished" in said for said in live.course.refused), live.course.refused
        assert under_writers.removed > 0, counts


def _anywhere(mode: Mode, effort: Effort, folder: Path, runs: Runs, record: Record) -> None:
    """Where this machine has no such file system, that is what ran: nothing, and why."""
    try:
        purge_under_writers(mode, effort, folder, runs, record)
    except NotHereError as error:
        record("ran", f"{mode}: NOT RUN, {error}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """One program that starts all the runs."""
    with suppress(NotHereError):
        own_mounts()
    with Runs(tmp_path_factory.mktemp("runs")) as program:
        yield program


@pytest.mark.crash
@pytest.mark.parametrize("mode", SOME, ids=str)
def test_no_line_is_lost_under_live_writers(mode: Mode, tmp_path: Path, runs: Runs, record_property: Record) -> None:
    """Every line is in the log or in the archive, once, whole, in order, and none went before its time."""
    _anywhere(mode, SHORT, tmp_path / "disk", runs, record_property)


@pytest.mark.soak
@pytest.mark.crash
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_no_line_is_lost_in_a_hundred_runs(mode: Mode, tmp_path: Path, runs: Runs, record_property: Record) -> None:
    """The full count of the promise above: two writers of 5,000 lines a second, 100 runs, 30 of them killed."""
    assert RATE == 5000
    _anywhere(mode, FULL, tmp_path / "disk", runs, record_property)
