"""SQLite gives space back, by the command: it predicts, rewrites, refuses, and never removes a record."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calling import CalledWorld

POLICY = """\
version: 1
archives:
  cold: {to: ./archive}
datasets:
  calls:
    store: sqlite:///calls.db
    table: cel
    time: at
    keep: 90 days
    archive: cold
  tools:
    store: logs/audit*.jsonl
    time: timestamp
    keep: 90 days
    archive: cold
"""


@dataclass(frozen=True)
class ReclaimWorld(CalledWorld):
    """A folder with a policy and a database of 5,000 rows, of which 500 are left."""

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / "calls.db"

    def json(self, *arguments: str, **more: str) -> dict[str, Any]:
        """``reclaim`` of the dataset ``calls``, which must do what it is asked."""
        told = super().json("reclaim", "calls", *arguments, **more)
        assert told["exit"] == 0, told
        (found,) = told["result"]["datasets"]
        return dict(found)

    def rows(self) -> list[Any]:
        """Everything in the table."""
        connection = sqlite3.connect(self.file)
        try:
            return connection.execute("SELECT * FROM cel ORDER BY id").fetchall()
        finally:
            connection.close()


@pytest.fixture(params=["delete", "wal"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> ReclaimWorld:
    """A small world, in both journal modes."""
    return build(tmp_path, f"PRAGMA journal_mode = {request.param}")


def build(folder: Path, *pragmas: str) -> ReclaimWorld:
    """Make a world in *folder*."""
    (folder / "logs").mkdir()
    (folder / "logs" / "audit.jsonl").write_text('{"timestamp": "2020-01-01T00:00:00Z"}\n', encoding="utf-8")
    made = ReclaimWorld(folder)
    made.write(POLICY)
    connection = sqlite3.connect(made.file, isolation_level=None)
    for pragma in pragmas:
        connection.execute(pragma).fetchall()
    connection.execute("CREATE TABLE cel (id INTEGER PRIMARY KEY, at TEXT, body TEXT)")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO cel VALUES (?, ?, ?)",
        ((n, f"20{10 + n % 90}-01-01T00:00:00Z", "x" * 400) for n in range(5_000)),
    )
    connection.execute("DELETE FROM cel WHERE id >= 500")
    connection.execute("COMMIT")
    connection.close()
    return made


def test_without_run_it_only_says_what_it_would_do(world: ReclaimWorld) -> None:
    """Bytes, disk, time and locks are named; the file is not touched."""
    before = world.file.read_bytes()

    result = world.call("reclaim", "calls")
    found = world.json()

    assert result.exit_code == 0
    assert "would be given back, with --run. Nothing was changed." in result.stdout
    assert found["outcome"] == "predicted"
    assert found["returns"] > 1_500_000
    assert found["needs_free"] >= found["space"]["allocated"]
    assert found["free"] > 0
    assert found["refusal"] is None
    assert world.file.read_bytes() == before
    assert not (world.folder / "state").exists()


def test_with_run_the_file_gets_shorter_and_keeps_every_record(world: ReclaimWorld) -> None:
    """What comes back is what was predicted; lapsed records stay, too: this is no purge."""
    rows, size = world.rows(), world.file.stat().st_size
    predicted = world.json()

    done = world.json("--run")

    assert done["outcome"] == "rewritten"
    assert world.rows() == rows
    assert abs((size - world.file.stat().st_size) - predicted["returns"]) < predicted["returns"] / 10
    assert done["allocated_after"] == pytest.approx(world.file.stat().st_size, abs=300_000)
    assert not list(world.folder.glob("calls.db-*"))
    assert world.json("--run")["outcome"] == "not worth while"


def test_it_is_noted_in_the_ledger_as_no_disposal(world: ReclaimWorld) -> None:
    """The ledger verifies, has a note, and the archive has a checkpoint of it."""
    world.call("reclaim", "calls", "--run")

    shown = world.call("ledger", "show").stdout
    assert "calls was written anew to give space back; no record was removed" in shown
    assert "disposal" not in shown
    assert world.call("ledger", "verify").exit_code == 0
    assert "run again" not in world.call("status").output


def test_a_disk_that_cannot_hold_it_is_a_refusal(world: ReclaimWorld) -> None:
    """Exit 3, nothing touched, the need and the room are named; without --run it is said and no failure."""
    before = world.file.read_bytes()

    looked = world.call("reclaim", "calls", "--free-space", "10 KB")
    refused = world.call("reclaim", "calls", "--run", "--free-space", "10 KB")

    assert looked.exit_code == 0
    assert "would be refused: it needs" in looked.stdout
    assert refused.exit_code == 3
    assert "9.8 KiB are free there" in refused.output
    assert world.file.read_bytes() == before


def test_an_operator_cannot_talk_a_disk_larger(world: ReclaimWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine sees counts where it is less than what was said."""
    from lapse.sqlcore import room

    monkeypatch.setattr(room, "_free", lambda place: 1_000)

    assert world.call("reclaim", "calls", "--run", "--free-space", "20TB").exit_code == 3


