"""Runs and servers that end while a partition of PostgreSQL is set aside: the next run puts it back, then drops it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matrix import in_child
from pg_aside import PENDING, lock_is_never_to_be_had, notes
from pg_ground import Ground, months
from pg_partitions import FRESH, LOG, NEW, ground, log, tables

from lapse.engine.asking import why, why_matching
from lapse.engine.hindering import why_not
from lapse.engine.status import status
from lapse.errors import LeaseError
from lapse.model.causes import CauseKind
from lapse.model.match import Condition, Match
from lapse.model.report import Status
from lapse.sqlcore.partitions import LeftAsideError
from lapse.stores.postgresql import PostgresStore, leasing
from lapse.stores.postgresql.catalog import Table, find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.dropping import PartitionTake
from servers.postgres import PostgresServer, servers
from servers.processes import await_condition

__all__ = ["ground", "log"]

pytestmark = pytest.mark.crash
LATE = "INSERT INTO log_2025_01 VALUES (999, '2025-01-03', 'late', 'x')"
TOLD = re.compile(r"COMMENT|DETACH|ATTACH|DROP|COMMIT|INSERT INTO|advisory_(un)?lock_shared")


class _Fuse:
    """Ends something after one of the statements by which a partition is set aside; 0 is the one that detaches it."""

    def __init__(self, at: int | None, *, late: Callable[[], object] | None, end: Callable[[], object]) -> None:
        self.moments: list[str] = []
        self._at, self._late, self._end = at, late, end
        self._armed = False
        patched: Any = Connection
        patched.run = self._counted(Connection.run)
        patched.commit = self._counted(Connection.commit)
        drop = PartitionTake._drop_aside

        def armed(take: PartitionTake, disposal: Any) -> None:
            self._armed = True
            try:
                drop(take, disposal)
            finally:
                self._armed = False

        patched = PartitionTake
        patched._drop_aside = armed

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(connection: Connection, sql: str = "COMMIT", *args: Any) -> Any:
            found = method(connection) if sql == "COMMIT" else method(connection, sql, *args)
            self._tick(sql)
            if "CONCURRENTLY" in sql and self._armed and self._late is not None:
                self._late()
            return found

        return wrapped

    def _tick(self, moment: str) -> None:
        if self._armed and TOLD.search(moment):
            self.moments.append(moment)
            if len(self.moments) == self._at or (self._at == 0 and "CONCURRENTLY" in moment):
                self._end()


def _alone(ground: Ground) -> None:
    """Wait until the server has noticed that the run is gone."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'lapse'"
    await_condition(lambda: ground.execute(sessions)[0][0] == 0, "the end of the session")


def _suicide() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run_until(ground: Ground, at: int | None, *, late: str | None = None) -> int:
    """Run in a process of its own, which is killed at that moment; *late* comes once the partition is detached."""

    def work() -> None:
        lock_is_never_to_be_had()
        _Fuse(at, late=None if late is None else lambda: ground.execute(late), end=_suicide)
        ground.run()

    return in_child(work)


def _kill_aside(ground: Ground) -> None:
    """Kill a run right after the partition was detached."""
    assert _run_until(ground, 0) == -signal.SIGKILL
    _alone(ground)


def _fresh(ground: Ground, folder: Path) -> Ground:
    ground.execute("DROP TABLE IF EXISTS log, log_2025_01, log_new, lapse_disposals")
    folder.mkdir()
    found = Ground(folder, ground.url)
    found.policy()
    found.execute(LOG.format("timestamptz"), *months(1, 1), NEW, FRESH, "COMMENT ON TABLE log_2025_01 IS 'of old'")
    return found


def _assert_settled(ground: Ground, before: Any, moment: str) -> None:
    report = ground.run()
    assert report.status in (Status.DONE, Status.NOTHING), moment
    assert ground.everything() == before, moment
    assert ground.keys() == [1], moment
    assert ground.methods().total() == len(before) - 1, moment
    assert notes(ground) == [], moment
    ground.check()


def _moments(ground: Ground, late: str | None = None) -> list[str]:
    """The statements after which a run can be ended."""
    file = ground.folder / "moments"

    def rehearse() -> None:
        lock_is_never_to_be_had()
        fuse = _Fuse(None, late=None if late is None else lambda: ground.execute(late), end=_suicide)
        ground.run()
        file.write_text("\0".join(fuse.moments))

    assert in_child(rehearse) == 0
    return file.read_text().split("\0")


