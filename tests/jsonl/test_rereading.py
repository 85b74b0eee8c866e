"""What was read of a log is told from what stands there later; its blocks are held small."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lapse.canonical import Digest
from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.blocksums import Block, BlockSum, GroupSum
from lapse.stores.jsonl.parting import Parted, Run
from lapse.stores.jsonl.rereading import Digested, Reading

_GOES, _STAYS = b'{"a": 1}\n' * 3, b'{"b": 2}\n'


def _digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def _read(digested: Digested) -> Reading:
    """Two blanks, two blocks that go, one of which a part stays, and one more that goes."""
    reading = Reading(2, digested)
    start = 2
    for data, end in ((_GOES, len(_GOES)), (_GOES, len(_GOES)), (_GOES + _STAYS, len(_GOES)), (_GOES, len(_GOES))):
        reading.take(Parted(start, data, [Run(0, end, 3)], ()))
        start += len(data)
    return reading


_CONTENT = b"  " + _GOES * 3 + _STAYS + _GOES


@pytest.mark.parametrize("digested", [Digested.ALL, Digested.FROM_FIRST_THAT_STAYS])
def test_a_log_that_was_read_is_recognised_until_a_byte_of_it_changes(tmp_path: Path, digested: Digested) -> None:
    """Wherever the byte is: among the blanks, the lines that all go, or those behind the first that stays."""
    log, reading = tmp_path / "a.jsonl", _read(digested)
    head = _digest(b"" if digested is Digested.ALL else _GOES * 2)
    found = []
    for place in (None, *range(len(_CONTENT))):
        data = bytearray(_CONTENT)
        if place is not None:
            data[place] ^= 1
        log.write_bytes(data + b"more")
        descriptor = os.open(log, os.O_RDONLY)
        found.append(reading.is_there(descriptor, log, head))
        os.close(descriptor)

    assert found == [True] + [False] * len(_CONTENT)


def test_a_log_that_was_cut_is_not_what_was_read(tmp_path: Path) -> None:
    """Fewer bytes are others, even if all that are there are the same."""
    log, reading = tmp_path / "a.jsonl", _read(Digested.FROM_FIRST_THAT_STAYS)
    log.write_bytes(_CONTENT[:-1])
    descriptor = os.open(log, os.O_RDONLY)

    assert not reading.is_there(descriptor, log, _digest(_GOES * 2))
    os.close(descriptor)


def test_only_what_is_archived_as_a_whole_is_left_to_the_archive_to_digest() -> None:
    """From the first block on of which a line stays, the store digests for itself."""
    reading = Reading(0, Digested.FROM_FIRST_THAT_STAYS)
    told = [reading.goes_whole]
    for run in (Run(0, len(_GOES), 3), Run(0, 9, 1), Run(0, len(_GOES), 3)):
        reading.take(Parted(0, _GOES, [run], ()))
        told.append(reading.goes_whole)

    assert told == [True, True, False, False]


def test_blocks_come_out_of_a_list_as_they_went_in() -> None:
    """In order, or the last one first, with every value of theirs."""
    blocks = [
        Block(
            BlockSum(10 * n, 10, 2, [GroupSum(["x", None, n, True, []], 2, 10, None, 5, 7)], [("TORN", 1, 0)], n),
            {n: 10, 3: 0},
        )
        for n in range(3)
    ] + [Block(BlockSum(30, 5, 1, None, []), {})]
    held = BlockList(blocks[:2])
    held.extend(BlockList(blocks[2:3]))
    held.append(blocks[3])

    assert (list(held), list(held.reversed()), list(held.sums())) == (blocks, blocks[::-1], [b.sums for b in blocks])
    assert (len(held), held.end, BlockList().end) == (4, 35, 0)
