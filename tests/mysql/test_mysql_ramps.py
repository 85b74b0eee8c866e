"""A new rule on MariaDB begins small: partitions wait for its canary, and slices double from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mysql_ground import Ground

from lapse.model.report import Status
from servers.mariadb import MariadbServer
from shared_ramps import TEN, SharedRamps, steps

PLAIN = "CREATE TABLE log (id BIGINT NOT NULL PRIMARY KEY, at DATETIME NOT NULL, tenant VARCHAR(40), body TEXT)"
FRESH = "INSERT INTO log VALUES (1000, '2026-10-20', 'acme', 'new')"


@pytest.fixture
def ground(mariadb: MariadbServer, mariadb_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days and ramps from ten records, on a table that is not there yet."""
    found = Ground(tmp_path, mariadb, mariadb_database)
    found.policy(top=TEN)
    return found


@pytest.fixture
def fill(ground: Ground) -> Callable[[int], None]:
    """Makes so many rows that have lapsed, and one that is kept."""

    def filled(rows: int) -> None:
        values = ", ".join(f"({number}, '2025-01-{1 + number % 28:02}', 't', 'x')" for number in range(1, rows + 1))
        ground.execute(PLAIN, f"INSERT INTO log VALUES {values}", FRESH)

    return filled


@pytest.fixture
def parted(ground: Ground) -> Ground:
    """Four partitions of ten lapsed rows each, and one of a row that is kept."""
    ground.create()
    return ground


class TestRamps(SharedRamps):
    """What a ramp promises."""


def test_slices_double_from_the_canary(ground: Ground, fill: Callable[[int], None]) -> None:
    """Each is taken once its forerunner is committed."""
    fill(300)

    report = ground.run()

    assert [(records, step) for records, step, _ in steps(ground)] == [(10, 1), (20, 2), (40, 3), (80, 4), (150, 5)]
    assert report.status is Status.DONE
    assert str(report.canary).startswith("canary of 10 records under new rule 1 verified")
