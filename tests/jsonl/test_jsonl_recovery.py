"""Interrupted commits, markers, leftovers, and lines that writers add at the wrong moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import NEW, OLD, Gone, line, opened, purge, purge_slice, selected, strays

from lapse.errors import CommitUnknownError, ExitCode, StoreError, VerificationError
from lapse.model.selection import Selection
from lapse.stores.jsonl import following, recovering, settling, taking
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.redo import Redo, journals
from lapse.stores.jsonl.settling import _written, drain
from lapse.testing.flow import cut


@contextmanager
def _interrupted(where: str) -> Iterator[None]:
    """Let every commit in the block fail at a step of `settling`, as a disk does that goes away."""
    original = getattr(taking, where)

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    setattr(taking, where, fail)
    try:
        yield
    finally:
        setattr(taking, where, original)


def _commit_interrupted(selection: Selection, where: str) -> None:
    with _interrupted(where), pytest.raises(CommitUnknownError):
        purge(selection)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two lapsed lines and one that stays."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(OLD, n=1) + line(NEW, n=2) + line(OLD, n=3))
    return path


@pytest.mark.parametrize("where", ["put_in_place", "drain"])
def test_a_commit_that_was_decided_is_finished_by_recovery(log: Path, where: str) -> None:
    """Then its marker is yielded, as often as one asks, until it is pruned."""
    selection = selected(log)
    _commit_interrupted(selection, where)
    store = opened(selection)

    (marker,) = store.recover(lambda _: True)

    assert (marker.records, log.read_bytes()) == (2, line(NEW, n=2))
    assert list(store.recover(lambda _: False)) == [marker]
    store.prune(iter([marker]))
    assert list(store.recover(lambda _: True)) == []
    assert [path.name for path in log.parent.iterdir()] == ["a.jsonl"]


def test_a_commit_whose_archive_cannot_be_read_back_is_not_rolled_forward(log: Path) -> None:
    """The log stays whole, and the error says where to look."""
    before = log.read_bytes()
    _commit_interrupted(selected(log), "put_in_place")
    store = opened(selected(log))

    with pytest.raises(VerificationError, match="archived copy"):
        list(store.recover(lambda _: False))

    assert log.read_bytes() == before
    assert len(list(store.recover(lambda _: True))) == 1


def test_a_pending_commit_is_noted_by_who_only_reads(log: Path) -> None:
    """A read-only store settles nothing, yields no marker of it and says that counts may be off."""
    _commit_interrupted(selected(log), "put_in_place")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in log.parent.iterdir())
    store = opened(selected(log), read_only=True)

    assert any("a removal was interrupted" in note for note in store.identity().notes)
    assert list(store.recover(lambda _: True)) == []
    assert sorted((path.name, path.stat().st_mtime_ns) for path in log.parent.iterdir()) == before


def test_a_marker_that_is_not_finished_is_not_pruned(log: Path) -> None:
    """Its journal is still needed."""
    _commit_interrupted(selected(log), "drain")
    (redo,) = journals(log.parent)

    opened(selected(log)).prune(iter([redo.disposal]))

    assert list(journals(log.parent)) == [redo]


@pytest.mark.parametrize("harm", [b"", b"{}", b'{"lapse_journal":99}', b"\xff"])
def test_a_journal_that_cannot_be_read_stops_everything(log: Path, harm: bytes) -> None:
    """Nothing is touched, and the message names it."""
    _commit_interrupted(selected(log), "put_in_place")
    (journal,) = log.parent.glob(".*.journal")
    journal.write_bytes(harm)
    before = sorted(path.name for path in log.parent.iterdir())

    with pytest.raises(StoreError, match="is no journal that this version can read") as caught:
        list(opened(selected(log)).recover(lambda _: True))

    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert sorted(path.name for path in log.parent.iterdir()) == before


def test_a_journal_of_a_log_that_is_elsewhere_stops_everything(log: Path) -> None:
    """Whoever may write to the folder can write a journal, too: its log is the one that its name says."""
    _commit_interrupted(selected(log), "put_in_place")
    (journal,) = log.parent.glob(".*.journal")
    journal.write_text(json.dumps({**json.loads(journal.read_bytes()), "log": f"/.{log.name}"}))
    before = log.read_bytes()

    with pytest.raises(StoreError, match="it belongs to another file"):
        list(opened(selected(log)).recover(lambda _: True))

    assert log.read_bytes() == before


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"other"), lambda path: path.unlink()])
def test_a_new_file_that_was_tampered_with_is_not_put_in_place(log: Path, harm: Callable[[Path], object]) -> None:
    """Its digest is in the journal; the log stays whole."""
    before = log.read_bytes()
    _commit_interrupted(selected(log), "put_in_place")
    (temporary,) = log.parent.glob(".*.tmp")
    harm(temporary)

    with pytest.raises(StoreError, match=r"\.tmp is"):
        list(opened(selected(log)).recover(lambda _: True))

    assert log.read_bytes() == before


def test_a_log_that_was_rotated_after_the_decision_is_found_by_its_inode(log: Path) -> None:
    """The removal goes on in the file's new name; the new log under the old name is left alone."""
    selection = selected(log.with_name("a.jsonl*"))
    _commit_interrupted(selection, "put_in_place")
    rotated = log.rename(log.with_name("a.jsonl.1"))
    log.write_bytes(line(NEW, fresh=True))

    assert len(list(opened(selection).recover(lambda _: True))) == 1

    assert rotated.read_bytes() == line(NEW, n=2)
    assert log.read_bytes() == line(NEW, fresh=True)
    assert strays(log.parent) == []


