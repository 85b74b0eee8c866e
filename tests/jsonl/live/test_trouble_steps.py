"""A trouble at any step of a run on the disk: a clear answer, the right exit code, nothing lost, and the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from live_disks import NotHereError, disk
from live_lines import Profile
from trouble_steps import OTHER
from trouble_world import LINES

_HERE = Path(__file__).parent
_SCRIPT = _HERE / "trouble_steps.py"
_SHARE = 41
"""Only one step of so many is tried; they are no multiple of anything that a run repeats."""
_FIRST = {Profile.HEAD: 1, Profile.MIXED: 12}


PLACES = pytest.mark.parametrize(
    ("profile", "kind"), [(Profile.HEAD, "ext4"), (Profile.MIXED, "ext4"), (Profile.MIXED, "tmpfs")]
)
"""Taken off the head in place, compacted in place, written anew."""


@pytest.fixture
def folder(kind: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> Iterator[Path]:
    """A folder on a file system of that kind; where there can be none, one on the usual one."""
    with ExitStack() as stack:
        try:
            place = stack.enter_context(disk(kind, tmp_path / "disk"))
        except NotHereError as error:
            record_property("ran", f"troubles on {kind}: NOT RUN there, {error}")
            place = tmp_path
        yield place


def cases(trouble: str, profile: Profile, folder: Path, *, stride: int) -> list[dict[str, Any]]:
    """What came of the trouble at each step; without the last case, where there was no such step."""
    first = 1 if stride == 1 else _FIRST[profile]
    path = os.pathsep.join([str(_HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(_SCRIPT), trouble, profile.value, str(folder), str(first), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    *found, beyond = [json.loads(line) for line in done.stdout.splitlines()]
    assert not beyond["happened"]
    return found


def _told(run: dict[str, Any]) -> list[str]:
    """The messages of a run that did not go through; it says so in JSON, whatever happens."""
    answer = json.loads(run["out"])
    assert answer["exit"] == run["exit"]
    if answer["error"] is not None:
        return [answer["error"]["message"]]
    return [each["trouble"]["message"] for each in answer["result"]["datasets"] if each["trouble"]]


def _assert_answered(case: dict[str, Any], *codes: int) -> None:
    """A run ends with one of the exit codes, by an answer and never by a traceback."""
    assert case["first"]["exit"] in codes, case
    assert "Traceback" not in case["first"]["said"], case
    assert (case["first"]["exit"] == 0) or _told(case["first"]), case
    assert not any("internal error" in message for message in _told(case["first"])), case


def assert_full_disk_loses_nothing(profile: Profile, folder: Path, *, stride: int) -> None:
    """The disk takes nothing more from a step on."""
    found = cases("full", profile, folder, stride=stride)
    for case in found:
        _assert_answered(case, 0, 1)
        assert all("No space left on device" in message for message in _told(case["first"])), case
        assert (case["last"]["exit"], case["faults"], case["removed"]) == (0, {}, LINES // 2), case
        assert case["strays"] == [], case
    assert {case["first"]["exit"] for case in found} >= {1}


def assert_rotation_loses_nothing(profile: Profile, folder: Path, *, stride: int) -> None:
    """The log gets another name and a new one begins, in the middle of a run."""
    for case in cases("rotated", profile, folder, stride=stride):
        _assert_answered(case, 0, 1)
        assert (case["last"]["exit"], case["faults"], case["removed"]) == (0, {}, LINES // 2), case
        assert (case["strays"], case["other"]) == ([], OTHER), case


def assert_others_keep_theirs(trouble: str, profile: Profile, folder: Path, *, stride: int) -> None:
    """Whoever replaces or empties a log throws lines away; Lapse adds nothing to that and brings nothing back twice.

    What had lapsed is in the archive as a whole or not at all.
    """
    for case in cases(trouble, profile, folder, stride=stride):
        _assert_answered(case, 0, 1)
        assert case["faults"].keys() <= {"lost"}, case
        assert case["removed"] in (0, LINES // 2), case
        assert case["other"] == (OTHER if trouble == "replaced" else 0), case
        if trouble == "replaced":
            assert (case["last"]["exit"], case["strays"]) == (0, []), case


@PLACES
def test_a_disk_that_fills_up_at_any_step_loses_nothing(profile: Profile, kind: str, folder: Path) -> None:
    """It is told as it is, exit 1; with room the next run does the rest, and nothing lies around."""
    assert_full_disk_loses_nothing(profile, folder, stride=_SHARE)


@PLACES
def test_a_log_that_is_rotated_at_any_step_loses_nothing(profile: Profile, kind: str, folder: Path) -> None:
    """The rotated file and the new one together hold what stays."""
    assert_rotation_loses_nothing(profile, folder, stride=_SHARE)


@PLACES
@pytest.mark.parametrize("trouble", ["replaced", "cut"])
def test_a_log_that_is_replaced_or_emptied_at_any_step_is_left_to_who_did_it(
    trouble: str, profile: Profile, kind: str, folder: Path
) -> None:
    """No line of the new file is touched, none of the old one comes twice."""
    assert_others_keep_theirs(trouble, profile, folder, stride=_SHARE)


@pytest.mark.soak
@PLACES
def test_no_trouble_at_every_single_step_loses_anything(profile: Profile, kind: str, folder: Path) -> None:
    """The full counts of the promises above."""
    assert_full_disk_loses_nothing(profile, folder, stride=1)
    assert_rotation_loses_nothing(profile, folder, stride=1)
    assert_others_keep_theirs("replaced", profile, folder, stride=1)
    assert_others_keep_theirs("cut", profile, folder, stride=1)
