"""A purge that is killed at any step on the disk, and what recovery makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("crash_steps.py")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: syncing a disk thousands of times would take minutes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["exact", "glob", "gzip", "removal"])
def test_a_kill_at_any_step_leaves_a_log_that_recovery_makes_whole(folder: Path, kind: str) -> None:
    """Before and after each write, sync, link and rename: all lines are there or all lapsed ones are gone.

    Then there is a marker of them, recovery repeats itself, nothing lies around, and the next run ends the work.
    """
    told = subprocess.run(
        [sys.executable, str(_SCRIPT), str(folder / "logs"), kind], capture_output=True, text=True, check=True
    )
    cases = [json.loads(text) for text in told.stdout.splitlines()]

    assert told.stderr == ""
    assert len(cases) > 30
    assert [found["ended"] for found in cases] == [-signal.SIGKILL] * (len(cases) - 1) + [0]
    assert {found["markers"] for found in cases} == {0, 1}
    wrong = [
        found
        for found in cases
        if found["strays"] or not all(found[name] for name in ("all_or_none", "same_again", "then_done", "beside"))
    ]
    assert wrong == []
