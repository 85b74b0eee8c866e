"""`lapse run` with a budget, a stop file or a signal, and `lapse pace`: as a person and a program see them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import CliWorld

from lapse.cli.budgets import limits_of
from lapse.cli.progress import WaitingHook
from lapse.errors import UsageError
from lapse.instant import Nanos, parse_rfc3339, rfc3339
from lapse.ports import Event

_NOW = parse_rfc3339("2026-11-22T03:30:00Z")


def limits(
    *, lasting: str | None = None, until: str | None = None, now: Nanos = _NOW
) -> tuple[float | None, str | None]:
    """Seconds and end of a run with these options."""
    found = limits_of(rows=None, lasting=lasting, until=until, stop_file=None, real_now=now)
    return found.seconds, None if found.until is None else rfc3339(found.until)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine in Paris."""
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_budget_of_records_leaves_the_rest_for_later(world: CliWorld) -> None:
    """Exit 0; the report says what remains, where, and why the run ended."""
    result = world.call("run", "--rows", "4")

    assert result.exit_code == 0
    assert len(world.rows()) == 12 - 4
    assert "calls: the run ended early, 2 lapsed records left: the budget of 4 records is spent" in result.stdout
    assert (
        "4 records removed; 5 lapsed records left for the next run: the budget of 4 records is spent." in result.stdout
    )


def test_programs_read_why_a_run_ended(world: CliWorld) -> None:
    """`ended`, `remaining`, and the waits, for the run and each dataset."""
    result = world.json("run", "--rows", "4")["result"]

    assert (result["ended"], result["remaining"]) == ("the budget of 4 records is spent", 5)
    assert [(each["status"], each["remaining"]) for each in result["datasets"]] == [
        ("ended early", 2),
        ("ended early", 3),
    ]
    assert [each["waited"] for each in result["datasets"]] == [0, 0]
    after = world.json("run")["result"]
    assert (after["ended"], after["remaining"], after["records"]) == (None, 0, 5)


def test_strict_is_for_those_who_want_everything_done(world: CliWorld) -> None:
    """Exit 1 where something remains; 0 where a budget sufficed."""
    assert world.json("run", "--rows", "4", "--strict")["exit"] == 1
    assert world.json("run", "--rows", "5", "--strict")["exit"] == 0


def test_status_remembers_that_a_run_ended_early(world: CliWorld) -> None:
    """It is neither done nor in trouble."""
    world.call("run", "--rows", "4", "calls")

    assert world.json("status")["result"]["datasets"][0]["last"]["status"] == "ended early"


