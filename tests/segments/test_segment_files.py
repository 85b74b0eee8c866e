"""Segment files: what is written reads back exactly, and damage is noticed."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from segment_values import CELLS, batches, column, cuts

from lapse.errors import StoreError, TargetError, UsageError, VerificationError
from lapse.model.manifest import Column
from lapse.ports import LineBlock, Part
from lapse.segments import (
    JSONL_ZST,
    PARQUET,
    ContentDigest,
    Measure,
    SegmentWriter,
    content_digest,
    file_digest,
    format_of,
    open_writer,
    read_segment,
)

LINES = Part(table="audit.jsonl", columns=(), odd_column=None, batches=iter(()))
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_part(batch: Any) -> Part:
    """A part with the columns of *batch*."""
    columns = tuple(Column(name=field.name, declared="", arrow=str(field.type)) for field in batch.schema)
    return Part(table="calls", columns=columns, odd_column=None, batches=iter([batch]))


def written(path: Path, part: Part, *pieces: Any) -> Path:
    """A segment file at *path* that holds *pieces*."""
    with open_writer(format_of(part), path, part) as writer:
        for piece in pieces:
            writer.write(piece)
    return path


def read_back(path: Path, format_name: str) -> list[Any]:
    """Everything in the segment file."""
    with path.open("rb") as file:
        return list(read_segment(format_name, file))


def digest(pieces: list[Any]) -> str:
    """The content digest of *pieces*."""
    content = ContentDigest()
    for piece in pieces:
        content.update(piece)
    return content.digest()


@in_one_folder
@given(batches(), st.data())
def test_rows_come_back_with_their_exact_types(tmp_path: Path, batch: Any, data: st.DataObject) -> None:
    """Every cell, type, null and unit survives Parquet; batch boundaries do not matter."""
    pieces = [batch.slice(begin, length) for begin, length in data.draw(cuts(batch.num_rows))] or [batch]

    found = read_back(written(tmp_path / "s", rows_part(batch), *pieces), PARQUET)

    if batch.num_rows:
        assert digest(found) == digest([batch])
        assert {piece.schema for piece in found} == {batch.schema}
    assert sum(piece.num_rows for piece in found) == batch.num_rows


@pytest.mark.parametrize("kind", CELLS, ids=str)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_type_of_the_format_round_trips(tmp_path: Path, kind: Any, data: st.DataObject) -> None:
    """No type depends on what a property happened to draw."""
    batch = pa.record_batch([column(kind, [None, data.draw(CELLS[kind]), None])], ["x"])

    (found,) = read_back(written(tmp_path / "s", rows_part(batch), batch), PARQUET)

    assert found.schema == batch.schema
    assert digest([found]) == digest([batch])


def test_values_that_hardly_repeat_are_stored_by_their_differences(tmp_path: Path) -> None:
    """Every type reads back from a long column of distinct values, too; ascending keys take next to no room."""
    numbers = list(range(10**15, 10**15 + 5000))
    kinds = [
        kind for kind in CELLS if pa.types.is_temporal(kind) or str(kind) in ("int64", "uint64", "int32", "uint32")
    ]
    columns = [column(kind, [number % 2**31 for number in numbers]) for kind in kinds]
    columns += [pa.array(map(str, numbers), kind) for kind in (pa.string(), pa.large_string())]
    columns += [pa.array((str(number).encode() for number in numbers), pa.large_binary()), pa.array([1] * 5000)]
    batch = pa.record_batch(columns, [f"odd.name '{number}'" for number in range(len(columns))])

    path = written(tmp_path / "s", rows_part(batch), batch)

    assert digest(read_back(path, PARQUET)) == digest([batch])
    assert path.stat().st_size < batch.nbytes / 10


def test_a_segment_keeps_a_row_group_for_each_batch(tmp_path: Path) -> None:
    """Reading back needs the memory of one batch, not of the file."""
    batch = pa.record_batch([pa.array([1, 2])], ["x"])

    found = read_back(written(tmp_path / "s", rows_part(batch), batch, batch.slice(0, 0), batch), PARQUET)

    assert [piece.num_rows for piece in found] == [2, 2]


def test_text_with_a_nul_inside_round_trips(tmp_path: Path) -> None:
    """NUL is a character like another."""
    batch = pa.record_batch([pa.array(["a\0b"]), pa.array([b"\0"])], ["t", "b"])

    (found,) = read_back(written(tmp_path / "s", rows_part(batch), batch), PARQUET)

    assert found.to_pydict() == {"t": ["a\0b"], "b": [b"\0"]}


@in_one_folder
@given(st.lists(st.binary(min_size=1, max_size=30).map(lambda line: line.replace(b"\n", b"?") + b"\n")), st.booleans())
def test_lines_come_back_byte_for_byte(tmp_path: Path, lines: list[bytes], ended: bool) -> None:
    """Any bytes, with or without a last line end."""
    data = b"".join(lines) if ended else b"".join(lines)[:-1]
    block = LineBlock(data, len(lines))

    found = read_back(written(tmp_path / "s", LINES, block), JSONL_ZST)

    assert b"".join(piece.data for piece in found) == data
    assert sum(piece.records for piece in found) == (
        len(lines) if ended else data.count(b"\n") + bool(data and data[-1:] != b"\n")
    )


def test_lines_of_any_size_are_read_in_blocks_of_whole_lines(tmp_path: Path) -> None:
    """A line of five megabytes is one record of one block; small lines come by the megabyte."""
    small, large = b'{"n":1}\n' * 400_000, b"x" * 5_000_000 + b"\n"
    path = written(tmp_path / "s", LINES, LineBlock(small, 400_000), LineBlock(large, 1), LineBlock(small, 400_000))

    found = read_back(path, JSONL_ZST)

    assert b"".join(piece.data for piece in found) == small + large + small
    assert all(piece.data.endswith(b"\n") for piece in found)
    assert sum(piece.records for piece in found) == 800_001
    assert sorted(len(piece.data) for piece in found)[-2] < 2_200_000


def test_a_segment_of_lines_is_readable_by_the_zstd_program(tmp_path: Path) -> None:
    """The file is plain zstd: any zstd reads it, and its checksum is there."""
    path = written(tmp_path / "s", LINES, LineBlock(b"a\n", 1))

    assert path.read_bytes()[:4] == bytes.fromhex("28b52ffd")
    assert path.read_bytes()[4] & 0b100  # RFC 8878 §3.1.1.1.1: Content_Checksum_flag


@pytest.mark.parametrize("format_name", [PARQUET, JSONL_ZST])
def test_damage_is_noticed(tmp_path: Path, format_name: str) -> None:
    """A file that was cut, extended or replaced is a verification error, never fewer records."""
    batch = pa.record_batch([pa.array(range(1000))], ["x"])
    path = tmp_path / "s"
    if format_name == PARQUET:
        written(path, rows_part(batch), batch)
    else:
        written(path, LINES, LineBlock(b"line\n" * 1000, 1000))
    whole = path.read_bytes()
    damaged = [whole[:-1], whole[: len(whole) // 2], b"", b"junk", whole + b"more"]

    for data in damaged:
        with pytest.raises(VerificationError):
            list(read_segment(format_name, io.BytesIO(data)))


def test_a_segment_is_private_and_not_written_through_a_link(tmp_path: Path) -> None:
    """0600 whatever the umask, and a symbolic link in its place is refused."""
    path = written(tmp_path / "s", LINES, LineBlock(b"a\n", 1))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(TargetError):
        open_writer(JSONL_ZST, tmp_path / "link", LINES)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_a_target_error_with_a_hint() -> None:
    """What /dev/full answers is translated once, with what to do."""
    with pytest.raises(TargetError, match="cannot write") as caught:
        written(Path("/dev/full"), LINES, LineBlock(os.urandom(3_000_000), 1))

    assert caught.value.hint == "The disk is full: free some space and run again."


def write_and_fail(writer: SegmentWriter) -> None:
    """One good block, then one that is refused."""
    writer.write(LineBlock(b"unended", 1))
    writer.write(LineBlock(b"more", 1))


def test_an_error_inside_the_block_leaves_an_unfinished_file(tmp_path: Path) -> None:
    """A segment is complete only if nothing went wrong."""
    with pytest.raises(StoreError), open_writer(JSONL_ZST, tmp_path / "s", LINES) as writer:
        write_and_fail(writer)

    with pytest.raises(VerificationError):
        read_back(tmp_path / "s", JSONL_ZST)


def test_a_line_after_an_unended_line_is_refused(tmp_path: Path) -> None:
    """Two records must not become one."""
    with pytest.raises(StoreError, match="not the last one"):
        written(tmp_path / "s", LINES, LineBlock(b"a", 1), LineBlock(b"b\n", 1))


def test_a_batch_with_other_columns_than_its_part_is_refused(tmp_path: Path) -> None:
    """The part's columns are what the manifest states, so the file must have them."""
    batch = pa.record_batch([pa.array([1])], ["x"])

    with pytest.raises(StoreError, match=r"has columns \['y'\], its part has \['x'\]"):
        written(tmp_path / "s", rows_part(batch), pa.record_batch([pa.array([1])], ["y"]))


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """The message names those that there are."""
    with pytest.raises(UsageError) as caught:
        open_writer("csv", tmp_path / "s", LINES)

    assert caught.value.hint == "The formats are parquet and jsonl.zst."


