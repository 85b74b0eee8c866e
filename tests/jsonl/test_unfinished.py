"""Commits that end later: late lines keep their place, unfinished files are left alone, thrown-away ones let go."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from log_writers import writer
from logs import NEW, OLD, line, opened, purge, purge_slice, selected, strays

from lapse.errors import CommitUnknownError, StoreError, VerificationError
from lapse.model.disposal import Method
from lapse.model.policy import Reopen
from lapse.model.selection import Selection
from lapse.ports import Budget
from lapse.stores.jsonl import JsonlStore, recovering, settling, taking
from lapse.stores.jsonl.redo import Redo, journals
from lapse.testing.flow import cut, facts_of

_KEPT = line(NEW, n=2)


@pytest.fixture
def log(in_memory: Path) -> Path:
    """Two lapsed lines and one that stays, where no lines can leave in place."""
    path = in_memory / "a.jsonl"
    path.write_bytes(line(OLD, n=1) + _KEPT + line(OLD, n=3))
    return path


def _fail(*_: object, **__: object) -> None:
    raise OSError(5, "Input/output error")


def _commit_and_stop(selection: Selection, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Decide to put a new file in place, and come no further than to one of the steps after that."""
    with monkeypatch.context() as patch:
        patch.setattr(taking, where, _fail)
        with pytest.raises(CommitUnknownError):
            purge(selection)


def _write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _purge_all(store: JsonlStore, selection: Selection) -> None:
    for piece in store.slices(selection, facts_of(selection), Budget()):
        purge_slice(store, piece)


def _purge_again(log: Path) -> int:
    """As the next run does: markers of earlier ones are pruned. How many slices were committed."""
    store = opened(selected(log))
    store.prune(store.recover(lambda _: True))
    return len(purge(selected(log)))


