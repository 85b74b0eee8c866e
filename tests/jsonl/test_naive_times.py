"""Lines whose time names no offset: in doubt, and kept, unless the dataset names the zone that is meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from log_world import LogWorld

NAIVE = ["2020-01-01T00:00:00", "2020-01-01 00:00:00.123456", "2020-01-01T00:00:00,5", "2020-01-01"]
ZONED = ["2020-01-01T00:00:00Z", "2020-01-01 00:00:00+02:00", "2020-01-01T00:00:00.123456-0500"]
YOUNG = ["2026-05-31T00:00:00Z", "2026-05-31T00:00:00"]


def _written(world: LogWorld, times: list[str]) -> list[bytes]:
    """Write the log, a line for each of *times*; the lines."""
    lines = [
        json.dumps({"at": at, "kind": "b" if at in NAIVE else "a", "n": n}).encode() + b"\n"
        for n, at in enumerate(times)
    ]
    world.log.write_bytes(b"".join(lines))
    return lines


@pytest.fixture
def world(tmp_path: Path) -> LogWorld:
    """Where nothing says what zone is meant."""
    made = LogWorld(tmp_path)
    made.say()
    return made


@pytest.mark.parametrize("more", ["", ", time zone: required"])
def test_lines_without_an_offset_stay_byte_for_byte_among_lines_that_go(world: LogWorld, more: str) -> None:
    """The plan counts them, says where the first is, and what to write; `why` names the same reason."""
    world.say(more)
    lines = _written(world, [*ZONED, *NAIVE, *ZONED, *YOUNG])

    planned, why = world.done("plan"), world.done("why", "a", "3")
    world.done("run")

    assert f"5 × time without an offset, and no `time zone:`, first {world.log}:4" in planned
    assert "time without an offset, and no `time zone:`" in why
    assert world.log.read_bytes().lstrip() == b"".join([*lines[3:7], *lines[10:]])


def test_what_to_write_stands_in_the_plan(world: LogWorld) -> None:
    """Where the first lines of the log have such times."""
    _written(world, NAIVE)

    assert "at has no time zone, so such lines stay; say the one that is meant: `time zone: UTC`" in world.done("plan")


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
def test_lines_without_an_offset_are_judged_in_the_zone_that_is_named(world: LogWorld, zone: str) -> None:
    """Old ones go, young ones stay; nothing is in doubt, and nothing is left to write."""
    world.say(f", time zone: {zone}")
    lines = _written(world, [*ZONED, *NAIVE, *YOUNG])

    planned = world.done("plan")
    world.done("run")

    assert "in doubt" not in planned
    assert "such lines stay" not in planned
    assert world.log.read_bytes().lstrip() == b"".join(lines[7:])


@pytest.mark.parametrize(("zone", "stays"), [("UTC", True), ("Pacific/Kiritimati", False), ("Etc/GMT+12", True)])
def test_the_named_zone_decides_about_hours(world: LogWorld, zone: str, stays: bool) -> None:
    """A second after the cutoff in UTC is before it where clocks are fourteen hours ahead."""
    world.say(f", time zone: {zone}")
    _written(world, ["2026-03-03T00:00:01", *YOUNG])

    world.done("run")

    assert (b"2026-03-03" in world.log.read_bytes()) == stays


def test_a_rule_that_only_such_lines_match_is_no_slip(world: LogWorld) -> None:
    """`lapse check --data` looks for rules that match no record, whatever is in doubt about it."""
    _written(world, [*NAIVE, *ZONED])
    world.say_two_rules()

    assert world.json("check", "--data")["result"]["idle"] == []
