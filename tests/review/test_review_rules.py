"""Rules of the protocol that no other test would see broken; docs/decisions/0006 lists all of them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lapse.canonical import canonical
from lapse.engine.archiving import Wanted, restore
from lapse.engine.running import dry_run
from lapse.errors import CommitUnknownError, GuardError, LapseError, StoreError, TargetError, UsageError
from lapse.instant import DAY, Nanos, parse_rfc3339
from lapse.model.disposal import Proof
from lapse.model.ledger_entry import EntryKind
from lapse.registry import open_store, store_class
from lapse.state.journal import unsettled
from worlds import World, make


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of 120 records."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    return make(tmp_path / "world", request.param, 120)


def _segments(world: World) -> list[Path]:
    return [p for p in sorted(world.archive.rglob("*")) if p.name.endswith((".parquet", ".jsonl.zst"))]


def test_a_segment_s_path_names_ledger_dataset_run_slice_and_digest(world: World) -> None:
    """Rule 2: equal content in two slices has two paths, since each carries its own run and slice."""
    run = world.run(rows=10)
    slices = {(str(e.body["run"]), str(e.body["slice"])) for e in world.session().ledger.entries() if "slice" in e.body}

    found = set()
    for path in _segments(world):
        ledger, dataset, _, _, of_run, name = path.relative_to(world.archive).parts
        assert (ledger, dataset, of_run) == (world.session().ledger.ledger_id, "log", run.run)
        slice_name, _, digest = name.partition(".")[0].partition("-")
        assert len(digest) == 64
        found.add((of_run, slice_name))

    assert found == slices


def test_an_outcome_that_nobody_confirmed_keeps_its_segment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3: after an unknown commit the run clears nothing; the next one reads the marker."""
    before = world.records()
    kind = store_class(world.session().datasets([])[0].store)
    take = kind.take

    def unknown(self: Any, piece: Any) -> Any:
        return _Unconfirmed(take(self, piece))

    with monkeypatch.context() as patch:
        patch.setattr(kind, "take", unknown)
        report = world.run()
    assert report.exit_code == 1
    assert len(_segments(world)) == 1
    assert len(unsettled(world.folder / "state")) == 1

    after = world.run()

    assert after.datasets[0].recovered == 1
    assert world.records() + world.archived() == before
    assert world.ledger_records() == world.archived().total()
    assert world.strays() == []


class _Unconfirmed:
    """A take whose commit is done, and whose answer is lost."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __enter__(self) -> _Unconfirmed:
        self._taken = self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._inner.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._taken, name)

    def commit(self, proof: Proof) -> None:
        self._taken.commit(proof)
        raise CommitUnknownError("no answer", hint="Run again.")


def test_a_restore_waits_for_no_run_and_needs_the_lease(world: World) -> None:
    """Rule 10: while another process has the store, nothing is written back, exit 4."""
    world.run()
    before = world.records()
    store = open_store(world.session().datasets([])[0], read_only=False)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from worlds import *
from lapse.engine.archiving import Wanted, restore
from lapse.errors import LeaseError
try:
    restore(World(Path({str(world.folder)!r}), {world.kind!r}).session(), Wanted())
except LeaseError as error:
    raise SystemExit(int(error.exit_code))
"""
    try:
        with store.lease():
            ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    finally:
        store.close()

    assert ended.returncode == 4, ended.stderr
    assert world.records() == before


def test_a_restore_brings_everything_back_once_is_entered_and_held(world: World) -> None:
    """Rule 10: ledgered, held for 30 days, so that the next run does not take it again; a second one adds nothing."""
    before = world.records()
    removed = world.run().records

    report = restore(world.session(), Wanted())
    again = restore(world.session(), Wanted())

    assert world.records() == before
    assert (report.records, again.records, again.present) == (removed, 0, removed)
    entries = [e for e in world.session().ledger.entries() if e.kind is EntryKind.RESTORE]
    assert sum(int(str(e.body["restored"])) for e in entries) == removed
    holds = [hold for hold in world.session().holds() if hold.matter.startswith("restore-")]
    assert [hold.dataset for hold in holds] == ["log", "log"]
    real = world.session().real_now
    assert all(hold.until is not None and abs(hold.until - real - 30 * DAY) < DAY for hold in holds)
    assert world.run().records == 0
    assert world.records() == before


def test_a_segment_without_its_entry_is_not_restored(world: World) -> None:
    """Rule 10: prepared segments are left out, unless they are asked for."""
    world.run()
    for entry in world.archive.rglob("*.entry.json"):
        entry.unlink()
    before = world.records()

    with pytest.raises(UsageError, match="no committed segment"):
        restore(world.session(), Wanted())
    assert world.records() == before

    restore(world.session(), Wanted(include_prepared=True))
    assert world.records().total() > before.total()


@pytest.mark.parametrize("what", ["records", "merkle_root", "salt", "path", "dataset", "counts"])
def test_a_manifest_that_was_written_again_is_not_restored(world: World, what: str) -> None:
    """The signed entry, the name and the bytes all speak against it."""
    world.run()
    for manifest in world.archive.rglob("*.manifest.json"):
        facts = json.loads(manifest.read_bytes())
        changed: dict[str, Any] = {"records": 1, "path": "../../x", "counts": {"0": 1}}
        manifest.write_bytes(canonical({**facts, what: changed.get(what, "00" * 32)}))
    before = world.records()

    with pytest.raises(LapseError):
        restore(world.session(), Wanted())
    assert world.records() == before


