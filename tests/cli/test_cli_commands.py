"""Every command on a real world: what it prints, its exit code, and its JSON."""

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


def test_check_says_the_policy_in_words(world: CliWorld) -> None:
    """Datasets, rules, floors, holds and archives, each with its words."""
    result = world.call("check")

    assert result.exit_code == 0
    for text in ("2. everything: kept 90 days, then archived in cold and removed", "contract 7.2", "Hold 2026-17"):
        assert text in result.stdout
    assert result.stderr == ""
    assert [each["dataset"] for each in world.json("check")["result"]["datasets"]] == ["calls", "tools"]


def test_check_warns_of_what_is_shaky(world: CliWorld) -> None:
    """Warnings go to stderr, with their place; the policy is still right."""
    world.policy(POLICY.replace("keep: 90 days", "keep: 3 hours"))

    result = world.call("check")

    assert result.exit_code == 0
    assert "less than a day" in result.stderr
    assert world.json("check")["warnings"]


def test_check_prints_its_schema_and_values(world: CliWorld) -> None:
    """The schema is JSON by itself; every value says where it comes from."""
    assert json.loads(world.call("check", "--schema").stdout)["title"] == "Lapse policy"
    assert "lapse.yaml:17:" in world.call("check", "--effective").stdout
    assert world.json("check", "--schema")["result"]["schema"]["title"] == "Lapse policy"
    assert any(each["where"] is None for each in world.json("check", "--effective")["result"]["values"])


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("keep: 90 days", "keep: 90", ":20:11"),
        ("keep: 90 days", "keep: 0 days", ":20:11"),
        ("keep: 90 days", "keep: -3 days", ":20:11"),
        ("keep: 90 days", "keep: ", ":20:"),
        ("keep: 90 days", "kep: 90 days", ":20:5"),
        ("time: timestamp", "time: timestamp\n    time: other", ":19:5"),
        ("archive: cold\nfloors", "archive: cool\nfloors", ":21:14"),
        ("store: logs/audit*.jsonl", "store: [1]", ":17:12"),
    ],
)
def test_a_wrong_policy_is_answered_with_its_place(world: CliWorld, old: str, new: str, place: str) -> None:
    """Exit code 2 with file, line and column, and nothing was touched, whatever the command."""
    world.policy(POLICY.replace(old, new))
    before = world.rows()

    for command in ("check", "plan", "run"):
        result = world.call(command)
        assert result.exit_code == 2
        assert f"lapse.yaml{place}" in result.stderr
        assert "Traceback" not in result.output
    assert world.json("run")["error"]["complaints"]
    assert world.rows() == before
    assert not world.state.exists()


@pytest.mark.parametrize("command", ["check", "plan", "run", "status", "hold list", "ledger show", "archive list"])
def test_a_missing_policy_is_a_usage_error(world: CliWorld, command: str) -> None:
    """Exit code 2, and what to do next."""
    result = world.call(*command.split(), "-p", "nowhere.yaml")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: nowhere.yaml")
    assert "Hint: " in result.stderr


def test_the_policy_may_be_named_before_or_after_the_command(world: CliWorld) -> None:
    """What stands after the command wins; both win over the environment."""
    (world.folder / "other.yaml").write_text(POLICY, encoding="utf-8")

    assert "other.yaml can be followed" in world.call("-p", "other.yaml", "check").stdout
    assert "other.yaml can be followed" in world.call("-p", "nowhere.yaml", "check", "-p", "other.yaml").stdout


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
    world.policy(POLICY + "guards: {rows: 5}\n")

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
    world.policy(POLICY.replace("table: cel", "table: cle"))

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


def test_why_marks_the_layer_that_decided(world: CliWorld) -> None:
    """The record's fields, every layer, and the day it lapses."""
    result = world.call("why", "calls", "12")

    assert result.exit_code == 0, result.stderr
    (decided,) = [line for line in result.stdout.splitlines() if line.startswith("=>")]
    assert "rule 2 (everything: 90 days)" in decided
    assert "2025-08-29" in result.stdout
    assert "zoë [bold]" in result.stdout
    (record,) = world.json("why", "calls", "7")["result"]["records"]
    assert [layer["name"] for layer in record["layers"] if layer["decided"]] == ["hold 2026-17"]


def test_why_of_nothing_is_a_usage_error(world: CliWorld) -> None:
    """With the hint that it may be archived."""
    result = world.call("why", "calls", "4711")

    assert result.exit_code == 2
    assert "archive query" in result.stderr


