"""What is made of the records elsewhere: none goes before it holds them, unless somebody says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guarded_world import Guarded, fresh, old, refused
from typer.testing import CliRunner, Result

from lapse.cli.main import app
from lapse.engine.refreshing import refreshed
from lapse.errors import PolicyError, UsageError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.guards import Guard
from lapse.model.ledger_entry import EntryKind

CUTOFF = parse_rfc3339("2026-08-03T00:00:00Z")
"""90 days before the run's ``now``."""

TOTALS = "derived: [daily totals]"


@pytest.fixture(params=["sqlite", "jsonl"])
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Guarded:
    """20 old records and a fresh one."""
    found = Guarded(tmp_path, request.param)
    found.fill(old(20), fresh(1))
    return found


def _call(log: Guarded, *arguments: str) -> Result:
    log.session()  # sets the environment
    return CliRunner().invoke(app, [*arguments, "--policy", str(log.folder / "lapse.yaml")])


def test_what_nobody_has_refreshed_refuses_the_run(log: Guarded) -> None:
    """It says which, up to when, and what to do about it."""
    log.policy(dataset=TOTALS)

    said = refused(log)

    assert "'daily totals' is made of records that may go, of before 2026-08-03T00:00:00Z" in said
    assert "nobody has said that it holds any" in said
    assert "`lapse refreshed log 'daily totals'`" in said
    assert "--allow derived" in said


def test_what_was_refreshed_lets_the_run_go(log: Guarded) -> None:
    """By the command that the refusal names, and the ledger has it."""
    log.policy(dataset=TOTALS)
    refused(log)

    said = _call(log, "refreshed", "log", "daily totals")

    assert said.exit_code == 0
    assert said.stdout.startswith("'daily totals' holds all records of log from before 20")
    assert log.run().records == 20
    (entry,) = log.entries(EntryKind.REFRESHED)
    assert (entry["dataset"], entry["derived"]) == ("log", "daily totals")


@pytest.mark.parametrize(("late", "goes"), [(0, True), (1, True), (-1, False)])
def test_it_must_hold_all_up_to_the_cutoff(log: Guarded, late: int, goes: bool) -> None:
    """To the nanosecond: a record of just before the cutoff may still arrive."""
    log.policy(dataset=TOTALS)
    refreshed(log.session(), "log", "daily totals", Nanos(CUTOFF + late))

    if goes:
        assert log.run().records == 20
    else:
        assert "it holds those before 2026-08-02T23:59:59.999999999Z" in refused(log)


def test_what_was_said_last_counts(log: Guarded) -> None:
    """A table that was lost holds less than before."""
    log.policy(dataset=TOTALS)
    refreshed(log.session(), "log", "daily totals", None)
    refreshed(log.session(), "log", "daily totals", parse_rfc3339("2020-01-01T00:00:00Z"))

    assert "it holds those before 2020-01-01T00:00:00Z" in refused(log)


def test_each_of_several_has_to_hold_them(log: Guarded) -> None:
    """Those that do are not named."""
    log.policy(dataset="derived: [daily totals, invoices, daily totals]")
    refreshed(log.session(), "log", "invoices", None)

    said = refused(log)

    assert "'daily totals'" in said
    assert "invoices" not in said


def test_a_rule_names_its_own(log: Guarded) -> None:
    """Instead of the dataset's; the longest reach of those that name one counts."""
    log.policy(
        "{kind: other, for: 30 days, derived: [invoices]}",
        "{kind: call, for: 365 days}",
        "{for: 90 days}",
        dataset=TOTALS,
    )
    refreshed(log.session(), "log", "daily totals", Nanos(CUTOFF - 1))
    assert "'daily totals' is made of records that may go, of before 2026-08-03T00:00:00Z" in refused(log)
    refreshed(log.session(), "log", "daily totals", CUTOFF)

    said = refused(log)

    assert "'invoices' is made of records that may go, of before 2026-10-02T00:00:00Z" in said
    assert "daily totals" not in said


def test_a_rule_that_keeps_for_ever_asks_for_nothing(log: Guarded) -> None:
    """What never goes need not be anywhere else."""
    log.policy("{kind: other, for: forever, derived: [invoices]}", "{for: 90 days}")

    assert log.run().records == 20


def test_a_tenant_s_rules_take_the_dataset_s(tmp_path: Path) -> None:
    """They stand before those that all share, and are no exception."""
    log = Guarded(tmp_path)
    log.fill(old(5), fresh(1))
    log.policy("{for: forever}", dataset=f"{TOTALS}\ntenants: {{acme: {{keep: 90 days}}}}")

    assert "'daily totals'" in refused(log)
    refreshed(log.session(), "log", "daily totals", None)
    assert log.run().records == 5