def test_the_file_digest_is_what_sha256sum_prints(tmp_path: Path) -> None:
    """Anyone can check a segment without Lapse."""
    path = written(tmp_path / "s", LINES, LineBlock(b"a\n", 1))
    printed = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout

    with path.open("rb") as file:
        assert printed.split()[0] == file_digest(file)


def test_a_measure_states_all_that_a_manifest_needs() -> None:
    """Counts, sizes, content and root of the same records, taken in one pass."""
    measure, content = Measure(bytes(32)), ContentDigest()
    for block in (LineBlock(b"a\nb\n", 2), LineBlock(b"c", 1)):
        measure.add(block)
        content.update(block)

    assert measure.contents().content == content.digest()
    assert (measure.contents().records, measure.contents().raw_size) == (3, 5)


def test_what_a_store_says_of_its_records_is_what_must_be_read_back(tmp_path: Path) -> None:
    """A store's own digest goes into the manifest as it is, so a file that holds anything else does not match it."""
    said = ContentDigest()
    said.update(LineBlock(b"yielded\n", 1))
    measure = Measure(bytes(32), said)
    measure.add(LineBlock(b"another\n", 1))

    with written(tmp_path / "s", LINES, LineBlock(b"another\n", 1)).open("rb") as file:
        assert content_digest(JSONL_ZST, file) != measure.contents().content == said.digest()