def test_status_before_and_after_a_run(world: CliWorld) -> None:
    """Never run, then done; holds, ledger and archives are named."""
    before = world.call("status")
    world.call("run")
    after = world.call("status")

    assert before.exit_code == after.exit_code == 0, before.stderr
    assert "never" in before.stdout
    assert "none yet" in before.stdout
    assert "Active holds: 2026-17" in after.stdout
    assert "done" in after.stdout
    assert world.json("status")["result"]["datasets"][0]["total_records"] == 6


def test_a_hold_may_be_on_a_range_or_on_all_but_some(world: CliWorld) -> None:
    """The command, the file, the list and the plan all mean the same."""
    scope = ("--dataset", "calls", "--match", "id=1..3", "--match", "tenant!=held", "--match", "tenant!=glob:x*")
    added = world.call("hold", "add", "--matter", "M1", "--reason", "inquiry", *scope)

    assert added.exit_code == 0, added.stderr
    assert "in force: dataset calls, id 1 to 3 and tenant not held, glob:x*" in added.stdout
    (hold,) = (each for each in world.json("hold", "list")["result"]["holds"] if each["matter"] == "M1")
    assert hold["match"] == [
        {"field": "id", "values": [], "globs": [], "ranges": [{"first": 1, "last": 3}], "negated": False},
        {"field": "tenant", "values": ["held"], "globs": ["x*"], "ranges": [], "negated": True},
    ]
    assert world.json("plan", "calls")["result"]["lapsed"] == 3


def test_a_hold_keeps_and_its_release_lets_go(world: CliWorld) -> None:
    """Added, it is listed and covers; twice is an error; released, the rules count again."""
    added = world.call("hold", "add", "--matter", "M1", "--reason", "inquiry", "--dataset", "calls", "--tenant", "acme")

    assert added.exit_code == 0, added.stderr
    assert "in force: dataset calls, tenant acme" in added.stdout
    assert world.json("plan", "calls")["result"]["lapsed"] == 0
    holds = {hold["matter"]: hold for hold in world.json("hold", "list")["result"]["holds"]}
    only_acme = {"field": "tenant", "values": ["acme"], "globs": [], "ranges": [], "negated": False}
    assert holds["M1"]["match"] == [only_acme]
    assert world.call("hold", "add", "--matter", "M1", "--reason", "x", "--all").exit_code == 2
    assert world.json("hold", "release", "M1")["result"] == {"matter": "M1"}
    assert world.json("plan", "calls")["result"]["lapsed"] == 6
    assert "M1" not in world.call("hold", "list").stdout


def test_a_hold_without_a_scope_is_refused(world: CliWorld) -> None:
    """Never everything by omission."""
    result = world.call("hold", "add", "--matter", "M1", "--reason", "inquiry")

    assert result.exit_code == 2
    assert "--all" in result.stderr
    assert world.json("hold", "add", "--matter", "M1", "--reason", "r", "--all")["result"]["hold"]["match"] == []


def test_the_archive_can_be_listed_verified_and_asked(world: CliWorld) -> None:
    """After a run: a row for each segment, all intact, and SQL over them with nothing but data on stdout."""
    world.call("run")

    listed = world.json("archive", "list", "--dataset", "calls")["result"]["segments"]
    assert sum(segment["records"] for segment in listed) == 6
    assert listed[0]["path"] in world.call("archive", "list").stdout
    assert "all intact" in world.call("archive", "verify").stdout
    assert world.json("archive", "verify")["result"]["ok"] is True
    asked = world.call("archive", "query", "SELECT tenant, count(*) AS n FROM calls GROUP BY ALL")
    assert [line.split() for line in asked.stdout.splitlines()] == [["tenant", "n"], ["acme", "6"]]
    found = world.json("archive", "query", "SELECT min(id) AS first, NULL AS nothing FROM calls")["result"]
    assert found == {"columns": ["first", "nothing"], "rows": [[1, None]]}


def test_a_query_that_writes_is_refused(world: CliWorld) -> None:
    """Exit code 2 and a hint."""
    world.call("run")

    result = world.call("archive", "query", "DELETE FROM calls")

    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_a_damaged_segment_is_named_with_1(world: CliWorld) -> None:
    """Which copy, and what is wrong with it."""
    world.call("run")
    segment = next((world.folder / "archive").rglob("*.parquet"))
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")

    result = world.call("archive", "verify")

    assert result.exit_code == 1
    assert segment.name in result.stdout
    assert world.json("archive", "verify")["result"]["ok"] is False


