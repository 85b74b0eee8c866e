"""A rotation that is killed at any step on the disk, and what recovery makes of it."""

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

_SCRIPT = Path(__file__).with_name("turning_crash.py")


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
@pytest.mark.parametrize(("packing", "how"), [("none", "exchange"), ("zstd", "exchange"), ("gzip", "plain")])
def test_a_kill_at_any_step_loses_no_line_and_doubles_none(folder: Path, packing: str, how: str) -> None:
    """Before and after each write, sync and rename: no line is ever seen twice, and recovery shows all of them.

    The next rotation ends the work, compression included, and nothing lies around.
    """
    told = subprocess.run(
        [sys.executable, str(_SCRIPT), str(folder / "logs"), packing, how], capture_output=True, text=True, check=True
    )
    cases = [json.loads(text) for text in told.stdout.splitlines()]

    assert told.stderr == ""
    assert len(cases) > 30
    assert [found["ended"] for found in cases] == [-signal.SIGKILL] * (len(cases) - 1) + [0]
    promises = ("never_twice", "recovered", "whole", "packed", "again")
    assert [found for found in cases if found["files"] != 2 or not all(found[name] for name in promises)] == []
