"""A killed run loses nothing, doubles nothing and leaves nothing behind: the next run settles it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from matrix import assert_recovered

from worlds import make

HERE = Path(__file__).parent
HELPERS = HERE.parent


def _matrix(kind: str, folder: Path, first: int, step: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "matrix.py"), kind, str(folder), str(first), str(step)]
    path = os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _assert_settled(kind: str, folder: Path, *, first: int, step: int) -> None:
    """Kill a run at each *step*-th moment from *first* on, and look at what the next run makes of it."""
    moments, *cases = _matrix(kind, folder / "matrix", first, step)

    assert moments["moments"] > 50
    assert len(cases) == len(range(first, moments["moments"] + 1, step))
    for case in cases:
        assert_recovered(case)


@pytest.mark.crash
@pytest.mark.parametrize("first", [1, 6])  # odd moments are before a call, even ones after it
@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_a_run_killed_at_a_port_call_is_settled_by_the_next(kind: str, first: int, tmp_path: Path) -> None:
    """SIGKILL before and after port calls: store and archive together are still the original."""
    _assert_settled(kind, tmp_path, first=first, step=10)


@pytest.mark.soak
@pytest.mark.crash
@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_a_run_killed_at_any_port_call_is_settled_by_the_next(kind: str, first: int, tmp_path: Path) -> None:
    """The same at every one of them."""
    _assert_settled(kind, tmp_path, first=first, step=2)


def killed_at_random_moments(kind: str, folder: Path, *, records: int, times: int, seed: int) -> int:
    """Kill runs over one world until it is done or *times* is reached; how many were really killed."""
    world = make(folder, kind, records)
    original = world.records()
    chance = random.Random(seed)
    code = f"""
import sys
sys.path.insert(0, {str(HELPERS)!r})
from worlds import *
World(Path({str(folder)!r}), {kind!r}).run(500)
"""
    killed = 0
    for _ in range(times):
        victim = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.1, 0.7))
        victim.kill()
        _, errors = victim.communicate()
        killed += victim.returncode == -signal.SIGKILL
        assert victim.returncode in (0, -signal.SIGKILL), errors.decode()
    world.run(5000)
    archived = world.archived()
    assert world.records() + archived == original
    assert world.ledger_records() == archived.total()
    assert world.strays() == []
    return killed


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_runs_killed_at_random_moments_lose_nothing(kind: str, tmp_path: Path) -> None:
    """Several kills in a row over one store, then one run: everything is accounted for."""
    assert killed_at_random_moments(kind, tmp_path / "world", records=20_000, times=5, seed=7) > 0


@pytest.mark.soak
@pytest.mark.crash
@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_fifty_kills_over_a_hundred_thousand_records_lose_nothing(kind: str, tmp_path: Path) -> None:
    """The full count of the promise above."""
    killed = 0
    for number in range(50):
        killed += killed_at_random_moments(kind, tmp_path / str(number), records=100_000, times=1, seed=number)
    assert killed >= 25
