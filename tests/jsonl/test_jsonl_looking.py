"""Looking at logs without touching them: identity, notes, one record, a folder nobody knows yet."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from logs import NEW, OLD, dataset, line, opened, selected

from lapse.errors import StoreError, StoreMissingError
from lapse.model.policy import Reopen, TimeFormat
from lapse.model.selection import Verdict
from lapse.ports import Inspectable, Restorable, Sketch
from lapse.stores.jsonl import STORE, JsonlStore
from lapse.testing.flow import cut


def test_the_store_is_one_that_can_be_inspected_and_restored_into() -> None:
    """The optional doors are there."""
    store = JsonlStore(dataset("/x.jsonl"), read_only=True)

    assert STORE is JsonlStore
    assert isinstance(store, Inspectable)
    assert isinstance(store, Restorable)


def test_text_logs_are_read_without_arrow() -> None:
    """The path of text logs imports no pyarrow, so that it starts at once and needs little memory."""
    script = "import sys, lapse.stores.jsonl; print([m for m in ('pyarrow', 'duckdb', 'pydantic') if m in sys.modules])"

    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"


def test_an_identity_is_about_address_and_keys_not_about_inodes(tmp_path: Path) -> None:
    """Files may come and go; the mark holds size and inode of each."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line())
    store = opened(selected(tmp_path / "*.jsonl"))
    first = store.identity()
    (tmp_path / "b.jsonl").write_bytes(line())
    other_keys = opened(selected(tmp_path / "*.jsonl", type="kind")).identity()

    second = store.identity()

    scheme, folder, name, keys = first.fingerprint.text.split(":")
    assert (scheme, name, len(folder), len(keys)) == ("jsonl", "*.jsonl", 12, 12)
    assert first.fingerprint == second.fingerprint != other_keys.fingerprint
    assert first.mark is not None
    assert first.mark.kind == "files"
    assert first.mark.values == {str(log): (len(line()), log.stat().st_ino)}


@pytest.mark.parametrize(
    ("written", "overrides", "note"),
    [
        (b'{"time": "2020-01-01T00:00:00"}\n', {}, "no time zone: read as UTC"),
        (b'{"time": "2020-01-01T00:00:00"}\n', {"zone": "Europe/Paris"}, None),
        (b'{"time": "2020-01-01T00:00:00+01:00"}\n', {}, None),
        (b'{"time": 1577836800}\n', {}, "`time format: unix seconds`"),
        (b'{"time": 1577836800123}\n', {}, "`time format: unix milliseconds`"),
        (b'{"time": 1577836800123}\n', {"time_format": TimeFormat.MILLISECONDS}, None),
        (b"\n\nnot json\n", {}, None),
    ],
)
def test_times_that_need_a_word_in_the_policy_are_noted(
    tmp_path: Path, written: bytes, overrides: dict[str, object], note: str | None
) -> None:
    """Naive texts and bare numbers, with the option that settles them."""
    (tmp_path / "a.jsonl").write_bytes(written)

    _, *notes = opened(selected(tmp_path / "a.jsonl", **overrides)).identity().notes  # the first says how lines leave

    assert (notes == []) if note is None else (note in " ".join(notes))


@pytest.mark.parametrize(
    ("mode", "overrides", "note"),
    [
        (None, {}, "nobody writes to it; lines leave in place at its head or while it is in use, else by a new file"),
        ("ab", {}, "it is written to by appending, and lines leave in place"),
        ("r+b", {}, "its lines stay: pid {pid} writes to it without O_APPEND"),
        (
            "r+b",
            {"reopen": Reopen("HUP", Path("/x.pid"))},
            "which its writers are told to open (pid {pid} writes to it",
        ),
    ],
)
def test_the_way_in_which_lines_leave_is_noted(
    collapsing: Path, mode: str | None, overrides: dict[str, Any], note: str
) -> None:
    """By who writes to the file, and by what its file system can; nothing is written to find out."""
    log = collapsing / "a.jsonl"
    log.write_bytes(line())
    before = sorted(path.name for path in collapsing.iterdir())

    with log.open(mode) if mode else contextlib.nullcontext():
        (found,) = opened(selected(log, **overrides), read_only=True).identity().notes

    assert found.startswith("a.jsonl: ")
    assert note.format(pid=os.getpid()) in found
    assert sorted(path.name for path in collapsing.iterdir()) == before


def test_files_with_the_same_way_are_noted_together(in_memory: Path) -> None:
    """And compressed ones apart; of very many only the newest are looked at."""
    for number in range(60):
        path = in_memory / f"{number:02d}.jsonl"
        path.write_bytes(gzip.compress(line()) if number == 59 else line())
        os.utime(path, ns=(0, number * 10**9))

    notes = opened(selected(in_memory / "*"), read_only=True).identity().notes

    assert notes == (
        "59.jsonl: nobody writes to it; it is compressed, so that lines leave by a new file",
        (
            "58.jsonl and 48 more: nobody writes to it; this file system cannot cut a file's head,"
            " so that lines leave by a new file"
        ),
        "10 older files were not looked at for writers yet; a run does, one by one",
    )


