"""A log in partitions of PostgreSQL, with somebody else at work before a commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pg_disturbed import DisturbedStore
from pg_ground import Ground, months

from lapse import registry
from lapse.stores.postgresql import dropping

LOG = "CREATE TABLE log (id bigint, at {} NOT NULL, tenant text, body text) PARTITION BY RANGE (at)"
NEW = "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')"
FRESH = "INSERT INTO log VALUES (1, '2026-10-20', 'acme', 'new')"


@pytest.fixture
def ground(pg_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days, on a table that is not there yet."""
    found = Ground(tmp_path, pg_database)
    found.policy()
    return found


@pytest.fixture
def log(ground: Ground) -> Ground:
    """Four partitions of ten lapsed rows each, and one with a row that is kept."""
    ground.execute(LOG.format("timestamptz"), *months(1, 4), NEW, FRESH)
    return ground


@pytest.fixture
def disturbed(log: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """The same, where somebody may come in before a commit; nobody tries for long."""
    monkeypatch.setitem(registry.STORES, "postgresql", "pg_disturbed")
    monkeypatch.setattr(dropping, "_TRIES", 2)
    yield log
    DisturbedStore.before_commit.clear()


def tables(ground: Ground) -> list[str]:
    """The partitions that are there."""
    found = ground.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'log'::regclass")
    return sorted(name for (name,) in found)


TRIGGER = "CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
