"""What runs Lapse at its times: printed, installed or taken away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Line
from lapse.cli.view import Done
from lapse.engine.units.installing import Change
from lapse.engine.units.systemd import Unit
from lapse.model.forms import Form


@dataclass(frozen=True, slots=True)
class ScheduleView(Done):
    """Units, and what was done with them; None where they are only printed."""

    form: Form
    units: tuple[Unit, ...]
    change: Change | None
    remarks: tuple[str, ...] = ()
    removed: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is left to do by hand."""
        return (*self.remarks, *(self.change.warnings if self.change else ()))

    def result(self) -> shapes.ScheduleResult:
        """The same for programs."""
        change = self.change or Change()
        return shapes.ScheduleResult(
            form=self.form.value,
            units=[shapes.ScheduleUnit(name=unit.name, text=unit.text) for unit in self.units],
            installed=() if self.removed else change.files,
            removed=change.files if self.removed else (),
            calls=change.calls,
        )

    def page(self) -> Iterator[Block]:
        """The texts as they are, or what was done."""
        if self.change is None:
            yield from _texts(self.units)
            return
        verb = "Removed" if self.removed else "Wrote"
        yield from (Line(f"{verb} {file}") for file in self.change.files)
        yield from (Line(f"Called {call}") for call in self.change.calls)
        if not self.change.files:
            yield Line("Nothing was installed.")


def _texts(units: tuple[Unit, ...]) -> Iterator[Block]:
    for number, unit in enumerate(units):
        if len(units) > 1:
            yield from ([BLANK] if number else [])
            yield Line(f"# {unit.name}")
        yield from (Line(line) for line in unit.text.splitlines())
