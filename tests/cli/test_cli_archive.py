"""Commands about what has gone, on a real world: archive, restore and ledger, also where they were tampered with."""

from __future__ import annotations

import sqlite3

from cli_world import CliWorld


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