def test_who_had_found_the_old_file_writes_before_the_new_one_can_be_opened(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its late lines come before those that it writes to the new file, however fast it is."""
    original = settling.put_in_place

    def write(old: Path) -> None:
        for number in range(3):  # the first has to wait for the lease of the commit
            _write(old, line(NEW, late=number))
        _write(log, line(NEW, late=3))

    def put_in_place(folder: Path, redo: Redo) -> None:
        old = next(folder.glob(".*.old"))
        writers.append(threading.Thread(target=write, args=(old,)))
        writers[0].start()
        time.sleep(0.05)  # it waits now; that cannot be seen without letting it go on
        original(folder, redo)

    writers: list[threading.Thread] = []
    monkeypatch.setattr(taking, "put_in_place", put_in_place)
    purge(selected(log))
    writers[0].join()

    assert log.read_bytes() == _KEPT + b"".join(line(NEW, late=number) for number in range(4))
    assert strays(log.parent) == []


def test_lines_of_a_writer_that_opens_for_each_few_keep_their_order(log: Path) -> None:
    """It never rests, through one exchange of the file after the other."""
    stop, lines = threading.Event(), list[bytes]()

    def write() -> None:
        while not stop.is_set():
            lines.append(line(NEW, number=len(lines)))
            _write(log, lines[-1])

    live = threading.Thread(target=write)
    live.start()
    try:
        for _ in range(10):
            _write(log, line(OLD))
            assert _purge_again(log) == 1
    finally:
        stop.set()
        live.join()

    assert log.read_bytes() == _KEPT + b"".join(lines)
    assert strays(log.parent) == []


@contextmanager
def _late_lines_held_up(log: Path, selection: Selection, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Killed while the move of a late line was announced; a writer has the new file open, and does not append."""
    _commit_and_stop(selection, monkeypatch, "drain")
    (old,) = log.parent.glob(".*.old")
    _write(old, line(NEW, late=True))
    (redo,) = journals(log.parent)
    assert isinstance(redo, Redo)
    with monkeypatch.context() as patch:
        patch.setattr(settling, "_append_late", _fail)
        with pytest.raises(OSError, match="Input"):
            settling.drain(log.parent, redo, patience=0)
    with writer(log, "seek", time=NEW) as live:
        live.write(1)
        yield


def test_a_file_that_an_earlier_run_has_not_finished_with_is_refused_and_the_others_are_not(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To write it anew would move the place where late lines are looked for, and they would come twice."""
    monkeypatch.setattr(recovering, "_PATIENCE", 0.1)
    selection = selected(log.with_name("*.jsonl"), reopen=Reopen(None, None, (sys.executable, "-c", "pass")))
    with _late_lines_held_up(log, selection, monkeypatch):
        _write(log, line(OLD, n=4))
        other = log.with_name("b.jsonl")
        other.write_bytes(line(OLD) + line(NEW))
        store = opened(selection)
        assert len(list(store.recover(lambda _: True))) == 1
        before = log.read_bytes()
        with pytest.raises(StoreError, match=r"a\.jsonl: a removal from it is not finished.*\.old"):
            _purge_all(store, selection)
        assert (log.read_bytes(), other.read_bytes()) == (before, line(NEW))
    last = opened(selection)
    last.prune(last.recover(lambda _: True))
    purge(selection)

    assert log.read_bytes().count(line(NEW, late=True)) == 1
    assert line(OLD, n=4) not in log.read_bytes()


def test_a_slice_that_was_cut_before_is_refused_as_well(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cut it did not know; and what the commit of the same run has left is told of in the same words."""
    selection = selected(log)
    (piece,) = cut(opened(selection), selection)
    _commit_and_stop(selection, monkeypatch, "put_in_place")

    with pytest.raises(StoreError, match="a removal from it is not finished"):
        purge_slice(opened(selection), piece)

    assert log.read_bytes() == line(OLD, n=1) + _KEPT + line(OLD, n=3)


def test_a_move_that_was_done_needs_no_writer_to_go(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found in the new file; nothing has to be written there, so that nobody could write over it."""
    selection = selected(log)
    _commit_and_stop(selection, monkeypatch, "drain")
    (old,) = log.parent.glob(".*.old")
    _write(old, line(NEW, late=True))
    (redo,) = journals(log.parent)
    assert isinstance(redo, Redo)
    original = settling._append_late

    def append(folder: Path, redo: Redo, data: bytes, new: int | None = None) -> Redo:
        original(folder, redo, data, new)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(settling, "_append_late", append)
        with pytest.raises(OSError, match="Input"):
            settling.drain(log.parent, redo, patience=0)
    with writer(log, "seek", time=NEW) as live:
        live.write(1)
        list(opened(selection).recover(lambda _: True))

        assert strays(log.parent) == []
        assert log.read_bytes() == _KEPT + line(NEW, late=True) + b"".join(live.lines())


def test_a_log_that_was_replaced_after_the_decision_is_let_go(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever did that has thrown the old one away; the new one is theirs, and the removal is recorded as it was."""
    selection = selected(log)
    _commit_and_stop(selection, monkeypatch, "put_in_place")
    beside = log.with_name("other")
    beside.write_bytes(line(NEW, other=True))
    beside.rename(log)

    with pytest.raises(VerificationError, match="archived copy"):
        list(opened(selection).recover(lambda _: False))
    assert len(strays(log.parent)) == 2
    assert [disposal.records for disposal in opened(selection).recover(lambda _: True)] == [2]
    assert log.read_bytes() == line(NEW, other=True)
    assert strays(log.parent) == []


def test_a_log_that_was_moved_away_after_the_decision_is_asked_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is elsewhere, as its links tell; the hint says what to do in either case, and that works."""
    selection = selected(log)
    _commit_and_stop(selection, monkeypatch, "put_in_place")
    elsewhere = log.parent / "elsewhere"
    elsewhere.mkdir()
    log.rename(elsewhere / "a.jsonl")

    with pytest.raises(StoreError, match="not in its folder") as caught:
        list(opened(selection).recover(lambda _: True))
    hint = caught.value.hint or ""
    for path in [log.parent / name for name in strays(log.parent)]:
        assert str(path) in hint
        path.unlink()
    assert len(list(opened(selection).recover(lambda _: True))) == 1


@pytest.mark.parametrize(("minutes", "method"), [(0, Method.FILE_COLLAPSE), (60, Method.FILE_REWRITE)])
def test_a_log_in_use_keeps_its_file_and_a_rotated_one_takes_the_fewest_bytes(
    collapsing: Path, minutes: int, method: Method
) -> None:
    """Nobody has it open in either case; who wrote to it just now comes again, and finds the file it knows."""
    log = collapsing / "a.jsonl"
    log.write_bytes(b"".join(line(OLD if n % 2 else NEW, n=n, x="x" * 300) for n in range(100)) + _KEPT)
    then = log.stat().st_mtime_ns - minutes * 60_000_000_000
    os.utime(log, ns=(then, then))

    (gone,) = purge(selected(log))

    assert gone.disposal.method is method
