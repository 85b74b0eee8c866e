"""A run on PostgreSQL that is killed, or whose server dies, loses nothing and doubles nothing."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pg_runs
import pytest
from matrix import assert_recovered
from pg_runs import PgWorld, make

from servers.fixtures import PostgresPool
from servers.postgres import servers

pytestmark = pytest.mark.crash
NEWEST = servers()[-1]


@pytest.fixture
def url(postgres_pool: PostgresPool, tmp_path: Path) -> str:
    """An empty database of the newest server."""
    return postgres_pool.get(NEWEST).create_database(f"crash_{tmp_path.name}")


def _matrix(url: str, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, pg_runs.__file__, url, str(folder), *arguments]
    world = PgWorld(folder, "postgresql", url)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=world.settings())
    assert done.returncode == 0, done.stderr
    first, *cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["cases"] == len(cases)
    assert any("pledge" in moment for moment in first["moments"])
    return cases


def _assert_recovered(case: dict[str, Any]) -> None:
    assert_recovered(case)
    assert case["markers"] == 0, case


def test_a_run_killed_at_each_kind_of_port_call_is_settled_by_the_next(url: str, tmp_path: Path) -> None:
    """SIGKILL before or after one call of each port: store and archive together are still the original."""
    cases = _matrix(url, tmp_path / "matrix", "kinds", "0", "2")

    assert len(cases) > 20
    for case in cases:
        _assert_recovered(case)


@pytest.mark.soak
@pytest.mark.parametrize("share", range(2))
def test_a_run_killed_at_any_port_call_is_settled_by_the_next(share: int, url: str, tmp_path: Path) -> None:
    """The same at every single call of a run."""
    cases = _matrix(url, tmp_path / "matrix", "every", str(share), "2")

    assert len(cases) > 50
    for case in cases:
        _assert_recovered(case)


def killed_at_random_moments(world: PgWorld, *, times: int, seed: int) -> int:
    """Kill runs over one world, then let one go through; how many were really killed."""
    original = world.records()
    chance = random.Random(seed)
    killed = 0
    for _ in range(times):
        victim = world.start(500)
        time.sleep(chance.uniform(0.4, 1.5))
        ended = victim.kill()
        killed += ended.exit == -signal.SIGKILL
        assert ended.exit in (0, -signal.SIGKILL), ended.said
        world.alone()
    world.assert_recovered(original)
    return killed


def test_runs_killed_at_random_moments_lose_nothing(url: str, tmp_path: Path) -> None:
    """Several kills in a row over one table, then one run: everything is accounted for."""
    assert killed_at_random_moments(make(tmp_path / "world", url, records=20_000), times=5, seed=7) > 0


@pytest.mark.soak
def test_fifty_kills_over_a_hundred_thousand_rows_lose_nothing(url: str, tmp_path: Path) -> None:
    """The full count of the promise above."""
    killed = 0
    for number in range(50):
        world = make(tmp_path / str(number), url, records=100_000)
        killed += killed_at_random_moments(world, times=1, seed=number)
    assert killed >= 25
