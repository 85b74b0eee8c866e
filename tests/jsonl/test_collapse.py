"""Lapsed lines at the head of a log: whole blocks are cut off where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_writers import writer
from logs import NEW, OLD, content, line, opened, purge, purge_slice, selected, strays

from lapse.errors import ChangedError, StoreError
from lapse.model.disposal import Method
from lapse.ports import Budget
from lapse.stores.jsonl import collapsing as steps
from lapse.stores.jsonl import disk, probing, taking
from lapse.testing.flow import cut, drain, facts_of, prove, rule

_LAPSED = b"".join(line(OLD, n=n, x="x" * 200) for n in range(400))
_KEPT = b"".join(line(NEW, n=n, x="y" * 200) for n in range(900))


def _log(folder: Path, data: bytes = _LAPSED + _KEPT) -> Path:
    path = folder / "a.jsonl"
    path.write_bytes(data)
    os.utime(path, ns=(0, 1_600_000_000_000_000_000))
    return path


def _without_padding(path: Path) -> bytes:
    data = path.read_bytes()
    assert len(data) - len(data.lstrip(b" ")) < 4096
    return data.lstrip(b" ")


def test_lapsed_lines_at_the_head_go_in_place(collapsing: Path) -> None:
    """Same inode and time stamp, less than a block of blanks before the first kept line, nothing lies around."""
    log = _log(collapsing)
    before = log.stat()

    (gone,) = purge(selected(log))

    after = log.stat()
    assert gone.data == _LAPSED
    assert gone.disposal.method is Method.FILE_COLLAPSE
    assert _without_padding(log) == _KEPT
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert after.st_blocks < before.st_blocks
    assert strays(collapsing) == []


@pytest.mark.parametrize("how", ["append", "batches"])
def test_a_writer_that_appends_goes_on_in_the_same_file(collapsing: Path, how: str) -> None:
    """Its lines follow the kept ones, whether they came before, during or after the removal."""
    log = _log(collapsing)
    selection = selected(log)
    store = opened(selection)
    with writer(log, how, time=NEW) as live:
        live.write(3)
        (piece,) = cut(store, selection)
        with store.take(piece) as taken:
            drained = drain(taken.parts())
            live.write(3)
            disposal = taken.commit(prove(piece, drained))
        live.write(3)

        assert disposal.method is Method.FILE_COLLAPSE
        assert content(drained) == _LAPSED
        assert _without_padding(log) == _KEPT + b"".join(live.lines())


def test_a_log_that_has_wholly_lapsed_under_its_writer_is_left_with_blanks(collapsing: Path) -> None:
    """Less than two blocks of them and no line; the writer's next line comes behind them."""
    log = _log(collapsing, _LAPSED)
    with writer(log, "append", time=NEW) as live:
        (gone,) = purge(selected(log))
        blanks = log.read_bytes()
        live.write(2)

        assert gone.data == _LAPSED
        assert blanks.strip(b" ") == b""
        assert 0 < len(blanks) < 8192
        assert _without_padding(log) == b"".join(live.lines())
        assert purge(selected(log)) == []


def test_less_than_a_block_under_a_writer_becomes_blanks(collapsing: Path) -> None:
    """Nothing can be cut off, but the lines are gone."""
    log = _log(collapsing, line(OLD, n=1) + line(OLD, n=2) + line(NEW, n=3))
    with writer(log, "append", time=NEW) as live:
        (gone,) = purge(selected(log))
        live.write(1)

        assert gone.data == line(OLD, n=1) + line(OLD, n=2)
        assert _without_padding(log) == line(NEW, n=3) + b"".join(live.lines())


def test_blanks_of_an_earlier_removal_go_with_the_next_one(collapsing: Path) -> None:
    """They do not add up, and are no part of what is archived."""
    log = _log(collapsing, line(OLD, n=1) + line(NEW, type="b", n=2) + line(NEW, n=3))
    with writer(log, "append", time=NEW):
        (first,) = purge(selected(log))
        opened(selected(log)).prune(iter([first.disposal]))
        padded = log.read_bytes()
        later = selected(log, rule("1 hour", type="b"), type="type")
        (gone,) = purge(later)

    assert padded.startswith(b"  ")
    assert gone.data == line(NEW, type="b", n=2)
    assert gone.disposal.size == len(gone.data)
    assert log.read_bytes().lstrip(b" ") == line(NEW, n=3)


def test_a_torn_last_line_is_not_touched(collapsing: Path) -> None:
    """Its writer is not done with it."""
    log = _log(collapsing, _LAPSED + b'{"time": "')
    with log.open("ab") as live:
        purge(selected(log))
        live.write(b"2020")
        live.flush()

        assert _without_padding(log) == b'{"time": "2020'


