"""The catalog: which segments there are, which are committed, and what cannot be made out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from archive_world import ArchiveWorld, lines

from lapse.archive.catalog import SegmentEntry, State, Unreadable, Wanted, catalog, segments
from lapse.errors import VerificationError
from lapse.instant import parse_rfc3339
from lapse.model.paths import dataset_folder, entry_path, manifest_path
from lapse.targets.file import FileTarget

JANUARY, MARCH = parse_rfc3339("2026-01-01T00:00:00Z"), parse_rfc3339("2026-03-01T00:00:00Z")


@pytest.fixture
def world(tmp_path: Path) -> ArchiveWorld:
    """An archive without any segment."""
    return ArchiveWorld(FileTarget(str(tmp_path / "archive")))


def found(world: ArchiveWorld, wanted: Wanted | None = None, *, include_prepared: bool = False) -> list[str]:
    """Slices of the segments that the catalog yields."""
    entries = segments(world.target, archive_name="cold", wanted=wanted or Wanted(), include_prepared=include_prepared)
    return [entry.manifest.slice for entry in entries]


def test_a_segment_is_committed_once_its_entry_lies_beside_it(world: ArchiveWorld) -> None:
    """Prepared segments are left out unless they are asked for."""
    prepared, committed = world.add(lines("a"), committed=False), world.add(lines("b"))

    entries = list(segments(world.target, archive_name="cold", include_prepared=True))

    assert [(entry.manifest, entry.state) for entry in entries] == [
        (prepared, State.PREPARED),
        (committed, State.COMMITTED),
    ]
    assert found(world) == ["000002"]


def test_an_empty_archive_has_no_segments(world: ArchiveWorld) -> None:
    """Also where the folder is not there yet; and nothing else in it is taken for a segment."""
    assert found(world) == []

    world.target.put("6f1c/checkpoints/000000000001.json", b"{}")
    world.target.put("notes.txt", b"")

    assert found(world) == []


@pytest.mark.parametrize(
    ("wanted", "slices"),
    [
        (Wanted(dataset="calls"), ["000001"]),
        (Wanted(dataset="call"), []),
        (Wanted(dataset="a/b ü"), ["000002"]),
        (Wanted(run="run-2"), ["000002"]),
        (Wanted(until=JANUARY), ["000003"]),
        (Wanted(since=JANUARY, until=MARCH), ["000001", "000003"]),
        (Wanted(since=MARCH), ["000001", "000002", "000003"]),
        (Wanted(since=parse_rfc3339("2026-03-01T00:00:00.000000001Z")), ["000002", "000003"]),
    ],
)
def test_segments_are_chosen_by_dataset_run_and_time(world: ArchiveWorld, wanted: Wanted, slices: list[str]) -> None:
    """Bounds are half-open; a segment without record times is never left out by them."""
    world.add(lines("a"), dataset="calls", oldest=JANUARY, newest=MARCH)
    world.add(lines("b"), dataset="a/b ü", run="run-2", oldest=MARCH, newest=parse_rfc3339("2026-05-01T00:00:00Z"))
    world.add(lines("c"), dataset="untimed")

    assert sorted(found(world, wanted)) == slices


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("call-events", "call-events"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("ü", "%C3%BC"),
    ],
)
def test_a_dataset_name_is_one_component_of_a_path(name: str, folder: str) -> None:
    """No name leads out of its ledger's folder, and no two names share one."""
    assert dataset_folder(name) == folder


def test_what_cannot_be_made_out_does_not_hide_the_rest(world: ArchiveWorld) -> None:
    """Each broken copy is a value with a reason; those in order are yielded beside it."""
    intact, garbled, moved, lonely, orphan, forged, typed = (world.add(lines(text)) for text in "abcdefg")
    (world.root / manifest_path(garbled.path)).write_bytes(b"{")
    (world.root / manifest_path(moved.path)).write_bytes((world.root / manifest_path(intact.path)).read_bytes())
    (world.root / lonely.path).unlink()
    (world.root / manifest_path(orphan.path)).unlink()
    (world.root / manifest_path(forged.path)).write_text(json.dumps({**forged.to_json(), "format": "csv"}))
    (world.root / manifest_path(typed.path)).write_text(json.dumps({**typed.to_json(), "records": "one"}))

    results = {item.path: item for item in catalog(world.target, archive_name="cold")}

    assert isinstance(results[intact.path], SegmentEntry)
    for manifest, reason in (
        (garbled, "manifest cannot be read"),
        (moved, "manifest speaks of"),
        (lonely, "the segment is missing"),
        (orphan, "manifest is missing"),
        (forged, "format csv is not known"),
        (typed, "manifest cannot be read"),
    ):
        broken = results[manifest.path]
        assert isinstance(broken, Unreadable)
        assert broken.state is State.COMMITTED
        assert reason in broken.reason


def test_who_needs_every_segment_gets_an_error_for_a_broken_one(world: ArchiveWorld) -> None:
    """A query or restore over fewer segments than there are would be a wrong answer."""
    world.add(lines("a"))
    broken = world.add(lines("b"))
    (world.root / manifest_path(broken.path)).write_bytes(b"[]")

    with pytest.raises(VerificationError, match="manifest cannot be read"):
        found(world)


def test_an_entry_left_alone_is_noticed(world: ArchiveWorld) -> None:
    """A committed segment that was deleted with its manifest still has its entry."""
    gone = world.add(lines("a"))
    (world.root / gone.path).unlink()
    (world.root / manifest_path(gone.path)).unlink()

    (broken,) = catalog(world.target, archive_name="cold")

    assert isinstance(broken, Unreadable)
    assert (world.root / entry_path(gone.path)).exists()