@pytest.mark.parametrize("late", [None, LATE], ids=["away", "back"])
def test_a_run_that_is_killed_at_any_statement_is_settled_by_the_next(
    ground: Ground, tmp_path: Path, late: str | None
) -> None:
    """Around the note, the detachment, the drop, the marker, the commit, and each step of the way back."""
    moments = _moments(_fresh(ground, tmp_path / "rehearsal"), late)
    assert any(("DROP TABLE" if late is None else "ATTACH PARTITION") in moment for moment in moments)

    for number, moment in enumerate(moments, start=1):
        found = _fresh(ground, tmp_path / f"case-{number}")
        before = found.everything()
        assert _run_until(found, number, late=late) == -signal.SIGKILL, moment
        _alone(found)
        is_there = found.execute("SELECT count(*) FROM pg_class WHERE relname = 'log_2025_01'") == [(1,)]
        came = is_there and found.execute("SELECT count(*) FROM log_2025_01 WHERE id = 999") == [(1,)]
        _assert_settled(found, before + type(before)([999] if came else []), moment)


@contextmanager
def _waiting_run(ground: Ground, folder: Path) -> Iterator[int]:
    """A run in a process of its own whose detachment waits for a reader, until the block is left; its process."""
    with ground.connected(autocommit=False) as reader:
        child = os.fork()
        if child == 0:
            try:
                lock_is_never_to_be_had()
                _Fuse(None, late=None, end=_suicide)
                armed: Any = Connection
                run = Connection.run

                def told(connection: Connection, sql: str, *args: Any) -> Any:
                    if "CONCURRENTLY" in sql:
                        (folder / "detaching").touch()
                        await_condition((folder / "reading").exists, "the reader")
                    return run(connection, sql, *args)

                armed.run = told
                ground.run()
            finally:
                os._exit(0)
        await_condition((folder / "detaching").exists, "the run")
        reader.execute("SELECT count(*) FROM log")
        (folder / "reading").touch()
        await_condition(lambda: bool(ground.execute(PENDING)[0][0]), "the detachment")
        yield child
        reader.close()


