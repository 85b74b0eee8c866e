"""A new rule on PostgreSQL begins small: partitions wait for its canary, and scattered rows go oldest first."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from pg_ground import NOW, Ground, months

from lapse.engine.running import Wishes, run
from lapse.model.ledger_entry import EntryKind
from lapse.model.report import Status
from lapse.ports import Event

TEN = "guards: {ramp: 10}\n"
PLAIN = "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz NOT NULL, tenant text, body text)"
PARTED = "CREATE TABLE log (id bigint, at timestamptz NOT NULL, tenant text, body text) PARTITION BY RANGE (at)"
NEW = "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')"
FRESH = "INSERT INTO log VALUES (1, '2026-10-20', 'acme', 'new')"
ROWS = "INSERT INTO log SELECT n + 10, '2025-01-01'::timestamptz + n * interval '1 hour', 't', 'x' FROM {} n"


@pytest.fixture
def ground(pg_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A policy that keeps 90 days and ramps from ten records, on a table that is not there yet."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LAPSE_NOW", NOW)
    found = Ground(pg_database, tmp_path)
    found.policy(top=TEN)
    return found


def steps(ground: Ground) -> list[tuple[int, int | None, str]]:
    """Records, step of the ramp and method of every disposal."""
    bodies = [entry.body for entry in ground.session().ledger.entries() if entry.kind is EntryKind.DISPOSAL]
    return [(int(str(b["records"])), b.get("ramp"), str(b["method"])) for b in bodies]  # type: ignore[misc]  # ours


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_slices_double_from_the_canary(ground: Ground, archive: str) -> None:
    """With a copy and without one, where nothing but the time of a transaction counts later."""
    ground.policy(archive=archive, top=TEN)
    ground.execute(PLAIN, ROWS.format("generate_series(1, 300)"), FRESH)

    report = ground.run()

    found = steps(ground)
    assert [step for _, step, _ in found] == [1, 2, 3, 4, 5, 6]
    assert all(records <= 10 << (step - 1) for records, step, _ in found if step is not None)
    assert found[:2] == [(10, 1, "row delete"), (20, 2, "row delete")]
    assert (report.status, ground.keys()) == (Status.DONE, [1])
    assert str(report.canary).startswith("canary of 10 records under new rule 1 verified")


def test_a_partition_waits_until_a_canary_of_its_rows_has_passed(ground: Ground) -> None:
    """It is larger than the canary, so that its first rows go by themselves; then partitions are dropped."""
    ground.policy(top="guards: {ramp: 4}\n")
    ground.execute(PARTED, *months(1, 4), NEW, FRESH)

    report = ground.run()

    assert steps(ground)[0] == (4, 1, "row delete")
    assert ground.methods() == {"row delete": 4, "partition drop": 36}
    assert report.status is Status.DONE


def test_a_partition_no_larger_than_a_canary_is_one(ground: Ground) -> None:
    """Ten rows are ten rows, however they go; only so many before they are checked."""
    ground.execute(PARTED, *months(1, 4), NEW, FRESH)

    ground.run()

    assert steps(ground)[0] == (10, 1, "partition drop")
    assert ground.methods() == {"partition drop": 40}


def test_the_oldest_rows_are_the_canary_where_they_lie_scattered(ground: Ground) -> None:
    """An index leads to them, though they stand at the end of the table."""
    ground.execute(
        PLAIN,
        "CREATE INDEX ON log (at)",
        "INSERT INTO log SELECT n + 10, '2026-01-01'::timestamptz + (n * 7919 % 6000) * interval '1 hour', 't', "
        "repeat('x', 100) FROM generate_series(1, 6000) n",
        "INSERT INTO log SELECT n + 10000, '2020-01-01'::timestamptz + n * interval '1 hour', 't', 'x' "
        "FROM generate_series(1, 10) n",
        FRESH,
        "ANALYZE log",
    )

    report = ground.run()

    assert report.status is Status.DONE
    assert report.canary is not None
    assert report.canary.newest is not None
    assert report.canary.records == 10
    assert ground.session().now - report.canary.newest > 5 * 365 * 86_400 * 10**9


def test_a_run_killed_before_its_canary_is_checked_begins_anew(ground: Ground) -> None:
    """SIGKILL between the commit and the check: nothing is lost, and the next run checks a canary of its own."""
    ground.execute(PLAIN, ROWS.format("generate_series(1, 100)"), FRESH)
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
    assert (report.status, ground.keys(), ground.everything()) == (Status.DONE, [1], before)


def test_limits_on_tenants_come_from_one_survey(ground: Ground) -> None:
    """The database counts by tenant anyway; the worst one is named."""
    ground.policy(dataset="tenant: tenant\nguards: {tenants: {rows: 50}}")
    ground.execute(PLAIN, ROWS.format("generate_series(1, 60)"), FRESH)

    (over,) = ground.plan().over

    assert "t 60 of 60 (100.0%)" in over.finding
