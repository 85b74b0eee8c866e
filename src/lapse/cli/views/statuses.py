"""How everything stands between runs: its view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Reported
from lapse.cli.wording import NOTHING, count, duration, listed, moment, optional_moment, second, short, size, some
from lapse.instant import Nanos
from lapse.model.drift import Drift, RuleChange
from lapse.model.span import days_and_hours
from lapse.model.status import DatasetStatus, Growth, Measured, PastRun, StatusReport

_COLUMNS = (
    Column("dataset", folds=True),
    Column("last run"),
    Column("status"),
    Column("removed", right=True),
    Column("size", right=True),
    Column("time", right=True),
    Column("last success"),
    Column("in all", right=True),
    Column("unsettled", right=True),
)
_FAR = 3650
"""Days beyond which it is of no interest when a disk is full."""


@dataclass(frozen=True, slots=True)
class StatusView(Reported):
    """What is known between runs."""

    report: StatusReport

    def result(self) -> shapes.StatusResult:
        """The report for programs."""
        report = self.report
        return shapes.StatusResult(
            policy=report.policy,
            now=moment(report.now),
            datasets=[_dataset_shape(each, report.now) for each in report.datasets],
            next_run=optional_moment(report.next_run),
            working=report.working,
            holds=report.holds,
            ledger=report.ledger,
            ledger_entries=report.ledger_entries,
            head=report.head,
            archives=report.archives,
            problems=[
                shapes.StatusProblem(kind=each.kind, dataset=each.dataset, message=each.message, fix=each.fix)
                for each in report.problems
            ],
        )

    def page(self) -> Iterator[Block]:
        """A row for each dataset and what is there; then schedule, ledger, archives, holds; the problems last."""
        report = self.report
        yield Line(f"Policy {report.policy}: {some(len(report.datasets), 'dataset')}", "bold")
        yield BLANK
        if report.datasets:
            yield Table(_COLUMNS, [_row(each) for each in report.datasets], indent=2)
            yield BLANK
        found = [line for each in report.datasets for line in _found(each, report.now)]
        yield from found
        if found:
            yield BLANK
        yield from map(Line, _rest(report))
        yield BLANK
        yield from _problems(report)


def _row(status: DatasetStatus) -> Row:
    last = status.past.last
    cells = (
        status.dataset,
        "never" if last is None else _minute(last.began),
        NOTHING if last is None else last.ended.value,
        NOTHING if last is None else count(last.records),
        NOTHING if last is None else size(last.size),
        NOTHING if last is None else duration(last.seconds),
        "never" if status.past.success is None else _minute(status.past.success.began),
        count(status.total_records),
        count(status.pending),
    )
    failed = last is not None and not last.ended.is_success
    return Row(cells, "bold red" if failed else "yellow" if status.pending or status.missed else None)


def _found(status: DatasetStatus, now: Nanos) -> Iterator[Line]:
    measured = status.past.measured
    if measured is not None:
        yield Line(f"{status.dataset}: {_measured(measured)}", indent=2)
        for each in measured.overdue:
            if each.deadline is not None:
                late = days_and_hours(each.seconds(now))
                yield Line(f"{some(each.records, 'record')} past the deadline of {each.rule}, by {late}", indent=4)
    if status.growth is not None:
        yield Line(f"{status.dataset}: {_growth(status.growth)}", indent=2)
    if status.drift is not None:
        yield from _drifted(status.dataset, status.drift)


def _drifted(dataset: str, drift: Drift) -> Iterator[Line]:
    """What has changed, one line each; with what that comes to, where records were counted."""
    counted = ""
    if drift.lapsed_now is not None and drift.lapsed_then is not None:
        counted = f": {count(drift.lapsed_now)} lapsed now, {count(drift.lapsed_then)} by what decided then"
    yield Line(f"{dataset}: changed since its last success, {_minute(drift.began)}{counted}", "yellow", indent=2)
    for each in drift.rules:
        yield Line(f"{each.text}{_lapsed(each)}", indent=4)
    yield from (Line(each, indent=4) for each in drift.besides)


def _lapsed(change: RuleChange) -> str:
    parts = [] if change.lapsed_now is None else [f"{count(change.lapsed_now)} lapsed now"]
    parts += [] if change.lapsed_then is None else [f"{count(change.lapsed_then)} as it was"]
    return f" ({', '.join(parts)})" if parts else ""


def _measured(measured: Measured) -> str:
    parts = [f"{some(measured.records, 'record')}, {size(measured.size)}, at {_minute(measured.at)}"]
    parts += [] if any(each.deadline is not None for each in measured.overdue) else ["none past its deadline"]
    parts += [f"{count(measured.doubtful)} doubtful"] if measured.doubtful else []
    parts += [f"{count(measured.held)} held"] if measured.held else []
    return "; ".join(parts)


def _growth(growth: Growth) -> str:
    files = "its files" if growth.files is None else some(growth.files, "file")
    parts = [f"{files}, {size(growth.size)}"]
    parts += [] if growth.lines_a_day is None else [f"{growth.lines_a_day:,.0f} lines a day"]
    parts += [] if growth.bytes_a_day is None else [f"{size(round(growth.bytes_a_day))} a day"]
    parts += [] if growth.days_to_full is None else [f"{_days(growth.days_to_full)} to a full disk"]
    parts += [] if growth.warn_at is None else [f"warns at {size(growth.warn_at)}"]
    return ", ".join(parts)


def _days(days: float) -> str:
    """Some days; what is years away is no more than a guess."""
    return f"{days:,.0f} days" if days <= _FAR else "more than 10 years"


def _rest(report: StatusReport) -> Iterator[str]:
    if report.next_run is not None:
        yield f"Next run due: {second(report.next_run)}"
    if report.working:
        yield f"At work now: {listed(report.working)}"
    yield f"Active holds: {listed(report.holds, 'none')}"
    if report.ledger is None:
        yield "Ledger: none yet; the first run begins it"
    else:
        yield f"Ledger {report.ledger}: {some(report.ledger_entries, 'entry')}, head {short(report.head)}"
    for name, number in report.archives.items():
        seen = "no checkpoint yet, or out of reach" if number is None else f"checkpoint of {some(number, 'entry')}"
        yield f"Archive {name}: {seen}"


def _problems(report: StatusReport) -> Iterator[Block]:
    if not report.problems:
        yield Line("No problems.", "bold")
        return
    yield Line(f"{some(len(report.problems), 'problem').capitalize()}:", "bold red")
    yield from (Line(f"{each.message}. Look: {each.fix}", indent=2) for each in report.problems)


def _minute(instant: Nanos) -> str:
    """UTC to the second, without the letters that programs want."""
    return second(instant).rstrip("Z").replace("T", " ")


def _dataset_shape(status: DatasetStatus, now: Nanos) -> shapes.StatusDataset:
    past = status.past
    return shapes.StatusDataset(
        dataset=status.dataset,
        store=status.store,
        last=None if past.last is None else _run_shape(past.last),
        success=None if past.success is None else _run_shape(past.success),
        measured=None if past.measured is None else _measured_shape(past.measured, now),
        missed=[moment(each) for each in status.missed],
        total_records=status.total_records,
        pending=status.pending,
        growth=status.growth,
        drift=None if status.drift is None else _drift_shape(status.drift),
    )


def _drift_shape(drift: Drift) -> shapes.StatusDrift:
    return shapes.StatusDrift(
        run=drift.run,
        began=moment(drift.began),
        policy_then=drift.policy_then,
        policy_now=drift.policy_now,
        rules=drift.rules,
        besides=drift.besides,
        lapsed_now=drift.lapsed_now,
        lapsed_then=drift.lapsed_then,
    )


def _run_shape(run: PastRun) -> shapes.StatusRun:
    return shapes.StatusRun(
        run=run.run,
        began=moment(run.began),
        at=moment(run.at),
        status=run.ended,
        exit=int(run.exit),
        records=run.records,
        size=run.size,
        seconds=run.seconds,
        trouble=run.trouble,
        hint=run.hint,
    )


def _measured_shape(measured: Measured, now: Nanos) -> shapes.StatusMeasured:
    return shapes.StatusMeasured(
        at=moment(measured.at),
        records=measured.records,
        size=measured.size,
        overdue=[
            shapes.StatusOverdue(
                rule=each.rule, deadline=optional_moment(each.deadline), seconds=each.seconds(now), records=each.records
            )
            for each in measured.overdue
        ],
        doubtful=measured.doubtful,
        held=measured.held,
        remaining=measured.remaining,
    )
