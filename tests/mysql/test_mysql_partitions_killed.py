"""Runs and servers that end in the middle of a drop: the next run completes it or puts the rows back."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matrix import in_child
from mysql_ground import HOLD, Ground
from mysql_partitions import LATE, TWO, ground, log

from lapse.engine.asking import why
from lapse.model.report import Status
from lapse.stores.mysql import MysqlStore, aside, own
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dropping import PartitionTake
from servers.mariadb import MariadbServer

__all__ = ["ground", "log"]


def test_a_statement_of_a_lost_run_is_waited_for(log: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a connection may still set rows aside, nobody settles what is aside."""
    monkeypatch.setattr(aside, "_TAKEOVER", 0)
    _kill(log, after="EXCHANGE")
    other = Connection(MysqlStore(log.session().datasets(())[0], read_only=False)._address, shown="x", read_only=False)
    try:
        with aside.exclusively(other), pytest.raises(Exception, match="another run still drops a partition"):
            log.run()
        assert len(log.tables()) == 2
    finally:
        other.close()

    assert log.run().records == 40
    log.check()


class _Fuse:
    """Kills its own process around one of the statements of a commit."""

    def __init__(self, at: int | None, after: str | None = None) -> None:
        self.moments: list[str] = []
        self._at = at
        self._after = after
        self._armed = False
        run, commit, rows = Connection.run, Connection.commit, Connection.rows
        drop = PartitionTake.commit

        def counted(method: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(connection: Connection, sql: str, *args: Any) -> Any:
                self._tick(f"before {sql}")
                found = method(connection, sql, *args)
                self._tick(f"after {sql}")
                return found

            return wrapped

        def armed(take: PartitionTake, proof: Any) -> Any:
            self._armed = True
            try:
                return drop(take, proof)
            finally:
                self._armed = False

        patched: Any = Connection
        patched.run, patched.commit, patched.rows = counted(run), counted(commit), counted(rows)
        patched = PartitionTake
        patched.commit = armed

    def _tick(self, moment: str) -> None:
        if not self._armed or not re.search(r"ALTER|CREATE|DROP|INSERT|DELETE|LOCK|slice|put", moment):
            return
        self.moments.append(moment)
        is_it = len(self.moments) == self._at or (
            self._after is not None and moment.startswith("after") and self._after in moment
        )
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)


def _kill(ground: Ground, *, at: int | None = None, after: str | None = None, disturb: str | None = None) -> None:
    """Run in a process of its own until it is killed, with somebody else's statement before the first commit."""

    def work() -> None:
        _Fuse(at, after)
        _disturbed(ground, disturb)
        ground.run()

    assert in_child(work) == -signal.SIGKILL, (at, after)
    ground.alone()


def _disturbed(ground: Ground, statement: str | None) -> None:
    commit: Callable[..., Any] = PartitionTake.commit
    left = [statement]

    def disturbed(take: PartitionTake, proof: Any) -> Any:
        if left and (todo := left.pop()) is not None:
            ground.execute(todo)
        return commit(take, proof)

    patched: Any = PartitionTake
    patched.commit = disturbed


def _moments(ground: Ground, file: Path, disturb: str | None) -> list[str]:
    def work() -> None:
        fuse = _Fuse(None)
        _disturbed(ground, disturb)
        ground.run()
        file.write_text("\0".join(fuse.moments))

    assert in_child(work) == 0
    return file.read_text().split("\0")


def _fresh(ground: Ground, folder: Path) -> Ground:
    ground.server.drop_database(ground.database)
    ground.server.create_database(ground.database)
    folder.mkdir()
    found = Ground(folder, ground.server, ground.database)
    found.create(partitions=TWO)
    found.policy()
    return found


@pytest.mark.crash
@pytest.mark.parametrize("disturb", [None, LATE.format(999, "2025-02-03", "late")], ids=["away", "back"])
def test_a_run_that_is_killed_at_any_statement_of_a_drop_is_completed_by_the_next(
    ground: Ground, tmp_path: Path, disturb: str | None
) -> None:
    """Whether the rows were on their way out or back: everything is there once, and nothing is aside."""
    moments = _moments(_fresh(ground, tmp_path / "rehearsal"), tmp_path / "moments", disturb)
    assert any("EXCHANGE" in moment for moment in moments)
    assert any(("DROP PARTITION" if disturb is None else "put") in moment for moment in moments)

    for number, moment in enumerate(moments, start=1):
        found = _fresh(ground, tmp_path / f"case-{number}")
        before = found.everything()
        _kill(found, at=number, disturb=disturb)
        if disturb is not None:
            before[999] = 1
        report = found.run()
        assert report.status in (Status.DONE, Status.NOTHING), moment
        assert found.everything() == before, moment
        assert found.rows() == [1000], moment
        assert found.methods().total() == len(before) - 1, moment
        found.check()


