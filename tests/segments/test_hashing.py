"""Hashing many byte strings at once: the same digests as one by one, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.ports import LineBlock
from lapse.segments import leaf_hashes
from lapse.segments.hashing import CHUNK, array_chunks, digests, line_chunks
from lapse.segments.records import split_lines

SALT = bytes(range(32))
LINES = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 70).map(lambda size: b"x" * size),  # around a block of SHA-256
    st.just(b"long " * 80_000),  # longer than a piece
).map(lambda line: line.replace(b"\n", b"\r"))


@given(st.lists(st.binary(max_size=200)), st.binary(max_size=80))
def test_each_entry_has_the_digest_that_hashlib_gives_it(entries: list[bytes], prefix: bytes) -> None:
    """SHA-256 is SHA-256, whatever library and processor compute it, for every length around a block."""
    assert digests(entries, prefix) == [sha256(prefix + entry).digest() for entry in entries]


@pytest.mark.parametrize("size", [*range(130), 4095, 4096, 4097, 1_000_000])
def test_every_length_is_padded_right(size: int) -> None:
    """The places where an implementation can be wrong: ends of blocks, with and without a prefix."""
    entry = bytes(index % 251 for index in range(size))

    assert digests([entry, b"", entry]) == [sha256(each).digest() for each in (entry, b"", entry)]
    assert digests([entry], b"\x00" + SALT) == [sha256(b"\x00" + SALT + entry).digest()]


@given(st.lists(LINES, max_size=30), LINES)
def test_the_leaves_of_lines_are_those_of_each_line_by_itself(lines: list[bytes], last: bytes) -> None:
    """Lines are found in place, across the pieces a block is cut into, the last one without an end too."""
    data = b"".join(line + b"\n" for line in lines) + last

    found = list(chain.from_iterable(leaf_hashes(LineBlock(data, 0), SALT)))

    assert found == [sha256(b"\x00" + SALT + line).digest() for line in split_lines(data)]


@pytest.mark.parametrize("line", [b"\n", b"x\n", b"\r\n", b"y" * 963 + b"\n"])
def test_a_block_of_lines_is_cut_into_chunks_of_bounded_length(line: bytes) -> None:
    """A megabyte can be a million lines, and each has a digest of 32 bytes."""
    data = line * (1_000_000 // len(line))

    sizes = [len(chunk) for chunk in line_chunks(data)]

    assert sum(sizes) == data.count(b"\n")
    assert 0 < min(sizes) <= max(sizes) <= 4096


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
@pytest.mark.parametrize("start", [0, 1])
def test_rows_are_hashed_in_chunks_too(kind: pa.DataType, start: int) -> None:
    """All of them, in order, where they lie; a slice of an array begins where its offset says."""
    rows = [str(number).encode() * (number % 3) for number in range(start + CHUNK * 2 + 1)]

    found = list(array_chunks(pa.array(rows, kind)[start:]))

    assert [entry for chunk in found for entry in digests(chunk)] == [sha256(row).digest() for row in rows[start:]]
    assert [len(chunk) for chunk in found] == [CHUNK, CHUNK, 1]


SEALED = """
import re, sys
from pathlib import Path
from lapse.ports import LineBlock, Part
from lapse.segments import Measure, content_digest, open_writer
from lapse.segments.overlapping import Behind

def peak():
    # The program's own: ru_maxrss begins at the peak of the process that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

def seal(size):
    part, measure = Part(table="t", columns=(), odd_column=None, batches=iter(())), Measure(bytes(32))
    with open_writer("jsonl.zst", path, part) as writer, Behind(measure.add) as measuring:
        for _ in range(size):
            block = LineBlock(line * (2**20 // len(line)), 2**20 // len(line))
            writer.write(block)
            measuring.take(block)
    with path.open("rb") as file:
        assert content_digest("jsonl.zst", file) == measure.contents().content

path, line, size = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
before = peak()
seal(size)
print(peak() - before)
"""


@pytest.mark.parametrize("size", [48, pytest.param(96, marks=pytest.mark.soak)])
@pytest.mark.parametrize("line", [b"z" * 900 + b"\n", b"x\n"])
def test_memory_does_not_grow_with_the_segment(tmp_path: Path, line: bytes, size: int) -> None:
    """A few blocks of a megabyte are in flight, however many there are."""
    command = [sys.executable, "-c", SEALED, str(tmp_path / "s"), line.hex(), str(size)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(done.stdout) < 24 * 2**20
