"""A log in partitions of MariaDB, with somebody else at work in the middle of a drop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mysql_ground import Ground

from lapse.stores.mysql import aside, dropping
from lapse.stores.mysql.dropping import PartitionTake
from servers.mariadb import MariadbServer

LATE = "INSERT INTO log (id, at, tenant, body) VALUES ({}, '{}', '{}', 'late')"
TWO = (
    "PARTITION BY RANGE COLUMNS (at) (PARTITION p1 VALUES LESS THAN ('2025-05-01'), "
    "PARTITION new VALUES LESS THAN (MAXVALUE))"
)


@pytest.fixture
def ground(mariadb: MariadbServer, mariadb_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days, on a table that is not there yet."""
    found = Ground(tmp_path, mariadb, mariadb_database)
    found.policy()
    return found


@pytest.fixture
def log(ground: Ground) -> Ground:
    """Four partitions of ten lapsed rows each, and one with a row that is kept."""
    ground.create()
    return ground


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tries for long."""
    monkeypatch.setattr(aside, "_TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying.TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying._FIRST_DELAY", 0.01)


Step = Callable[[], object]


@pytest.fixture
def before_commit(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right before the commits of whole partitions, once each."""
    steps: list[Step] = []
    commit = PartitionTake.commit

    def disturbed(self: PartitionTake, proof: Any) -> Any:
        if steps:
            steps.pop(0)()
        return commit(self, proof)

    monkeypatch.setattr(PartitionTake, "commit", disturbed)
    return steps


@pytest.fixture
def while_aside(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right after the rows of a partition left their table, once each."""
    steps: list[Step] = []
    exchange = aside.exchange

    def disturbed(*args: Any) -> None:
        exchange(*args)
        if steps:
            steps.pop(0)()

    monkeypatch.setattr(dropping, "exchange", disturbed)
    return steps