def test_lines_appended_between_decision_and_recovery_are_kept(log: Path) -> None:
    """A writer that came after the crash wrote to the old file; its lines come into the new one."""
    _commit_interrupted(selected(log), "put_in_place")
    with log.open("ab") as writer:
        writer.write(line(OLD, late=1) + b"torn")

    list(opened(selected(log)).recover(lambda _: True))

    assert log.read_bytes() == line(NEW, n=2) + line(OLD, late=1) + b"torn"
    assert strays(log.parent) == []


def test_recovery_waits_for_a_writer_of_the_old_file(log: Path) -> None:
    """While it is open, nothing is replaced: its lines would go where no reader looks."""
    before = log.read_bytes()
    _commit_interrupted(selected(log), "put_in_place")

    with log.open("ab"), pytest.raises(StoreError, match="open for writing"):
        list(opened(selected(log)).recover(lambda _: True))

    assert log.read_bytes() == before
    assert len(list(opened(selected(log)).recover(lambda _: True))) == 1


def test_late_lines_of_a_writer_that_stays_are_moved_as_they_come(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines at once, the rest when the writer has closed the old file; then the old file is gone."""
    monkeypatch.setattr(taking, "PATIENCE", 0.1)
    monkeypatch.setattr(recovering, "_PATIENCE", 0.1)
    monkeypatch.setattr(following, "LEASED", 0.1)
    real = settling.put_in_place
    writers = []

    def with_writer(folder: Path, redo: Redo) -> None:
        # The lease is held here: a real writer would wait for it, and be let in when it ends.
        threads.append(threading.Thread(target=lambda: writers.append(log_old.open("ab", buffering=0))))
        log_old = folder / f".{redo.log}.lapse-{redo.slice}.old"
        threads[0].start()
        time.sleep(0.05)
        real(folder, redo)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(taking, "put_in_place", with_writer)
    purge(selected(log))
    threads[0].join()
    (writer,) = writers
    writer.write(line(NEW, late=1) + b'{"half')
    store = opened(selected(log))

    assert len(list(store.recover(lambda _: True))) == 1
    assert log.read_bytes() == line(NEW, n=2) + line(NEW, late=1)
    assert [name[-4:] for name in strays(log.parent)] == [".old"]
    writer.write(b'": 2}\n')
    writer.close()
    assert len(list(store.recover(lambda _: True))) == 1
    assert log.read_bytes() == line(NEW, n=2) + line(NEW, late=1) + b'{"half": 2}\n'
    assert strays(log.parent) == []


_WORDS = st.lists(st.sampled_from([b"a\n", b"bb\n", b"ccc\n", b"dddd\n"]), max_size=5, unique=True)


@given(chunk=_WORDS, before=st.integers(0, 3), after=st.booleans(), done=st.integers(0, 20))
def test_an_interrupted_move_of_late_lines_goes_on_where_it_stopped(
    chunk: list[bytes], before: int, after: bool, done: int
) -> None:
    """Whatever others wrote around it, every late line is there once in the end, and none is half."""
    data = b"".join(chunk)
    written = data[:done]
    others = b"other\n" * before
    since = others + written + (b"\nlast\n" if after and not written.endswith(b"\n") and written else b"")

    rest = data[_written(data, since) :]

    lines = Counter((since + rest).splitlines(keepends=True))
    assert all(lines[item] == 1 for item in chunk)


def test_an_announced_move_that_was_done_is_not_done_again(log: Path) -> None:
    """The journal said what was to be moved; the new file has it, with another's line behind it."""
    _commit_interrupted(selected(log), "drain")
    (old,) = log.parent.glob(".*.old")
    with old.open("ab") as writer:
        writer.write(line(NEW, late=1) + line(NEW, late=2))

    def die(folder: Path, redo: Redo, data: bytes, new: int | None = None) -> Redo:
        with log.open("ab") as target:
            target.write(data[: len(data) - 4])
        raise OSError(5, "Input/output error")

    (redo,) = journals(log.parent)
    assert isinstance(redo, Redo)
    original, settling._append_late = settling._append_late, die
    try:
        with pytest.raises(OSError, match="Input"):
            drain(log.parent, redo, patience=0)
    finally:
        settling._append_late = original

    list(opened(selected(log)).recover(lambda _: True))

    assert log.read_bytes() == line(NEW, n=2) + line(NEW, late=1) + line(NEW, late=2)
    assert strays(log.parent) == []


def test_leftovers_of_a_slice_that_was_never_decided_are_cleared(log: Path) -> None:
    """A second name of the log and a new file without a journal mean nothing; files of other logs stay."""
    os.link(log, log.parent / ".a.jsonl.lapse-run-000001.old")
    (log.parent / ".a.jsonl.lapse-run-000001.tmp").write_bytes(b"half")
    (log.parent / ".a.jsonl.lapse-run-000001.journal.new").write_bytes(b"half")
    (log.parent / ".other.lapse-run-000001.tmp").write_bytes(b"half")

    assert list(opened(selected(log)).recover(lambda _: True)) == []

    assert strays(log.parent) == [".other.lapse-run-000001.tmp"]


def test_a_leftover_that_is_the_only_name_of_a_log_is_never_removed(log: Path) -> None:
    """Somebody has removed the log or the journal: a person must look."""
    log.rename(log.parent / ".a.jsonl.lapse-run-000001.old")

    with pytest.raises(StoreError, match="is the only name of a log file"):
        list(opened(selected(log)).recover(lambda _: True))

    assert strays(log.parent) == [".a.jsonl.lapse-run-000001.old"]


def test_journals_of_logs_that_the_address_does_not_mean_are_left_alone(log: Path) -> None:
    """Another dataset in the same folder settles its own."""
    (log.parent / "b.jsonl").write_bytes(line())
    _commit_interrupted(selected(log), "put_in_place")

    assert list(opened(selected(log.with_name("b*"))).recover(lambda _: True)) == []
    assert len(list(journals(log.parent))) == 1


def test_overlapping_globs_exclude_each_other(tmp_path: Path) -> None:
    """Every folder with files is locked, for whoever comes with another glob."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.jsonl").write_bytes(line())
    script = (
        "import sys; from logs import opened, selected\n"
        "from lapse.errors import LeaseError\n"
        "try:\n  with opened(selected(sys.argv[1])).lease(): print('leased')\n"
        "except LeaseError: print('refused')"
    )

    def elsewhere(pattern: str) -> str:
        command = [sys.executable, "-c", script, str(tmp_path / pattern)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
        return told.stdout.strip()

    with opened(selected(tmp_path / "**" / "*.jsonl")).lease():
        during = elsewhere("x/a*")
    after = elsewhere("x/a*")

    assert (during, after) == ("refused", "leased")
    assert strays(tmp_path) + strays(tmp_path / "x") == []


def test_a_full_disk_removes_nothing(tmp_path: Path) -> None:
    """The new file does not fit: the log is whole, nothing lies around, and the error says what it takes."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line(OLD) + line(NEW, x="y" * 50_000) * 10)
    before = log.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="File too large") as caught:
            purge(selected(log))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)

    assert "free some" in (caught.value.hint or "")
    assert log.read_bytes() == before
    assert strays(tmp_path) == []
    assert len(purge(selected(log))) == 1


