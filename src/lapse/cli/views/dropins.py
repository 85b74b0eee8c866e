"""What the drop-ins have to say: views. What happens during a purge is said by its log lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import Block, Line
from lapse.cli.view import Done
from lapse.cli.views.ran import RunView
from lapse.dialects.policytext import PolicyText
from lapse.dialects.xivo.purge import PurgeReport
from lapse.dialects.xivo.schedule import Form
from lapse.errors import ExitCode


@dataclass(frozen=True, slots=True)
class PurgeView(Done):
    """What a purge did."""

    report: PurgeReport

    @property
    def exit_code(self) -> ExitCode:
        """1 if a table or a foreign purger is incomplete."""
        return self.report.exit_code

    def result(self) -> shapes.XivoPurgeResult:
        """The report for programs."""
        return shapes.XivoPurgeResult(
            run=RunView(self.report.run).result(),
            archives=self.report.archives,
            foreign=[
                shapes.ForeignPurge(
                    name=each.name,
                    days=each.days,
                    trouble=None
                    if each.trouble is None
                    else shapes.Trouble(message=each.trouble.message, hint=each.trouble.hint),
                )
                for each in self.report.foreign
            ],
        )

    def page(self) -> Iterator[Block]:
        """Nothing: the log has said it."""
        return iter(())


@dataclass(frozen=True, slots=True)
class PolicyView(Done):
    """A configuration as a policy."""

    made: PolicyText
    remarks: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the configuration, and the variables to set."""
        return (*self.remarks, *(f"set {name} where lapse runs: {what}" for name, what in self.made.variables.items()))

    def result(self) -> shapes.XivoPolicyResult:
        """The policy for programs."""
        return shapes.XivoPolicyResult(policy=self.made.text, variables=self.made.variables)

    def page(self) -> Iterator[Block]:
        """The text of the policy."""
        return (Line(line) for line in self.made.text.splitlines())


@dataclass(frozen=True, slots=True)
class ScheduleView(Done):
    """How to run a purge every night."""

    form: Form
    text: str

    def result(self) -> shapes.XivoScheduleResult:
        """The same for programs."""
        return shapes.XivoScheduleResult(form=self.form.value, text=self.text)

    def page(self) -> Iterator[Block]:
        """The text to put where the form is read."""
        return (Line(line) for line in self.text.splitlines())