def test_a_stop_file_ends_every_run(world: CliWorld) -> None:
    """Nothing is removed, and everybody is told of it until it is gone."""
    world.state.mkdir(mode=0o700)
    (world.state / "stop").touch()

    result = world.json("run")

    assert (result["exit"], result["result"]["records"]) == (0, 0)
    assert result["result"]["ended"] == f"the stop file {world.state / 'stop'} is there"
    assert "every run ends before it begins" in result["warnings"][0]
    (world.state / "stop").unlink()
    assert world.json("run", "--stop-file", str(world.folder / "halt"))["result"]["ended"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rows", "0"), "--rows"),
        (("--rows", "many"), "--rows"),
        (("--for", "5"), "--for: '5' is not a span of time"),
        (("--for", "1 month"), "--for: '1 month' is not a span of time"),
        (("--until", "25:00"), "--until: '25:00' is no time of day and no instant"),
        (("--until", "2020-01-01T00:00:00Z"), "--until: 2020-01-01T00:00:00Z is over"),
        (("--until", "2999-01-01T00:00:00"), "--until: '2999-01-01T00:00:00' is no time"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(world: CliWorld, arguments: tuple[str, ...], told: str) -> None:
    """Exit 2, and nothing was touched."""
    result = world.call("run", *arguments)

    assert result.exit_code == 2
    assert told in result.stderr
    assert len(world.rows()) == 12


def test_a_store_that_cannot_be_asked_is_told_before_the_first_removal(world: CliWorld) -> None:
    """Who writes `pause while` relies on it; the policy's own one is for databases, not for log files."""
    policy = (world.folder / "lapse.yaml").read_text()
    world.write(policy + 'pace: {pause while: "SELECT 1"}\n')

    refused = world.call("run")

    assert refused.exit_code == 2
    assert "calls: sqlite:///" in refused.stderr
    assert "cannot be asked `pause while`" in refused.stderr
    assert len(world.rows()) == 12
    assert world.call("run", "tools").exit_code == 0


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("30 minutes", 1800)])
def test_how_long_a_run_may_last(text: str, seconds: float) -> None:
    """Short forms, and those of retention periods."""
    assert limits(lasting=text) == (seconds, None)


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("now", "until", "end"),
    [
        ("2026-11-22T03:30:00Z", "06:00", "2026-11-22T05:00:00Z"),
        ("2026-11-22T05:00:00Z", "06:00", "2026-11-23T05:00:00Z"),
        ("2026-11-22T23:30:00Z", "6:00", "2026-11-23T05:00:00Z"),
        ("2026-11-22T22:30:00Z", "23:45", "2026-11-22T22:45:00Z"),
        ("2026-07-01T03:30:00Z", "06:00", "2026-07-01T04:00:00Z"),
        ("2026-10-24T22:30:00Z", "02:30", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:45:00Z", "02:30", "2026-10-26T01:30:00Z"),
        ("2026-03-29T00:30:00Z", "02:30", "2026-03-29T01:30:00Z"),
        ("2026-11-22T03:30:00Z", "2026-11-22T06:00:00+02:00", "2026-11-22T04:00:00Z"),
    ],
)
def test_until_is_what_the_clock_on_the_wall_shows_next(now: str, until: str, end: str) -> None:
    """In the machine's zone: today or tomorrow; of two readings the first, and across a gap, just after it."""
    assert limits(until=until, now=parse_rfc3339(now)) == (None, end)


def test_an_instant_that_is_over_is_refused() -> None:
    """The run would end before it begins."""
    with pytest.raises(UsageError):
        limits(until=rfc3339(_NOW))


def test_pace_shows_what_counts_now(world: CliWorld) -> None:
    """Without an option it only shows; what was said counts for all datasets until it is reset."""
    assert "This is the pace that the policy says." in world.call("pace").stdout

    said = world.json("pace", "--rows-per-second", "500", "--transaction", "250ms", "--rest", "50%")["result"]

    assert said["changes"] == ["transaction: 250ms", "rows per second: 500", "rest: 50%"]
    assert said["datasets"][1] == {
        "dataset": "tools", "transaction": 0.25, "rows_per_second": 500, "rest": 0.5, "max_lag": 10.0,
        "pause_while": None,
    }  # fmt: skip
    assert world.json("pace", "--pause")["result"]["paused"] is True
    shown = world.call("pace", "--show").stdout
    assert "Changed by `lapse pace`: paused, transaction: 250ms, rows per second: 500, rest: 50%." in shown
    assert any("lapse pace --reset" in warning for warning in world.json("status")["warnings"])
    assert world.json("pace", "--resume")["result"]["paused"] is False
    assert world.json("pace", "--reset")["result"]["changes"] == []
    assert (world.state / "pace.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ("--pause", "--resume"), ("--reset", "--pause"), ("--show", "--rest", "none"), ("--reset", "--show"),
        ("--rest", "all"), ("--transaction", "1"), ("--rows-per-second", "-1"),
    ],
)  # fmt: skip
def test_a_pace_that_means_nothing_is_refused(world: CliWorld, arguments: tuple[str, ...]) -> None:
    """Exit 2, and the pace is as it was."""
    assert world.call("pace", *arguments).exit_code == 2
    assert world.json("pace")["result"]["changes"] == []


