"""A PostgreSQL table whose rows others refer to, with somebody else at work on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pg_disturbed import DisturbedStore
from pg_ground import Ground

from lapse import registry
from lapse.engine import archiving
from lapse.engine.archiving import Wanted
from servers.processes import await_condition

LOG = "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz NOT NULL, tenant text, body text)"
ROWS = (
    "INSERT INTO log SELECT n, '2025-01-01'::timestamptz + n * interval '1 hour', 'acme', 'x' "
    "FROM generate_series(1, 20) n; "
    "INSERT INTO log SELECT n, '2026-10-01', 'acme', 'x' FROM generate_series(21, 30) n"
)
NOTE = "CREATE TABLE note (id bigint PRIMARY KEY, log bigint REFERENCES log ON DELETE {}, tenant text)"
NOTES = "INSERT INTO note SELECT 100 * l.id + n, l.id, 'acme' FROM log l, generate_series(1, 2) n"


@pytest.fixture
def ground(pg_database: str, tmp_path: Path) -> Ground:
    """A table of twenty lapsed rows and ten that are kept; the policy archives."""
    found = Ground(tmp_path, pg_database)
    found.policy()
    found.execute(LOG, ROWS)
    return found


@pytest.fixture
def disturbed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """The same, where somebody may come in before a commit."""
    monkeypatch.setitem(registry.STORES, "postgresql", "pg_disturbed")
    yield ground
    DisturbedStore.before_commit.clear()


def problems(ground: Ground) -> list[str]:
    """What `lapse archive verify` finds wrong; every segment was looked at."""
    checked = list(archiving.verify(ground.session(), Wanted()))
    assert checked
    return [problem for item in checked for problem in item.problems]


@contextmanager
def writing(ground: Ground, statement: str) -> Iterator[None]:
    """Within the block a statement is under way, which is committed as soon as the take waits for it."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lapse' AND wait_event_type = 'Lock'"
    with ground.connected(autocommit=False) as writer:
        writer.execute(statement.encode())

        def end() -> None:
            await_condition(lambda: bool(ground.execute(waits)[0][0]), "the take's wait")
            writer.commit()

        thread = threading.Thread(target=end)
        thread.start()
        yield
        thread.join()
