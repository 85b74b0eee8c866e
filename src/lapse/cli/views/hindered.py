"""Why nothing, or less than expected, is being removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Line
from lapse.cli.view import Done
from lapse.cli.wording import moment, some
from lapse.model.causes import Cause, Weight, WhyNot

_HEADINGS = {
    Weight.BLOCKS: "This stops the next run:",
    Weight.STOPPED: "This kept what has lapsed until now:",
    Weight.KEEPS: "This keeps records, as the policy says:",
    Weight.SLOWS: "This makes runs slow:",
    Weight.HINTS: "Good to know:",
}
_STYLES = {Weight.BLOCKS: "bold red", Weight.STOPPED: "yellow"}


@dataclass(frozen=True, slots=True)
class WhyNotView(Done):
    """The causes found, ranked."""

    found: WhyNot

    def result(self) -> shapes.WhyNotResult:
        """The causes for programs."""
        found = self.found
        return shapes.WhyNotResult(
            dataset=found.dataset,
            now=moment(found.now),
            records=found.records,
            lapsed=found.lapsed,
            blocked=found.blocked,
            causes=[
                shapes.WhyCause(
                    kind=each.kind.value,
                    weight=each.weight.value,
                    message=each.message,
                    fix=each.fix,
                    records=each.records,
                )
                for each in found.causes
            ],
        )

    def page(self) -> Iterator[Block]:
        """What the next run does, then the causes by what they do, numbered throughout."""
        yield Line(f"{self.found.dataset}: {_summary(self.found)}", "bold")
        number = 0
        for weight in Weight:
            causes = [each for each in self.found.causes if each.weight is weight]
            if causes:
                yield BLANK
                yield Line(_HEADINGS[weight], _STYLES.get(weight, "bold"))
            for each in causes:
                number += 1
                yield from _cause(number, each)


def _summary(found: WhyNot) -> str:
    if found.records is None or found.lapsed is None:
        return "its records could not be counted."
    held = f"{some(found.records, 'record')}, {found.lapsed:,} lapsed"
    if found.blocked:
        return f"{held}. As things stand, the next run removes nothing."
    if not found.lapsed:
        return f"{held}. The next run has nothing to remove."
    return f"{held}. Nothing stands in the way: the next run removes {some(found.lapsed, 'record')}."


def _cause(number: int, cause: Cause) -> Iterator[Block]:
    yield Line(f"{number}. {cause.message}.", indent=2)
    yield Line(f"→ {cause.fix}", indent=5)