def test_a_detachment_of_a_lost_run_is_waited_for_and_undone(
    log: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session completes what it waits for though its client is gone; until it has, no other run begins."""
    before = log.everything()
    with _waiting_run(log, tmp_path) as child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert log.execute("SELECT mode FROM pg_locks WHERE locktype = 'advisory' ORDER BY 1") == [
            ("ExclusiveLock",),  # the lease
            ("ShareLock",),  # what a run waits for that has the lease, if it was another session's
        ]
        monkeypatch.setattr(leasing, "_WAIT", "100ms")
        with pytest.raises(LeaseError):
            log.run()
        monkeypatch.undo()
        assert log.keys() == [1, *range(200, 210), *range(300, 310), *range(400, 410)]
    _alone(log)
    assert tables(log) == ["log_2025_02", "log_2025_03", "log_2025_04", "log_new"]

    _assert_settled(log, before, "waiting")


def test_a_session_that_shares_a_lease_is_waited_for_while_it_sets_aside(
    log: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ends with the session that took it; another one of the same process may still be at work."""
    monkeypatch.setattr(leasing, "_WAIT", "100ms")
    first, other = (Connection(log.url, shown="log", read_only=False) for _ in range(2))
    table = find_table(first, "log")
    try:
        still_open = pytest.raises(LeaseError, match="an earlier run on table log is still open")
        with leasing.lingering(first, table), still_open:
            _lease(other, table)
        _lease(other, table)
    finally:
        first.close()
        other.close()


def _lease(connection: Connection, table: Table) -> None:
    with leasing.lease(connection, table, address="other", dataset="log"):
        pass


def test_a_server_that_dies_while_a_detachment_waits_leaves_it_to_the_next_run(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    """The detachment is pending: it is completed, and undone."""
    ground = _fresh(Ground(tmp_path, own_server.create_database("pending")), tmp_path / "world")
    before = ground.everything()
    with _waiting_run(ground, tmp_path) as child:
        own_server.crash()
        os.waitpid(child, 0)
    assert ground.execute(PENDING) == [(True,)]
    assert "10 rows of partition public.log_2025_01 are set aside" in ground.notes()

    _assert_settled(ground, before, "pending")


@pytest.fixture
def own_server(postgres_folder: Path) -> Iterator[PostgresServer]:
    """A server that may be killed."""
    with PostgresServer.start(servers()[-1], postgres_folder / "own") as server:
        yield server


def test_a_server_that_dies_at_any_step_is_settled_by_the_next_run(own_server: PostgresServer, tmp_path: Path) -> None:
    """``pg_ctl stop -m immediate`` around the note, the detachment, the marker and the commit."""
    ground = _fresh(Ground(tmp_path, own_server.create_database("dying")), tmp_path / "rehearsal")
    for number, moment in enumerate(_moments(ground), start=1):
        found = _fresh(ground, tmp_path / str(number))
        before = found.everything()

        def work(found: Ground = found, number: int = number) -> None:
            lock_is_never_to_be_had()
            _Fuse(number, late=None, end=own_server.kill)
            found.run()

        assert in_child(work) == 0, moment
        own_server.crash()
        _assert_settled(found, before, moment)


def test_rows_that_are_left_aside_are_seen(log: Ground) -> None:
    """By the plan, by why with a key or values, and by status; a hold that comes meanwhile keeps what it holds."""
    log.policy(dataset="tenant: tenant\nkey: id")
    log.execute("UPDATE log SET tenant = 'held' WHERE id = 105")
    _kill_aside(log)
    assert log.execute("SELECT count(*) FROM log") == [(31,)]

    assert "10 rows of partition public.log_2025_01 are set aside in a table of that name" in log.notes()
    (found,) = why(log.session(), "log", "105")
    assert found.verdict == "lapsed"
    listing = why_matching(log.session(), "log", Match((Condition("tenant", ("held",), role="tenant"),)), limit=5)
    assert dict(listing.counts) == {"lapsed": 1}
    assert "public.log_2025_01 are set aside" in " ".join(
        problem.message for problem in status(log.session(), survey=True).problems
    )
    assert (CauseKind.UNSETTLED, 10) in {(cause.kind, cause.records) for cause in why_not(log.session(), "log").causes}

    assert [sketch.table for sketch in PostgresStore.inspect(log.url)] == ["log"]

    held = "holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n"
    log.policy(dataset="tenant: tenant\nkey: id", top=held)
    report = log.run()

    assert (report.status, report.cleared) == (Status.DONE, 1)
    assert log.keys() == [1, 105]
    assert log.methods() == {"row delete": 9, "partition drop": 30}
    log.check()


def test_a_partition_whose_place_is_taken_stays_aside_and_is_named(log: Ground) -> None:
    """Somebody has made another one of its range: both are named, no row is lost, and what to do works."""
    before = log.everything()
    _kill_aside(log)
    log.execute("CREATE TABLE other PARTITION OF log FOR VALUES FROM ('2025-01-10') TO ('2025-01-20')")

    with pytest.raises(LeftAsideError, match=r'partition public.log_2025_01 of log .* would overlap partition "other"'):
        log.run()
    assert log.execute("SELECT count(*) FROM log_2025_01") == [(10,)]

    log.execute("DROP TABLE other")
    _assert_settled(log, before, "overlap")


def test_a_note_on_a_table_of_somebody_else_is_not_believed(log: Ground) -> None:
    """Whoever may comment on a table of their own could have it made a partition otherwise."""
    _kill_aside(log)
    log.execute("CREATE ROLE forger", "ALTER TABLE log_2025_01 OWNER TO forger")
    try:
        log.run()
        assert "log_2025_01" not in tables(log)
        assert len(notes(log)) == 1
    finally:
        log.execute("DROP TABLE log_2025_01", "DROP ROLE forger")


def test_a_note_cannot_carry_a_statement(log: Ground) -> None:
    """What it says of bounds becomes part of one, by a role that may do more than the table's owner."""
    _kill_aside(log)
    (note,) = notes(log)
    forged = note.replace("TO (", "TO ('x'); DROP TABLE log; --(").replace("'", "''")
    log.execute(f"COMMENT ON TABLE log_2025_01 IS '{forged}'")

    report = log.run()

    assert (report.status, report.records) == (Status.DONE, 30)
    assert tables(log) == ["log_new"]