def test_nothing_is_asked_where_nothing_goes(tmp_path: Path) -> None:
    """A run that removes nothing cannot lose anything."""
    log = Guarded(tmp_path)
    log.fill(fresh(3))
    log.policy(dataset=TOTALS)

    assert log.run().records == 0


def test_it_is_passed_by_this_once(log: Guarded) -> None:
    """By its name alone, and the ledger says so."""
    log.policy(dataset=TOTALS)
    assert "--allow derived" in refused(log, allowed=frozenset({Guard.SHARE, Guard.EMPTY}))

    assert log.run(allowed=frozenset({Guard.DERIVED})).records == 20

    (note,) = [body for body in log.entries(EntryKind.NOTE) if body.get("guard") == "derived"]
    assert note["derived"] == "daily totals"
    assert (note["needed"], note["until"]) == ("2026-08-03T00:00:00Z", None)
    log.fill(old(1))
    assert "'daily totals'" in refused(log)


def test_a_plan_and_why_name_what_is_behind(log: Guarded) -> None:
    """Before anybody runs into it; a dry run is refused as a run is."""
    log.policy(dataset=TOTALS)

    assert [over.guard for over in log.plan().over] == [Guard.DERIVED]
    assert "'daily totals' is made of records" in _call(log, "plan").stdout
    assert "'daily totals' is made of records" in _call(log, "why", "--not", "log").stdout
    assert _call(log, "run", "--dry-run").exit_code == 3

    assert _call(log, "refreshed", "log", "daily totals").exit_code == 0
    assert log.plan().over == ()
    assert "'daily totals'" not in _call(log, "why", "--not", "log").stdout


def test_the_command_line_allows_it(log: Guarded) -> None:
    """As any guard."""
    log.policy(dataset=TOTALS)

    assert _call(log, "run", "--allow", "derived").exit_code == 0
    assert log.records() == 1


@pytest.mark.parametrize(
    ("name", "until", "said"),
    [
        ("totals", None, "no rule says that 'totals' is derived from its records"),
        ("daily totals", "2999-01-01", "nothing can hold the records of 2999-01-01T00:00:00Z yet"),
        ("daily totals", "yesterday", "is no date and no instant"),
    ],
)
def test_a_slip_is_named_and_enters_nothing(log: Guarded, name: str, until: str | None, said: str) -> None:
    """With exit 2, and what is known."""
    log.policy(dataset=TOTALS)

    result = _call(log, "refreshed", "log", name, *([] if until is None else ["--until", until]))

    assert result.exit_code == 2
    assert said in result.stderr
    assert log.entries(EntryKind.REFRESHED) == []


def test_a_dataset_of_which_nothing_is_made_says_how_to_name_it(log: Guarded) -> None:
    """Nothing is declared by a command alone."""
    log.policy()

    with pytest.raises(UsageError) as caught:
        refreshed(log.session(), "log", "daily totals", None)

    assert caught.value.hint is not None
    assert "derived: [NAME]" in caught.value.hint


def test_the_answer_for_programs_has_the_time(log: Guarded) -> None:
    """And a date is its first instant."""
    log.policy(dataset=TOTALS)

    found = json.loads(_call(log, "refreshed", "log", "daily totals", "--until", "2026-10-01", "--json").stdout)

    assert found["result"] == {"dataset": "log", "derived": "daily totals", "until": "2026-10-01T00:00:00Z"}
    assert "daily totals holds the records of log from before 2026-10-01" in _call(log, "ledger", "show").stdout


def test_the_hash_of_a_policy_knows_of_it(log: Guarded) -> None:
    """A sealed plan is not followed where something was declared since; what a rule decides is as it was."""
    log.policy()
    plain, digest = log.session().policy, log.session().policy.digest
    log.policy(dataset=TOTALS)
    said = log.session().policy
    log.policy(dataset="derived: [invoices]")

    assert len({digest, said.digest, log.session().policy.digest}) == 3
    assert said.datasets["log"].rules[0].spelled() == plain.datasets["log"].rules[0].spelled()


@pytest.mark.parametrize("wrong", ["derived: []", "derived: daily totals", "derived: ['']", "derived:"])
def test_a_list_of_names_is_asked_for(log: Guarded, wrong: str) -> None:
    """Anything else is complained of with its place."""
    log.policy(dataset=wrong)

    with pytest.raises(PolicyError) as caught:
        log.session()

    (complaint,) = caught.value.complaints
    assert complaint.origin is not None
    assert (complaint.origin.line, "derived" in complaint.message) == (12, True)