def test_restore_needs_a_selector_and_brings_back(world: CliWorld) -> None:
    """Without one it is refused; with one the records are back, and held."""
    world.call("run")

    assert world.call("archive", "restore").exit_code == 2
    found = world.json("archive", "restore", "--dataset", "calls")["result"]
    assert (found["restored"], found["present"]) == (6, 0)
    assert found["hold"] is not None
    assert len(world.rows()) == 12
    again = world.call("archive", "restore", "--dataset", "calls", "--no-hold")
    assert "6 were there already" in again.stdout
    assert world.json("plan", "calls")["result"]["lapsed"] == 0


def test_restore_into_another_store_shows_no_secret(world: CliWorld) -> None:
    """The records are there, in the table that was asked for."""
    world.call("run")

    result = world.call("archive", "restore", "--dataset", "calls", "--to", "sqlite:///inquiry.db", "--table", "found")

    assert result.exit_code == 0, result.stderr
    connection = sqlite3.connect(world.folder / "inquiry.db")
    assert connection.execute("SELECT count(*) FROM found").fetchone() == (6,)
    connection.close()
    secret = world.call("archive", "restore", "--all", "--to", "postgresql://me:hunter2@db/x")
    assert secret.exit_code != 0
    assert "hunter2" not in secret.output


def test_the_ledger_is_shown_and_sound(world: CliWorld) -> None:
    """Numbers and kinds; --last takes the end of it; the check says what it compared."""
    world.call("run")

    shown = world.call("ledger", "show")
    assert "disposal" in shown.stdout
    assert "calls: 6 records" in shown.stdout
    last = world.json("ledger", "show", "--last", "1")["result"]["entries"]
    assert [entry["kind"] for entry in last] == ["run"]
    checked = world.call("ledger", "verify")
    assert checked.exit_code == 0
    assert "sound" in checked.stdout
    assert world.json("ledger", "verify")["result"]["anchored"] is True


def test_an_edited_ledger_is_named_with_1(world: CliWorld) -> None:
    """The problem by its name, with its line."""
    world.call("run")
    ledger = next(world.state.rglob("ledger.jsonl"))
    ledger.write_text(ledger.read_text(encoding="utf-8").replace('"records":6', '"records":5'), encoding="utf-8")

    result = world.call("ledger", "verify")

    assert result.exit_code == 1
    assert result.stdout.startswith("edited: ")
    assert world.json("ledger", "verify")["result"]["problems"][0]["kind"] == "edited"


def test_a_cut_tail_is_named(world: CliWorld) -> None:
    """Against the checkpoint in the archive."""
    world.call("run")
    ledger = next(world.state.rglob("ledger.jsonl"))
    ledger.write_text("".join(ledger.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")

    assert "cut tail" in world.call("ledger", "verify").stdout


def test_a_lost_ledger_stops_the_run_until_it_is_adopted(world: CliWorld) -> None:
    """Exit code 3 and the command to type; adopting where there is a ledger is an error."""
    world.call("run")
    assert world.call("ledger", "adopt").exit_code == 2
    for file in sorted(world.state.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()

    refused = world.call("run")
    assert refused.exit_code == 3
    assert "lapse ledger adopt" in refused.stderr
    assert len(world.json("ledger", "adopt")["result"]["adopted"]) == 1
    assert world.call("run").exit_code == 0


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


def test_init_proposes_a_policy_that_keeps_everything(world: CliWorld) -> None:
    """What was found, a file that checks, and no overwriting without --force."""
    result = world.call("init", "calls.db", "-p", "new.yaml")

    assert result.exit_code == 0, result.stderr
    assert "keeps everything" in result.stdout
    assert load(world.folder / "new.yaml").datasets["cel"].time == "at"
    assert world.json("plan", "-p", "new.yaml")["result"]["lapsed"] == 0
    assert world.call("init", "calls.db", "-p", "new.yaml").exit_code == 2
    assert world.json("init", "logs", "-p", "new.yaml", "--force")["result"]["datasets"][0]["time"] == "timestamp"
    assert world.call("init", "nowhere.db", "-p", "x.yaml").exit_code == 2


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
