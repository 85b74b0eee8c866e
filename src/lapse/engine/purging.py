"""One dataset of a run, slice after slice, until nothing lapsed is left, the run ends, or it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lapse import clock
from lapse.engine.boards import selected
from lapse.engine.filing import FilesDone, remove_files
from lapse.engine.holding import HoldsChangedError, checked_holds
from lapse.engine.limits import Allowance
from lapse.engine.pacing import Pacer
from lapse.engine.pruning import Pruning
from lapse.engine.ramping import Ascent, canary_of, check_canary, count_now
from lapse.engine.recovering import Recovered
from lapse.engine.retrying import TRIES, Slices, Try, delay
from lapse.engine.session import Session
from lapse.errors import BusyError, ChangedError, LapseError
from lapse.model.disposal import Disposal, Facts, Share
from lapse.model.pace import Tuning
from lapse.model.plan import DatasetPlan
from lapse.model.policy import Dataset
from lapse.model.ramp import Climb, Ramp
from lapse.model.report import DatasetReport, Status, Trouble
from lapse.model.sealed_plan import SealedDataset
from lapse.model.selection import Selection, Verdict
from lapse.ports import Budget, Store
from lapse.slicework import Bench, UnrecordedError, work
from lapse.stages.recounting import Standing, standings

_ATTEMPTS = 3
"""How often a dataset starts over when its records or holds change under a slice."""
_THROTTLED = 10
"""A throttled slice has at most the records of so many seconds, so that the rests between slices stay short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One dataset, leased, recovered and guarded: ready to be worked on.

    Attributes:
        ramp: How it begins. None begins with slices of the usual size.
    """

    dataset: Dataset
    store: Store
    selection: Selection
    plan: DatasetPlan
    facts: Facts
    recovered: Recovered
    sealed: SealedDataset | None
    ramp: Ramp | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one dataset.

    Attributes:
        pruning: The disposals whose markers still stand.
        climb: How far it got with its ramp. None without one, or if nothing of it is proven.
    """

    work: Work
    report: DatasetReport
    pruning: Pruning
    climb: Climb | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a run behaves towards others.

    Attributes:
        budget: Size of a slice.
        allowance: What is left of the run's limits.
        tuning: Reads what the operator said while the run goes on.
    """

    budget: Budget
    allowance: Allowance
    tuning: Callable[[], Tuning]


def purge(session: Session, item: Work, bench: Bench, *, names: Iterator[str], manners: Manners) -> Outcome:
    """Work on one dataset; an error in it becomes its report's trouble.

    Arguments:
        session: Whose hooks and holds count.
        item: The dataset.
        bench: What its slices need.
        names: New names of slices, unique in the run.
        manners: How the run behaves towards others.
    """
    started = clock.monotonic()
    session.tell(
        "dataset.started",
        dataset=item.dataset.name,
        records=item.plan.records(Verdict.LAPSED),
        size=item.plan.size(Verdict.LAPSED),
    )
    item.facts.prepare(_going(item.plan))
    purging = _Purge(session, item, bench, names=names, manners=manners)
    gone, pruning = _Gone(), Pruning(session, item.store, item.recovered)
    trouble: Trouble | None = None
    try:
        for disposal in purging.disposals():
            gone.add(disposal)
            pruning.add(disposal)
            session.tell(
                "disposal.committed", dataset=item.dataset.name, slice=disposal.slice,
                records=disposal.records, size=disposal.size,
            )  # fmt: skip
    except LapseError as error:
        if isinstance(error, UnrecordedError):
            gone.add(error.disposal)
            pruning.add(error.disposal)
            manners.allowance.spend(error.disposal.records)
        trouble = Trouble(message=str(error), hint=error.hint, kind=type(error))
        session.tell("dataset.failed", dataset=item.dataset.name, error=str(error))
    files = remove_files(item.dataset, item.store, stopping=manners.allowance.stopped)
    report = _report(purging, gone, trouble, files, seconds=clock.monotonic() - started)
    report = replace(report, rules=gone.by_rule(item.facts), shares=gone.all_shares())
    session.tell(
        "dataset.ended", dataset=report.dataset, status=report.status.value, records=report.records, size=report.size,
        remaining=report.remaining, seconds=round(report.seconds, 3), ended=report.ended,
    )  # fmt: skip
    climb = purging.ascent.climbed(complete=purging.complete and trouble is None)
    return Outcome(work=item, report=report, pruning=pruning, climb=climb)


def _going(plan: DatasetPlan) -> Iterable[int]:
    """The indices of the rules under which a plan has lapsed records."""
    found = {group.outcome.rule for group in plan.groups if group.outcome.verdict is Verdict.LAPSED}
    return (rule for rule in found if rule is not None)


class _Gone:
    """What is gone by now, added up: a run may have very many disposals, under very many rules.

    Attributes:
        slices: Disposals.
        records: Records.
        size: Bytes of their content.
        segments: Segments that were sealed.
        waived: Records that went without a copy.
    """

    def __init__(self) -> None:
        self.slices = self.records = self.size = self.segments = self.waived = 0
        self._shares: dict[tuple[int, str | None], int] = {}

    def add(self, disposal: Disposal) -> None:
        """Add up what one disposal says."""
        self.slices += 1
        self.records += disposal.records
        self.size += disposal.size
        self.segments += len(disposal.segments)
        self.waived += 0 if disposal.waiver is None else disposal.records
        shares = self._shares
        for whose, records in disposal.shares.items():
            shares[whose] = shares.get(whose, 0) + records

    def by_rule(self, facts: Facts) -> Mapping[str, int]:
        """The records by the text of their rule, as *facts* name it, in the order of the texts."""
        counts: Counter[int] = Counter()
        for (rule, _), records in self._shares.items():
            counts[rule] += records
        found: Counter[str] = Counter()
        for rule, records in counts.items():
            found[facts.text_of(rule)] += records
        return dict(sorted(found.items()))

    def all_shares(self) -> tuple[Share, ...]:
        """The records by rule and tenant."""
        return tuple(Share(rule=rule, tenant=tenant, records=n) for (rule, tenant), n in self._shares.items())


class _Purge:
    """A dataset on its way to having nothing lapsed left.

    Attributes:
        item: The dataset.
        pacer: Its throttle.
        ascent: Its ramp.
        skipped: Why slices of the last pass were skipped.
        complete: Whether the last pass came to its end.
    """

    def __init__(self, session: Session, item: Work, bench: Bench, *, names: Iterator[str], manners: Manners) -> None:
        self.item = item
        self.pacer = Pacer(
            item.dataset.pace,
            item.store,
            tuning=manners.tuning,
            ending=manners.allowance.ending,
            tell=lambda name, **facts: session.tell(name, dataset=item.dataset.name, **facts),
        )
        self.ascent = Ascent(item.ramp, usual=manners.budget.rows)
        self.skipped: Sequence[str] = ()
        self.complete = False
        self._session = session
        self._bench = bench
        self._names = names
        self._manners = manners
        self._before: Mapping[int, Standing] = {}

    def disposals(self) -> Iterator[Disposal]:
        """Every committed slice; passes begin anew where the ground has changed underneath.

        A pass either commits something, or the ones without are counted, or the budget of slices was changed:
        by the operator, or since little is left of the allowance, which halves each time.
        """
        attempt, selection = 1, self.item.selection
        while not self.complete and self.pacer.ready():
            try:
                for disposal in self._pass(selection, self._budget()):
                    attempt = 1
                    yield disposal
                    self._climb(disposal)
            except (ChangedError, HoldsChangedError) as error:
                if attempt >= _ATTEMPTS or self.item.sealed is not None:
                    raise  # a sealed plan is followed as it is, or not at all
                self._tell_put_back(error)
                holds = checked_holds(self._session)
                selection = selected(self._session, self.item.dataset, self.item.store, holds)
                attempt += 1
            except BusyError as error:  # the store could not even cut the next slice
                if attempt > TRIES:
                    raise
                self._tell_put_back(error)
                self.pacer.wait_until(clock.monotonic() + delay(attempt - 1), str(error))
                attempt += 1

    def _budget(self) -> Budget:
        budget, pace = self._manners.budget, self.pacer.pace
        rows = budget.rows if pace.rows_per_second is None else min(budget.rows, _THROTTLED * pace.rows_per_second)
        allowance = self._manners.allowance
        whole = budget.whole and not allowance.counts
        usual = replace(
            budget, rows=allowance.slice_rows(rows), seconds=pace.transaction, whole=whole, breaks=self.pacer
        )
        return self.ascent.budget(usual)

    def _pass(self, selection: Selection, budget: Budget) -> Iterator[Disposal]:
        """Work through fresh slices of that *budget*, until they end, it changes, or the run is to end."""
        item, ascent = self.item, self.ascent
        step = ascent.step
        if ascent.at_canary:
            self._before = self._standing()
        fresh = item.store.slices(ascent.selection(selection), ascent.facts(item.facts), budget, self._mark)
        slices = Slices(fresh, item.store)
        self.skipped = slices.skipped
        while self.pacer.goes_on() and ascent.step == step:
            todo = slices.next()  # before the rest: nobody waits for a slice that there is not
            if todo is None:
                self._end_pass()
                return
            if not (self.pacer.wait_until(todo.due, todo.reason) and self.pacer.ready()):
                return
            if self._budget() != budget:
                return
            disposal = self._try(todo, slices)
            if disposal is not None:
                yield disposal

    @property
    def _mark(self) -> Mapping[str, tuple[int, ...]] | None:
        return self.item.sealed.mark if self.item.sealed else None

    def _standing(self) -> Mapping[int, Standing]:
        """What the store holds before the canary: as planned, unless something was removed or held since."""
        if not self._is_as_planned():
            return self._counted_now()
        return standings(group.tally for group in self.item.plan.groups)

    def _counted_now(self) -> Mapping[int, Standing]:
        """What the store holds now; asked again while it is busy, so that no canary is left unchecked for that."""
        for failures in range(TRIES):
            try:
                return count_now(self.item.store, self.item.selection, self._mark)
            except BusyError as error:
                self.pacer.wait_until(clock.monotonic() + delay(failures), str(error))
        return count_now(self.item.store, self.item.selection, self._mark)

    def _is_as_planned(self) -> bool:
        """Whether what the plan counted still holds, and its outcomes have the numbers that they have now."""
        outcomes = self.item.selection.outcomes
        return not self._manners.allowance.removed and all(
            group.outcome.code < len(outcomes) and outcomes[group.outcome.code] == group.outcome
            for group in self.item.plan.groups
        )

    def _end_pass(self) -> None:
        """Nothing is left of a pass; one for a canary leaves the rest, if it found none."""
        if self.ascent.at_canary and not self.skipped:
            self.ascent.leave_out()
        else:
            self.complete = True

    def _climb(self, disposal: Disposal) -> None:
        """Go on to the next step of the ramp, after a look at what a canary has done.

        A run that is asked to stop does not look: its canary comes again.

        Raises:
            CanaryError: If the canary did what it should not.
        """
        item, ramp = self.item, self.ascent.ramp
        if ramp is not None and self.ascent.at_canary:
            if self._manners.allowance.stopped():
                return
            tell = partial(self._session.tell, dataset=item.dataset.name)
            tell("canary.checking", records=disposal.records)
            after = self._counted_now()
            check_canary(self._session, item.selection, disposal, before=self._before, after=after)
            going = sum(after[code].records for code in item.selection.lapsed_codes() if code in after)
            canary = self.ascent.canary = canary_of(item.selection, ramp, disposal, last=not going)
            tell("canary.verified", records=disposal.records, remaining=going, text=str(canary))
        self.ascent.climb()

    def _try(self, todo: Try, slices: Slices) -> Disposal | None:
        """Work on one slice. None if there was nothing in it, or if it comes again."""
        began = clock.monotonic()
        try:
            disposal = work(replace(todo.piece, name=next(self._names)), self.item.store, self._bench)
        except BusyError as error:
            # It waited, mostly, which burdens nobody; and it comes again after a delay of its own.
            self.pacer.did(0, began=clock.monotonic())
            self._tell_put_back(error)
            slices.failed(todo, error)
            return None
        records = 0 if disposal is None else disposal.records
        self.pacer.did(records, began=began)
        self._manners.allowance.spend(records)
        slices.succeeded()
        return disposal

    def _tell_put_back(self, error: LapseError) -> None:
        self._session.tell("slice.put_back", dataset=self.item.dataset.name, reason=str(error))


def _report(
    purging: _Purge, gone: _Gone, trouble: Trouble | None, files: FilesDone, *, seconds: float
) -> DatasetReport:
    item, idle = purging.item, purging.pacer.idle
    remaining = max(0, item.plan.records(Verdict.LAPSED) - gone.records)
    trouble = files.besides(trouble or _left_undone(purging, remaining))
    ended = None if purging.complete else purging.pacer.ended
    ended_early = ended is not None and (remaining > 0 or not ended.ordered)
    touched = gone.slices or item.recovered.completed or files.removed
    return DatasetReport(
        dataset=item.dataset.name,
        status=_status(trouble, ended_early=ended_early, touched=bool(touched)),
        records=gone.records,
        size=gone.size,
        segments=gone.segments,
        slices=gone.slices,
        waived=gone.waived,
        recovered=len(item.recovered.completed),
        cleared=item.recovered.cleared,
        files=files.removed,
        files_left=sum(files.left.values()),
        remaining=remaining,
        ended=ended.reason if ended is not None and ended_early else None,
        canary=purging.ascent.canary,
        waited=idle.waited,
        waited_for=idle.waited_for,
        rested=idle.rested,
        seconds=seconds,
        trouble=trouble,
        plan=item.plan,
    )


def _left_undone(purging: _Purge, remaining: int) -> Trouble | None:
    """Why a dataset without an error is still not done. None if it is, or if that was agreed on beforehand."""
    again = "Run again: it goes on where it stopped."
    if purging.skipped:
        count = "a slice" if len(purging.skipped) == 1 else f"{len(purging.skipped)} slices"
        message = f"{count} had to be skipped, {remaining:,} records remain: {purging.skipped[-1]}"
        return Trouble(message=message, hint=again, kind=BusyError)
    ended = purging.pacer.ended
    if purging.complete or ended is None or ended.ordered:
        return None
    return Trouble(message=ended.reason, hint=again)


def _status(trouble: Trouble | None, *, ended_early: bool, touched: bool) -> Status:
    if trouble is not None:
        return Status.INCOMPLETE
    if ended_early:
        return Status.ENDED
    return Status.DONE if touched else Status.NOTHING