def test_a_throttled_run_says_that_it_rested(world: CliWorld) -> None:
    """So that nobody wonders where the time went."""
    world.call("pace", "--rows-per-second", "20")

    result = world.call("run", "calls", "--json")

    (found,) = json.loads(result.stdout)["result"]["datasets"]
    assert found["records"] == 6


def test_waiting_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody looks at a terminal: a line as the wait begins, and one as it ends; numbers may change between."""
    hook = WaitingHook()
    for reason in ("replica b is 11 s behind", "replica b is 12 s behind"):
        hook.on(Event("run.waiting", {"dataset": "calls", "reason": reason}))
    hook.on(Event("run.going_on", {"dataset": "calls", "seconds": 75.0}))
    hook.on(Event("disposal.committed", {"dataset": "calls", "records": 5}))

    assert capsys.readouterr().err == "calls waits: replica b is 11 s behind\ncalls goes on after 1 min 15 s\n"


def process(world: CliWorld, *arguments: str) -> subprocess.Popen[str]:
    """A run in a process of its own, paused, that has said so."""
    world.call("pace", "--pause")
    started = subprocess.Popen(
        [sys.executable, "-m", "lapse", "run", *arguments],
        env={**os.environ, **world.env()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stderr is not None
    assert started.stderr.readline() == "calls waits: paused by `lapse pace --pause`\n"
    return started


def test_a_paused_run_goes_on_when_it_is_told(world: CliWorld) -> None:
    """The operator calls `lapse pace` while the run holds its leases."""
    waiting = process(world, "calls")
    assert len(world.rows()) == 12

    world.call("pace", "--resume")
    out, err = waiting.communicate(timeout=30)

    assert waiting.returncode == 0
    assert "6 records removed" in out
    assert "for others, longest: paused by `lapse pace --pause`" in out
    assert "calls goes on after" in err


def test_sigterm_ends_a_waiting_run_at_once(world: CliWorld) -> None:
    """Exit 1, the reason, and what remains; the next run does it."""
    waiting = process(world)
    began = time.monotonic()

    waiting.send_signal(signal.SIGTERM)
    out, _ = waiting.communicate(timeout=30)

    assert time.monotonic() - began < 5
    assert waiting.returncode == 1
    assert "calls is incomplete: the run was asked to stop" in out
    world.call("pace", "--reset")
    assert world.json("run")["result"]["records"] == 9


def test_sigterm_half_way_keeps_what_was_done(world: CliWorld) -> None:
    """A throttled run is in the middle of its slices: those before stay done, the ledger knows of each."""
    world.write(
        (world.folder / "lapse.yaml")
        .read_text()
        .replace("    key: id\n", "    key: id\n    pace: {rows per second: 10}\n")
    )
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        rows = ((n, "2024-01-01T00:00:00Z", "CALL", "acme") for n in range(100, 1000))
        connection.executemany("INSERT INTO cel VALUES (?, ?, ?, ?)", rows)
    connection.close()
    before = len(world.rows())
    going = subprocess.Popen(
        [sys.executable, "-m", "lapse", "run", "calls", "--json"],
        env={**os.environ, **world.env()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(world.rows()) == before:
        assert going.poll() is None
        time.sleep(0.05)

    going.send_signal(signal.SIGTERM)
    out, _ = going.communicate(timeout=30)

    answer = json.loads(out)
    (found,) = answer["result"]["datasets"]
    assert (going.returncode, answer["result"]["ended"]) == (1, "the run was asked to stop")
    assert 0 < found["records"] == before - len(world.rows())
    assert found["remaining"] == 906 - found["records"]
    assert world.json("ledger", "verify")["exit"] == 0


def test_a_stop_file_ends_a_waiting_run(world: CliWorld, tmp_path: Path) -> None:
    """Cleanly: exit 0."""
    waiting = process(world, "--stop-file", str(tmp_path / "halt"))

    (tmp_path / "halt").touch()
    out, _ = waiting.communicate(timeout=30)

    assert waiting.returncode == 0
    assert f"left for the next run: the stop file {tmp_path / 'halt'} is there." in out
