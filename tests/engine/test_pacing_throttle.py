"""The throttle: how fast a run goes, when it rests, and when it waits for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pacing_world import Desk, FakeTime, open_desk

from lapse.engine import pacing, retuning
from lapse.engine.limits import Ending
from lapse.engine.pacing import Pacer
from lapse.engine.running import Wishes, run
from lapse.engine.status import status
from lapse.errors import BusyError, ExitCode, PolicyError, StoreError
from lapse.model.pace import AUTO_REST, Pace, Tuning
from lapse.model.report import Status
from lapse.ports import Budget, Burden, Event

_LATE = 5.0 + 0.25 + 0.5
"""Seconds by which a run may go on later than it could: the slowest look, a nap, and what holds from before."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """100 lapsed records, slices of 10."""
    return open_desk(tmp_path, monkeypatch)


class _Store:
    """Says how others fare."""

    def __init__(self, burden: Callable[[], Burden]) -> None:
        self.burden = burden


class Throttle(RuleBasedStateMachine):
    """A pacer against a model of what it promises, in a time that only naps and slices move.

    Load comes in spikes: from the moment of a rule until an instant to come. The model knows of every spike,
    pause and slice, and says when the next slice may begin at the earliest and at the latest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self.time = FakeTime.installed(self._patch)
        self.spike_until = self.pause_until = self.busy_until = 0.0
        self.end_at: float | None = None
        self.tuning = Tuning()
        self.told: list[str] = []
        self.asked: list[float] = []
        self.rested_share = 0.0
        self.began = self.finished = self.time.now
        self.removed = 0
        self.inside = 0.0
        self.pacer = Pacer(
            Pace(), _Store(self._burden), tuning=self._said, ending=self._ending,  # type: ignore[arg-type]
            tell=lambda name, **facts: self.told.append(name),
        )  # fmt: skip

    def teardown(self) -> None:
        """Give the real time back."""
        self._patch.undo()

    def _burden(self) -> Burden:
        self.asked.append(self.time.now)
        return Burden(
            wait="a spike" if self.time.now < self.spike_until else None, busy=self.time.now < self.busy_until
        )

    def _said(self) -> Tuning:
        return replace(self.tuning, paused=self.time.now < self.pause_until)

    def _ending(self) -> Ending | None:
        over = self.end_at is not None and self.time.now >= self.end_at
        return Ending(reason="its time is over") if over else None

    @rule(seconds=st.floats(0.01, 300))
    def load_rises(self, seconds: float) -> None:
        """Others suffer for a while."""
        self.spike_until = self.time.now + seconds

    @rule(seconds=st.floats(0.01, 300))
    def others_work(self, seconds: float) -> None:
        """Others are there for a while, and do not suffer."""
        self.busy_until = self.time.now + seconds

    @rule(seconds=st.floats(0.01, 300))
    def operator_pauses(self, seconds: float) -> None:
        """And resumes later."""
        self.pause_until = self.time.now + seconds

    @rule(
        rate=st.one_of(st.just("none"), st.integers(1, 10_000).map(str)), rest=st.sampled_from(["auto", "none", "50%"])
    )
    def operator_retunes(self, rate: str, rest: str) -> None:
        """The next slice is already held to it."""
        self.tuning = Tuning(rows_per_second=rate, rest=rest)

    @rule(seconds=st.floats(0.0, 20))
    def time_passes(self, seconds: float) -> None:
        """Something else takes its time."""
        self.time.now += seconds

    @precondition(lambda self: self.end_at is None)
    @rule(seconds=st.floats(0.1, 100))
    def budget_of_time(self, seconds: float) -> None:
        """The run is to end at some time."""
        self.end_at = self.time.now + seconds

    @rule(records=st.integers(0, 5000), seconds=st.floats(0.001, 2), steps=st.lists(st.floats(0.001, 0.1), max_size=3))
    def next_slice(self, records: int, seconds: float, steps: list[float]) -> None:
        """Ask for the next slice, and do it: the heart of the model."""
        asked_at = self.time.now
        fresh = asked_at - self.pacer._told_at >= pacing._LOOK
        looked = bool(self.asked) and asked_at - self.asked[-1] < self.pacer._look_after
        may_go = self.pacer.ready()

        if not may_go:
            assert self.end_at is not None
            assert asked_at >= self.end_at or self.end_at <= self.time.now <= self.end_at + pacing._STEP
            return
        assert self.end_at is None or self.time.now < self.end_at
        if fresh or self.time.now - asked_at >= pacing._LOOK:
            assert self.time.now >= self.pause_until
            assert self.time.now >= self._earliest()
        if not looked:
            assert self.time.now >= self.spike_until
        latest = max(asked_at, self.pause_until, self.spike_until, self._latest())
        assert self.time.now <= latest + _LATE
        self.began = self.time.now
        self.time.now += seconds
        self.inside = 0.0
        for step in steps:
            self.time.now += step
            before = self.time.now
            self.pacer.rest(step)
            self.inside += self.time.now - before
        self.finished = self.time.now
        self.removed = records
        self.pacer.did(records, began=self.began)

    def _earliest(self) -> float:
        """By the throttle and the rest that was asked for."""
        return max(self._paid(), self._rested(0.5 if self.tuning.rest == "50%" else 0.0)) - 1e-6

    def _latest(self) -> float:
        """As if others were busy all the time."""
        slowest = {"none": 0.0, "50%": 0.5}.get(self.tuning.rest or "auto", AUTO_REST)
        return max(self._paid(), self._rested(slowest))

    def _paid(self) -> float:
        rate = self.tuning.rows_per_second
        return self.began if rate in (None, "none") else self.began + self.removed / int(rate)

    def _rested(self, share: float) -> float:
        worked = self.finished - self.began - self.inside
        return self.finished + worked * share / (1 - share) - self.inside

    @invariant()
    def the_store_is_not_pestered(self) -> None:
        """No two looks are nearer than half a second."""
        gaps = [later - earlier for earlier, later in pairwise(self.asked)]
        assert all(gap >= pacing._LOOK - 1e-6 for gap in gaps)

    @invariant()
    def waits_are_told_in_pairs(self) -> None:
        """A wait that was told is told to be over, unless the run ends."""
        waits, ends = self.told.count("run.waiting"), self.told.count("run.going_on")
        assert ends <= waits
        assert self.told[-1:] != ["run.waiting"] or self.pacer.ended is not None


