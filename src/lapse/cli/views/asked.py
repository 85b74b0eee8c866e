"""Answers to questions: why a record is still there, and how everything stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import NOTHING, count, day, listed, moment, optional_moment, short, some
from lapse.model.report import DatasetStatus, Explanation, Layer, StatusReport

_MARKER = "=>"


@dataclass(frozen=True, slots=True)
class WhyView(Done):
    """The explanations of one key."""

    explanations: tuple[Explanation, ...]

    def result(self) -> shapes.WhyResult:
        """The explanations for programs."""
        return shapes.WhyResult(records=[_explained(each) for each in self.explanations])

    def page(self) -> Iterator[Block]:
        """Every layer in order, the deciding one marked."""
        for number, each in enumerate(self.explanations):
            if number:
                yield BLANK
            yield from _why(each)


def _why(explanation: Explanation) -> Iterator[Block]:
    yield Line(f"{explanation.dataset} {explanation.key}: {explanation.verdict}", "bold")
    yield Line(f"time {moment(explanation.instant, 'not readable')}", indent=2)
    for name, value in explanation.values.items():
        yield Line(f"{name} {NOTHING if value is None else value}", indent=2)
    yield BLANK
    columns = (Column(""), Column("", folds=True), Column("", folds=True))
    yield Table(columns, [_layer(each) for each in explanation.layers])
    yield BLANK
    yield Line(_verdict(explanation), "bold")


def _layer(layer: Layer) -> Row:
    return Row((_MARKER if layer.decided else "", layer.name, layer.finding), "bold" if layer.decided else None)


def _verdict(explanation: Explanation) -> str:
    head = f"It is {explanation.verdict}: {explanation.reason}."
    if explanation.lapses is None:
        return head
    verb = "lapsed" if explanation.verdict == "lapsed" else "lapses"
    return f"{head} By rule and floors it {verb} on {day(explanation.lapses)} ({moment(explanation.lapses)})."


def _explained(explanation: Explanation) -> shapes.Explained:
    return shapes.Explained(
        dataset=explanation.dataset,
        key=explanation.key,
        time=optional_moment(explanation.instant),
        verdict=explanation.verdict,
        reason=explanation.reason,
        lapses=optional_moment(explanation.lapses),
        layers=explanation.layers,
        values=explanation.values,
    )


@dataclass(frozen=True, slots=True)
class StatusView(Done):
    """What is known between runs."""

    report: StatusReport

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the report."""
        return self.report.warnings

    def result(self) -> StatusReport:
        """The report for programs."""
        return self.report

    def page(self) -> Iterator[Block]:
        """A row for each dataset, then ledger, archives and holds."""
        report = self.report
        yield Line(f"Policy {report.policy}: {some(len(report.datasets), 'dataset')}", "bold")
        yield BLANK
        if report.datasets:
            yield Table(_COLUMNS, [_row(each) for each in report.datasets], indent=2)
            yield BLANK
        for each in report.datasets:
            if each.trouble:
                yield Line(f"{each.dataset} is incomplete: {each.trouble}", "bold red", indent=2)
        yield Line(f"Active holds: {listed(report.holds, 'none')}")
        yield Line(_ledger(report))
        yield from (Line(_archive(name, number)) for name, number in report.archives.items())


_COLUMNS = (
    Column("dataset", folds=True),
    Column("last run"),
    Column("status"),
    Column("removed then", right=True),
    Column("in all", right=True),
    Column("unsettled", right=True),
)


def _row(status: DatasetStatus) -> Row:
    cells = (
        status.dataset,
        "never" if status.last_at is None else status.last_at[:19].replace("T", " "),
        status.last_status or NOTHING,
        count(status.last_records),
        count(status.total_records),
        count(status.pending),
    )
    return Row(cells, "bold red" if status.trouble else "yellow" if status.pending else None)


def _ledger(report: StatusReport) -> str:
    if report.ledger is None:
        return "Ledger: none yet; the first run begins it"
    return f"Ledger {report.ledger}: {some(report.ledger_entries, 'entry')}, head {short(report.head)}"


def _archive(name: str, number: int | None) -> str:
    seen = "no checkpoint yet, or out of reach" if number is None else f"checkpoint of {some(number, 'entry')}"
    return f"Archive {name}: {seen}"
