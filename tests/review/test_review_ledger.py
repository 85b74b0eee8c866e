"""The ledger and its anchor: what was cut and grown again is seen, and nothing personal gets in."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from lapse.engine.ordering import add_hold
from lapse.errors import GuardError, LapseError
from lapse.model.ledger_entry import EntryKind
from lapse.model.policy import Hold
from lapse.targets.file import FileTarget
from worlds import World, make


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of 120 records."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    return make(tmp_path / "world", request.param, 120)


def test_a_tail_that_was_cut_and_grown_again_stops_the_run(world: World) -> None:
    """Rule 9: the checkpoint's hash is compared, not only the number of entries."""
    world.run()
    ledger = next((world.folder / "state").rglob("ledger.jsonl"))
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-2]))
    session = world.session()
    for _ in range(4):
        session.writable_ledger.append(EntryKind.NOTE, {"note": "grown"}, at=session.real_now)

    with pytest.raises(GuardError, match="ledger"):
        world.run()


def test_a_damaged_checkpoint_is_not_taken_for_an_archive_out_of_reach(world: World) -> None:
    """Whoever cuts the ledger may also spoil the checkpoint that would show it."""
    world.run()
    newest = max(world.archive.rglob("checkpoints/*.json"))
    newest.write_bytes(b"{}")
    before = world.records()

    with pytest.raises(LapseError, match="checkpoint"):
        world.run()
    assert world.records() == before


def test_a_checkpoint_behind_the_ledger_is_normal(world: World) -> None:
    """Rule 9: the target was down, or something was entered since; the next run repeats it."""
    world.run()
    add_hold(world.session(), Hold(matter="M-7", reason="later"))

    assert world.run().exit_code == 0


def test_no_tenant_and_no_record_gets_into_the_ledger_the_journal_or_the_last_report(world: World) -> None:
    """Personal data stays in the store, the segments and the sidecars."""
    planted = "Erika Mustermann"
    if world.kind == "sqlite":
        with sqlite3.connect(world.data / "log.db") as connection:
            connection.execute(
                "INSERT INTO log (at, kind, tenant, body) VALUES ('2026-01-01 00:00:00', 'call', ?, ?)",
                (planted, planted),
            )
        connection.close()
    else:
        line = {"at": "2026-01-01 00:00:00", "kind": "call", "tenant": planted, "body": planted}
        with (world.data / "log-1.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    world.run()

    state = world.folder / "state"
    found = [
        str(path.relative_to(state))
        for path in state.rglob("*")
        if path.is_file() and planted.encode() in path.read_bytes()
    ]

    assert found
    assert all(name.startswith("ledger/tenants/") for name in found)
    beside = [p for p in world.archive.rglob("*.json") if planted.encode() in p.read_bytes()]
    assert beside == []


@pytest.mark.parametrize("world", ["jsonl"], indirect=True)
def test_a_tenant_that_no_json_can_hold_does_not_end_a_run_after_its_commit(world: World) -> None:
    """A lone surrogate in a tenant's name: the line is kept, or its disposal can be entered."""
    with (world.data / "log-1.jsonl").open("ab") as file:
        file.write(b'{"at": "2026-01-01 00:00:00", "kind": "call", "tenant": "a\\ud800b", "body": "x"}\n')
        file.write(b'{"at": "2026-01-01 00:00:00", "kind": "call", "tenant": "a\\ud800\\u0041", "body": "x"}\n')
    before = world.records()

    assert world.run().exit_code == 0
    assert world.records() + world.archived() == before


def test_everything_that_lapse_keeps_is_private_whatever_the_umask(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0600 and 0700, also for the second archive's copies."""
    policy = world.folder / "lapse.yaml"
    text = policy.read_text().replace("archives:\n", "archives:\n  warm: {to: warm}\n")
    policy.write_text(text.replace("archive: cold", "archive: [cold, warm]"))
    publish, modes = FileTarget.publish, set()

    def watched(self: FileTarget, staged: Path, path: str) -> None:
        modes.add(staged.stat().st_mode & 0o777)
        publish(self, staged, path)

    monkeypatch.setattr(FileTarget, "publish", watched)
    before = os.umask(0)
    try:
        world.run()
    finally:
        os.umask(before)

    wide = [
        str(path)
        for root in ("state", "archive", "warm")
        for path in [world.folder / root, *(world.folder / root).rglob("*")]
        if path.stat().st_mode & 0o077
    ]

    assert wide == []
    assert modes == {0o600}


def test_every_folder_above_an_object_is_made_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is there may have been made by a process that died before it could sync it."""
    (tmp_path / "archive" / "a" / "b").mkdir(parents=True)
    synced: set[int] = set()
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)

    FileTarget(str(tmp_path / "archive")).put("a/b/object", b"x")

    folders = [tmp_path / "archive", tmp_path / "archive" / "a", tmp_path / "archive" / "a" / "b"]
    assert {folder.stat().st_ino for folder in folders} <= synced


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_a_commit_on_sqlite_lasts_however_sqlite_was_compiled(world: World) -> None:
    """With less than this a power cut may take back a commit that the ledger has already recorded."""
    from lapse.stores.sqlite.database import Database

    database = Database(f"sqlite:///{world.data / 'log.db'}", shown="log", read_only=False)
    try:
        assert database.row("PRAGMA synchronous")[0] == 3
    finally:
        database.close()
