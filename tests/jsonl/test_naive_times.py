"""Lines whose time names no offset: in doubt, and kept, unless the dataset names the zone that is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from calling import CalledWorld

NAIVE = ["2020-01-01T00:00:00", "2020-01-01 00:00:00.123456", "2020-01-01T00:00:00,5", "2020-01-01"]
ZONED = ["2020-01-01T00:00:00Z", "2020-01-01 00:00:00+02:00", "2020-01-01T00:00:00.123456-0500"]
YOUNG = ["2026-05-31T00:00:00Z", "2026-05-31T00:00:00"]


class World(CalledWorld):
    """A folder with a log and a policy that keeps its lines for 90 days."""

    now: ClassVar[str] = "2026-06-01T00:00:00Z"

    @property
    def log(self) -> Path:
        """The log."""
        return self.folder / "a.jsonl"

    def say(self, more: str = "") -> None:
        """Write the policy, with *more* keys of the dataset."""
        dataset = f"{{store: a.jsonl, time: at, key: n, keep: 90 days, archive: none{more}}}"
        self.write(f"version: 1\ndatasets:\n  a: {dataset}\n")

    def lines(self, times: list[str]) -> list[bytes]:
        """Write the log, a line for each of *times*."""
        lines = [json.dumps({"at": at, "n": n}).encode() + b"\n" for n, at in enumerate(times)]
        self.log.write_bytes(b"".join(lines))
        return lines

    def done(self, *arguments: str) -> str:
        """What the program prints, which must do what it is asked."""
        result = self.call(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Where nothing says what zone is meant."""
    made = World(tmp_path)
    made.say()
    return made


@pytest.mark.parametrize("more", ["", ", time zone: required"])
def test_lines_without_an_offset_stay_byte_for_byte_among_lines_that_go(world: World, more: str) -> None:
    """The plan counts them, says where the first is, and what to write; `why` names the same reason."""
    world.say(more)
    lines = world.lines([*ZONED, *NAIVE, *ZONED, *YOUNG])

    planned, why = world.done("plan"), world.done("why", "a", "3")
    world.done("run")

    assert f"5 × time without an offset, and no `time zone:`, first {world.log}:4" in planned
    assert "time without an offset, and no `time zone:`" in why
    assert world.log.read_bytes().lstrip() == b"".join([*lines[3:7], *lines[10:]])


def test_what_to_write_stands_in_the_plan(world: World) -> None:
    """Where the first lines of the log have such times."""
    world.lines(NAIVE)

    assert "at has no time zone, so such lines stay; say the one that is meant: `time zone: UTC`" in world.done("plan")


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
def test_lines_without_an_offset_are_judged_in_the_zone_that_is_named(world: World, zone: str) -> None:
    """Old ones go, young ones stay; nothing is in doubt, and nothing is left to write."""
    world.say(f", time zone: {zone}")
    lines = world.lines([*ZONED, *NAIVE, *YOUNG])

    planned = world.done("plan")
    world.done("run")

    assert "in doubt" not in planned
    assert "such lines stay" not in planned
    assert world.log.read_bytes().lstrip() == b"".join(lines[7:])


@pytest.mark.parametrize(("zone", "stays"), [("UTC", True), ("Pacific/Kiritimati", False), ("Etc/GMT+12", True)])
def test_the_named_zone_decides_about_hours(world: World, zone: str, stays: bool) -> None:
    """A second after the cutoff in UTC is before it where clocks are fourteen hours ahead."""
    world.say(f", time zone: {zone}")
    world.lines(["2026-03-03T00:00:01", *YOUNG])

    world.done("run")

    assert (b"2026-03-03" in world.log.read_bytes()) == stays
