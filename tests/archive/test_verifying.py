"""The full check: an intact archive passes, and every kind of change is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archive_world import ArchiveWorld, lines
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lapse.archive.catalog import Wanted
from lapse.archive.verifying import Checked, missing, verify
from lapse.canonical import Digest, canonical
from lapse.instant import parse_rfc3339
from lapse.model.disposal import SealedSegment
from lapse.model.manifest import Manifest
from lapse.model.paths import entry_path, manifest_path
from lapse.targets.file import FileTarget


@pytest.fixture
def world(tmp_path: Path) -> ArchiveWorld:
    """An archive without any segment."""
    return ArchiveWorld(FileTarget(str(tmp_path / "archive")))


def checked(world: ArchiveWorld, **options: Any) -> list[Checked]:
    """The result of a full check."""
    return list(verify({"cold": world.target}, keys=world.keys, **options))


def rewrite(world: ArchiveWorld, manifest: Manifest, **changes: Any) -> None:
    """Change what a manifest says."""
    (world.root / manifest_path(manifest.path)).write_bytes(canonical({**manifest.to_json(), **changes}))


def test_an_intact_archive_has_no_problems(world: ArchiveWorld) -> None:
    """Rows and lines, read back to the last byte."""
    instant = parse_rfc3339("2026-01-01T00:00:00Z")
    world.add(pa.record_batch([pa.array([1, None])], ["n"]), oldest=instant, newest=instant)
    world.add(lines('{"a":1}', b"\xff"), dataset="tools")

    assert [result.problems for result in checked(world)] == [(), ()]
    assert all(result.intact for result in checked(world))


def test_every_copy_in_every_archive_is_checked(world: ArchiveWorld, tmp_path: Path) -> None:
    """A damaged copy is named with its archive; the other one is intact."""
    import shutil

    manifest = world.add(lines("a"))
    shutil.copytree(world.root, tmp_path / "second")
    (tmp_path / "second" / manifest.path).write_bytes(b"")

    results = list(verify({"cold": world.target, "far": FileTarget(str(tmp_path / "second"))}, keys=world.keys))

    assert [(result.archive, result.intact) for result in results] == [("cold", True), ("far", False)]


def test_prepared_segments_are_checked_when_asked_for(world: ArchiveWorld) -> None:
    """They have no entry, which is no problem."""
    world.add(lines("a"), committed=False)

    assert checked(world) == []
    assert [result.problems for result in checked(world, include_prepared=True)] == [()]


def test_only_what_is_wanted_is_checked(world: ArchiveWorld) -> None:
    """A check of one dataset reads no other."""
    world.add(lines("a"), dataset="calls")
    world.add(lines("a"), dataset="tools")

    assert [
        result.manifest.dataset for result in checked(world, wanted=Wanted(dataset="tools")) if result.manifest
    ] == ["tools"]


def flip(data: bytes) -> bytes:
    """One bit in the middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("change", [flip, lambda data: data[:-1], lambda data: data + b"x", lambda _: b""])
@pytest.mark.parametrize("rows", [True, False], ids=["parquet", "jsonl"])
def test_a_changed_segment_is_found(world: ArchiveWorld, change: Callable[[bytes], bytes], rows: bool) -> None:
    """A bit, a cut, an extension, an empty file."""
    manifest = world.add(pa.record_batch([pa.array(range(100))], ["n"]) if rows else lines(*"abcdefgh"))
    path = world.root / manifest.path
    path.write_bytes(change(path.read_bytes()))

    (result,) = checked(world)

    assert result.problems[0].startswith("the file is ")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"records": 3}, "records is 2, the manifest says 3"),
        ({"raw_size": 5}, "raw size is 4, the manifest says 5"),
        ({"content": "0" * 64}, "content is "),
        ({"merkle_root": "0" * 64}, "merkle root is "),
        ({"salt": "ab" * 32}, "merkle root is "),
        ({"salt": "none"}, "a salt that is not hexadecimal"),
        ({"size": 1}, "the file is "),
        ({"digest": "0" * 64}, "its name does not carry the digest"),
        ({"dataset": "calls2"}, "dataset is calls2 in the manifest, the ledger entry says calls"),
        ({"run": "run-7"}, "run is run-7 in the manifest"),
        ({"slice": "000009"}, "slice is 000009"),
        ({"ledger": "another"}, "ledger is another"),
        ({"fingerprint": "sqlite:other"}, "fingerprint is sqlite:other"),
        ({"policy": "1" * 64}, "policy is 1"),
        ({"counts": {"0": 1}}, "counts is {'0': 1}"),
        ({"rules": {"0": "kinder"}}, "rules is {'0': 'kinder'}"),
        (
            {"oldest": "2026-01-01T00:00:00Z"},
            "oldest is 2026-01-01T00:00:00Z in the manifest, the ledger entry says None",
        ),
        ({"newest": "2026-01-01T00:00:00Z"}, "newest is 2026"),
    ],
)
def test_a_changed_manifest_is_found(world: ArchiveWorld, changes: dict[str, Any], problem: str) -> None:
    """What the file itself does not contradict, the signed entry does."""
    manifest = world.add(lines("a", "b"))
    rewrite(world, manifest, **changes)

    (result,) = checked(world)

    assert any(problem in text for text in result.problems), result.problems


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": []},
        {"columns": [{"name": "m", "declared": "", "arrow": "int64", "encoding": "native"}]},
        {"columns": [{"name": "n", "declared": "", "arrow": "string", "encoding": "native"}]},
        {"odd_column": "n"},
    ],
)
def test_changed_columns_are_found(world: ArchiveWorld, changes: dict[str, Any]) -> None:
    """A restore goes by the manifest's columns, so they must be those of the file."""
    rewrite(world, world.add(pa.record_batch([pa.array([1])], ["n"])), **changes)

    assert checked(world)[0].problems[0].startswith("the list of columns is [('n', 'int64')]")