@pytest.mark.parametrize("spelling", ["{path}:3", "x/a.jsonl:3", "a.jsonl:3", "seven"])
def test_a_line_is_found_by_its_place_or_by_its_key(tmp_path: Path, spelling: str) -> None:
    """The path may be whole, relative to the dataset's folder, or the name alone."""
    log = tmp_path / "x" / "a.jsonl"
    log.parent.mkdir()
    log.write_bytes(line(NEW) + b"odd\n" + line(OLD, id="seven"))
    selection = selected(tmp_path / "**" / "*.jsonl", key="id")

    (found,) = opened(selection, read_only=True).find(selection, spelling.format(path=log))

    assert found.key == f"{log}:3"
    assert selection.outcomes[found.code].verdict is Verdict.LAPSED
    assert found.values == {"time": OLD, "id": "seven"}


@pytest.mark.parametrize("key", ["a.jsonl:4", "a.jsonl:0", "b.jsonl:1", "", ":", "seven", "a.jsonl"])
def test_what_names_no_line_finds_nothing(tmp_path: Path, key: str) -> None:
    """Without a key field only places count; lines count from 1."""
    (tmp_path / "a.jsonl").write_bytes(line() * 3)
    selection = selected(tmp_path / "*.jsonl")

    assert list(opened(selection).find(selection, key)) == []


def test_a_read_only_store_refuses_every_change(tmp_path: Path) -> None:
    """Take, lease, prune and restore; the folder stays as it is."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line())
    selection = selected(log)
    store = opened(selection, read_only=True)
    (piece,) = cut(store, selection)

    for change in (
        lambda: store.take(piece).__enter__(),
        lambda: store.lease().__enter__(),
        lambda: store.prune(iter([])),
    ):
        with pytest.raises(StoreError, match="read-only"):
            change()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_missing_or_unreadable_log_is_named(tmp_path: Path) -> None:
    """Identity and survey say which file, and what is wrong with it."""
    selection = selected(tmp_path / "a.jsonl")

    with pytest.raises(StoreMissingError, match=r"a\.jsonl: there is no such file"):
        opened(selection).identity()
    with pytest.raises(StoreMissingError):
        list(opened(selection).survey(selection))


def _mxcp(time: str, schema: str, user: str | None) -> bytes:
    fields = {"schema_name": schema, "schema_version": 2, "timestamp": time, "operation_type": "tool", "user_id": user}
    return json.dumps({**fields, "input_data": {"user_id": 5}, "business_context": {"type": "x"}}).encode() + b"\n"


def _inspect(address: Path) -> list[Sketch]:
    return list(JsonlStore.inspect(str(address)))


def test_mxcp_files_are_known_with_their_registry_left_out(tmp_path: Path) -> None:
    """Time, schema and user; rotated files are one log; the registry of schemas has no time."""
    lines = [_mxcp(f"2026-01-{day:02d}T00:00:00.000001Z", f"s{day % 3}", "eve") for day in range(1, 29)]
    (tmp_path / "audit.jsonl").write_bytes(b"".join(lines[20:]))
    (tmp_path / "audit.jsonl.1.gz").write_bytes(gzip.compress(b"".join(lines[:20])))
    (tmp_path / "audit_schemas.jsonl").write_bytes(b'{"schema_name": "s1", "version": 1, "retention_days": 90}\n')

    (found,) = _inspect(tmp_path)

    assert found.store == f"{tmp_path}/audit.jsonl*"
    assert (found.time, found.type, found.actor, found.tenant) == ("timestamp", "schema_name", "user_id", None)
    assert found.time_format is TimeFormat.AUTO
    assert dict(found.types).keys() == {"s0", "s1", "s2"}
    assert found.oldest is not None
    assert found.newest is not None
    assert found.newest - found.oldest == 27 * 86_400 * 10**9


def test_a_glob_that_would_mean_other_files_is_not_proposed(tmp_path: Path) -> None:
    """Segments and their neighbour's files stay apart."""
    for name in ("logs-a.jsonl", "logs-a-20260101T000000.jsonl", "logs-a-20260102T000000.jsonl", "logs-a-eu.jsonl"):
        (tmp_path / name).write_bytes(_mxcp("2026-01-01T00:00:00Z", "s", None))

    found = {sketch.store.removeprefix(f"{tmp_path}/") for sketch in _inspect(tmp_path)}

    meant = [path.name for pattern in found for path in tmp_path.glob(pattern)]
    assert sorted(meant) == sorted(path.name for path in tmp_path.iterdir())


def test_numbers_are_times_if_they_look_like_it(tmp_path: Path) -> None:
    """The format is proposed by their size; notes say so."""
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(json.dumps({"ts": 1767225600 + n, "level": "info"}).encode() + b"\n" for n in range(9)))

    (found,) = _inspect(log)

    assert (found.store, found.time, found.time_format, found.type) == (
        str(log), "ts", TimeFormat.SECONDS, "level",
    )  # fmt: skip
    assert found.records == 9
    assert any("unix seconds" in note for note in found.notes)


def test_a_folder_of_other_things_has_no_logs(tmp_path: Path) -> None:
    """Links, pipes, pictures and JSON without times are passed over; a missing address is an error."""
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "settings.json").write_bytes(b'{"a": 1}\n')
    (tmp_path / "link.jsonl").symlink_to("picture.png")
    os.mkfifo(tmp_path / "pipe.jsonl")

    assert _inspect(tmp_path) == []
    with pytest.raises(StoreMissingError):
        _inspect(tmp_path / "nowhere")
