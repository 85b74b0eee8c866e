"""A view: what one command has to say, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lapse.cli.page import Block
from lapse.errors import ExitCode


class View(Protocol):
    """The answer of a command.

    Attributes:
        exit_code: What the process answers.
        warnings: Remarks that do not change the outcome.
    """

    @property
    def exit_code(self) -> ExitCode: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def result(self) -> object:
        """The same for programs: one of the classes of `lapse.cli.shapes`."""
        ...

    def page(self) -> Iterator[Block]:
        """The same for people."""
        ...


class Report(Protocol):
    """What the engine says of something that it did.

    Attributes:
        exit_code: What the process answers.
        warnings: Remarks that do not change the outcome.
    """

    @property
    def exit_code(self) -> ExitCode: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


class Done:
    """A view of something that went well and has nothing to warn of; views override what differs."""

    @property
    def exit_code(self) -> ExitCode:
        """0."""
        return ExitCode.DONE

    @property
    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()


class Reported:
    """A view of a report that says itself how it went; views override what differs."""

    report: Report

    @property
    def exit_code(self) -> ExitCode:
        """That of the report."""
        return self.report.exit_code

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the report."""
        return self.report.warnings
