"""Why a record is still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import NOTHING, day, moment, optional_moment
from lapse.model.report import Explanation, Layer

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