@pytest.mark.crash
def test_rows_that_are_left_aside_are_seen_by_plan_and_why_and_a_new_hold(log: Ground) -> None:
    """They were not recorded as removed: they go back, and a hold that came meanwhile keeps them."""
    log.policy(dataset="tenant: tenant\nkey: id")
    log.execute("UPDATE log SET tenant = 'held' WHERE id = 105")
    _kill(log, after="EXCHANGE")
    assert len(log.rows()) == 31

    assert "10 rows of partition p1 are set aside in table lapse_aside_" in log.notes()
    (found,) = why(log.session(), "log", "105")
    assert found.verdict == "lapsed"
    log.policy(dataset="tenant: tenant\nkey: id", top=HOLD)
    report = log.run()

    assert (report.status, report.cleared) == (Status.DONE, 1)
    assert log.rows() == [105, 1000]
    assert log.methods() == {"row delete": 9, "partition drop": 30}
    log.check()


@pytest.mark.crash
def test_rows_whose_archive_was_lost_are_not_dropped_by_recovery(log: Ground) -> None:
    """The drop was recorded, but as long as they are aside there still is a copy."""
    _kill(log, after="slice")
    (segment,) = (log.folder / "archive").rglob("*.parquet")
    content = segment.read_bytes()
    segment.write_bytes(content[:-1])

    log.run()
    (left,) = [name for name in log.tables() if name != "log"]
    assert log.execute(f"SELECT COUNT(*) FROM {left}") == [(10,)]

    segment.write_bytes(content)
    log.run()
    assert log.rows() == [1000]
    assert log.methods() == {"partition drop": 40}
    log.check()


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_lost_in_the_commit_is_found_out_about(
    log: Ground, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """With the marker the rows are dropped, without it they are put back."""
    before, commit = log.everything(), Connection.commit

    def lost(self: Connection, what: str) -> None:
        if what.startswith("slice") and committed:
            commit(self, what)
        if what.startswith("slice"):
            ((number,),) = self.rows("SELECT CONNECTION_ID()")
            log.execute(f"KILL {number}")
        commit(self, what)

    monkeypatch.setattr(Connection, "commit", lost)
    report = log.run()
    assert report.status is Status.INCOMPLETE
    assert len(log.tables()) == 2
    log.alone()
    monkeypatch.setattr(Connection, "commit", commit)

    found = log.run()

    assert (found.status, found.recovered, found.records) == (Status.DONE, int(committed), 30 if committed else 40)
    assert log.everything() == before
    log.check()


@pytest.mark.crash
def test_a_server_that_is_killed_in_a_drop_is_completed_by_the_next_run(
    own_mariadb: MariadbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies right after the rows were set aside, right after the marker, and right before the rows are dropped."""
    own_mariadb.create_database("shop")
    for number, moment in enumerate(("EXCHANGE", "slice", "DROP PARTITION")):
        ground = _fresh(Ground(tmp_path, own_mariadb, "shop"), tmp_path / str(number))
        before = ground.everything()

        def work(moment: str = moment, ground: Ground = ground) -> None:
            def killed(pid: int, how: int) -> None:
                kill(own_mariadb.pid if pid == os.getpid() else pid, how)

            kill = os.kill
            monkeypatch.setattr(os, "kill", killed)
            _Fuse(None, after=moment)
            assert ground.run().trouble is not None

        assert in_child(work) == 0, moment
        own_mariadb.crash()

        assert ground.run().trouble is None
        assert ground.everything() == before, moment
        assert ground.rows() == [1000], moment
        ground.check()


def test_own_tables_are_no_log(log: Ground) -> None:
    """What is aside is not offered by `lapse init`, and a policy cannot name it."""
    _kill(log, after="EXCHANGE")
    (left,) = [name for name in log.tables() if name != "log"]

    sketches = list(MysqlStore.inspect(log.server.socket_url(log.database)))

    assert [sketch.table for sketch in sketches] == ["log"]
    assert own.LEASE not in [sketch.table for sketch in sketches]
    (dataset,) = log.session().datasets(())
    with closing(MysqlStore(replace(dataset, table=left), read_only=True)) as store:
        assert store.identity().refusal == f"{left} is Lapse's own table"
