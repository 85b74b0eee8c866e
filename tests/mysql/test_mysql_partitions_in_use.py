"""Partitions of MariaDB that others read while they are to be dropped: nobody waits long."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest
from mysql_ground import Ground
from mysql_partitions import TWO, Step, before_commit, ground, hasty, log, while_aside

from lapse.model.report import Status
from lapse.stores.mysql import aside

__all__ = ["before_commit", "ground", "hasty", "log", "while_aside"]


def test_a_reader_is_waited_for_and_nobody_waits_long(log: Ground, before_commit: list[Step]) -> None:
    """While an open transaction has read the table, a drop is tried, and others wait for a second at most."""
    longest, ended = [0.0], threading.Event()

    def others() -> None:
        with log.server.connect(log.database) as other, other.cursor() as cursor:
            while not ended.wait(0.01):
                began = time.monotonic()
                cursor.execute("SELECT COUNT(*) FROM log")
                longest[0] = max(longest[0], time.monotonic() - began)

    with ExitStack() as ends:
        readers: list[Any] = []

        def read() -> None:
            readers.append(ends.enter_context(log.holding("SELECT COUNT(*) FROM log")))
            threading.Timer(1.5, readers[0].rollback).start()

        before_commit[:] = [read]
        thread = threading.Thread(target=others)
        thread.start()
        try:
            report = log.run()
        finally:
            ended.set()
            thread.join()

    assert report.status is Status.DONE
    assert log.methods() == {"partition drop": 40}
    assert aside.PATIENCE * 0.7 < longest[0] < aside.PATIENCE + 2
    log.check()


@pytest.mark.usefixtures("hasty")
def test_a_table_in_use_is_not_sealed_in_vain(ground: Ground, before_commit: list[Step]) -> None:
    """Nothing is removed, and there is nothing to clear; afterwards the run goes on."""
    ground.create(partitions=TWO)
    before = ground.everything()
    before_commit[:] = [lambda: pytest.fail("it was sealed")]
    with ground.holding("SELECT COUNT(*) FROM log"):
        report = ground.run()

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    assert "a slice had to be skipped, 40 records remain" in report.trouble.message
    assert ground.everything() == before
    assert not list((ground.folder / "archive").rglob("*.parquet"))
    before_commit.clear()
    assert ground.run().records == 40
    ground.check()


@pytest.mark.usefixtures("hasty")
def test_a_reader_that_comes_before_the_exchange_keeps_the_rows_in_place(
    ground: Ground, before_commit: list[Step]
) -> None:
    """The slice is given back and cleared, and goes when the reader is done."""
    ground.create(partitions=TWO)
    with ExitStack() as ends:
        before_commit[:] = [lambda: ends.enter_context(ground.holding("SELECT COUNT(*) FROM log"))]
        report = ground.run()
        assert report.status is Status.INCOMPLETE
        assert ground.tables() == ["log"]
        assert len(ground.rows()) == 41
        assert not list((ground.folder / "archive").rglob("*.parquet"))

    assert ground.run().records == 40
    ground.check()


@pytest.mark.usefixtures("hasty")
def test_rows_that_somebody_reads_aside_are_dropped_later(log: Ground, while_aside: list[Step]) -> None:
    """The marker stays as long as they do; they are never put back, and counted once."""
    with ExitStack() as ends:

        def read() -> None:
            (name,) = [name for name in log.tables() if name != "log"]
            ends.enter_context(log.holding(f"SELECT COUNT(*) FROM {name}"))

        while_aside[:] = [read]
        report = log.run()

        assert (report.status, report.records) == (Status.DONE, 40)
        assert log.execute("SELECT COUNT(*) FROM lapse_disposals") == [(1,)]
        assert log.run().records == 0
        assert len(log.tables()) == 2

    log.run()
    assert log.methods() == {"partition drop": 40}
    assert log.rows() == [1000]
    log.check()


def test_a_run_that_lost_its_lease_puts_everything_back(log: Ground, while_aside: list[Step]) -> None:
    """Another run has begun: the number of the lease is not the one any more."""
    while_aside[:] = [lambda: log.execute("UPDATE lapse_leases SET token = token + 1")]

    report = log.run()

    assert report.status is Status.INCOMPLETE
    assert "another run has begun" in str(report.trouble)
    assert log.tables() == ["log"]
    assert len(log.rows()) == 41
    assert log.run().records == 40
    log.check()
