"""What a run leaves behind for `lapse status`: how it ended for each dataset, and what was found there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from heapq import nlargest

from lapse import clock
from lapse.engine.session import Session
from lapse.errors import ExitCode, LapseError, StateError
from lapse.instant import Nanos
from lapse.model.drift import Terms
from lapse.model.period import Kind, Period
from lapse.model.plan import DatasetPlan, Tally
from lapse.model.policy import Dataset, Rule
from lapse.model.report import DatasetReport, RunReport, Status
from lapse.model.selection import Verdict, resolve
from lapse.model.status import Ended, Measured, Overdue, PastRun
from lapse.state.runs import LastRuns

_MOST_RULES = 1000
_REFUSALS = (ExitCode.REFUSED, ExitCode.LEASED)


@dataclass(slots=True)
class Seen:
    """What a run has found so far, for the case that it fails before it can say so itself.

    Attributes:
        datasets: The chosen ones.
        plans: By dataset, what a look at its store found.
    """

    datasets: tuple[Dataset, ...] = ()
    plans: dict[str, DatasetPlan] = field(default_factory=dict)


@contextmanager
def remembered_failure(session: Session, name: str) -> Iterator[Seen]:
    """Remember the run *name* for its datasets if the block fails before there is a report; and tell that it did.

    A run that meets another one is not remembered: that one is the last run.
    """
    seen, began = Seen(), clock.monotonic()
    try:
        yield seen
    except (LapseError, KeyboardInterrupt) as error:
        known = error if isinstance(error, LapseError) else _interrupted()
        if known.exit_code is not ExitCode.LEASED:
            _remember(session, {each.name: _failed(session, name, seen, each, known) for each in seen.datasets})
        seconds = round(clock.monotonic() - began, 3)
        ended = "run.failed" if known.exit_code not in _REFUSALS else "run.refused"
        session.tell(ended, run=name, exit=int(known.exit_code), error=str(known), seconds=seconds)
        raise


def _interrupted() -> LapseError:
    return LapseError(
        "it was interrupted before it could end by itself", hint="Run again: it goes on where it stopped."
    )


def remember_report(session: Session, report: RunReport) -> tuple[str, ...]:
    """Remember how a run ended for its datasets; a warning if that fails, since nothing else needs it."""
    return _remember(session, {each.dataset: _past_run(session, report, each) for each in report.datasets})


def _remember(session: Session, runs: Mapping[str, PastRun]) -> tuple[str, ...]:
    try:
        LastRuns(session.folders.root).add({session.state_name(name): run for name, run in runs.items()})
    except StateError as error:
        return (f"`lapse status` will not show this run: {error}",)
    return ()


def _failed(session: Session, name: str, seen: Seen, dataset: Dataset, error: LapseError) -> PastRun:
    plan = seen.plans.get(dataset.name)
    return PastRun(
        run=name,
        began=session.real_now,
        at=clock.real_now(),
        ended=Ended.REFUSED if error.exit_code is ExitCode.REFUSED else Ended.FAILED,
        exit=error.exit_code,
        trouble=str(error),
        hint=error.hint,
        measured=None if plan is None else measured(session, dataset, plan),
    )


def _past_run(session: Session, report: RunReport, ended: DatasetReport) -> PastRun:
    dataset = session.policy.datasets[ended.dataset]
    found = None if ended.plan is None else measured(session, dataset, ended.plan)
    return PastRun(
        run=report.run,
        began=session.real_now,
        at=clock.real_now(),
        ended=Ended(ended.status.value),
        exit=report.exit_code,
        records=ended.records,
        size=ended.size,
        seconds=ended.seconds,
        trouble=None if ended.trouble is None else ended.trouble.message,
        hint=None if ended.trouble is None else ended.trouble.hint,
        measured=None if found is None else _afterwards(found, ended),
        terms=Terms.of(session.policy, dataset),
    )


def _afterwards(found: Measured, ended: DatasetReport) -> Measured:
    """What is there after the run: of what was overdue, less what went of each rule; nothing if all of it went."""
    left = replace(
        found,
        records=max(0, found.records - ended.records),
        size=max(0, found.size - ended.size),
        remaining=ended.remaining or 0,
    )
    is_over = not left.remaining and ended.status is not Status.INCOMPLETE
    return replace(
        left, overdue=tuple(_still(each, None if is_over else ended.rules.get(each.rule, 0)) for each in found.overdue)
    )


def _still(found: Overdue, removed: int | None) -> Overdue:
    """What of *found* is left, nothing with None; its oldest may be younger than the one that was found before."""
    left = 0 if removed is None else found.records - removed
    return replace(found, records=left) if left > 0 else replace(found, records=0, deadline=None)


def measured(session: Session, dataset: Dataset, plan: DatasetPlan) -> Measured:
    """What a look at the store of *dataset* found, as deadlines."""
    floors, lapsed = _floors_on_all(session, dataset), _lapsed(plan)
    return Measured(
        at=clock.real_now(),
        records=plan.records(),
        size=plan.size(),
        overdue=tuple(
            _overdue(lapsed.get(rule.index, ()), str(rule), periods=(rule.keep, *floors))
            for rule in _told(dataset, lapsed)
            if rule.keep.kind is not Kind.FOREVER
        ),
        doubtful=plan.records(Verdict.DOUBTFUL),
        held=plan.records(Verdict.HELD),
        remaining=plan.records(Verdict.LAPSED),
    )


def _lapsed(plan: DatasetPlan) -> Mapping[int | None, Sequence[Tally]]:
    """What lapsed, by the index of its rule."""
    found: defaultdict[int | None, list[Tally]] = defaultdict(list)
    for group in plan.groups:
        if group.outcome.verdict is Verdict.LAPSED:
            found[group.outcome.rule].append(group.tally)
    return found


def _told(dataset: Dataset, lapsed: Mapping[int | None, Sequence[Tally]]) -> Sequence[Rule]:
    """The rules of which is told what is overdue, in file order: of very many those under which most has lapsed."""
    if len(dataset.rules) <= _MOST_RULES:
        return dataset.rules
    records = {rule: sum(tally.records for tally in found) for rule, found in lapsed.items() if rule is not None}
    return [dataset.rules[index] for index in sorted(nlargest(_MOST_RULES, records, key=records.__getitem__))]


def _overdue(lapsed: Sequence[Tally], rule: str, *, periods: Sequence[Period]) -> Overdue:
    oldest = min((tally.oldest for tally in lapsed if tally.oldest is not None), default=None)
    deadline = None if oldest is None else _latest(period.deadline(oldest) for period in periods)
    return Overdue(rule=rule, deadline=deadline, records=sum(tally.records for tally in lapsed))


def _latest(deadlines: Iterable[Nanos | None]) -> Nanos | None:
    found = tuple(deadlines)
    return None if None in found else max(each for each in found if each is not None)


def _floors_on_all(session: Session, dataset: Dataset) -> tuple[Period, ...]:
    """Periods of the floors that match every record of *dataset*; others may not have kept the oldest one."""
    return tuple(
        floor.at_least
        for floor in session.policy.floors
        if floor.dataset in (None, dataset.name) and not resolve(floor.match, dataset).conditions
    )
