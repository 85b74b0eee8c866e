"""A run that is killed while the kernel cuts blocks off: XFS may have done that, and not made the file shorter yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from logs import NEW, OLD, line, opened, purge, selected, strays

from lapse.stores.jsonl import collapsing, disk, gaps
from lapse.stores.jsonl.gaps import close_gap, find_gap

_LAPSED = [line(OLD, n=n, x="x" * 200) for n in range(400)]
_KEPT = b"".join(line(NEW, n=n, x="y" * 200) for n in range(90))
_BLOCK = 4096

Collapse = Callable[..., bool]


class _KilledError(BaseException):
    """Nothing of the run comes after it."""


def _killed(descriptor: int, size: int, *, start: int = 0) -> bool:
    """Blocks are cut off, and the file is as long as it was."""
    before = os.fstat(descriptor).st_size
    assert disk.collapse(descriptor, size, start=start)
    os.ftruncate(descriptor, before)
    raise _KilledError


def _run(log: Path, monkeypatch: pytest.MonkeyPatch, *, first: Collapse, closing: Collapse = disk.collapse) -> None:
    """A run that ends where it is killed, if it is; the next one settles what it finds first."""
    with monkeypatch.context() as patch:
        patch.setattr(collapsing, "collapse", first)
        patch.setattr(gaps, "collapse", closing)
        store = opened(selected(log))
        try:
            with store.lease():
                store.prune(iter(list(store.recover(lambda _: True))))
            purge(selected(log))
        except _KilledError:
            pass


def _append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def _told(log: Path) -> bytes:
    """The log without the blanks that stand before lines."""
    data = log.read_bytes()
    found = b"".join(each.lstrip(b" ") for each in data.splitlines(keepends=True))
    assert len(data) - len(found) < 6 * _BLOCK
    return found


@pytest.mark.parametrize("more", [b"", line(NEW, n=1), line(NEW, n=1) * 200], ids=["nothing", "a line", "many"])
@pytest.mark.parametrize("kills", [0, 1, 2, 3])
@pytest.mark.parametrize("lapsed", [20, 40, 400])
def test_the_next_run_closes_the_gap(
    collapsing: Path, monkeypatch: pytest.MonkeyPatch, more: bytes, kills: int, lapsed: int
) -> None:
    """Whatever was appended behind it meanwhile, and however often closing it is interrupted in the same way."""
    log = collapsing / "a.jsonl"
    log.write_bytes(b"".join(_LAPSED[:lapsed]) + _KEPT)

    _run(log, monkeypatch, first=_killed)
    _append(log, more)
    torn = log.read_bytes().count(b"\0")
    for _ in range(kills):
        _run(log, monkeypatch, first=_killed, closing=_killed)
        _append(log, more)
    _run(log, monkeypatch, first=disk.collapse)
    _append(log, line(NEW, n=2))

    assert torn >= _BLOCK
    assert _told(log) == _KEPT + more * (kills + 1) + line(NEW, n=2)
    assert strays(collapsing) == []


@pytest.mark.parametrize("blocks", [1, 2, 9])
def test_a_gap_that_ends_with_the_file_and_a_block_is_cut_off_but_for_one(collapsing: Path, blocks: int) -> None:
    """The kernel cuts nothing off up to the end."""
    log = collapsing / "a.jsonl"
    log.write_bytes(b"[]\n".rjust(_BLOCK))
    os.truncate(log, (1 + blocks) * _BLOCK)
    descriptor = os.open(log, os.O_RDWR)
    try:
        gap = find_gap(descriptor, 0, cut=9 * _BLOCK, block=_BLOCK)
        assert gap == range(_BLOCK, (1 + blocks) * _BLOCK)
        close_gap(descriptor, gap, block=_BLOCK)
    finally:
        os.close(descriptor)

    assert log.read_bytes() == b"[]\n".rjust(_BLOCK) + b" " * _BLOCK


def test_within_a_line_zeros_are_left(collapsing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody had begun it: what it says nobody knows for certain, so that it must not look as if it were whole."""
    log = collapsing / "a.jsonl"
    log.write_bytes(b"".join(_LAPSED) + _KEPT + b'{"time": "')

    _run(log, monkeypatch, first=_killed)
    _append(log, b'2020"}\n')
    _run(log, monkeypatch, first=disk.collapse)

    found = _told(log)
    begun, rest = found.removeprefix(_KEPT).split(b"\0", 1)
    assert (begun, rest.lstrip(b"\0")) == (b'{"time": "', b'2020"}\n')
    assert len(rest) - len(rest.lstrip(b"\0")) < 2 * _BLOCK


def test_zeros_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    """A writer that wrote at its old offset after a file was cut leaves some as well, but as many as it likes."""
    log = tmp_path / "log"
    for size, found in (
        (8 * _BLOCK, None),
        (9 * _BLOCK, None),
        (5 * _BLOCK + 1, None),
        (2 * _BLOCK, 2 * _BLOCK),
        (_BLOCK, _BLOCK),
    ):
        log.write_bytes(_KEPT)
        os.truncate(log, len(_KEPT) + size)
        _append(log, line(NEW, n=1))
        descriptor = os.open(log, os.O_RDWR)
        try:
            gap = find_gap(descriptor, 0, cut=6 * _BLOCK, block=_BLOCK)
            assert (gap and len(gap)) == found
            if gap is not None:
                close_gap(descriptor, gap, block=_BLOCK)
        finally:
            os.close(descriptor)
