"""A new rule on MariaDB begins small: partitions wait for its canary, and slices double from there."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from mysql_ground import Ground

from lapse.engine.running import Wishes, run
from lapse.model.ledger_entry import EntryKind
from lapse.model.report import Status
from lapse.ports import Event
from servers.mariadb import MariadbServer, mariadb, mariadb_database

__all__ = ["mariadb", "mariadb_database"]

TEN = "guards: {ramp: 10}\n"
PLAIN = "CREATE TABLE log (id BIGINT NOT NULL PRIMARY KEY, at DATETIME NOT NULL, tenant VARCHAR(40), body TEXT)"
FRESH = "INSERT INTO log VALUES (1000, '2026-10-20', 'acme', 'new')"


@pytest.fixture
def ground(mariadb: MariadbServer, mariadb_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days and ramps from ten records, on a table that is not there yet."""
    found = Ground(mariadb, mariadb_database, tmp_path)
    found.policy(top=TEN)
    return found


def fill(ground: Ground, rows: int) -> None:
    """So many rows that have lapsed, and one that is kept."""
    values = ", ".join(f"({number}, '2025-01-{1 + number % 28:02}', 't', 'x')" for number in range(1, rows + 1))
    ground.execute(PLAIN, f"INSERT INTO log VALUES {values}", FRESH)


def steps(ground: Ground) -> list[tuple[int, int | None, str]]:
    """Records, step of the ramp and method of every disposal."""
    bodies = [entry.body for entry in ground.session().ledger.entries() if entry.kind is EntryKind.DISPOSAL]
    return [(int(str(b["records"])), b.get("ramp"), str(b["method"])) for b in bodies]  # type: ignore[misc]  # ours


def test_slices_double_from_the_canary(ground: Ground) -> None:
    """Each is taken once its forerunner is committed."""
    fill(ground, 300)

    report = ground.run()

    assert [(records, step) for records, step, _ in steps(ground)] == [(10, 1), (20, 2), (40, 3), (80, 4), (150, 5)]
    assert report.status is Status.DONE
    assert str(report.canary).startswith("canary of 10 records under new rule 1 verified")


def test_a_partition_waits_until_a_canary_of_its_rows_has_passed(ground: Ground) -> None:
    """It is larger than the canary, so that its first rows go by themselves; then partitions are dropped."""
    ground.policy(top="guards: {ramp: 4}\n")
    ground.create()

    report = ground.run()

    assert steps(ground)[0] == (4, 1, "row delete")
    assert ground.methods() == {"row delete": 4, "partition drop": 36}
    assert report.status is Status.DONE


def test_a_partition_no_larger_than_a_canary_is_one(ground: Ground) -> None:
    """Ten rows are ten rows, however they go; only so many before they are checked."""
    ground.create()

    ground.run()

    assert steps(ground)[0] == (10, 1, "partition drop")
    assert ground.methods() == {"partition drop": 40}


def test_a_run_killed_before_its_canary_is_checked_begins_anew(ground: Ground) -> None:
    """SIGKILL between the commit and the check: nothing is lost, and the next run checks a canary of its own."""
    fill(ground, 100)
    before = ground.everything()

    class Killer:
        def on(self, event: Event) -> None:
            if event.name == "canary.checking":
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            run(replace(ground.session(), hooks=(Killer(),)), Wishes())
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert steps(ground) == [(10, 1, "row delete")]

    report = ground.run()

    assert [step for _, step, _ in steps(ground)][:3] == [1, 1, 2]
    assert (report.status, ground.everything()) == (Status.DONE, before)