Throttle.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestThrottle = Throttle.TestCase


def test_a_throttled_run_keeps_to_its_rate(desk: Desk) -> None:
    """`rows per second: 5` takes 20 s for 100 records, the last slice's rest aside."""
    desk.policy(pace="rows per second: 5")

    report = desk.run()

    assert desk.left == 0
    assert 18 <= desk.time.now - 1000 <= 21
    assert desk.dataset(report).rested == pytest.approx(18, abs=1)
    assert desk.dataset(report).waited == 0


def test_slices_of_a_throttled_run_are_short(desk: Desk) -> None:
    """A slow rate makes slices small, so that no rest is long: at most ten seconds' worth."""
    desk.policy(pace="rows per second: 1")

    desk.run(slice_rows=1000, seconds=1.0)

    assert desk.others.cuts[0].rows == 10


def test_the_transaction_time_reaches_the_store(desk: Desk) -> None:
    """The dataset's own pace wins over the policy's, key by key."""
    desk.policy(top="pace: {transaction: 5 s, rest: none}", pace="transaction: 250 ms")

    desk.run()

    assert desk.others.cuts[0].seconds == 0.25


def test_a_run_rests_by_the_share_that_it_was_given(desk: Desk) -> None:
    """`rest: 75%`: three seconds of rest for each second of work."""
    desk.policy(pace="rest: 75%")
    desk.others.seconds = lambda records: 1.0

    report = desk.run()

    assert desk.dataset(report).rested == pytest.approx(30, abs=3)


@pytest.mark.parametrize(("busy", "rested"), [(False, 0), (True, 81)])
def test_rest_auto_rests_while_others_are_busy(desk: Desk, busy: bool, rested: float) -> None:
    """Alone in the house nobody has to be considerate; else a second of work is followed by nine of rest."""
    desk.others.seconds = lambda records: 1.0
    desk.others.burden = lambda: Burden(busy=busy)

    report = desk.run()

    assert desk.dataset(report).rested == pytest.approx(rested, abs=9.1)


def test_a_load_spike_is_a_pause_and_not_an_end(desk: Desk) -> None:
    """A replica that is away for half a minute: the run waits, goes on, and says so."""
    listener = _Listener()

    def burden() -> Burden:
        spike = desk.left <= 50 and desk.time.now < 1030
        return Burden(wait=f"replica b is {desk.time.now - 1000:.0f} s behind" if spike else None)

    desk.others.burden = burden
    desk.others.seconds = lambda records: 0.6

    report = run(replace(desk.session(), hooks=(listener,)), Wishes(budget=Budget(rows=10), allow_empty=True))

    found = desk.dataset(report)
    assert (desk.left, found.status, report.exit_code) == (0, Status.DONE, ExitCode.DONE)
    assert 20 < found.waited < 35
    assert "s behind" in (found.waited_for or "")
    names = [event.name for event in listener.told if event.name in ("run.waiting", "run.going_on")]
    assert names[0] == "run.waiting"
    assert names.count("run.going_on") == 1


class _Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def on(self, event: Event) -> None:
        """Note it."""
        self.told.append(event)


