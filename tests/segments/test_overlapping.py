"""Steps that overlap: same items, same order, same errors, and never more than a few items at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.errors import TargetError
from lapse.ports import LineBlock, Part
from lapse.segments import JSONL_ZST, open_writer
from lapse.segments.overlapping import Behind, ahead

LINES = Part(table="audit.jsonl", columns=(), odd_column=None, batches=iter(()))


class OddError(Exception):
    """What a step fails with here."""


def alive() -> list[str]:
    """The threads of this module's subject that are there."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lapse-")]


def until(end: int) -> Iterator[int]:
    """Numbers from 1, then an error."""
    yield from range(1, end)
    raise OddError(f"at {end}")


def all_done(step: Callable[[int], None]) -> None:
    """Do a step with 1 to 9."""
    with Behind(step) as behind:
        for item in range(1, 10):
            behind.take(item)


def interrupted(step: Callable[[int], None]) -> None:
    """Do a step with two items, and be interrupted."""
    with Behind(step) as behind:
        behind.take(1)
        behind.take(2)
        raise KeyboardInterrupt


def write_a_lot(path: Path, blocks: Iterator[LineBlock]) -> None:
    """Write a segment of all *blocks*."""
    with open_writer(JSONL_ZST, path, LINES) as writer:
        for block in blocks:
            writer.write(block)


@given(st.lists(st.integers()))
def test_every_item_is_done_once_and_in_order(items: list[int]) -> None:
    """Behind and ahead change when something is done, and nothing else; no thread stays."""
    done: list[int] = []
    with Behind(done.append) as behind:
        for item in ahead(iter(items)):
            behind.take(item)

    assert done == items
    assert alive() == []


@pytest.mark.parametrize("fails", [1, 2, 3, 9])
def test_an_error_of_a_step_comes_to_its_caller(fails: int) -> None:
    """At the latest where the block is left, and as it was raised."""

    def step(item: int) -> None:
        if item == fails:
            raise OddError(f"at {item}")

    with pytest.raises(OddError, match=f"at {fails}"):
        all_done(step)

    assert alive() == []


@pytest.mark.parametrize("end", [1, 2, 3, 9])
def test_an_error_ahead_comes_in_its_place(end: int) -> None:
    """Everything before it is there first."""
    found: list[int] = []

    with pytest.raises(OddError, match=f"at {end}"):
        found.extend(ahead(until(end)))

    assert alive() == []


@pytest.mark.parametrize("left", [1, 2, 5])
def test_whoever_stops_early_leaves_no_thread_behind(left: int) -> None:
    """A damaged segment ends its reading half-way."""
    items = ahead(iter(range(1, 100)))
    for _ in range(left):
        next(items)
    items.close()  # type: ignore[attr-defined]

    assert alive() == []


def test_an_error_in_the_block_is_not_covered_up() -> None:
    """What goes wrong in the block itself is what its caller hears, not what a step made of it."""

    def step(item: int) -> None:
        if item > 1:
            raise OddError

    with pytest.raises(KeyboardInterrupt):
        interrupted(step)

    assert alive() == []


def test_few_items_wait() -> None:
    """Memory is bounded: whoever is faster than the step waits for it."""
    go, done, taken = threading.Semaphore(0), [], []

    def step(item: int) -> None:
        if item:
            assert go.acquire(timeout=20)
        done.append(item)

    def feed() -> None:
        with Behind(step) as behind:
            for item in range(9):
                taken.append(item)
                behind.take(item)

    feeder = threading.Thread(target=feed)
    feeder.start()
    for number in range(8):
        go.release()
        while len(done) <= number + 1:
            assert len(taken) - len(done) <= 4
    feeder.join(timeout=20)

    assert done == list(range(9))


def test_a_disk_that_fills_up_behind_the_callers_back_is_a_target_error() -> None:
    """The thread that writes tells it on: the segment is not complete, and why is said with what to do."""
    blocks = iter([LineBlock(os.urandom(500_000).replace(b"\n", b" ") + b"\n", 1) for _ in range(20)])

    with pytest.raises(TargetError, match=r"cannot write .*full") as caught:
        write_a_lot(Path("/dev/full"), blocks)

    assert caught.value.hint == "The disk is full: free some space and run again."
    assert len(list(blocks)) > 10
    assert alive() == []
