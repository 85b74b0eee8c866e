"""Who writes to a log, how that is found out, and what may be done to it then."""

from __future__ import annotations

import fcntl
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from log_writers import writer
from logs import NEW, OLD, line, opened, purge, purge_slice, selected, strays

from lapse.errors import CommitUnknownError, ExitCode, StoreError, UnsupportedError
from lapse.model.disposal import Method
from lapse.model.policy import Reopen
from lapse.ports import Budget
from lapse.stores.jsonl import collapsing as steps
from lapse.stores.jsonl import following, quiet, recovering, taking, writers
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.guarding import Guard
from lapse.stores.jsonl.inplace import InPlace
from lapse.stores.jsonl.quiet import Writers
from lapse.stores.jsonl.writers import Sight, Standing, look, stand
from lapse.testing.flow import cut, drain, facts_of, prove

_DATA = b"".join(line(OLD if n % 2 else NEW, n=n, x="x" * 300) for n in range(100))
_KEPT = b"".join(line(NEW, n=n, x="x" * 300) for n in range(0, 100, 2))


def _log(folder: Path) -> Path:
    path = folder / "a.jsonl"
    path.write_bytes(_DATA)
    return path


def _seen(path: Path) -> Sight:
    descriptor = open_log(path)
    try:
        return look(descriptor)
    finally:
        os.close(descriptor)


def _standing(path: Path, promise: str | None = None) -> Standing:
    descriptor = open_log(path)
    try:
        return stand(descriptor, path, promise=promise)
    finally:
        os.close(descriptor)


def test_writers_are_seen_with_how_they_write(tmp_path: Path) -> None:
    """By their pids: who appends, who does not, who reads, and who writes through memory."""
    log = _log(tmp_path)
    with writer(log, "append", time=NEW) as one, writer(log, "seek", time=NEW) as other, log.open("rb"):
        found = _seen(log)

        assert (found.appending, found.elsewhere, found.reading) == ((one.pid,), (other.pid,), (os.getpid(),))
    with log.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    with mapped:
        assert _seen(log).elsewhere == (os.getpid(),)
    assert _seen(log).elsewhere == ()


def test_a_file_is_quiet_or_live_or_not_to_be_told(tmp_path: Path) -> None:
    """Nobody; somebody who appends; somebody who does not, which no promise makes good."""
    log = _log(tmp_path)
    assert _standing(log).quiet
    with writer(log, "append", time=NEW):
        assert not _standing(log).quiet
        assert _standing(log).trouble is None
        with writer(log, "seek", time=NEW) as other:
            assert f"pid {other.pid} writes to it without O_APPEND" in str(_standing(log, "append-only").trouble)


@pytest.mark.parametrize(
    ("sight", "promise", "trouble"),
    [
        (Sight(appending=(7,)), None, None),
        (Sight(), None, "somebody has it open who cannot be seen"),
        (Sight(), "append-only", None),
        (Sight(appending=(7,), blind="processes of other users"), None, "cannot be seen: processes of other users"),
        (Sight(appending=(7,), blind="processes of other users"), "append-only", None),
        (Sight(appending=(7,), elsewhere=(8,)), "append-only", "pid 8 writes to it without O_APPEND"),
        (Sight(appending=(7,), elsewhere=(8,)), "none", "pid 8 writes to it without O_APPEND"),
    ],
)
def test_what_cannot_be_seen_needs_a_promise_and_what_is_seen_beats_it(
    sight: Sight, promise: str | None, trouble: str | None
) -> None:
    """In place only if every writer appends, as far as the kernel or the policy says."""
    found = Standing(state=Writers.SOME, sight=sight, promise=promise).trouble

    assert found is None if trouble is None else trouble in str(found)


