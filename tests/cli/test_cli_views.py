"""Views of values that a healthy world does not give: trouble, recovery, waivers, damage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from lapse.canonical import Digest
from lapse.cli.page import lines
from lapse.cli.values import as_json, as_text
from lapse.cli.view import View
from lapse.cli.views.asked import WhyView
from lapse.cli.views.ledgers import LedgerVerifyView
from lapse.cli.views.ran import RunView
from lapse.engine.ledgering import LedgerVerdict
from lapse.errors import ExitCode
from lapse.instant import Nanos
from lapse.model.report import DatasetReport, RunReport, Status, Trouble
from lapse.model.why import Clock, Explanation, Layer
from lapse.state.ledger import Head
from lapse.state.ledger_check import LedgerCheck
from lapse.state.ledger_problem import Problem, ProblemKind

DONE = DatasetReport(
    dataset="calls", status=Status.DONE, records=1234, size=2048, rules={"rule 10 (x)": 34, "rule 2 (y)": 1200},
    segments=2, slices=3, waived=34, recovered=1, cleared=2, remaining=0, seconds=75.0,
)  # fmt: skip
FAILED = DatasetReport(
    dataset="tools", status=Status.INCOMPLETE, remaining=7, trouble=Trouble(message="disk full", hint="Make room.")
)
REPORT = RunReport(
    run="R1", now=Nanos(0), dry=False, datasets=(DONE, FAILED), warnings=("look here",), seconds=80.0,
    ledger_entries=5, head="ab" * 32,
)  # fmt: skip


def text(view: View) -> str:
    """The page as it goes into a pipe."""
    return "\n".join(line.text for block in view.page() for line in lines(block, None))


def test_an_incomplete_run_says_which_dataset_and_what_next() -> None:
    """Exit code 1; trouble and hint stand with the dataset, and the last word is to run again."""
    view = RunView(REPORT)
    shown = text(view)

    assert view.exit_code is ExitCode.INCOMPLETE
    assert "tools is incomplete: disk full\n  Hint: Make room." in shown
    assert "1,234 records removed; 1 dataset did not complete. Run again" in shown
    assert view.warnings == ("look here",)


def test_a_run_says_what_it_recovered_cleared_and_waived() -> None:
    """None of it is silent; rules come in their order."""
    shown = text(RunView(REPORT))

    assert "1 slice of an interrupted run entered into the ledger" in shown
    assert "2 orphan segments of an interrupted run cleared" in shown
    assert "34 records without a copy, as the policy says" in shown
    assert shown.index("rule 2 (y)") < shown.index("rule 10 (x)")


def test_a_complete_run_tells_archived_from_waived() -> None:
    """What went without a copy is not called verified."""
    shown = text(RunView(replace(REPORT, datasets=(DONE,))))

    assert "1,234 records removed in 1 min 20 s; 1,200 of them archived, read back and verified." in shown


def test_each_of_several_records_is_explained() -> None:
    """Two records of one key are two explanations; one that never lapses has no date."""
    one = Explanation(
        dataset="calls", key="4711", instant=None, verdict="doubtful", reason="no readable time", lapses=None,
        layers=(Layer(name="doubt", finding="no readable time", decided=True),), values={"type": None},
        clock=Clock(field="at", reading="times without an offset are read in UTC", now=Nanos(0)),
    )  # fmt: skip

    shown = text(WhyView((one, replace(one, key="4711 (2)"))))

    assert shown.count("=>  doubt  no readable time") == 2
    assert "time not readable" in shown
    assert "lapses on" not in shown


def test_every_problem_of_a_ledger_is_named() -> None:
    """By its kind, with its line; an unreachable archive and a missing anchor are warnings."""
    problems = (
        Problem(kind=ProblemKind.EDITED, message="entry 5 was changed", entry=5, line=6),
        Problem(kind=ProblemKind.CUT_TAIL, message="entries 8 to 9 are missing"),
    )
    check = LedgerCheck(entries=8, head=Head(7, Digest("ab" * 32)), problems=problems)
    view = LedgerVerifyView(LedgerVerdict(check=check, checkpoints={"cold": None}))

    assert text(view).splitlines()[:2] == [
        "edited: entry 5 was changed (line 6)",
        "cut tail: entries 8 to 9 are missing",
    ]
    assert view.exit_code is ExitCode.INCOMPLETE
    assert len(view.warnings) == 2


def test_an_unfinished_line_alone_is_no_failure() -> None:
    """A crash explains it: it is shown, and the ledger is sound."""
    problem = Problem(kind=ProblemKind.UNFINISHED_LINE, message="the last line is not finished")
    check = LedgerCheck(entries=8, head=Head(7, Digest("ab" * 32)), problems=(problem,))
    view = LedgerVerifyView(LedgerVerdict(check=check, checkpoints={"cold": 2}))

    assert view.exit_code is ExitCode.DONE
    assert "unfinished line" in text(view)
    assert "The ledger is sound" in text(view)


@pytest.mark.parametrize(
    ("value", "json_", "shown"),
    [
        (None, None, ""),
        (True, True, "true"),
        (10**30, 10**30, "1" + "0" * 30),
        (float("nan"), "nan", "nan"),
        (Decimal("1.10"), "1.10", "1.10"),
        (b"\x00\xff", "00ff", "00ff"),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        (datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), "2026-01-01T00:00:00", "2026-01-01T00:00:00"),
        ({"a": [1, b"\x01"]}, {"a": [1, "01"]}, '{"a": [1, "01"]}'),
        ("zoë", "zoë", "zoë"),
    ],
)
def test_every_value_of_a_query_has_a_form(value: object, json_: object, shown: str) -> None:
    """Nothing is lost in JSON: what it has no form for becomes text."""
    assert as_json(value) == json_
    assert as_text(value) == shown
