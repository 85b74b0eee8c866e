"""`plan` and `run` on a real world: what they print, their exit codes and their JSON; what refuses a run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_world import POLICY, CliWorld

from lapse.policyfile import load
from lapse.registry import open_store


def test_plan_counts_by_verdict_and_reason(world: CliWorld) -> None:
    """A row for each group, and a sentence on everything; no store is changed and nothing is written."""
    result = world.call("plan")

    assert result.exit_code == 0, result.stderr
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert any(row.startswith("lapsed rule 2 (everything: 90 days) acme 6 ") for row in rows)
    assert any(row.startswith("held hold 2026-17 held 2 ") for row in rows)
    assert any(row.startswith("doubtful no readable time acme 1 ") for row in rows)
    assert any(row.startswith("kept floor 'contract 7.2'") for row in rows)
    assert "9 of 18 records would go" in rows[-1]
    assert not world.state.exists()


def test_plan_for_programs(world: CliWorld) -> None:
    """The same as values: instants exact, rules numbered from 1, and the tenant as it is."""
    found = world.json("plan", "calls")["result"]

    assert (found["now"], found["lapsed"], found["sealed"]) == ("2025-06-01T00:00:00Z", 6, None)
    (dataset,) = found["datasets"]
    assert dataset["cutoffs"] == ["2024-06-01T00:00:00Z", "2025-03-03T00:00:00Z"]
    lapsed = dataset["groups"][0]
    assert (lapsed["verdict"], lapsed["rule"], lapsed["archives"]) == ("lapsed", 2, ["cold"])
    assert lapsed["newest"] == "2024-06-01T00:00:00Z"
    assert "zoë [bold]" in {group["tenant"] for group in dataset["groups"]}


def test_an_unknown_dataset_is_a_usage_error(world: CliWorld) -> None:
    """The known ones are named."""
    result = world.call("plan", "cals")

    assert result.exit_code == 2
    assert "calls, tools" in result.stderr


def test_a_dry_run_says_that_nothing_was_changed(world: CliWorld) -> None:
    """And nothing was."""
    before = (world.folder / "calls.db").read_bytes()

    result = world.call("run", "--dry-run")

    assert result.exit_code == 0, result.stderr
    assert "nothing was changed" in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[-1].endswith("Nothing was changed.")
    assert (world.folder / "calls.db").read_bytes() == before
    assert world.json("run", "--dry-run")["result"]["dry"] is True


def test_run_removes_what_has_lapsed_and_says_so(world: CliWorld) -> None:
    """A row for each dataset, totals and the ledger's head; a second run finds nothing to do."""
    first = world.call("run")
    second = world.call("run")

    assert first.exit_code == 0, first.stderr
    assert "9 records removed" in first.stdout
    assert "The ledger has" in first.stdout
    assert world.rows() == [7, 8, 9, 10, 11, 12]
    assert second.exit_code == 0
    assert "Nothing to do" in second.stdout


def test_run_for_programs(world: CliWorld) -> None:
    """Counts by rule, segments, and the head of the ledger."""
    found = world.json("run")["result"]

    assert found["records"] == 9
    assert found["datasets"][0]["rules"] == {"rule 2 (everything: 90 days)": 6}
    assert found["datasets"][0]["status"] == "done"
    assert found["ledger_entries"] > 0
    assert len(found["head"]) == 64


def test_a_guard_refuses_with_3(world: CliWorld) -> None:
    """Over the guard nothing is removed, and the error says what to do."""
    world.write(POLICY + "guards: {rows: 5}\n")

    result = world.call("run")

    assert result.exit_code == 3
    assert result.stderr.startswith("Error: ")
    assert "Hint: " in result.stderr
    assert len(world.rows()) == 12
    assert world.json("run")["error"]["kind"] == "GuardError"


