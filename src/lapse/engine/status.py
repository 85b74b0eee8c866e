"""How everything stands between runs, from Lapse's own state; records are looked at only if that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lapse import clock
from lapse.engine.boards import read_all
from lapse.engine.drifting import drift
from lapse.engine.growth import growth
from lapse.engine.holding import lost_holds
from lapse.engine.outcomes import measured
from lapse.engine.planning import plan
from lapse.engine.remembered import Remembered, remember
from lapse.engine.retuning import pace_warnings, stop_warnings
from lapse.engine.session import Session
from lapse.errors import LapseError
from lapse.instant import SECOND, Nanos, rfc3339
from lapse.model.bytesize import size_text
from lapse.model.plan import DatasetPlan
from lapse.model.policy import Dataset, Hold, Schedule
from lapse.model.span import days_and_hours
from lapse.model.status import DatasetStatus, Overdue, Past, Problem, ProblemKind, StatusReport
from lapse.sqlcore.partitions import LEFT_ASIDE
from lapse.state.checkpoints import latest
from lapse.state.journal import unsettled
from lapse.state.runs import LastRuns
from lapse.state.working import working

_UNSCHEDULED = 26 * 3600 * SECOND
"""Without a schedule, records so long past their deadline are a problem: a nightly run has missed them."""


def status(session: Session, *, survey: bool = False) -> StatusReport:
    """How everything stands.

    Arguments:
        session: Whose policy and state it is about.
        survey: Whether to look at every store, read-only, instead of telling what the last run found.

    Raises:
        LapseError: If the state cannot be read, or with *survey* a store.
    """
    past, alive = remember(session.ledger), working(session.folders.root)
    pending, ran, holds = pending_slices(session, alive), _ran(session), session.holds()
    planned = {name: plan(session, [name]).datasets[0] for name in session.policy.datasets} if survey else {}
    datasets = tuple(
        DatasetStatus(
            dataset=name,
            store=dataset.shown,
            past=_past(session, dataset, ran[name], planned.get(name)),
            missed=missed_runs(session, name, ran[name]),
            total_records=past.totals.get(name, 0),
            pending=pending.get(name, 0),
            growth=growth(session, dataset),
            drift=drift(session, name, ran[name], planned.get(name)),
        )
        for name, dataset in session.policy.datasets.items()
    )
    head, archives = session.ledger.head(), _checkpoints(session)
    entries = 0 if head is None else head.n + 1
    return StatusReport(
        policy=session.scope,
        now=session.now,
        datasets=datasets,
        next_run=_next_run(session),
        working=tuple(sorted(alive)),
        holds=_active_matters(session, holds, survey=survey),
        ledger=session.ledger.ledger_id,
        ledger_entries=entries,
        head=None if head is None else head.hash,
        archives=archives,
        problems=(
            *(problem for each in datasets for problem in _problems(session, each)),
            *(problem for each in planned.values() if not alive for problem in _left_aside(each)),
            *_lost_holds(session, holds, past=past),
            *_cut_tails(archives, entries),
        ),
        warnings=(*_anchor_warnings(archives, entries), *pace_warnings(session), *stop_warnings(session)),
    )


def _active_matters(session: Session, holds: Sequence[Hold], *, survey: bool) -> tuple[str, ...]:
    """Matters of the holds in force, those of other hosts included where stores are looked at."""
    found = read_all(session)[0] if survey else {}
    elsewhere = (each.hold for posted in found.values() for each in posted)
    return tuple(dict.fromkeys(hold.matter for hold in (*holds, *elsewhere) if hold.active(session.now)))


def _ran(session: Session) -> Mapping[str, Past]:
    """What is remembered of the runs of every dataset of the policy."""
    found = LastRuns(session.folders.root).all()
    return {name: found.get(session.state_name(name), Past()) for name in session.policy.datasets}


def pending_slices(session: Session, alive: frozenset[str]) -> Mapping[str, int]:
    """Open slices of runs that are gone, by dataset."""
    pending: dict[str, int] = {}
    for piece in unsettled(session.folders.root):
        name = piece.intent.dataset
        mine = session.policy.datasets.get(name)
        if mine is not None and mine.store_id == piece.intent.store and piece.intent.run not in alive:
            pending[name] = pending.get(name, 0) + 1
    return pending


def _past(session: Session, dataset: Dataset, past: Past, planned: DatasetPlan | None) -> Past:
    return past if planned is None else replace(past, measured=measured(session, dataset, planned))


def missed_runs(session: Session, name: str, past: Past) -> tuple[Nanos, ...]:
    """Due times at which no run of a dataset succeeded, the oldest first; none without a schedule."""
    schedule = session.policy.schedule
    if schedule is None:
        return ()
    since = past.success.began if past.success is not None else _in_service(session, name, past)
    return schedule.missed(since=since, now=session.real_now, local=clock.local_zone())


def _in_service(session: Session, name: str, past: Past) -> Nanos:
    """Since when runs can be expected of a dataset that never had a success: its file says when it was written."""
    origin = session.policy.datasets[name].origin()
    try:
        written = session.real_now if origin is None else Nanos(Path(origin.file).stat().st_mtime_ns)
    except OSError:  # it was there a moment ago, when the policy was read
        written = session.real_now
    return written if past.last is None else min(written, past.last.began)


def _next_run(session: Session) -> Nanos | None:
    schedule = session.policy.schedule
    return None if schedule is None else schedule.next_after(session.real_now, local=clock.local_zone())


def _problems(session: Session, each: DatasetStatus) -> Iterator[Problem]:
    name, again, last = each.dataset, f"lapse run {each.dataset}", each.past.last
    if each.missed:
        yield Problem(kind=ProblemKind.MISSED, dataset=name, message=_missed_text(session, each), fix=again)
    if last is not None and not last.ended.is_success:
        what = f"the last run, {rfc3339(_whole(last.began))}, ended {last.ended.value}: {last.trouble}"
        look = f"lapse run --dry-run {name}"
        yield Problem(kind=ProblemKind.FAILED, dataset=name, message=f"{name}: {what}", fix=look)
    for overdue in each.past.measured.overdue if each.past.measured else ():
        if overdue.deadline is not None and overdue.deadline < _bearable(session):
            yield Problem(
                kind=ProblemKind.OVERDUE, dataset=name, message=f"{name}: {_overdue_text(session, overdue)}", fix=again
            )
    if each.pending:
        slices = "a slice" if each.pending == 1 else f"{each.pending} slices"
        what = f"{name}: {slices} of an interrupted run are not settled"
        yield Problem(kind=ProblemKind.UNSETTLED, dataset=name, message=what, fix=again)
    if each.growth is not None and each.growth.over:
        what = (
            f"{name}: {size_text(each.growth.size)} are more than the {size_text(each.growth.warn_at or 0)} to warn at"
        )
        yield Problem(kind=ProblemKind.GROWTH, dataset=name, message=what, fix=f"lapse plan {name}")


def _left_aside(planned: DatasetPlan) -> Iterator[Problem]:
    """Rows that an interrupted run left where no answer of their table shows them."""
    name = planned.dataset
    for note in filter(LEFT_ASIDE.match, planned.identity.notes):
        yield Problem(kind=ProblemKind.UNSETTLED, dataset=name, message=f"{name}: {note}", fix=f"lapse run {name}")


def _missed_text(session: Session, each: DatasetStatus) -> str:
    schedule = session.policy.schedule
    count = "a run was" if len(each.missed) == 1 else f"{len(each.missed):,} runs were"
    due = "" if schedule is None else f", {schedule.text}"
    return f"{each.dataset}: {count} missed, due since {rfc3339(each.missed[0])}{due}"


def _overdue_text(session: Session, overdue: Overdue) -> str:
    count = "a record is" if overdue.records == 1 else f"{overdue.records:,} records are"
    return f"{count} past the deadline of {overdue.rule}, the oldest by {days_and_hours(overdue.seconds(session.now))}"


def _bearable(session: Session) -> Nanos:
    """The deadline from which on a record need not be gone by now: a run that should be over came before it."""
    schedule: Schedule | None = session.policy.schedule
    if schedule is None:
        return Nanos(session.now - _UNSCHEDULED)
    over = Nanos(session.now - round((schedule.jitter + schedule.slack) * SECOND))
    return schedule.last_until(over, local=clock.local_zone())


def _whole(instant: Nanos) -> Nanos:
    return Nanos(instant - instant % SECOND)


def _checkpoints(session: Session) -> Mapping[str, int | None]:
    found: dict[str, int | None] = {}
    for name, target in session.targets.items():
        try:
            newest = latest(target, session.ledger.ledger_id) if session.ledger.ledger_id else None
        except LapseError:
            newest = None
        found[name] = None if newest is None else newest.n
    return found


def _lost_holds(session: Session, holds: Sequence[Hold], *, past: Remembered) -> Iterator[Problem]:
    for hold in lost_holds(session, holds, past=past):
        what = f"hold {hold.matter} is recorded but not found as it was: the next run will stop"
        yield Problem(kind=ProblemKind.HOLDS, dataset=None, message=what, fix="lapse hold list")


def _cut_tails(archives: Mapping[str, int | None], entries: int) -> Iterator[Problem]:
    for name, n in archives.items():
        if n is not None and n > entries:
            what = f"archive {name} remembers {n} ledger entries, here are {entries}: the tail was cut"
            yield Problem(kind=ProblemKind.LEDGER, dataset=None, message=what, fix="lapse ledger verify")


def _anchor_warnings(archives: Mapping[str, int | None], entries: int) -> Sequence[str]:
    if not entries:
        return ()
    if not archives:
        return ("the policy has no archive: a cut tail of the ledger could not be detected",)
    warnings = []
    for name, n in archives.items():
        if n is None:
            warnings.append(f"archive {name} has no checkpoint that can be read: a cut tail could not be detected")
        elif n < entries:
            warnings.append(f"archive {name} has a checkpoint of {n} entries, the ledger has {entries}: run again")
    return warnings