def test_processes_of_a_container_are_not_all_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process namespace is not the first one, others may write unseen: refused without a promise."""
    monkeypatch.setattr(writers, "_FIRST_NAMESPACE", "pid:[1]")
    log = _log(tmp_path)
    with writer(log, "append", time=NEW) as live:
        with pytest.raises(StoreError, match="outside this container") as caught:
            purge(selected(log))
        assert "`writers: append-only`" in (caught.value.hint or "")
        assert log.read_bytes() == _DATA

        purge(selected(log, writers="append-only"))
        live.write(2)

        assert log.read_bytes().lstrip(b" ") == _KEPT + b"".join(live.lines())


def test_a_process_that_may_not_be_looked_at_could_be_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptors are closed to this user: refused without a promise."""

    def closed(process: Path, wanted: os.stat_result, *, own: int) -> Iterator[int]:
        if process.name == str(os.getppid()):
            raise PermissionError(13, "Permission denied")
        return original(process, wanted, own=own)

    original = writers._flags
    monkeypatch.setattr(writers, "_flags", closed)
    log = _log(tmp_path)
    with writer(log, "append", time=NEW), pytest.raises(StoreError, match="processes of other users"):
        purge(selected(log))


def test_a_writer_that_does_not_append_is_refused_with_three_remedies(collapsing: Path) -> None:
    """Whatever the policy promises; the message names its pid."""
    log = _log(collapsing)
    with writer(log, "seek", time=NEW) as live:
        with pytest.raises(StoreError, match=rf"pid {live.pid}.*without O_APPEND") as caught:
            purge(selected(log, writers="append-only"))
        live.write(1)

        assert caught.value.exit_code is ExitCode.INCOMPLETE
        for remedy in ("append", "reopen:", "rotate the file"):
            assert remedy in (caught.value.hint or "")
        assert log.read_bytes() == _DATA + b"".join(live.lines())


def test_a_writer_that_comes_before_the_cut_and_does_not_append_is_waited_for(
    collapsing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is decided by then; the next run cuts, and no hole is left."""
    monkeypatch.setattr(steps, "PATIENCE", 0.2)
    log = _log(collapsing)
    original = steps._written
    late = []

    def written(*arguments: object) -> object:
        found = original(*arguments)  # type: ignore[arg-type]
        late.append(log.open("r+b", buffering=0))
        return found

    with writer(log, "append", time=NEW) as live:
        with monkeypatch.context() as patch:
            patch.setattr(steps, "_written", written)
            with pytest.raises(CommitUnknownError, match="without O_APPEND"):
                purge(selected(log))
        late[0].seek(0, os.SEEK_END)
        late[0].write(line(NEW, elsewhere=True))
        late[0].close()
        live.write(1)
        assert len(list(opened(selected(log)).recover(lambda _: True))) == 1

        data = log.read_bytes()
        assert data.strip(b" \t").count(b"\0") == 0
        assert data.lstrip(b" ") == _KEPT + line(NEW, elsewhere=True) + b"".join(live.lines())


def test_while_a_quiet_file_is_changed_in_place_who_opens_it_waits(collapsing: Path) -> None:
    """The guard holds a lease; without one it looks at who is there."""
    log = _log(collapsing)
    descriptor = os.open(log, os.O_RDWR)
    try:
        with Guard(descriptor, log, promise=None) as guard:
            assert guard.alone
            with pytest.raises(BlockingIOError):
                os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        with log.open("rb"), Guard(descriptor, log, promise=None) as guard:
            assert not guard.alone
            assert guard.trouble() is None
        with log.open("r+b"), Guard(descriptor, log, promise=None) as guard:
            assert "without O_APPEND" in str(guard.trouble())
    finally:
        os.close(descriptor)


def test_a_quiet_file_that_may_not_be_written_to_gets_a_new_one(
    collapsing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right to its folder is enough."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(taking, "open_anew", refused)
    log = collapsing / "a.jsonl"
    log.write_bytes(line(OLD, x="x" * 9000) + _KEPT)
    with writer(log, "append", time=NEW), pytest.raises(StoreError, match="cannot open it for writing"):
        purge(selected(log))

    (gone,) = purge(selected(log))

    assert gone.disposal.method is Method.FILE_REWRITE
    assert log.read_bytes() == _KEPT


@pytest.mark.parametrize("lock", ["flock", "lockf"])
def test_a_locked_file_is_refused_by_the_pid_of_who_locked_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    """Nothing is lost, and the next run works."""
    monkeypatch.setattr(taking, "_LOCK_PATIENCE", 0.1)
    log = _log(tmp_path)
    code = (
        f"import fcntl, sys; file = open({str(log)!r}, 'ab'); fcntl.{lock}(file, fcntl.LOCK_EX);"
        " print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdin is not None
    holder.stdout.readline()
    try:
        with pytest.raises(StoreError, match=f"locked by pid {holder.pid}") as caught:
            purge(selected(log))
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()

    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert log.read_bytes() == _DATA
    assert len(purge(selected(log))) == 1


def test_a_lock_that_others_ask_for_is_given_while_lines_are_sealed_and_not_while_they_go(
    collapsing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who lock before they write wait for the commit, which is short; the commit waits for them."""
    log = _log(collapsing)
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)
    original = steps.roll_forward

    def asked(other: IO[bytes]) -> bool:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def roll_forward(*arguments: Any) -> InPlace:
        answers.append(asked(other))
        return original(*arguments)

    answers: list[bool] = []
    monkeypatch.setattr(taking, "roll_forward", roll_forward)
    with log.open("ab") as other, store.take(piece) as taken:
        proof = prove(piece, drain(taken.parts()))
        answers.append(asked(other))
        release = threading.Timer(0.3, lambda: fcntl.flock(other, fcntl.LOCK_UN))
        release.start()
        taken.commit(proof)
        release.join()

    assert answers == [True, False]
    assert log.read_bytes().lstrip(b" ") == _KEPT