@pytest.mark.parametrize("text", ["20", "-1GB", "many", "20 XB", ""])
def test_an_amount_without_a_unit_is_a_usage_error(world: ReclaimWorld, text: str) -> None:
    """Exit 2, with how to write it."""
    result = world.call("reclaim", f"--free-space={text}")

    assert result.exit_code == 2
    assert "like 20GB" in result.output


def test_a_store_without_a_rewrite_is_said_to_have_none(world: ReclaimWorld) -> None:
    """Text logs are shown, and do not keep the others from being rewritten."""
    result = world.call("reclaim", "--run")

    assert result.exit_code == 0
    assert "not offered" in result.stdout
    assert "rewritten" in result.stdout
    assert (world.folder / "logs" / "audit.jsonl").read_text(encoding="utf-8").count("\n") == 1


def test_another_run_keeps_it_away(world: ReclaimWorld) -> None:
    """Exit 4, nothing touched."""
    code = (
        "import sys, pathlib; from lapse.state import lease\n"
        "with lease.hold(pathlib.Path(sys.argv[1]), what='another'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    lock = str(world.file) + ".lapse-lock"
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        result = world.call("reclaim", "calls", "--run")
        other.communicate()
    assert result.exit_code == 4


def test_a_file_in_use_stays_as_it_is(tmp_path: Path) -> None:
    """A writer's open transaction makes it incomplete, exit 1; rows and file are as they were."""
    world = build(tmp_path)
    rows = world.rows()
    other = sqlite3.connect(world.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        result = world.call("reclaim", "calls", "--run")
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert result.exit_code == 1
    assert "locked by another program" in result.output
    assert world.rows() == rows


def test_a_file_made_for_it_is_cut_without_a_rewrite(tmp_path: Path) -> None:
    """auto_vacuum = incremental: free pages are cut off in short steps, and little disk is needed."""
    world = build(tmp_path, "PRAGMA auto_vacuum = INCREMENTAL")
    rows, size = world.rows(), world.file.stat().st_size
    predicted = world.json()

    done = world.json("--run")

    assert "auto_vacuum" in " ".join(predicted["notes"])
    assert "1,000 pages a transaction" in predicted["lock"]
    assert done["outcome"] == "rewritten"
    assert world.file.stat().st_size < size / 4
    assert world.rows() == rows


def test_rows_that_only_have_a_rowid_are_remarked(tmp_path: Path) -> None:
    """VACUUM may number them anew, so a sealed plan made before would name other rows."""
    world = build(tmp_path)
    connection = sqlite3.connect(world.file, isolation_level=None)
    connection.execute("CREATE TABLE bare (at TEXT)")
    connection.close()
    text = (tmp_path / "lapse.yaml").read_text(encoding="utf-8").replace("table: cel", "table: bare")
    (tmp_path / "lapse.yaml").write_text(text, encoding="utf-8")

    assert any("rowid" in note for note in world.json()["notes"])


def test_progress_of_a_rewrite_moves_a_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every event of a rewrite is drawn; a failure stops the bar."""
    from rich.progress import Progress

    from lapse.cli.byteprogress import ByteHook
    from lapse.ports import Event

    progress = Progress(disable=True)
    hook = ByteHook(progress)

    def tell(name: str, facts: dict[str, Any]) -> None:
        hook.on(Event(name, {"dataset": "calls", **facts}))

    tell("dataset.failed", {"error": "before it began"})
    tell("reclaim.started", {"returns": 10})
    tell("reclaim.progress", {"phase": "copying", "done": 5, "total": 10})
    (task,) = progress.tasks
    assert (task.completed, task.total, task.description) == (5, 10, "calls: copying")
    tell("dataset.failed", {"error": "x"})
    assert task.description == "calls: incomplete"
