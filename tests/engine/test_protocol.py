"""The rules that keep "one way" true: each test is one of them, on real files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from file_worlds import world

from lapse import slicework
from lapse.engine.ordering import add_hold, release_hold
from lapse.engine.running import Wishes, dry_run, run
from lapse.errors import TargetError
from lapse.model.ledger_entry import EntryKind
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.model.report import Status
from lapse.ports import Budget
from lapse.registry import store_class
from lapse.state.journal import Journal, unsettled
from lapse.targets.file import FileTarget
from worlds import World

__all__ = ["world"]


def kinds(world: World) -> list[EntryKind]:
    """What the ledger is about, entry by entry."""
    return [entry.kind for entry in world.session().ledger.entries()]


def test_a_run_moves_what_lapsed_into_the_archive_and_nothing_else(world: World) -> None:
    """Store and archive together are the original; what stays is kept, held or doubtful."""
    before = world.records()

    report = world.run()

    assert world.records() + world.archived() == before
    assert report.records == world.archived().total() == world.ledger_records() > 100
    assert world.strays() == []
    kept = "\n".join(world.records())
    assert '"keep"' in kept
    assert '"held"' in kept
    assert "null" in kept


def test_a_second_run_finds_nothing_and_says_so_in_the_ledger(world: World) -> None:
    """An empty run is an entry too, and touches no record."""
    world.run()
    before, entries = world.records(), len(kinds(world))

    report = world.run()

    assert [dataset.status for dataset in report.datasets] == [Status.NOTHING]
    assert world.records() == before
    assert kinds(world)[entries:] == [EntryKind.RUN]


def test_a_dry_run_writes_nothing_anywhere(world: World) -> None:
    """Every file of the world has the same bytes and times afterwards, and no file is new."""

    def snapshot() -> dict[str, tuple[bytes, int]]:
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in world.folder.rglob("*")
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    before = snapshot()

    report = dry_run(world.session(), Wishes())

    assert report.datasets[0].remaining is not None
    assert report.datasets[0].remaining > 100
    assert snapshot() == before
    assert not (world.folder / "state").exists()


def test_the_journal_is_on_disk_before_the_segment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 1: when an object appears in the archive, the journal names its exact path already."""
    seen: list[str] = []
    publish = FileTarget.publish

    def watched(self: FileTarget, staged: Path, path: str) -> None:
        if path.endswith(".entry.json") or "/checkpoints/" in path:
            publish(self, staged, path)  # made after the commit: nothing of it is ever cleared
            return
        named = [item.path for piece in unsettled(world.folder / "state") for item in piece.objects]
        assert path in named
        seen.append(path)
        publish(self, staged, path)

    monkeypatch.setattr(FileTarget, "publish", watched)

    world.run()

    assert seen
    assert unsettled(world.folder / "state") == ()


def test_equal_content_in_two_slices_has_two_names(world: World) -> None:
    """Rule 2: a segment's name carries run and slice besides its digest."""
    world.run(rows=10)

    names = [path.name for path in world.archive.rglob("*") if path.name.endswith((".parquet", ".jsonl.zst"))]

    assert len(names) == len(set(names)) > 1


def test_a_second_run_cannot_have_the_lease(world: World) -> None:
    """Rule 3: while one run works on a store, another process ends with exit 4 and touches nothing."""
    session = world.session()
    (dataset,) = session.datasets([])
    store = store_class(dataset.store)(dataset, read_only=False)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from worlds import *
from lapse.errors import LeaseError
try:
    World(Path({str(world.folder)!r}), {world.kind!r}).run()
except LeaseError as error:
    raise SystemExit(int(error.exit_code))
"""
    before = world.records()
    try:
        with store.lease():
            ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    finally:
        store.close()

    assert ended.returncode == 4, ended.stderr
    assert world.records() == before


def test_a_marker_stands_for_the_entry_until_the_ledger_has_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 1 and 4: a commit whose ledger entry failed is completed by the next run, once."""
    from lapse.state.ledger import Ledger

    record = Ledger.record
    monkeypatch.setattr(Ledger, "record", _failing)
    with pytest.raises(OSError, match="no ledger today"):
        world.run(rows=1000)
    monkeypatch.setattr(Ledger, "record", record)

    report = world.run(rows=1000)

    assert report.datasets[0].recovered >= 1
    assert world.ledger_records() == world.archived().total()
    assert world.strays() == []


def _failing(*_args: Any, **_kwargs: Any) -> None:
    raise OSError("no ledger today")


def test_a_hold_keeps_what_it_covers(world: World) -> None:
    """A held tenant's records stay; released, they go."""
    tenant = Match((Condition("tenant", ("tenant 1",), role="tenant"),))
    add_hold(world.session(), Hold(matter="M-2", match=tenant))
    held = [record for record in world.records() if '"tenant 1"' in record]

    world.run()
    assert set(held) <= set(world.records())

    release_hold(world.session(), "M-2")
    world.run()
    assert not set(held) <= set(world.records())