def _reopening(log: Path, pid: int) -> Reopen:
    pid_file = log.with_name("writer.pid")
    pid_file.write_text(str(pid))
    return Reopen("HUP", pid_file)


@pytest.mark.parametrize("how", ["reopen", "seek-reopen"])
def test_a_writer_is_followed_to_the_new_file(in_memory: Path, how: str) -> None:
    """It is told by its signal; its late lines are moved, once each, whether it appends or not."""
    log = _log(in_memory)
    with writer(log, how, time=NEW) as live:
        live.write(3)
        selection = selected(log, reopen=_reopening(log, live.pid))
        store = opened(selection)
        (piece,) = cut(store, selection)
        with store.take(piece) as taken:
            drained = drain(taken.parts())
            live.write(4)
            disposal = taken.commit(prove(piece, drained))
        live.write(3)

        assert disposal.method is Method.FILE_REWRITE
        assert log.read_bytes() == _KEPT + b"".join(live.lines())
        assert strays(in_memory) == []


@pytest.mark.parametrize("how", ["reopen", "seek-reopen"])
def test_no_line_of_a_writer_that_never_rests_is_lost_on_the_way(in_memory: Path, how: str) -> None:
    """It writes all the time, through the exchange and the signal, until long after it has reopened."""
    log = _log(in_memory)
    with writer(log, how, time=NEW) as live:
        selection = selected(log, reopen=_reopening(log, live.pid))
        live.order(60_000)
        (gone,) = purge(selection)
        live.settle()

        assert gone.data.count(b"\n") == 50
        assert log.read_bytes() == _KEPT + b"".join(live.lines())
        assert strays(in_memory) == []


