"""Rotation under real writers: not a line lost, doubled or torn, killed or not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from turning_world import NOW, Logs, line, logs, numbers

from lapse.instant import Nanos
from lapse.model.reopening import Reopen
from lapse.model.rotation import Packing, Rotation, Step, Turn
from lapse.stores.jsonl import rotating

_HERE = Path(__file__).parent
_SECOND = 1_000_000_000


@dataclass
class Crew:
    """Writers of one log.

    Attributes:
        log: The log.
        running: Each by its name.
    """

    log: Path
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str, how: str) -> int:
        """Start one and wait until it has begun; its process."""
        command = [sys.executable, str(_HERE / "turning_writer.py"), str(self.log), name, how]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.running[name] = writer
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        return writer.pid

    def stop(self) -> dict[str, list[int]]:
        """End all; the numbers of the lines that each says it has written."""
        written = {}
        for name, writer in self.running.items():
            writer.send_signal(signal.SIGTERM)
            told, _ = writer.communicate(timeout=20)
            assert writer.returncode == 0
            written[name] = list(range(int(told)))
        self.running.clear()
        return written


@contextmanager
def crew(log: Path) -> Iterator[Crew]:
    """Writers that are gone when the block is left."""
    found = Crew(log)
    try:
        yield found
    finally:
        for writer in found.running.values():
            writer.kill()
            writer.communicate()


@pytest.fixture
def world(tmp_path: Path) -> Logs:
    """Logs that are rotated from 2,000 bytes on, and compressed."""
    return logs(tmp_path / "logs").with_(rotation=Rotation(size=2000, packing=Packing.ZSTD))


def _grown(world: Logs, size: int = 3000) -> None:
    deadline = time.monotonic() + 20
    while not world.log.exists() or world.log.stat().st_size < size:
        assert time.monotonic() < deadline, "the writers write nothing"
        time.sleep(0.005)


def _rotate_often(world: Logs, times: int) -> list[Turn]:
    turns: list[Turn] = []
    for number in range(times):
        _grown(world)
        turns += world.rotate(Nanos(NOW + number * _SECOND))
    return turns


def _count(turns: list[Turn], step: Step) -> int:
    return sum(turn.step is step for turn in turns)


def test_writers_that_open_the_log_for_each_batch_need_not_be_told(world: Logs) -> None:
    """Two of them: every rotation goes on, every rotated file is compressed, and every line is there once."""
    with crew(world.log) as writers:
        for name in ("one", "two"):
            writers.start(name, "batch")
        turns = _rotate_often(world, 8)
        written = writers.stop()
    turns += world.rotate(Nanos(NOW + 99 * _SECOND))

    assert _count(turns, Step.ROTATED) >= 8
    assert _count(turns, Step.PACKED) == _count(turns, Step.ROTATED)
    assert numbers(world.lines()) == written


def test_a_writer_that_follows_a_signal_goes_on_in_the_new_log(world: Logs, tmp_path: Path) -> None:
    """It keeps the log open, is told after each rotation, and the rotated file is compressed once it has let go."""
    pid_file = tmp_path / "writer.pid"
    world = world.with_(reopen=Reopen("HUP", pid_file))
    with crew(world.log) as writers:
        pid_file.write_text(f"{writers.start('one', 'reopen')}\n")
        turns = _rotate_often(world, 8)
        written = writers.stop()

    assert _count(turns, Step.ROTATED) == 8
    assert _count(turns, Step.PACKED) == 8
    assert numbers(world.lines()) == written


def test_a_writer_can_be_told_by_a_command(world: Logs) -> None:
    """A list of the program and its arguments; no shell reads it."""
    with crew(world.log) as writers:
        pid = writers.start("one", "reopen")
        turns = _rotate_often(world.with_(reopen=Reopen(None, None, ("kill", "-HUP", str(pid)))), 3)
        written = writers.stop()

    assert _count(turns, Step.PACKED) == 3
    assert numbers(world.lines()) == written


@pytest.mark.parametrize("how", ["append", "offset"])
def test_a_writer_that_keeps_the_log_open_is_left_alone(world: Logs, how: str) -> None:
    """Nobody would tell it: the log stays as it is, and the reason names the process."""
    with crew(world.log) as writers:
        pid = writers.start("one", how)
        _grown(world)
        error = world.refused()
        written = writers.stop()

    assert f"pid {pid}" in error.message
    assert world.names() == ["audit.jsonl"]
    assert numbers(world.lines()) == written


@pytest.mark.parametrize("how", ["append", "offset"])
def test_a_writer_that_does_not_follow_though_it_was_told_loses_nothing(
    world: Logs, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in the rotated file, with or without O_APPEND, which is compressed once it has ended."""
    monkeypatch.setattr(rotating, "_PATIENCE", 0.0)
    world = world.with_(reopen=Reopen(None, None, ("true",)))
    with crew(world.log) as writers:
        writers.start("one", how)
        _grown(world)
        turns = world.rotate()
        written = writers.stop()
    turns += world.rotate(Nanos(NOW + _SECOND))

    assert [turn.step for turn in turns] == [Step.ROTATED, Step.WAITING, Step.PACKED]
    assert numbers(world.lines()) == written


def _killed(world: Logs, number: int, chance: random.Random) -> bool:
    """Rotate in a process of its own that is killed at some moment; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            world.rotate(Nanos(NOW + number * _SECOND))
        finally:
            os._exit(0)
    time.sleep(chance.uniform(0.0, 0.4))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _kill_often(world: Logs, pid_file: Path, *, times: int, seed: int) -> int:
    """Rotations that die at random moments under three writers, then one that ends; how many died."""
    world, chance = world.with_(reopen=Reopen("HUP", pid_file)), random.Random(seed)
    with crew(world.log) as writers:
        pid_file.write_text(f"{writers.start('told', 'reopen')}\n")
        for name in ("one", "two"):
            writers.start(name, "batch")
        killed = 0
        for number in range(times):
            _grown(world, 1)
            killed += _killed(world, number, chance)
        written = writers.stop()
    world.rotate(Nanos(NOW + 9999 * _SECOND), force=True)

    assert numbers(world.lines()) == written
    assert [name for name in world.names() if not name.endswith((".zst", "audit.jsonl"))] == []
    return killed


@pytest.mark.crash
def test_rotations_killed_under_writers_lose_nothing(world: Logs, tmp_path: Path) -> None:
    """Batch writers and one that is told, and rotations that die at random moments, one after the other."""
    assert _kill_often(world, tmp_path / "writer.pid", times=20, seed=5) >= 10


@pytest.mark.soak
@pytest.mark.crash
def test_three_hundred_killed_rotations_lose_nothing(world: Logs, tmp_path: Path) -> None:
    """The full count of the promise above."""
    assert _kill_often(world, tmp_path / "writer.pid", times=300, seed=7) >= 150


def test_a_line_that_is_torn_by_the_rotation_is_ended_where_it_was_begun(
    world: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that has the log open in the middle of a line ends the line in the same file."""
    monkeypatch.setattr(rotating, "_PATIENCE", 0.0)
    with world.log.open("ab", buffering=0) as held:
        held.write(line(1)[:10])
        world.with_(rotation=Rotation(size=1), reopen=Reopen(None, None, ("true",))).rotate()
        held.write(line(1)[10:])

    assert world.lines() == [line(1)]
