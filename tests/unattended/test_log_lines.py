"""JSON log lines: one for each thing that happens, on stderr, without a record's content."""

from __future__ import annotations

import json
import signal
import sqlite3
from typing import Any

import pytest
from typer.testing import Result
from unattended_world import World, await_handler
from unattended_world import world_fixture as world_fixture

from lapse.instant import parse_rfc3339
from lapse.observe.logs import JsonLog, LogHook
from lapse.ports import Event

_CONTENT = "a secret that only the record has"


def logged(result: Result) -> list[dict[str, Any]]:
    """Every line of stderr, each of which is one JSON object."""
    return [json.loads(line) for line in result.stderr.splitlines()]


def test_a_run_tells_what_happens_in_order(world: World) -> None:
    """Each line has event, level and time first; those of the run have its id; none has a record's content."""
    with sqlite3.connect(world.folder / "calls.db") as connection:
        connection.execute("ALTER TABLE cel ADD COLUMN body TEXT")
        connection.execute("UPDATE cel SET body = ?", (_CONTENT,))
    connection.close()
    result = world.call("run", "--log-format", "json")
    lines = logged(result)

    assert [line["event"] for line in lines] == [
        "run.started", "dataset.planned", "dataset.started", "disposal.committed", "canary.checking",
        "canary.verified", "dataset.ended", "run.ended",
    ]  # fmt: skip
    assert all(list(line)[:3] == ["timestamp", "level", "event"] for line in lines)
    assert len({line["run"] for line in lines}) == 1
    assert [parse_rfc3339(line["timestamp"]) for line in lines] == sorted(parse_rfc3339(x["timestamp"]) for x in lines)
    committed = lines[3]
    assert (committed["dataset"], committed["slice"], committed["records"]) == ("calls", "000001", 10)
    assert (lines[-1]["exit"], lines[-1]["records"]) == (0, 10)
    assert _CONTENT not in result.stderr
    assert "10 records removed" in result.stdout


def test_a_refusal_is_an_error_line_with_its_hint(world: World) -> None:
    """And nothing on stderr is anything but JSON."""
    world.policy("guards: {rows: 1}\n")
    lines = logged(world.call("run", "--log-format", "json"))

    assert [(line["event"], line["level"], line["exit"]) for line in lines[-2:]] == [
        ("run.refused", "error", 3), ("command.failed", "error", 3)
    ]  # fmt: skip
    assert lines[-1]["hint"]


def test_complaints_about_a_policy_are_in_one_line(world: World) -> None:
    """Each with its place."""
    world.policy("schedule: {daily at: 25:00}\nnotify: {on fail: [a]}\n")
    (line,) = logged(world.call("--log-format", "json", "status"))

    assert [each["where"].rpartition("lapse.yaml")[2] for each in line["complaints"]] == [":11:22", ":12:10"]


def test_a_traceback_is_in_one_line_too(world: World) -> None:
    """What collects the lines can read no others."""
    result = world.call("--debug", "--log-format", "json", "run", "nobody")
    found = [json.loads(line) for line in result.stderr.splitlines()]

    assert [each["event"] for each in found][-2:] == ["command.traceback", "command.failed"]
    assert "Traceback (most recent call last)" in found[-2]["traceback"]


def test_the_level_leaves_out_what_matters_less(world: World) -> None:
    """From the option or from the environment; the option wins."""
    assert logged(world.call("run", "--log-format", "json", "--log-level", "warning")) == []
    world.policy("guards: {rows: 1}\n")
    world.calls(["2020-01-01T00:00:00Z"] * 2)
    told = logged(world.call("run", LAPSE_LOG_FORMAT="json", LAPSE_LOG_LEVEL="error"))
    more = logged(world.call("run", "--log-level", "debug", LAPSE_LOG_FORMAT="json", LAPSE_LOG_LEVEL="error"))

    assert [line["event"] for line in told] == ["run.refused", "command.failed"]
    assert "dataset.planning" in [line["event"] for line in more]


def test_a_variable_that_means_nothing_is_a_usage_error(world: World) -> None:
    """With what it may be."""
    result = world.call("run", LAPSE_LOG_FORMAT="xml")

    assert result.exit_code == 2
    assert "text, json" in result.stderr
    assert world.rows() == 15


def test_text_stays_as_it_was(world: World) -> None:
    """Without the option stderr of a run that is well is empty in a pipe."""
    assert world.call("run").stderr == ""


def test_warnings_become_lines(world: World) -> None:
    """Where text has `Warning:`."""
    world.policy("notify: {on success: [/nowhere/mail]}\n")
    lines = logged(world.call("run", "--log-format", "json"))

    assert [(line["level"], line["event"]) for line in lines[-1:]] == [("warning", "command.warning")]
    assert "/nowhere/mail" in lines[-1]["message"]


def test_a_signal_to_stop_is_a_line_too(world: World) -> None:
    """Also from within the signal handler stderr is JSON alone."""
    child = world.start("run", "--jitter", "10 minutes", "--log-format", "json", "-p", str(world.policy_file))
    try:
        await_handler(child.pid)
        child.send_signal(signal.SIGTERM)
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()

    events = [json.loads(line)["event"] for line in told.splitlines()]
    assert events[0] == "run.stopping"
    assert child.returncode == 1


@pytest.mark.parametrize(
    ("name", "level"), [("dataset.failed", "error"), ("slice.put_back", "warning"), ("x.y", "info")]
)
def test_levels_follow_the_event(name: str, level: str) -> None:
    """Failures are errors, what is tried again is a warning, everything unknown is information."""
    lines: list[str] = []
    LogHook(JsonLog(lines.append, "debug")).on(Event(name, {"dataset": "calls", "nothing": None}))

    (line,) = map(json.loads, lines)
    assert (line["level"], line["event"], line["dataset"]) == (level, name, "calls")
    assert "nothing" not in line
