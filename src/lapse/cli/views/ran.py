"""What a run did: its views."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Reported
from lapse.cli.views.planned import closing, planned_blocks, planned_shape
from lapse.cli.views.rotated import turn_shapes, turn_texts
from lapse.cli.wording import NOTHING, count, duration, moment, optional_moment, second, short, size, some
from lapse.errors import ExitCode
from lapse.model.ramp import Canary
from lapse.model.reclaim import Space
from lapse.model.report import DatasetReport, RunReport, Status

_COLUMNS = (
    Column("dataset", folds=True),
    Column("status"),
    Column("removed", right=True),
    Column("size", right=True),
    Column("segments", right=True),
    Column("remaining", right=True),
    Column("time", right=True),
)
_MOST_RULES = 20
"""Rules whose removals are told one by one; of more, those that removed most."""
_WORTH_TELLING = 0.1
"""Seconds below which a rest is nothing to tell people of."""
_STYLES = {Status.INCOMPLETE: "bold red", Status.DONE: "bold"}


@dataclass(frozen=True, slots=True)
class RunView(Reported):
    """The report of a run, or of a dry one."""

    report: RunReport
    strict: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """1 if a dataset is incomplete; if *strict*, also if the run ended before everything was done."""
        return ExitCode.INCOMPLETE if self.strict and self.report.ended else self.report.exit_code

    def result(self) -> shapes.RunResult:
        """The report for programs."""
        report = self.report
        return shapes.RunResult(
            run=report.run,
            now=moment(report.now),
            dry=report.dry,
            records=report.records,
            remaining=report.remaining,
            ended=report.ended,
            datasets=[_dataset_shape(each) for each in report.datasets],
            seconds=report.seconds,
            ledger_entries=report.ledger_entries,
            head=report.head,
        )

    def page(self) -> Iterator[Block]:
        """What was done, or would be."""
        return _dry_page(self.report) if self.report.dry else _page(self.report)


def _dry_page(report: RunReport) -> Iterator[Block]:
    plans = tuple(each.plan for each in report.datasets if each.plan is not None)
    yield Line(f"Dry run at {second(report.now)}: nothing was changed.", "bold")
    yield BLANK
    for plan in plans:
        yield from planned_blocks(plan)
    for each in report.datasets:
        yield from (Line(f"{each.dataset}: {text}", indent=2) for text in turn_texts(each.turns))
        yield from _trouble(each)
    yield Line(f"{closing(plans)} Nothing was changed.", "bold")


def _page(report: RunReport) -> Iterator[Block]:
    yield Line(f"Run {report.run}, at {second(report.now)}")
    yield BLANK
    if report.datasets:
        yield Table(_COLUMNS, [_row(each) for each in report.datasets], indent=2)
        yield BLANK
    for each in report.datasets:
        yield from _details(each)
    yield Line(_closing(report), "bold")
    if report.ledger_entries is not None:
        yield Line(f"The ledger has {some(report.ledger_entries, 'entry')}, head {short(report.head)}.")


def _row(report: DatasetReport) -> Row:
    cells = (
        report.dataset,
        report.status.value,
        count(report.records),
        size(report.size),
        count(report.segments),
        NOTHING if report.remaining is None else count(report.remaining),
        duration(report.seconds),
    )
    return Row(cells, _STYLES.get(report.status))


def _details(report: DatasetReport) -> Iterator[Block]:
    said = [*_removed(report), *_besides(report)]
    yield from (Line(f"{report.dataset}: {text}", indent=2) for text in said)
    yield from _trouble(report)
    if said or report.trouble:
        yield BLANK


def _removed(report: DatasetReport) -> Iterator[str]:
    largest = dict(nlargest(_MOST_RULES, report.rules.items(), key=lambda item: item[1]))
    yield from (f"{some(number, 'record')} under {rule}" for rule, number in _in_order(largest))
    if len(report.rules) > len(largest):
        others = sum(report.rules.values()) - sum(largest.values())
        yield f"{some(others, 'record')} under {some(len(report.rules) - len(largest), 'more rule')}"
    if report.canary is not None:
        yield str(report.canary)
    if report.waived:
        yield f"{some(report.waived, 'record')} without a copy, as the policy says"


def _besides(report: DatasetReport) -> list[str]:
    said = []
    if report.recovered:
        said.append(f"{some(report.recovered, 'slice')} of an interrupted run entered into the ledger")
    if report.cleared:
        said.append(f"{some(report.cleared, 'orphan segment')} of an interrupted run cleared")
    if report.files:
        said.append(f"{some(report.files, 'file')} removed after the rows that named them")
    if report.ended and not report.trouble:
        said.append(f"the run ended early, {some(report.remaining or 0, 'lapsed record')} left: {report.ended}")
    if report.waited_for:
        said.append(f"waited {duration(report.waited)} for others, longest: {report.waited_for}")
    if report.rested >= _WORTH_TELLING:
        said.append(f"rested {duration(report.rested)} between slices, as its pace says")
    if report.space is not None:
        said += _space(report.dataset, report.space)
    return [*said, *turn_texts(report.turns)]


def _space(dataset: str, space: Space) -> Iterator[str]:
    unused = (space.dead or 0) + (space.free or 0)
    if unused:
        yield (
            f"{size(space.allocated)} stay allocated, about {size(unused)} of them for new records; "
            f"lapse reclaim {dataset} says what would give them back"
        )


def _in_order(rules: Mapping[str, int]) -> list[tuple[str, int]]:
    """Rules by their number, which is the first in their text."""
    return sorted(rules.items(), key=lambda item: int(next(iter(re.findall(r"[0-9]+", item[0])), 0)))


def _trouble(report: DatasetReport) -> Iterator[Block]:
    if report.trouble is None:
        return
    yield Line(f"{report.dataset} is incomplete: {report.trouble.message}", "bold red", indent=2)
    if report.trouble.hint:
        yield Line(f"Hint: {report.trouble.hint}", "cyan", indent=2)


def _closing(report: RunReport) -> str:
    incomplete = sum(each.status is Status.INCOMPLETE for each in report.datasets)
    removed = f"{some(report.records, 'record')} removed" if report.records else "Nothing was removed"
    if incomplete:
        return (
            f"{removed}; {some(incomplete, 'dataset')} did not complete. Run again: it goes on where this one stopped."
        )
    if report.ended:
        return f"{removed}; {some(report.remaining, 'lapsed record')} left for the next run: {report.ended}."
    if not report.records:
        return "Nothing to do: no record has lapsed."
    recoverable = report.records - sum(each.waived for each in report.datasets)
    sealed = f"{count(recoverable)} of them archived, read back and verified" if recoverable else "none was archived"
    return f"{removed} in {duration(report.seconds)}; {sealed}."


def _canary_shape(canary: Canary) -> shapes.CanaryShown:
    return shapes.CanaryShown(
        records=canary.records,
        rules=canary.rules,
        oldest=optional_moment(canary.oldest),
        newest=optional_moment(canary.newest),
    )


def _dataset_shape(report: DatasetReport) -> shapes.RunDataset:
    trouble = report.trouble
    return shapes.RunDataset(
        dataset=report.dataset,
        status=report.status,
        records=report.records,
        size=report.size,
        rules=report.rules,
        segments=report.segments,
        slices=report.slices,
        waived=report.waived,
        recovered=report.recovered,
        cleared=report.cleared,
        files=report.files,
        files_left=report.files_left,
        remaining=report.remaining,
        ended=report.ended,
        canary=None if report.canary is None else _canary_shape(report.canary),
        waited=report.waited,
        waited_for=report.waited_for,
        rested=report.rested,
        space=report.space,
        rotation=turn_shapes(report.turns),
        growth=report.growth,
        seconds=report.seconds,
        trouble=None if trouble is None else shapes.Trouble(message=trouble.message, hint=trouble.hint),
        plan=None if report.plan is None else planned_shape(report.plan),
    )