def test_nobody_waits_for_a_slice_that_there_is_not(desk: Desk) -> None:
    """After the last slice the run ends, however others fare."""
    desk.others.burden = lambda: Burden(wait=None if desk.left else "replica b is 99 s behind")
    desk.others.seconds = lambda records: 0.6

    report = desk.run()

    assert (desk.left, desk.dataset(report).waited) == (0, 0)


def test_waiting_ends_only_with_the_budget(desk: Desk) -> None:
    """A replica that never comes back makes the run wait until its time is over; nothing is removed."""
    desk.others.burden = lambda: Burden(wait="replica b does not answer")

    report = desk.run(seconds=3600.0)

    found = desk.dataset(report)
    assert (desk.left, found.status, report.exit_code) == (100, Status.ENDED, ExitCode.DONE)
    assert found.waited == pytest.approx(3600, abs=1)
    assert report.ended == "its time of 3,600 s is over"


def test_a_store_that_cannot_tell_stops_the_dataset(desk: Desk) -> None:
    """As where the query of `pause while` is wrong: a run that cannot know whether to wait does not go on."""

    def broken() -> Burden:
        raise StoreError("`pause while`: there is no table load", hint="Look at the query.")

    desk.others.burden = broken

    report = desk.run()

    found = desk.dataset(report)
    assert (desk.left, found.status) == (100, Status.INCOMPLETE)
    assert found.trouble is not None
    assert "`pause while`" in found.trouble.message


def test_a_store_too_busy_to_tell_makes_the_run_wait(desk: Desk) -> None:
    """That is a reason to wait, not an error."""

    def busy() -> Burden:
        if desk.time.now < 1010:
            raise BusyError("statement timeout", hint="-")
        return Burden()

    desk.others.burden = busy

    report = desk.run()

    assert (desk.left, report.exit_code) == (0, ExitCode.DONE)
    assert "statement timeout" in (desk.dataset(report).waited_for or "")


def test_a_running_run_hears_what_the_operator_says(desk: Desk) -> None:
    """Half-way the rate is set to 1 a second: the rest takes 40 s and more, in slices of ten."""
    session = desk.session()

    def seconds(records: int) -> float:
        if desk.left == 50:
            retuning.retune(session, Tuning(rows_per_second="1", transaction="100 ms"), paused=None)
        return 0.6

    desk.others.seconds = seconds

    report = desk.run()

    assert desk.left == 0
    assert desk.dataset(report).rested > 35
    assert [budget.seconds for budget in desk.others.cuts] == [1.0, 0.1]
    assert any("lapse pace --reset" in warning for warning in report.warnings)


def test_a_pause_lasts_until_it_is_ended(desk: Desk) -> None:
    """It counts for runs to come, too, and `status` shows it; whoever resumes it lets the run go on."""
    session = desk.session()
    retuning.retune(session, Tuning(), paused=True)
    assert any("paused" in warning for warning in status(desk.session()).warnings)

    def resumed() -> bool:
        if desk.time.now >= 1100:
            retuning.retune(session, Tuning(), paused=False)
        return False

    report = desk.run(stopping=resumed)

    assert desk.left == 0
    assert desk.dataset(report).waited == pytest.approx(100, abs=1)
    assert desk.dataset(report).waited_for == "paused by `lapse pace --pause`"


def test_reset_makes_the_policy_count_again(desk: Desk) -> None:
    """Nothing of what was said is left."""
    desk.policy(pace="rows per second: 7")
    session = desk.session()
    retuning.retune(session, Tuning(rows_per_second="none", rest="50%"), paused=True)
    retuning.retune(session, Tuning(transaction="1 s"), paused=None)
    assert retuning.tuned(session).tuning.words == ("paused", "transaction: 1 s", "rows per second: none", "rest: 50%")

    found = retuning.reset(session)

    assert found.tuning == Tuning()
    assert found.paces["calls"].rows_per_second == 7


def test_a_setting_that_makes_no_sense_is_not_kept(desk: Desk) -> None:
    """A run would stumble over it."""
    with pytest.raises(PolicyError):
        retuning.retune(desk.session(), Tuning(rest="100%"), paused=None)

    assert retuning.tuning(desk.session()) == Tuning()


@pytest.mark.parametrize(
    "content", ['{"x": 1', '{"FILE": [1]}', '{"FILE": {"rest": 5}}', '{"FILE": {"speed": "fast"}}']
)
def test_an_unreadable_setting_stops_the_dataset(desk: Desk, content: str) -> None:
    """Nobody knows how gently to go on."""
    session = desk.session()
    file = desk.folder / "state" / "pace.json"
    retuning.reset(session)
    file.write_text(content.replace("FILE", session.scope))

    report = desk.run()

    assert desk.left == 100
    assert desk.dataset(report).trouble is not None
    assert "pace.json" in desk.dataset(report).trouble.message  # type: ignore[union-attr]
