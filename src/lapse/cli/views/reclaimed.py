"""Giving space back: the view of what it would take, or came to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Reported
from lapse.cli.wording import NOTHING, duration, moment, size, some
from lapse.model.reclaim import DatasetReclaim, Prediction, Reclaim, ReclaimReport, Space

_COLUMNS = (
    Column("dataset", folds=True),
    Column("allocated", right=True),
    Column("dead", right=True),
    Column("free", right=True),
    Column("gives back", right=True),
    Column("needs", right=True),
    Column("free on disk", right=True),
    Column("takes about", right=True),
)
_DONE_COLUMNS = (
    Column("dataset", folds=True),
    Column("outcome"),
    Column("before", right=True),
    Column("after", right=True),
    Column("given back", right=True),
    Column("time", right=True),
)
_STYLES = {Reclaim.INCOMPLETE: "bold red", Reclaim.REWRITTEN: "bold"}


@dataclass(frozen=True, slots=True)
class ReclaimView(Reported):
    """What was predicted, or done."""

    report: ReclaimReport

    def result(self) -> shapes.ReclaimResult:
        """The same for programs."""
        report = self.report
        return shapes.ReclaimResult(
            at=moment(report.at), ran=report.ran, datasets=[_shape(each) for each in report.datasets]
        )

    def page(self) -> Iterator[Block]:
        """A row for each dataset, then what should be known about it."""
        report = self.report
        columns, row = (_DONE_COLUMNS, _done_row) if report.ran else (_COLUMNS, _row)
        if report.datasets:
            yield Table(columns, [row(each) for each in report.datasets], indent=2)
            yield BLANK
        for each in report.datasets:
            yield from _details(each, ran=report.ran)
        yield Line(_closing(report), "bold")


def _row(each: DatasetReclaim) -> Row:
    found = each.prediction
    if found is None:
        return Row((each.dataset, *[NOTHING] * (len(_COLUMNS) - 1)))
    cells = (
        each.dataset,
        size(found.space.allocated),
        _known(found.space.dead),
        _known(found.space.free),
        size(found.returns),
        *(
            (size(found.needs_free), _known(found.free), duration(found.seconds))
            if found.returns
            else (NOTHING, NOTHING, NOTHING)
        ),
    )
    return Row(cells)


def _done_row(each: DatasetReclaim) -> Row:
    before = None if each.prediction is None else each.prediction.space.allocated
    cells = (
        each.dataset,
        each.outcome.value,
        _known(before),
        _known(each.after),
        NOTHING if each.after is None else size(max(0, each.returned)),
        NOTHING if each.after is None else duration(each.seconds),
    )
    return Row(cells, _STYLES.get(each.outcome))


def _known(number: int | None) -> str:
    return NOTHING if number is None else size(number)


def _details(each: DatasetReclaim, *, ran: bool) -> Iterator[Block]:
    said = [] if each.prediction is None else list(_said(each.prediction, ran=ran))
    if each.outcome is Reclaim.NOT_OFFERED:
        said.append("its store has no rewrite: what is removed there is given back, or used again, by itself")
    if said:
        yield from (Line(f"{each.dataset}: {text}", indent=2) for text in said)
    if each.refusal is not None and not ran:
        yield Line(f"{each.dataset}: would be refused: {each.refusal}", "bold red", indent=2)
    if each.trouble is not None:
        yield Line(f"{each.dataset} is incomplete: {each.trouble}", "bold red", indent=2)
    if each.hint is not None:
        yield Line(f"Hint: {each.hint}", "cyan", indent=2)
    if said or each.refusal or each.trouble:
        yield BLANK


def _said(found: Prediction, *, ran: bool) -> Iterator[str]:
    if not ran:
        yield f"measured: {found.space.measured}"
        if found.returns:
            yield f"locks: {found.lock}"
    yield from found.notes


def _closing(report: ReclaimReport) -> str:
    if report.ran:
        given = sum(max(0, each.returned) for each in report.datasets)
        incomplete = sum(each.outcome is Reclaim.INCOMPLETE for each in report.datasets)
        more = f"; {some(incomplete, 'dataset')} did not complete" if incomplete else ""
        return f"{size(given)} given back{more}. No record was removed."
    would = sum(each.prediction.returns for each in report.datasets if each.prediction is not None)
    if not would:
        return "There is nothing to give back. Nothing was changed."
    return f"About {size(would)} would be given back, with --run. Nothing was changed."


def _shape(each: DatasetReclaim) -> shapes.ReclaimDataset:
    found = each.prediction
    space: Space | None = None if found is None else found.space
    return shapes.ReclaimDataset(
        dataset=each.dataset,
        outcome=each.outcome,
        space=space,
        returns=None if found is None else found.returns,
        needs_free=None if found is None else found.needs_free,
        free=None if found is None else found.free,
        lock=None if found is None else found.lock,
        estimated_seconds=None if found is None else found.seconds,
        refusal=each.refusal,
        allocated_after=each.after,
        seconds=each.seconds,
        notes=() if found is None else found.notes,
        trouble=None if each.trouble is None else shapes.Trouble(message=each.trouble, hint=each.hint),
    )
