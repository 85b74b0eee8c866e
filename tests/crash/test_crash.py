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

from worlds import make

HERE = Path(__file__).parent
HELPERS = HERE.parent


def _matrix(kind: str, folder: Path, first: int, step: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "matrix.py"), kind, str(folder), str(first), str(step)]
    path = os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _assert_recovered(case: dict[str, Any]) -> None:
    assert case["ended"] == -signal.SIGKILL, case
    assert case["recovered"] == 0, case
    assert case["complete"], case
    assert case["whole"], case
    assert case["twice"] == [], case
    assert case["counted"], case
    assert case["left"] > 0, case
    assert case["strays"] == [], case
    assert case["ledger"], case


@pytest.mark.crash
@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_a_run_killed_at_any_port_call_is_settled_by_the_next(kind: str, share: int, tmp_path: Path) -> None:
    """SIGKILL before and after every port call: store and archive together are still the original."""
    moments, *cases = _matrix(kind, tmp_path / "matrix", 1 + share, 2)

    assert moments["moments"] > 50
    assert len(cases) == (moments["moments"] + 1 - share) // 2
    for case in cases:
        _assert_recovered(case)


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
