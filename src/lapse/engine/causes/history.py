"""Causes in how runs went, or did not: what has lapsed is still there because nobody took it."""

from __future__ import annotations

from collections.abc import Iterator

from lapse.engine.causes.scene import Scene
from lapse.engine.drifting import drift
from lapse.engine.status import missed_runs
from lapse.engine.units.installing import is_installed
from lapse.errors import LapseError
from lapse.instant import SECOND, Nanos, rfc3339, rfc3339_second
from lapse.model.causes import Cause, CauseKind, Weight
from lapse.model.ledger_entry import EntryKind
from lapse.model.report import Status
from lapse.model.selection import SKEW, Verdict
from lapse.model.status import Ended, Past, PastRun

_MOST_CHANGES = 5
_NIGHTLY = Nanos(26 * 3600 * SECOND)
"""A run that is less old than this was one of a daily schedule, whoever keeps that."""


def last_run_failed(scene: Scene) -> Iterator[Cause]:
    """It was refused, or did not complete."""
    if isinstance(scene.past, LapseError):
        hint = "" if scene.past.hint is None else f". {scene.past.hint}"
        message = f"how the last runs ended cannot be read: {scene.past}{hint}".removesuffix(".")
        yield Cause(kind=CauseKind.STATE, weight=Weight.HINTS, message=message, fix="lapse status")
        return
    last = scene.past.last
    if last is not None and not last.ended.is_success:
        hint = "" if last.hint is None else f". {last.hint}"
        message = f"the last run, {_day(last)}, ended {last.ended.value}: {last.trouble}{hint}".removesuffix(".")
        yield _stopped(scene, CauseKind.FAILED, message, f"lapse run --dry-run {scene.name}")


def budget_is_used_up(scene: Scene) -> Iterator[Cause]:
    """The last runs ended before all was done."""
    last = _past(scene).last
    if last is not None and last.ended is Ended.EARLY:
        runs = _early_in_a_row(scene)
        left = None if last.measured is None else last.measured.remaining
        remaining = "" if left is None else f"; the last one left {left:,} records"
        which = "the last run" if runs < 2 else f"the last {runs} runs"
        message = f"{which} ended before everything was done, by a budget or a stop file{remaining}"
        yield _stopped(scene, CauseKind.BUDGET, message, f"lapse run {scene.name}")


def runs_were_missed(scene: Scene) -> Iterator[Cause]:
    """The policy's schedule wanted runs that did not succeed."""
    schedule = scene.session.policy.schedule
    if schedule is None or not _known(scene):
        return
    missed = missed_runs(scene.session, scene.name, _past(scene))
    if missed:
        runs = "a run was" if len(missed) == 1 else f"{len(missed):,} runs were"
        message = f"{runs} missed since {rfc3339(missed[0])}, {schedule.text}"
        yield _stopped(scene, CauseKind.MISSED, message, _install(scene) or f"lapse run {scene.name}")


def never_ran(scene: Scene) -> Iterator[Cause]:
    """No run has ever come to it."""
    if _known(scene) and _past(scene).last is None:
        message = "no run has come to this dataset yet"
        yield _stopped(scene, CauseKind.NEVER_RUN, message, f"lapse run {scene.name}")


def nothing_starts_runs(scene: Scene) -> Iterator[Cause]:
    """No schedule in the policy, none of its units is installed, and no run was seen of late."""
    last = _past(scene).last
    recent = last is not None and scene.session.real_now - last.at < _NIGHTLY
    if not _known(scene) or recent:
        return
    fix = _install(scene)
    if fix is not None:
        none = "the policy has no schedule, and " if scene.session.policy.schedule is None else ""
        message = f"{none}no timer of Lapse is installed here for this policy"
        yield _stopped(scene, CauseKind.UNSCHEDULED, message, fix)


def slices_are_open(scene: Scene) -> Iterator[Cause]:
    """An interrupted run left slices, which the next one settles."""
    if isinstance(scene.pending, LapseError):
        message = f"the journal cannot be read: {scene.pending}"
        yield Cause(kind=CauseKind.STATE, weight=Weight.BLOCKS, message=message, fix="lapse status")
    elif scene.pending:
        slices = "a slice" if scene.pending == 1 else f"{scene.pending} slices"
        message = f"{slices} of an interrupted run are not settled; the next run settles them"
        yield Cause(kind=CauseKind.UNSETTLED, weight=Weight.HINTS, message=message, fix=f"lapse run {scene.name}")


def rules_have_changed(scene: Scene) -> Iterator[Cause]:
    """What was removed, and what is still there, is the work of other rules than those that the policy has now."""
    found = drift(scene.session, scene.name, _past(scene))
    if found is not None:
        shown, more = found.texts[:_MOST_CHANGES], len(found.texts) - _MOST_CHANGES
        rest = f"; and {more:,} more" if more > 0 else ""
        since = rfc3339_second(found.began)
        message = f"changed since the last success, {since}: {'; '.join(shown)}{rest}. The next run follows it"
        yield Cause(kind=CauseKind.DRIFT, weight=Weight.HINTS, message=message, fix="lapse status --survey")


def now_is_set(scene: Scene) -> Iterator[Cause]:
    """``LAPSE_NOW`` decides as of an earlier time."""
    if scene.session.now < scene.session.real_now - SKEW:
        message = f"LAPSE_NOW decides as of {rfc3339(scene.session.now)}; what lapsed later is kept"
        yield Cause(kind=CauseKind.CLOCK, weight=Weight.HINTS, message=message, fix="unset LAPSE_NOW")


def _past(scene: Scene) -> Past:
    return Past() if isinstance(scene.past, LapseError) else scene.past


def _known(scene: Scene) -> bool:
    """Whether it is known how runs went."""
    return not isinstance(scene.past, LapseError)


def _day(run: PastRun) -> str:
    return rfc3339(Nanos(run.began - run.began % SECOND))


def _early_in_a_row(scene: Scene) -> int:
    """How many runs of the dataset ended early one after the other, by the ledger; 0 if it cannot be read."""
    found = 0
    try:
        for entry in scene.session.ledger.entries():
            datasets = entry.body.get("datasets") if entry.kind is EntryKind.RUN else None
            said = datasets.get(scene.name) if isinstance(datasets, dict) else None
            if isinstance(said, dict):
                found = found + 1 if said.get("status") == Status.ENDED.value else 0
    except LapseError:
        return 0  # that the ledger cannot be read is a cause of its own
    return found


def _install(scene: Scene) -> str | None:
    """The command that installs a timer. None if one of this policy is there."""
    return None if is_installed(scene.session.scope) else "lapse schedule systemd --install"


def _stopped(scene: Scene, kind: CauseKind, message: str, fix: str) -> Cause:
    """It matters where something has lapsed; else it only explains."""
    lapsed = None if scene.planned is None else scene.planned.records(Verdict.LAPSED)
    weight = Weight.HINTS if lapsed == 0 else Weight.STOPPED
    return Cause(kind=kind, weight=weight, message=message, fix=fix, records=lapsed or None)


HISTORY = (
    last_run_failed, budget_is_used_up, runs_were_missed, never_ran, nothing_starts_runs, slices_are_open,
    rules_have_changed, now_is_set,
)  # fmt: skip