def test_a_manifest_that_is_gone_is_a_problem(world: ArchiveWorld) -> None:
    """The segment is not passed over in silence."""
    manifest = world.add(lines("a"))
    (world.root / manifest_path(manifest.path)).unlink()

    (result,) = checked(world)

    assert result.problems == ("its manifest is missing",)
    assert result.manifest is None


def put_entry(world: ArchiveWorld, manifest: Manifest, facts: dict[str, Any]) -> None:
    """Overwrite the entry beside a segment."""
    (world.root / entry_path(manifest.path)).write_text(json.dumps(facts))


def test_an_edited_entry_is_found(world: ArchiveWorld) -> None:
    """The hash covers every field."""
    manifest = world.add(lines("a"))
    facts: Any = world.entry(manifest).to_json()
    put_entry(world, manifest, {**facts, "body": {**facts["body"], "records": 2}})

    assert checked(world)[0].problems == ("its ledger entry was changed: the hash does not match",)


def test_an_entry_with_a_new_hash_is_found(world: ArchiveWorld) -> None:
    """Whoever edits it and computes the hash again lacks the key."""
    manifest = world.add(lines("a"))
    forged = world.entry(manifest, policy="1" * 64)
    put_entry(world, manifest, dict(replace(forged, signature="00" * 64).to_json()))

    assert checked(world)[0].problems == ("its ledger entry was changed: the signature does not match",)


def test_an_entry_signed_with_an_unknown_key_is_found(world: ArchiveWorld) -> None:
    """A forger's own key is no key of this ledger."""
    manifest = world.add(lines("a"))
    forger = ArchiveWorld(world.target, key=Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
    put_entry(world, manifest, dict(forger.entry(manifest).to_json()))

    assert "which is not known here" in checked(world)[0].problems[0]


def test_a_genuine_entry_beside_the_wrong_segment_is_found(world: ArchiveWorld) -> None:
    """A prepared segment does not become committed by another's entry."""
    prepared, committed = world.add(lines("a"), committed=False), world.add(lines("b"))
    put_entry(world, prepared, dict(world.entry(committed).to_json()))

    first, second = checked(world)

    assert first.problems == ("its ledger entry does not name this segment",)
    assert second.intact


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"n":', "[" * 100_000])
def test_an_entry_that_is_none_is_found(world: ArchiveWorld, text: str) -> None:
    """Whatever lies there, the check goes on."""
    manifest = world.add(lines("a"))
    (world.root / entry_path(manifest.path)).write_text(text)

    assert checked(world)[0].problems[0].startswith("its ledger entry cannot be read")


def test_a_segment_that_the_ledger_names_must_be_there(world: ArchiveWorld) -> None:
    """Removing segment, manifest and entry together is noticed against the ledger."""
    here = world.add(lines("a"))
    expected = [
        SealedSegment(
            archive=archive,
            path=path,
            digest=Digest(""),
            size=1,
            records=1,
            merkle_root=Digest(""),
            manifest=Digest(""),
        )
        for archive, path in (("cold", here.path), ("cold", here.path + "x"), ("unknown", "x"))
    ]

    (result,) = missing(expected, {"cold": world.target})

    assert (result.path, result.intact) == (here.path + "x", False)