def test_a_writer_that_was_told_and_does_not_come_is_reported(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines go on into the old file; the next run moves them, once it has let go of it."""
    monkeypatch.setattr(following, "PATIENCE", 0.3)
    monkeypatch.setattr(following, "LEASED", 0.3)
    log = _log(in_memory)
    with writer(log, "append", time=NEW) as live:
        selection = selected(log, reopen=Reopen(None, None, (sys.executable, "-c", "pass")))
        with pytest.raises(CommitUnknownError, match=f"pid {live.pid}. was told to open it anew"):
            purge(selection)
        live.write(3)
    store = opened(selection)

    assert len(list(store.recover(lambda _: True))) == 1
    assert log.read_bytes() == _KEPT + b"".join(live.lines())
    assert strays(in_memory) == []


def test_a_command_that_fails_is_reported_and_nothing_is_lost(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said; the new file is in place by then, and the next run tells again."""
    monkeypatch.setattr(following, "PATIENCE", 0.3)
    monkeypatch.setattr(following, "LEASED", 0.3)
    log = _log(in_memory)
    failing = Reopen(None, None, (sys.executable, "-c", "import sys; sys.exit('no such unit')"))
    with writer(log, "reopen", time=NEW) as live:
        with pytest.raises(CommitUnknownError, match="no such unit"):
            purge(selected(log, reopen=failing))
        live.write(3)
        selection = selected(log, reopen=_reopening(log, live.pid))
        assert len(list(opened(selection).recover(lambda _: True))) == 1
        live.write(3)

        assert log.read_bytes() == _KEPT + b"".join(live.lines())
        assert strays(in_memory) == []


def test_a_line_that_is_half_written_is_not_cut_in_two(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end comes after others have written to the new file; it is moved as a whole."""
    monkeypatch.setattr(following, "PATIENCE", 0.3)
    monkeypatch.setattr(following, "LEASED", 0.3)
    log = _log(in_memory)
    other = f"open({str(log)!r}, 'ab').write({line(NEW, other=True)!r})"
    selection = selected(log, reopen=Reopen(None, None, (sys.executable, "-c", other)))
    whole = line(NEW, slow=True)
    with log.open("ab", buffering=0) as slow:
        slow.write(whole[:20])
        with pytest.raises(CommitUnknownError, match=f"pid {os.getpid()}"):
            purge(selection)
        slow.write(whole[20:])

    assert len(list(opened(selection).recover(lambda _: True))) == 1
    assert log.read_bytes() == _KEPT + line(NEW, other=True) + whole
    assert strays(in_memory) == []


def test_late_lines_are_not_moved_where_a_writer_would_write_over_them(
    in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the new file open and does not append: they wait in the old one until it is gone."""
    monkeypatch.setattr(following, "PATIENCE", 0.3)
    monkeypatch.setattr(following, "LEASED", 0.3)
    monkeypatch.setattr(recovering, "_PATIENCE", 0.3)
    log = _log(in_memory)
    late = log.open("ab", buffering=0)
    selection = selected(log, reopen=Reopen(None, None, (sys.executable, "-c", "pass")))
    with pytest.raises(CommitUnknownError):
        purge(selection)
    with writer(log, "seek", time=NEW) as live:
        late.write(line(NEW, late=True))
        late.close()
        list(opened(selection).recover(lambda _: True))
        live.write(3)
        assert log.read_bytes() == _KEPT + b"".join(live.lines())
    list(opened(selection).recover(lambda _: True))

    assert log.read_bytes() == _KEPT + b"".join(live.lines()) + line(NEW, late=True)
    assert strays(in_memory) == []


def test_a_rewrite_can_be_asked_for(collapsing: Path) -> None:
    """Then a live log is refused unless its writers can be told, and a quiet one gets a new file."""
    log = collapsing / "a.jsonl"
    log.write_bytes(line(OLD, x="x" * 9000) + _KEPT)
    selection = selected(log)
    pieces = list(opened(selection).slices(selection, facts_of(selection), Budget(rewrite=True)))
    with writer(log, "append", time=NEW), pytest.raises(StoreError, match="a rewrite was asked for"):
        purge_slice(opened(selection), pieces[0])

    gone = purge_slice(opened(selection), pieces[0])

    assert gone is not None
    assert gone.disposal.method is Method.FILE_REWRITE
    assert log.read_bytes() == _KEPT


@pytest.mark.parametrize("promise", [None, "none", "append-only"])
def test_where_there_are_no_leases_a_promise_decides(
    collapsing: Path, monkeypatch: pytest.MonkeyPatch, promise: str | None
) -> None:
    """`none` lets a file be written anew, `append-only` lets lines go in place; without one it is refused."""
    monkeypatch.setattr(quiet, "_acquire", lambda *_: Writers.UNKNOWN)
    log = _log(collapsing)
    selection = selected(log, writers=promise)
    if promise is None:
        with pytest.raises(UnsupportedError, match="cannot tell"):
            purge(selection)
        return

    (gone,) = purge(selection)

    assert gone.disposal.method is (Method.FILE_REWRITE if promise == "none" else Method.FILE_COLLAPSE)
    assert log.read_bytes().lstrip(b" ") == _KEPT
