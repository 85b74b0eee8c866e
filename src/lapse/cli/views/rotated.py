"""Rotation of logs: the view of what was done, or would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Line
from lapse.cli.view import Reported
from lapse.cli.wording import moment, second, size, some
from lapse.model.rotation import DatasetRotation, RotationReport, Step, Turn


@dataclass(frozen=True, slots=True)
class RotationView(Reported):
    """What was rotated, or would be."""

    report: RotationReport

    def result(self) -> shapes.RotateResult:
        """The same for programs."""
        report = self.report
        return shapes.RotateResult(
            at=moment(report.at), dry=report.dry, datasets=[_shape(each) for each in report.datasets]
        )

    def page(self) -> Iterator[Block]:
        """The steps of each dataset, then how much was done."""
        for each in self.report.datasets:
            yield from _dataset(each)
        yield Line(_closing(self.report), "bold")


def turn_texts(turns: Sequence[Turn]) -> Iterator[str]:
    """What became of each log, a sentence each."""
    for turn in turns:
        log, file = Path(turn.log).name, Path(turn.file).name
        if turn.step is Step.DUE:
            yield f"{log} would be rotated: {turn.why}"
        elif turn.step is Step.ROTATED:
            yield f"{log} was rotated to {file}, {size(turn.size)}: {turn.why}"
        elif turn.step is Step.PACKED:
            yield f"{file}, {size(turn.size)}, was compressed: {turn.why}"
        else:
            yield f"{file}: {turn.why}"


def turn_shapes(turns: Sequence[Turn]) -> list[shapes.RotationStep]:
    """The same for programs."""
    return [
        shapes.RotationStep(step=turn.step, log=turn.log, file=turn.file, size=turn.size, why=turn.why)
        for turn in turns
    ]


def _dataset(each: DatasetRotation) -> Iterator[Block]:
    texts = list(turn_texts(each.turns))
    yield from (Line(f"{each.dataset}: {text}", indent=2) for text in texts)
    if each.trouble is not None:
        yield Line(f"{each.dataset} is incomplete: {each.trouble}", "bold red", indent=2)
    if each.hint is not None:
        yield Line(f"Hint: {each.hint}", "cyan", indent=2)
    if texts or each.trouble is not None:
        yield BLANK


def _closing(report: RotationReport) -> str:
    def steps(step: Step) -> int:
        return sum(turn.step is step for each in report.datasets for turn in each.turns)

    if report.dry:
        due = steps(Step.DUE)
        return f"{some(due, 'log')} would be rotated at {second(report.at)}. Nothing was changed."
    incomplete = sum(each.trouble is not None for each in report.datasets)
    more = f"; {some(incomplete, 'dataset')} did not complete" if incomplete else ""
    done = f"{some(steps(Step.ROTATED), 'log')} rotated, {some(steps(Step.PACKED), 'file')} compressed"
    return f"{done[0].upper()}{done[1:]}{more}. No record was removed."


def _shape(each: DatasetRotation) -> shapes.RotatedDataset:
    return shapes.RotatedDataset(
        dataset=each.dataset,
        steps=turn_shapes(each.turns),
        seconds=each.seconds,
        trouble=None if each.trouble is None else shapes.Trouble(message=each.trouble, hint=each.hint),
    )
