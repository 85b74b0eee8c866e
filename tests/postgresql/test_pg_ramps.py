"""A new rule on PostgreSQL begins small: partitions wait for its canary, and scattered rows go oldest first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pg_ground import Ground, months

from lapse.model.report import Status
from shared_ramps import TEN, SharedRamps, steps

PLAIN = "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz NOT NULL, tenant text, body text)"
PARTED = "CREATE TABLE log (id bigint, at timestamptz NOT NULL, tenant text, body text) PARTITION BY RANGE (at)"
NEW = "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')"
FRESH = "INSERT INTO log VALUES (1, '2026-10-20', 'acme', 'new')"
ROWS = "INSERT INTO log SELECT n + 10, '2025-01-01'::timestamptz + n * interval '1 hour', 't', 'x' FROM {} n"


@pytest.fixture
def ground(pg_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days and ramps from ten records, on a table that is not there yet."""
    found = Ground(tmp_path, pg_database)
    found.policy(top=TEN)
    return found


@pytest.fixture
def fill(ground: Ground) -> Callable[[int], None]:
    """Makes so many rows that have lapsed, and one that is kept."""

    def filled(rows: int) -> None:
        ground.execute(PLAIN, ROWS.format(f"generate_series(1, {rows})"), FRESH)

    return filled


@pytest.fixture
def parted(ground: Ground) -> Ground:
    """Four partitions of ten lapsed rows each, and one of a row that is kept."""
    ground.execute(PARTED, *months(1, 4), NEW, FRESH)
    return ground


class TestRamps(SharedRamps):
    """What a ramp promises."""


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_slices_double_from_the_canary(ground: Ground, fill: Callable[[int], None], archive: str) -> None:
    """With a copy and without one, where nothing but the time of a transaction counts later."""
    ground.policy(archive=archive, top=TEN)
    fill(300)

    report = ground.run()

    found = steps(ground)
    assert [step for _, step, _ in found] == [1, 2, 3, 4, 5, 6]
    assert all(records <= 10 << (step - 1) for records, step, _ in found if step is not None)
    assert found[:2] == [(10, 1, "row delete"), (20, 2, "row delete")]
    assert (report.status, ground.keys()) == (Status.DONE, [1])
    assert str(report.canary).startswith("canary of 10 records under new rule 1 verified")


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


def test_limits_on_tenants_come_from_one_survey(ground: Ground, fill: Callable[[int], None]) -> None:
    """The database counts by tenant anyway; the worst one is named."""
    ground.policy(dataset="tenant: tenant\nguards: {tenants: {rows: 50}}")
    fill(60)

    (over,) = ground.plan().over

    assert "t 60 of 60 (100.0%)" in over.finding