def test_a_long_head_goes_in_several_slices(collapsing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes what is at the head, in order, until the first line that stays."""
    monkeypatch.setattr(taking, "HEAD_LIMIT", 1)
    lapsed = b"".join(line(OLD, n=n, x="x" * 2000) for n in range(2_000))
    log = _log(collapsing, lapsed + _KEPT * 20)
    selection = selected(log)
    store = opened(selection)

    gone = [purge_slice(store, piece) for piece in store.slices(selection, facts_of(selection), Budget())]

    assert len(gone) > 2
    assert b"".join(item.data for item in gone if item) == lapsed
    assert _without_padding(log) == _KEPT * 20


def test_a_head_that_is_edited_while_it_is_sealed_stays(collapsing: Path) -> None:
    """What goes is what was archived, byte for byte, or nothing."""
    log = _log(collapsing)
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)
    with writer(log, "append", time=NEW), store.take(piece) as taken:
        drained = drain(taken.parts())
        with log.open("r+b") as file:
            file.write(b"[")
        with pytest.raises(ChangedError):
            taken.commit(prove(piece, drained))

    assert log.read_bytes() == b"[" + (_LAPSED + _KEPT)[1:]
    assert strays(collapsing) == []


def test_a_file_that_cannot_be_collapsed_after_all_is_left_with_blanks(
    collapsing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is decided by then: the lines go, the space stays taken."""
    monkeypatch.setattr(steps, "collapse", lambda *_: False)
    log = _log(collapsing)
    with writer(log, "append", time=NEW) as live:
        (gone,) = purge(selected(log))
        live.write(1)

        assert gone.data == _LAPSED
        assert log.read_bytes() == b" " * len(_LAPSED) + _KEPT + b"".join(live.lines())
        assert list(opened(selected(log)).recover(lambda _: True)) == [gone.disposal]


def test_without_collapse_a_log_is_written_anew_once_nobody_writes(in_memory: Path) -> None:
    """And refused while somebody does, with the reason and what can be done."""
    log = _log(in_memory)
    with writer(log, "append", time=NEW), pytest.raises(StoreError, match="cannot take blocks off") as caught:
        purge(selected(log))

    assert "reopen" in (caught.value.hint or "")
    (gone,) = purge(selected(log))
    assert gone.disposal.method is Method.FILE_REWRITE
    assert log.read_bytes() == _KEPT


def test_a_file_system_is_asked_once_and_nothing_is_left_of_it(collapsing: Path, in_memory: Path) -> None:
    """By a file of Lapse's own, or by its name where nothing may be written."""
    probing._tried.clear()

    answers = [probing.block_to_collapse(folder, read_only=False) for folder in (collapsing, in_memory)]

    assert answers == [probing.block_to_collapse(folder, read_only=True) for folder in (collapsing, in_memory)]
    assert answers[0]
    assert answers[1] is None
    assert strays(collapsing) == strays(in_memory) == []


_PIECES = st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=_PIECES, late=st.integers(0, 2), torn=st.booleans())
def test_whatever_lies_in_a_live_log_goes_or_stays_by_line(
    collapsing: Path, pieces: list[tuple[bool, int]], late: int, torn: bool
) -> None:
    """For any order and length of lines, with a writer: kept ones in order byte for byte, blanks at the head aside."""
    for path in collapsing.iterdir():
        path.unlink()
    lines = [(old, line(OLD if old else NEW, n=n, x="x" * size)) for n, (old, size) in enumerate(pieces)]
    end = b'{"torn' if torn else b""
    log = _log(collapsing, b"".join(data for _, data in lines) + end)
    lapsed = b"".join(data for old, data in lines if old)
    kept = b"".join(data for old, data in lines if not old) + end
    with log.open("ab") as live:
        gone = purge(selected(log))
        for n in range(late):
            live.write(line(NEW, late=n))
        live.flush()
        for n in range(late):
            kept += line(NEW, late=n)

        assert b"".join(item.data for item in gone) == lapsed
        assert {item.disposal.method for item in gone} <= {Method.FILE_COLLAPSE}
        assert log.read_bytes().lstrip(b" ") == kept
        assert strays(collapsing) == []


def test_who_reads_right_before_the_cut_finds_no_half_line(collapsing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks, whole lines and nothing else: a reader at that moment, or after a kill, can read on."""
    log = _log(collapsing)
    found: list[bytes] = []
    original = disk.collapse

    def collapse(descriptor: int, size: int) -> bool:
        found.append(log.read_bytes())
        return original(descriptor, size)

    monkeypatch.setattr(steps, "collapse", collapse)
    with log.open("ab"):
        purge(selected(log))

    (data,) = found
    assert data.startswith(b"\t" * 4096)
    lines = [text for text in (item.strip() for item in data.splitlines()) if text]
    assert all(item + b"\n" in _LAPSED + _KEPT for item in lines)
    assert lines[-900:] == _KEPT.splitlines()


def test_a_log_of_blanks_has_no_records_and_no_doubts(collapsing: Path) -> None:
    """Blanks at the head are no part of the first line, and none themselves."""
    log = _log(collapsing, b" " * 5000)
    store = opened(selected(log))

    assert list(store.survey(selected(log))) == []
    assert store.doubts() == ()
    log.write_bytes(b" " * 300 + line(NEW))
    (tally,) = store.survey(selected(log))
    assert (tally.records, tally.size) == (1, len(line(NEW)))