def test_the_entry_of_another_segment_does_not_commit_a_segment(world: World) -> None:
    """A genuine, signed entry that names another path is no entry of this one."""
    world.run(rows=10)
    entries = sorted(world.archive.rglob("*.entry.json"))
    entries[1].write_bytes(entries[0].read_bytes())
    before = world.records()

    with pytest.raises(LapseError, match="does not name this segment"):
        restore(world.session(), Wanted(paths=(_segment_path(world, entries[1]),)))
    assert world.records() == before


def _segment_path(world: World, entry: Path) -> str:
    return str(entry.relative_to(world.archive)).removesuffix(".entry.json")


@pytest.mark.parametrize("world", ["jsonl"], indirect=True)
def test_a_manifest_cannot_lead_out_of_the_log_s_folder(world: World) -> None:
    """Neither by its own word, which the signed entry contradicts, nor unsigned, where it is only prepared."""
    world.run()
    for manifest in world.archive.rglob("*.manifest.json"):
        facts = json.loads(manifest.read_bytes())
        manifest.write_bytes(canonical({**facts, "table": "../../../outside/log-evil.jsonl"}))
    (world.folder / "outside").mkdir()

    with pytest.raises(LapseError):
        restore(world.session(), Wanted())
    for entry in world.archive.rglob("*.entry.json"):
        entry.unlink()
    restore(world.session(), Wanted(include_prepared=True))

    assert list((world.folder / "outside").iterdir()) == []
    assert not list(world.folder.parent.rglob("*evil*")) or all(
        path.parent == world.data for path in world.folder.parent.rglob("*evil*")
    )


def test_a_plan_that_was_made_by_a_clock_that_ran_ahead_is_refused(world: World) -> None:
    """It would bring deadlines forward, as LAPSE_NOW may not."""
    from lapse.canonical import digest_of
    from lapse.engine.planning import plan, write_sealed
    from lapse.engine.running import Wishes, run

    file = world.folder / "plan.json"
    write_sealed(world.session(), plan(world.session()), file)
    facts = json.loads(file.read_bytes())
    facts.pop("digest")
    facts["now"] = "2099-01-01T00:00:00Z"
    file.write_text(json.dumps({**facts, "digest": digest_of(facts)}))
    assert parse_rfc3339("2099-01-01T00:00:00Z") > Nanos(world.session().real_now)
    before = world.records()

    with pytest.raises(GuardError, match="clock"):
        run(world.session(), Wishes(plan_file=file))
    with pytest.raises(GuardError, match="clock"):
        dry_run(world.session(), Wishes(plan_file=file))
    assert world.records() == before


@pytest.mark.parametrize("error", [StoreError("no", hint="-"), TargetError("no", hint="-")])
def test_an_error_while_the_hold_lock_is_given_back_is_not_taken_for_no_commit(
    world: World, monkeypatch: pytest.MonkeyPatch, error: LapseError
) -> None:
    """Whatever fails after `commit` was called, the marker decides."""
    from dataclasses import replace

    from lapse import slicework

    before = world.records()

    class Broken:
        def __enter__(self) -> None: ...

        def __exit__(self, kind: Any, *_: Any) -> None:
            raise error

    def work(piece: Any, store: Any, bench: Any) -> Any:
        return slicework.work(piece, store, replace(bench, holds_unchanged=lambda _: Broken()))

    with monkeypatch.context() as patch:
        patch.setattr("lapse.engine.purging.work", work)
        assert world.run().exit_code == 1

    world.run()

    assert world.records() + world.archived() == before
    assert world.ledger_records() == world.archived().total()
    assert world.strays() == []


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_a_row_that_others_refer_to_stays_with_all_of_its_slice(world: World) -> None:
    """Rule 6: a child that restricts keeps its parent; nothing of the slice is removed, and nothing stays behind."""
    with sqlite3.connect(world.data / "log.db") as connection:
        connection.execute("CREATE TABLE child (log INTEGER REFERENCES log (id))")
        connection.execute("INSERT INTO child VALUES (1)")
    connection.close()
    before = world.records()

    report = world.run(rows=10)

    assert report.exit_code == 1
    assert world.records() + world.archived() == before
    with sqlite3.connect(world.data / "log.db") as connection:
        assert connection.execute("SELECT count(*) FROM child JOIN log ON child.log = log.id").fetchone() == (1,)
    connection.close()
    world.run(rows=10)
    assert world.records() + world.archived() == before


def test_every_object_of_a_slice_is_in_the_journal_before_it_exists(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 1: segments and manifests; entries are made after the commit, and nothing of them is ever cleared."""
    from lapse.targets.file import FileTarget

    made: list[str] = []

    def watch(name: str) -> None:
        real = getattr(FileTarget, name)

        def watched(self: FileTarget, what: Any, other: Any) -> None:
            path = other if name == "publish" else what
            if not path.endswith(".entry.json") and "/checkpoints/" not in path:
                assert path in [item.path for piece in unsettled(world.folder / "state") for item in piece.objects]
                made.append(path)
            real(self, what, other)

        monkeypatch.setattr(FileTarget, name, watched)

    watch("publish")
    watch("put")

    report = world.run(rows=20)

    assert len([path for path in made if not path.endswith(".manifest.json")]) == report.datasets[0].slices
    assert len([path for path in made if path.endswith(".manifest.json")]) == report.datasets[0].slices


def test_nothing_is_done_to_a_slice_before_the_journal_has_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 1: when a take begins, its slice is open in the journal."""
    kind = store_class(world.session().datasets([])[0].store)
    take = kind.take
    seen: list[str] = []

    def watched(self: Any, piece: Any) -> Any:
        assert piece.name in [open_slice.intent.slice for open_slice in unsettled(world.folder / "state")]
        seen.append(piece.name)
        return take(self, piece)

    monkeypatch.setattr(kind, "take", watched)

    world.run()

    assert seen