def test_a_hold_added_during_a_slice_is_respected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 8: once `hold add` has returned, nothing it covers is removed, even by the slice under way."""
    tenant = Match((Condition("tenant", ("tenant 1",), role="tenant"),))
    added = threading.Event()

    def work(piece: Any, store: Any, bench: Any) -> Any:
        @contextmanager
        def late(selection: Any) -> Iterator[None]:
            if not added.is_set():
                added.set()
                add_hold(world.session(), Hold(matter="LATE", match=tenant))
            with bench.holds_unchanged(selection):
                yield

        return slicework.work(piece, store, replace(bench, holds_unchanged=late))

    monkeypatch.setattr("lapse.engine.purging.work", work)
    held = [record for record in world.records() if '"tenant 1"' in record]
    before = world.records()

    report = world.run()

    assert set(held) <= set(world.records())
    assert report.records > 0
    assert world.records() + world.archived() == before
    assert world.strays() == []


def test_a_target_that_fails_leaves_the_store_as_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proof, no removal; the dataset is incomplete, exit 1, and the next run completes it."""
    before = world.records()
    with monkeypatch.context() as patch:
        patch.setattr(FileTarget, "put", _target_down)
        report = world.run()

    assert report.exit_code == 1
    assert report.datasets[0].trouble is not None
    assert world.records() == before
    world.run()
    assert world.records() + world.archived() == before
    assert world.strays() == []


def _target_down(*_args: Any, **_kwargs: Any) -> None:
    raise TargetError("the target is down", hint="Wait.")


def test_a_segment_that_reads_back_wrong_removes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One flipped bit in the archive between seal and verify, and every record stays."""
    before = world.records()
    publish = FileTarget.publish

    def corrupting(self: FileTarget, staged: Path, path: str) -> None:
        data = bytearray(staged.read_bytes())
        data[len(data) // 2] ^= path.endswith((".parquet", ".zst"))
        staged.write_bytes(bytes(data))
        publish(self, staged, path)

    with monkeypatch.context() as patch:
        patch.setattr(FileTarget, "publish", corrupting)
        report = world.run()

    assert report.exit_code == 1
    assert "digest" in str(report.datasets[0].trouble)
    assert world.records() == before


def test_a_run_that_is_asked_to_stop_keeps_what_it_did(world: World) -> None:
    """Between slices, cleanly, exit 1; the next run goes on."""
    before = world.records()

    report = run(world.session(), Wishes(budget=Budget(rows=20), stopping=lambda: world.records() != before))

    assert report.exit_code == 1
    assert 0 < report.records < 190
    assert world.records() + world.archived() == before
    world.run()
    assert world.records() + world.archived() == before


def test_ledger_entries_say_what_happened_and_no_personal_data(world: World) -> None:
    """Every fact of design §6 is there; tenants and record bodies are not."""
    world.run()
    (first, *_) = [e for e in world.session().ledger.entries() if e.kind is EntryKind.DISPOSAL]
    body: Mapping[str, Any] = first.body

    wanted = {
        "run", "dataset", "fingerprint", "rules", "rules_digest", "policy", "cutoffs", "counts",
        "oldest", "newest", "size", "segments", "method", "not_covered", "tenants_digest",
    }  # fmt: skip
    assert wanted <= body.keys()
    assert all(segment["merkle_root"] for segment in body["segments"])
    text = (next((world.folder / "state").rglob("ledger.jsonl"))).read_text()
    assert "tenant 1" not in text
    assert "record 1 " not in text


def test_state_and_archive_are_private(world: World) -> None:
    """Folders of Lapse are 0700 and its files 0600."""
    os.umask(0o022)
    world.run()

    for path in [*(world.folder / "state").rglob("*"), *world.archive.rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 & ~wanted == 0, path


def test_a_waiver_removes_without_a_copy_and_is_recorded(world: World) -> None:
    """`archive: none` leaves no segment; the ledger names the rule that waived it."""
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("    archive: cold", "    archive: none"))
    before = world.records()

    report = world.run()

    gone = before - world.records()
    assert report.records == gone.total() == world.ledger_records() > 100
    assert world.archived().total() == 0
    disposals = [e for e in world.session().ledger.entries() if e.kind is EntryKind.DISPOSAL]
    assert all(entry.body["waiver"] for entry in disposals)


def test_a_journal_that_cannot_be_written_starts_no_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 1 the other way round: no journal, no take."""
    from lapse.errors import StateError

    def full(self: Journal, intent: Any) -> None:
        raise StateError("the state folder is full", hint="Make room.")

    before = world.records()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "begin", full)
        report = world.run()

    assert report.exit_code == 1
    assert world.records() == before
