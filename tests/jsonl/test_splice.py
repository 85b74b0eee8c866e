"""Lapsed lines among kept ones: the kept ones move together within the file, and the head is cut off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from log_writers import writer
from logs import NEW, OLD, line, opened, purge, purge_slice, selected, strays

from lapse.errors import CommitUnknownError, StoreError, VerificationError
from lapse.model.disposal import Method
from lapse.stores.jsonl import collapsing as steps
from lapse.stores.jsonl import taking
from lapse.testing.flow import cut, drain, prove, rule

_MIXED = [line(OLD if n % 3 else NEW, n=n, x="x" * (n * 37 % 800)) for n in range(200)]
_LAPSED = b"".join(data for data in _MIXED if OLD.encode() in data)
_KEPT = b"".join(data for data in _MIXED if OLD.encode() not in data)


@pytest.fixture
def log(collapsing: Path) -> Path:
    """Lapsed and kept lines, mixed."""
    path = collapsing / "a.jsonl"
    path.write_bytes(b"".join(_MIXED))
    os.utime(path, ns=(0, 0))
    return path


def test_kept_lines_move_together_under_a_writer(log: Path) -> None:
    """In order, byte for byte, in the same file; what is appended before and after follows them."""
    inode = log.stat().st_ino
    with writer(log, "append", time=NEW) as live:
        live.write(5)
        (gone,) = purge(selected(log))
        live.write(5)

        assert gone.data == _LAPSED
        assert gone.disposal.method is Method.FILE_COLLAPSE
        assert log.read_bytes().lstrip(b" ") == _KEPT + b"".join(live.lines())
        assert log.stat().st_ino == inode
        assert strays(log.parent) == []


def test_lines_that_come_while_kept_ones_move_are_not_touched(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer appends between every two steps on the disk."""
    with writer(log, "append", time=NEW) as live:
        for name in ("_move", "fill", "collapse", "publish"):
            original = getattr(steps, name)

            def appending(*arguments: object, original: object = original) -> object:
                live.write(2)
                assert callable(original)
                return original(*arguments)

            monkeypatch.setattr(steps, name, appending)
        purge(selected(log))

        assert live.written >= 10
        assert log.read_bytes().lstrip(b" ") == _KEPT + b"".join(live.lines())


def test_a_log_that_nobody_writes_to_is_written_anew_where_that_moves_less(log: Path) -> None:
    """Kept lines would be written twice in place; then they are written once, into a new file."""
    (gone,) = purge(selected(log))

    assert gone.disposal.method is Method.FILE_REWRITE
    assert log.read_bytes() == _KEPT


def test_two_destinations_of_a_live_log_are_two_removals_in_place(log: Path) -> None:
    """The second one finds its lines where the first has left them."""
    data = b"".join(line(OLD, n=n, tenant=f"t{n % 3}", x="x" * 300) for n in range(90))
    log.write_bytes(data)
    selection = selected(
        log, rule("30 days", ("cold-0",), tenant="t0"), rule("30 days", ("cold-1",), tenant="t1"), tenant="tenant"
    )
    with writer(log, "append", time=NEW) as live:
        live.write(1)
        gone = purge(selection)

        assert [item.data for item in gone] == [
            b"".join(line(OLD, n=n, tenant=f"t{n % 3}", x="x" * 300) for n in range(90) if n % 3 == which)
            for which in (0, 1)
        ]
        rest = b"".join(line(OLD, n=n, tenant="t2", x="x" * 300) for n in range(2, 90, 3))
        assert log.read_bytes().lstrip(b" ") == rest + b"".join(live.lines())
        assert list(opened(selection).recover(lambda _: True)) == [item.disposal for item in gone]


def _interrupted(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide a removal in place whose disk then goes away."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, log.open("ab"):
        patch.setattr(taking, "roll_forward", fail)
        with pytest.raises(CommitUnknownError, match="Input/output error"):
            purge(selected(log))


def test_a_decided_removal_is_finished_by_the_next_run(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that only reads says so before; its marker stays until it is pruned."""
    _interrupted(log, monkeypatch)
    reading = opened(selected(log), read_only=True)

    assert any("a removal was interrupted" in note for note in reading.identity().notes)
    assert list(reading.recover(lambda _: True)) == []
    store = opened(selected(log))
    (marker,) = store.recover(lambda _: True)
    assert marker.method is Method.FILE_COLLAPSE
    assert log.read_bytes().lstrip(b" ") == _KEPT
    store.prune(iter([marker]))
    assert [path.name for path in log.parent.iterdir() if "jsonl" in path.name] == ["a.jsonl"]


def test_a_removal_whose_archive_cannot_be_read_back_is_not_finished(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the log still has stays there."""
    _interrupted(log, monkeypatch)

    with pytest.raises(VerificationError, match="archived copy"):
        list(opened(selected(log)).recover(lambda _: False))

    assert log.read_bytes() == b"".join(_MIXED)


@pytest.mark.parametrize("harm", ["head", "cut", "side", "no side", "tail"])
def test_a_file_that_somebody_changed_since_is_left_alone(
    log: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """Nothing is written to it, and the error says where to look."""
    log.write_bytes(log.read_bytes() + line(NEW, last=True))
    _interrupted(log, monkeypatch)
    (side,) = log.parent.glob(".*.tmp")
    if harm == "head":
        log.write_bytes(b"#" + log.read_bytes()[1:])
    elif harm == "cut":
        log.write_bytes(log.read_bytes()[:-10])
    elif harm == "tail":
        log.write_bytes(log.read_bytes()[:-10] + b"0123456789")
    elif harm == "side":
        side.write_bytes(b"other")
    else:
        side.unlink()
    before = log.read_bytes()

    with pytest.raises(StoreError, match=r"cannot go on|is not what was written"):
        list(opened(selected(log)).recover(lambda _: True))

    assert log.read_bytes() == before


def test_a_rotated_log_is_found_by_its_inode(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The removal goes on under its new name; the new log is left alone."""
    _interrupted(log, monkeypatch)
    rotated = log.rename(log.with_name("a.jsonl.1"))
    log.write_bytes(line(NEW, fresh=True))

    assert len(list(opened(selected(log)).recover(lambda _: True))) == 1

    assert rotated.read_bytes().lstrip(b" ") == _KEPT
    assert log.read_bytes() == line(NEW, fresh=True)


def test_a_place_tells_whether_a_commit_in_place_was_made(log: Path) -> None:
    """The inode stays; lines that are appended do not count."""
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)
    place = store.place_of(piece)
    with log.open("ab") as live:
        live.write(line(NEW))
        live.flush()
        untouched = store.is_untouched(place)
        assert purge_slice(store, piece) is not None

    assert untouched
    assert not store.is_untouched(place)
    assert store.is_untouched(f"{log.stat().st_ino} {log}")


def test_a_slice_of_a_live_log_that_is_not_committed_changes_nothing(log: Path) -> None:
    """The working file is gone, the log as it was."""
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)
    before = log.stat()
    with log.open("ab"), store.take(piece) as taken:
        prove(piece, drain(taken.parts()))

    after = log.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_size) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_size,
    )
    assert strays(log.parent) == []
