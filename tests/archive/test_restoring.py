"""Restoring: only intact, committed segments reach a store, each once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from archive_world import ArchiveWorld, lines

from lapse.archive.catalog import SegmentEntry, segments
from lapse.archive.restoring import restore
from lapse.errors import UsageError, VerificationError
from lapse.model.manifest import Column
from lapse.ports import Part, RestoreCount
from lapse.segments import record_bytes
from lapse.targets.file import FileTarget


@pytest.fixture
def world(tmp_path: Path) -> ArchiveWorld:
    """An archive without any segment."""
    return ArchiveWorld(FileTarget(str(tmp_path / "archive")))


class Shelf:
    """A store that keeps what is restored, by table; the double of `Restorable`."""

    def __init__(self) -> None:
        self.records: dict[str, set[bytes]] = {}
        self.parts: list[Part] = []

    def restore(self, part: Part) -> RestoreCount:
        """Keep the records that are not there yet."""
        self.parts.append(part)
        kept = self.records.setdefault(part.table, set())
        offered = {record for batch in part.batches for record in record_bytes(batch)}
        new = offered - kept
        kept |= offered
        return RestoreCount(restored=len(new), present=len(offered) - len(new))


def entries(*targets: FileTarget, include_prepared: bool = False) -> list[SegmentEntry]:
    """The segments of all archives."""
    return [
        entry
        for target in targets
        for entry in segments(target, archive_name=str(target.location()), include_prepared=include_prepared)
    ]


def test_records_come_back_with_table_columns_and_odd_cells(world: ArchiveWorld) -> None:
    """The part that a store gets is the one that was sealed."""
    world.add(
        pa.record_batch([pa.array([1, 2]), pa.array([None, b"x"])], ["n", "_odd"]), table="cel", odd_column="_odd"
    )
    world.add(lines("a", "b"), dataset="tools", table="audit.jsonl")
    shelf = Shelf()

    done = list(restore(entries(world.target), shelf, keys=world.keys))

    assert [item.count for item in done] == [RestoreCount(restored=2, present=0)] * 2
    assert shelf.records["audit.jsonl"] == {b"a\n", b"b\n"}
    rows = next(part for part in shelf.parts if part.table == "cel")
    assert (rows.columns, rows.odd_column) == ((Column(name="n", declared="", arrow="int64"),), "_odd")


def test_restoring_again_restores_nothing(world: ArchiveWorld) -> None:
    """The store says what was there already, and the counts say so too."""
    world.add(lines("a", "b"))
    shelf = Shelf()
    list(restore(entries(world.target), shelf, keys=world.keys))

    (again,) = restore(entries(world.target), shelf, keys=world.keys)

    assert again.count == RestoreCount(restored=0, present=2)


def test_prepared_segments_are_refused_unless_asked_for(world: ArchiveWorld) -> None:
    """Their records may still be in the store; nothing at all is restored then."""
    world.add(lines("a"))
    world.add(lines("b"), committed=False)
    shelf = Shelf()
    found = entries(world.target, include_prepared=True)

    with pytest.raises(UsageError, match="is not committed"):
        list(restore(found, shelf, keys=world.keys))
    assert shelf.parts == []

    assert len(list(restore(found, shelf, keys=world.keys, include_prepared=True))) == 2


def test_a_damaged_segment_never_reaches_the_store(world: ArchiveWorld) -> None:
    """It is read through and compared before its first record is offered."""
    manifest = world.add(lines("a"))
    (world.root / manifest.path).write_bytes(b"")
    shelf = Shelf()

    with pytest.raises(VerificationError, match="no copy is intact"):
        list(restore(entries(world.target), shelf, keys=world.keys))
    assert shelf.parts == []


def test_a_segment_without_a_genuine_entry_never_reaches_the_store(world: ArchiveWorld) -> None:
    """A key that is not known here proves nothing."""
    world.add(lines("a"))

    with pytest.raises(VerificationError, match="not known here"):
        list(restore(entries(world.target), Shelf(), keys={}))


def test_of_two_copies_the_intact_one_is_restored_once(world: ArchiveWorld, tmp_path: Path) -> None:
    """A damaged copy is passed over for another archive's."""
    manifest = world.add(lines("a"))
    second = FileTarget(str(tmp_path / "second"))
    shutil.copytree(world.root, tmp_path / "second")
    (world.root / manifest.path).write_bytes(b"")

    (done,) = restore(entries(world.target, second), Shelf(), keys=world.keys)

    assert done.entry.target is second
    assert done.count == RestoreCount(restored=1, present=0)
