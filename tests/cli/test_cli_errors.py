"""What is said about errors, and the exit code each class has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from calling import parsed
from lapse import errors
from lapse.cli.invocation import Invocation, command
from lapse.cli.main import Root
from lapse.cli.page import Block, Line
from lapse.cli.view import Done, View
from lapse.errors import Complaint, ExitCode, LapseError, MissingDriverError, Origin, PolicyError

CLASSES = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, LapseError) and each is not MissingDriverError
]
ORIGIN = Origin("lapse.yaml", 7, 12)


@dataclass(frozen=True)
class Shouted(Done):
    """A view that only says one line."""

    text: str = "fine"

    def result(self) -> dict[str, str]:
        """The line."""
        return {"text": self.text}

    def page(self) -> Iterator[Block]:
        """The line."""
        yield Line(self.text)


def program(error: BaseException | None) -> typer.Typer:
    """A program with one command, which raises *error*."""
    app = typer.Typer(cls=Root, rich_markup_mode=None)

    def boom(call: Invocation) -> View:
        """Fail."""
        if error is not None:
            raise error
        return Shouted()

    command(app, "boom", examples=["lapse boom"], exits=tuple(ExitCode))(boom)
    app.callback()(lambda: None)
    return app


def told(error: BaseException, *options: str) -> typer.testing.Result:
    """What the program answers when a command raises *error*."""
    return CliRunner().invoke(program(error), ["boom", *options])


@pytest.mark.parametrize("kind", CLASSES, ids=[kind.__name__ for kind in CLASSES])
def test_every_class_of_error_is_told_and_has_its_code(kind: type[LapseError]) -> None:
    """What, where and what next on stderr, nothing on stdout, no traceback, and the code of the class."""
    result = told(kind("the thing broke", hint="Mend it.", origin=ORIGIN))

    assert result.exit_code == kind.exit_code
    assert result.stdout == ""
    assert result.stderr == "Error: lapse.yaml:7:12: the thing broke\nHint: Mend it.\n"


def test_a_missing_driver_says_what_to_install() -> None:
    """The hint is the command to type."""
    result = told(MissingDriverError("pyarrow", extra="parquet"))

    assert result.exit_code == 2
    assert result.stderr.endswith("Hint: Install it with: pip install 'lapse[parquet]'\n")


def test_every_complaint_about_a_policy_has_its_line() -> None:
    """File, line, column and hint of each, then how many there are."""
    complaints = [Complaint(ORIGIN, "`kep` is no key", "Did you mean `keep`?"), Complaint(ORIGIN, "`90` has no unit")]

    result = told(PolicyError("lapse.yaml has 2 problems", complaints=complaints))

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: lapse.yaml:7:12: `kep` is no key",
        "Hint: Did you mean `keep`?",
        "Error: lapse.yaml:7:12: `90` has no unit",
        "Error: lapse.yaml has 2 problems",
    ]


def test_an_unexpected_error_is_told_as_a_defect() -> None:
    """One line and a hint, exit code 1, and no password that a driver put into its message."""
    result = told(ZeroDivisionError("cannot divide postgresql://me:hunter2@db/x"))

    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: internal error: ZeroDivisionError: cannot divide postgresql://me:***@db/x\n"
    )
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", [ZeroDivisionError("postgresql://me:hunter2@db/x"), LapseError("broken")])
def test_debug_shows_where_it_came_from(error: Exception) -> None:
    """The traceback comes first, passwords masked; the message stays."""
    result = told(error, "--debug")

    assert "Traceback (most recent call last)" in result.stderr
    assert "hunter2" not in result.stderr
    assert "Error: " in result.stderr


def test_an_interruption_is_no_traceback() -> None:
    """Ctrl-C ends with 1 and says what to do next."""
    result = told(KeyboardInterrupt())

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: interrupted\nHint: ")


@pytest.mark.parametrize("kind", CLASSES, ids=[kind.__name__ for kind in CLASSES])
def test_with_json_an_error_is_one_object_too(kind: type[LapseError]) -> None:
    """The envelope carries class, message, hint and place; stderr is empty."""
    result = told(kind("the thing broke", hint="Mend it.", origin=ORIGIN), "--json")

    assert parsed(result)["error"] == {
        "kind": kind.__name__,
        "message": "the thing broke",
        "hint": "Mend it.",
        "where": "lapse.yaml:7:12",
        "complaints": [],
    }
    assert result.stderr == ""


def test_with_json_complaints_are_listed() -> None:
    """Each with its place, and null where there is no hint."""
    complaints = [Complaint(ORIGIN, "`90` has no unit")]

    found = parsed(told(PolicyError("lapse.yaml has 1 problem", complaints=complaints), "--json"))

    assert found["error"]["complaints"] == [{"where": "lapse.yaml:7:12", "message": "`90` has no unit", "hint": None}]


def test_with_json_a_wrong_option_is_one_object_too() -> None:
    """The form of the answer is known before the options are right."""
    result = CliRunner().invoke(program(None), ["boom", "--jsno", "--json"])

    found = parsed(result)
    assert (found["exit"], found["command"], found["error"]["kind"]) == (2, "boom", "UsageError")


def test_a_view_is_shown_and_ends_with_its_code() -> None:
    """Text or the envelope, as asked."""
    assert CliRunner().invoke(program(None), ["boom"]).stdout == "fine\n"
    assert json.loads(CliRunner().invoke(program(None), ["boom", "--json"]).stdout)["result"] == {"text": "fine"}


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec=None)))
def test_any_text_leaves_as_json(text: str) -> None:
    """Also half characters, as file names can have them; it comes back as it was."""
    result = told(LapseError(text), "--json")

    assert json.loads(result.stdout)["error"]["message"] == text
    assert result.stdout.isascii()


def test_any_text_leaves_as_text() -> None:
    """What no terminal can show is an escape."""
    assert told(LapseError("bad name \udcff")).stderr == "Error: bad name \\udcff\n"