def test_emptying_a_dataset_must_be_allowed(world: CliWorld) -> None:
    """Refused with 3 until --allow-empty."""
    (world.folder / "logs" / "audit.jsonl").write_text('{"timestamp": "2024-01-01T00:00:00Z", "schema": "x"}\n')

    assert world.call("run", "tools").exit_code == 3
    assert world.call("run", "tools", "--allow-empty").exit_code == 0


def test_a_sealed_plan_binds_the_run(world: CliWorld) -> None:
    """The run does just that; after drift below the mark it is refused with 3."""
    sealed = world.call("plan", "calls", "-o", "plan.json")
    assert "lapse run --plan plan.json" in sealed.stdout
    assert world.json("plan", "calls", "-o", "plan.json")["result"]["sealed"] == "plan.json"
    with sqlite3.connect(world.folder / "calls.db") as connection:
        connection.execute("DELETE FROM cel WHERE id = 3")
    connection.close()

    assert world.call("run", "--plan", "plan.json").exit_code == 3
    world.call("plan", "calls", "-o", "plan.json")
    assert world.call("run", "--plan", "plan.json").exit_code == 0
    assert world.call("run", "--plan", "nowhere.json").exit_code == 2


def test_a_store_that_is_missing_is_told_with_its_place(world: CliWorld) -> None:
    """The policy's line that names it, exit code 2."""
    world.write(POLICY.replace("table: cel", "table: cle"))

    result = world.call("plan")

    assert result.exit_code == 2
    assert "lapse.yaml:7:" in result.stderr or "lapse.yaml:6:" in result.stderr


def test_an_archive_that_is_out_of_reach_ends_with_1(world: CliWorld) -> None:
    """Nothing was removed, and the hint says what is in the way."""
    (world.folder / "archive").write_text("in the way")

    result = world.call("run")

    assert result.exit_code == 1
    assert "Hint: " in result.stderr
    assert world.json("run")["error"]["kind"] == "TargetError"
    assert len(world.rows()) == 12


def test_a_lease_that_another_has_ends_with_4(world: CliWorld) -> None:
    """Nothing was touched, in either dataset; the lease is that of another process."""
    other = open_store(load(world.folder / "lapse.yaml").datasets["tools"], read_only=False)
    with other.lease():
        ended = subprocess.run(
            [sys.executable, "-m", "lapse", "run", "--json"],
            env={**os.environ, **world.env()}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    other.close()

    assert ended.returncode == 4
    assert json.loads(ended.stdout)["error"]["kind"] == "LeaseError"
    assert len(world.rows()) == 12
    assert not world.state.joinpath("ledger").exists()


def test_trust_accepts_a_changed_store(world: CliWorld) -> None:
    """A table of other columns is refused with 3 before, and fine after."""
    world.call("run")
    with sqlite3.connect(world.folder / "calls.db") as connection:
        connection.execute("DROP TABLE cel")
        connection.execute("CREATE TABLE cel (id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, tenant TEXT)")
    connection.close()

    refused = world.call("plan", "calls")
    assert refused.exit_code == 3
    assert "lapse trust calls" in refused.stderr
    assert world.call("trust", "calls").exit_code == 0
    assert world.call("plan", "calls").exit_code == 0
    assert world.json("trust", "calls")["result"]["dataset"] == "calls"


def test_the_demo_runs_for_programs(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object, every command with exit code 0; the folder of someone else is refused."""
    import lapse.demo.world as demo

    monkeypatch.setattr(demo.build_world, "__kwdefaults__", {"calls": 2000, "audit_records": 300})
    (world.folder / "other").mkdir()
    (world.folder / "other" / "mine.txt").touch()

    found = world.json("demo", "shown")["result"]

    assert [each["exit"] for each in found["commands"]] == [0] * len(found["commands"])
    assert Path(found["folder"]) == world.folder / "shown"
    assert world.call("demo", "other").exit_code == 2


def test_nothing_takes_long(world: CliWorld) -> None:
    """A command that only reads a policy answers in well under a second of processor time."""
    world.call("check")
    started = time.process_time()

    world.call("check")

    assert time.process_time() - started < 1
