"""Partitions of PostgreSQL that others read and write while they are to be dropped: nobody waits long."""

from __future__ import annotations

import threading
import time

import pytest
from pg_disturbed import DisturbedStore
from pg_ground import Ground
from pg_partitions import disturbed, ground, log

from lapse.model.report import Status
from lapse.stores.postgresql import dropping
from servers.processes import await_condition

__all__ = ["disturbed", "ground", "log"]


def test_a_writer_with_a_row_keeps_the_partition_for_now(disturbed: Ground) -> None:
    """Its row is not committed: the partition is put back, and goes when the writer is done."""
    with disturbed.connected(autocommit=False) as writer:
        # The first try meets the writer, who goes on before the second one.
        DisturbedStore.before_commit[:] = [
            lambda _: writer.execute("INSERT INTO log VALUES (999, '2025-01-05', 'a', 'b')"),
            lambda _: writer.commit(),
        ]
        report = disturbed.run()

    assert report.status is Status.DONE
    assert disturbed.keys() == [1]
    assert disturbed.everything()[999] == 1
    disturbed.check()


def test_a_reader_is_waited_for_and_nobody_waits_long(disturbed: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an open transaction reads the table, a drop is tried, and others wait for half a second at most."""
    longest, ended = [0.0], threading.Event()

    def others() -> None:
        with disturbed.connected() as other:
            while not ended.is_set():
                began = time.monotonic()
                other.execute("SELECT count(*) FROM log")
                longest[0] = max(longest[0], time.monotonic() - began)

    with disturbed.connected(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM log")
        DisturbedStore.before_commit[:] = [lambda _: None, lambda _: reader.commit()]
        thread = threading.Thread(target=others)
        thread.start()
        try:
            report = disturbed.run()
        finally:
            ended.set()
            thread.join()

    assert report.status is Status.DONE
    assert disturbed.methods() == {"partition drop": 40}
    assert dropping._PATIENCE * 0.7 < longest[0] < dropping._PATIENCE + 1
    disturbed.check()


def test_a_table_in_use_for_long_is_not_sealed_in_vain(log: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is named, nothing is removed, and there is nothing to clear; afterwards the run goes on."""
    monkeypatch.setattr(dropping, "_OLD", "0 seconds")
    monkeypatch.setattr("lapse.engine.retrying.TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying._FIRST_DELAY", 0.01)
    before = log.everything()
    with log.connected(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM log")
        session, report = reader.info.backend_pid, log.run()

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    assert f"session {session} has had the table in use" in report.trouble.message
    assert log.everything() == before
    assert not list((log.folder / "archive").rglob("*.parquet"))

    assert log.run().records == 40


def test_writers_that_wait_for_the_partition_end_the_drop(disturbed: Ground) -> None:
    """Who has the table and waits for the partition would wait for ever: the drop gives way at once."""
    began: list[float] = []

    def block(_: object) -> None:
        began.append(time.monotonic())
        thread.start()
        held.wait(10)

    held = threading.Event()

    def update() -> None:
        with disturbed.connected(autocommit=False) as writer:
            writer.execute("LOCK TABLE ONLY log IN ROW EXCLUSIVE MODE")
            held.set()
            with disturbed.connected() as looker:
                waits = (
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'log_2025_01'::regclass AND granted "
                    "AND mode = 'ShareRowExclusiveLock')"
                )
                await_condition(lambda: bool(looker.execute(waits).fetchall()[0][0]), "the drop's lock", pause=0)
            writer.execute("UPDATE log SET body = body")  # all partitions, as a statement that names no time does
            began.append(time.monotonic())

    thread = threading.Thread(target=update)
    DisturbedStore.before_commit[:] = [block]
    before = disturbed.everything()

    report = disturbed.run()
    thread.join()

    assert began[1] - began[0] < 1.5
    assert report.status is Status.DONE
    assert disturbed.everything() == before
    disturbed.check()


def test_a_short_statement_timeout_is_respected(log: Ground) -> None:
    """A partition is read in short statements, whatever its size."""
    log.execute(
        "INSERT INTO log SELECT 1000 + n, '2025-02-05', 'a', repeat('x', 100) FROM generate_series(1, 60000) n",
        "CREATE ROLE hasty LOGIN SUPERUSER",
        "ALTER ROLE hasty SET statement_timeout = 400",
    )
    try:
        log.policy(store=log.url.replace("postgres@", "hasty@"))
        report = log.run()
    finally:
        log.execute("DROP OWNED BY hasty", "DROP ROLE hasty")

    assert (report.status, report.records) == (Status.DONE, 60_040)
    assert log.methods() == {"partition drop": 60_040}