def _append(path: str, stop: Callable[[], bool], written: Callable[[int], None]) -> None:
    """Write numbered lines, old and new, opening and closing the file for each few, as MXCP does."""
    number = 0
    while not stop():
        with Path(path).open("ab") as file:
            for _ in range(3):
                file.write(line(OLD if number % 2 else NEW, n=number))
                number += 1
        written(number)
        time.sleep(0.0005)


def _appender(path: str, stop: object, total: object) -> None:
    _append(path, stop.is_set, lambda n: setattr(total, "value", n))  # type: ignore[attr-defined]


def test_a_writer_that_opens_appends_and_closes_loses_no_line(tmp_path: Path) -> None:
    """Purges run while it writes: every line is in the log or was removed, once, whole and in order."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(b"")
    context = multiprocessing.get_context("spawn")
    stop, total = context.Event(), context.Value("l", 0)
    writer = context.Process(target=_appender, args=(str(log), stop, total))
    writer.start()
    gone: list[Gone] = []
    committed = refused = 0
    deadline = time.monotonic() + 6
    while committed < 15 and time.monotonic() < deadline:
        try:
            found = _purge_as_runs_do(selected(log))
        except (StoreError, CommitUnknownError):
            refused += 1
            continue
        gone += found
        committed += len(found)
    stop.set()
    writer.join()
    list(opened(selected(log)).recover(lambda _: True))

    kept = log.read_bytes().lstrip(b" ").splitlines(keepends=True)
    every = b"".join(item.data for item in gone).splitlines(keepends=True) + kept
    assert committed >= 5
    assert Counter(every) == Counter(line(OLD if n % 2 else NEW, n=n) for n in range(total.value))
    assert [item for item in kept if OLD.encode() not in item] == [line(NEW, n=n) for n in range(0, total.value, 2)]
    assert strays(tmp_path) == []


def _purge_as_runs_do(selection: Selection) -> list[Gone]:
    """Recover, cut, work; markers are pruned, since these runs have no ledger."""
    store = opened(selection)
    with store.lease():
        store.prune(store.recover(lambda _: True))
        pieces = cut(store, selection)
        found = [gone for piece in pieces if (gone := purge_slice(store, piece)) is not None]
        store.prune(iter([item.disposal for item in found]))
        return found


def test_a_lease_does_not_end_the_process_when_a_writer_comes(tmp_path: Path) -> None:
    """The kernel tells the holder by a signal; its default would be deadly."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(b"")
    descriptor = open_log(log)
    from lapse.stores.jsonl.quiet import Writers, is_awaited, write_lease

    with write_lease(descriptor, log) as state:
        assert state is Writers.NONE
        assert not is_awaited(descriptor)
        thread = threading.Thread(target=lambda: log.open("ab").close())
        thread.start()
        time.sleep(0.1)
        assert is_awaited(descriptor)
    thread.join()
    os.close(descriptor)