def test_records_that_get_lost_on_their_way_are_noticed() -> None:
    """As many as the store says it yielded must have come."""
    said = ContentDigest()
    said.update(LineBlock(b"a\nb\n", 2))
    measure = Measure(bytes(32), said)
    measure.add(LineBlock(b"a\n", 1))

    with pytest.raises(StoreError, match="1 records came, and 2 were said to come"):
        measure.contents()


@pytest.mark.parametrize("format_name", [JSONL_ZST, PARQUET])
def test_the_content_of_a_file_has_the_digest_of_its_records(tmp_path: Path, format_name: str) -> None:
    """However large it is: a small one is read by its caller alone, and others by two threads."""
    rows = pa.record_batch([pa.array(range(1000))], ["x"])
    pieces: list[Any] = [rows] * 5 if format_name == PARQUET else [LineBlock(b"12345678\n" * 100_000, 100_000)] * 5
    part = rows_part(rows) if format_name == PARQUET else LINES
    for count in (1, 5):
        with written(tmp_path / "s", part, *pieces[:count]).open("rb") as file:
            assert content_digest(format_name, file) == digest(pieces[:count])


def test_text_logs_import_no_pyarrow(tmp_path: Path) -> None:
    """Writing, measuring and reading lines works where pyarrow is not installed."""
    script = """
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from lapse.ports import LineBlock, Part
from lapse.segments import Measure, format_of, open_writer, read_segment
part, path = Part(table="t", columns=(), odd_column=None, batches=iter(())), Path(sys.argv[1])
with open_writer(format_of(part), path, part) as writer:
    writer.write(LineBlock(b"a\\n", 1))
measure = Measure(bytes(32))
for block in read_segment("jsonl.zst", path.open("rb")):
    measure.add(block)
print(measure.contents().records)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s")], capture_output=True, text=True, check=True
    )

    assert done.stdout == "1\n"
