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
from typing import Any

import pytest

_ALONE = [pytest.param(kind, marks=pytest.mark.soak) for kind in ("collapse", "splice")]
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


def _cases(folder: Path, kind: str) -> list[dict[str, Any]]:
    told = subprocess.run(
        [sys.executable, str(_SCRIPT), str(folder / "logs"), kind], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    return [json.loads(text) for text in told.stdout.splitlines()]


def _assert_whole(cases: list[dict[str, Any]]) -> None:
    assert [found["ended"] for found in cases] == [-signal.SIGKILL] * (len(cases) - 1) + [0]
    wrong = [
        found
        for found in cases
        if found["strays"] or not all(found[name] for name in ("all_or_none", "same_again", "then_done", "beside"))
    ]
    assert wrong == []


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["exact", "glob", "gzip", "removal"])
def test_a_kill_at_any_step_leaves_a_log_that_recovery_makes_whole(folder: Path, kind: str) -> None:
    """Before and after each write, sync, link and rename: all lines are there or all lapsed ones are gone.

    Then there is a marker of them, recovery repeats itself, nothing lies around, and the next run ends the work.
    """
    cases = _cases(folder, kind)

    assert len(cases) > 30
    assert {found["markers"] for found in cases} == {0, 1}
    _assert_whole(cases)


@pytest.mark.crash
@pytest.mark.parametrize("kind", [*_ALONE, "collapse-live", "splice-live"])
def test_a_kill_at_any_step_of_a_removal_in_place_loses_no_line(collapsing_fast: Path, kind: str) -> None:
    """Also of a writer that appends before the next run finishes it."""
    cases = _cases(collapsing_fast, kind)

    assert len(cases) > 30
    assert {found["markers"] for found in cases} == {0, 1}
    assert {method for found in cases for method in found["methods"]} == {"file collapse"}
    _assert_whole(cases)


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["splice-live-again", "blanks-live-again"])
def test_a_recovery_that_is_killed_at_any_step_is_finished_by_the_next(collapsing_fast: Path, kind: str) -> None:
    """Once a removal is decided it goes forward, however often it is interrupted."""
    cases = _cases(collapsing_fast, kind)

    assert len(cases) > 20
    assert {found["markers"] for found in cases} == {1}
    _assert_whole(cases)


@pytest.mark.soak
@pytest.mark.crash
@pytest.mark.parametrize("kind", ["blanks-live", "collapse-again", "collapse-live-again", "splice-again"])
def test_the_other_ways_to_be_interrupted_lose_nothing_either(collapsing_fast: Path, kind: str) -> None:
    """The full count of the promises above."""
    _assert_whole(_cases(collapsing_fast, kind))
