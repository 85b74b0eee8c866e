"""The program as a process: terminals, pipes and signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import CliWorld

from lapse.ports import Budget

ROWS = 60_000
_SLOW = """\
import sys, time
from lapse import ports, slicework
from lapse.engine import purging, running
from lapse.cli.main import main

at_once, waiting = purging.work, float(sys.argv.pop(1))

def slowly(*arguments):
    time.sleep(waiting)
    return at_once(*arguments)

purging.work = slowly
running.Wishes.__init__.__kwdefaults__["budget"] = ports.Budget(rows=1000)
main()
"""


def environment(world: CliWorld, **more: str) -> dict[str, str]:
    """What the process is told."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, **world.env(), "TERM": "xterm", **more}


def in_terminal(world: CliWorld, *arguments: str, **more: str) -> str:
    """Everything that a person at a terminal of 80 columns sees."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lapse", *arguments],
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment(world, COLUMNS="80", **more),
    )  # fmt: skip
    os.close(terminal)
    seen = b"".join(_chunks(controller))
    os.close(controller)
    assert process.wait(timeout=60) == 0, seen
    return seen.decode()


def _chunks(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            return  # the terminal is closed: the process ended
        if not chunk:
            return
        yield chunk


def many_calls(world: CliWorld) -> None:
    """Put so many lapsed rows into the call log that a run takes its time."""
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.executemany(
            "INSERT INTO cel VALUES (?, '2024-01-01T00:00:00Z', 'CALL', 'acme')", ((n,) for n in range(100, 100 + ROWS))
        )
    connection.close()


def test_a_terminal_gets_colours_and_a_bar(world: CliWorld) -> None:
    """The headings are bold, and progress is drawn with its rate while a run works."""
    many_calls(world)

    seen = in_terminal(world, "run")

    assert "\x1b[1m" in seen
    assert "━" in seen
    assert "calls" in seen


def test_no_color_is_heeded(world: CliWorld) -> None:
    """Not one colour; weight may stay."""
    seen = in_terminal(world, "hold", "list", NO_COLOR="1")

    assert "\x1b[3" not in seen


def test_a_narrow_terminal_keeps_rows_within_it(world: CliWorld) -> None:
    """No line of a plan is wider than 80 columns."""
    seen = in_terminal(world, "plan", "-q", NO_COLOR="1")

    plain = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in seen.splitlines()]
    assert [line for line in plain if len(line) > 80] == []


def test_a_pipe_gets_plain_text_and_no_bar(world: CliWorld) -> None:
    """No escape sequence, no box, no trailing space; stderr is empty."""
    ended = subprocess.run(
        [sys.executable, "-m", "lapse", "run"],
        env=environment(world), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "\x1b" not in ended.stdout
    assert not any(line != line.rstrip() for line in ended.stdout.splitlines())
    assert ended.stderr == ""


@pytest.mark.parametrize("option", ["--json", "-q"])
def test_neither_json_nor_quiet_draws_a_bar(world: CliWorld, option: str) -> None:
    """Also at a terminal."""
    many_calls(world)

    assert "━" not in in_terminal(world, "run", option)


@pytest.mark.parametrize("option", ["--schema", "--effective"])
def test_a_reader_that_went_away_is_no_error(world: CliWorld, option: str) -> None:
    """As with `lapse check | head -1`, for more than a buffer and for less: quiet, with the command's exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lapse", "check", option],
        env=environment(world), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 0


def test_a_character_set_without_the_character_is_no_error(world: CliWorld) -> None:
    """Under a poor locale it is written as an escape."""
    ended = subprocess.run(
        [sys.executable, "-m", "lapse", "why", "calls", "12"],
        env=environment(world, PYTHONIOENCODING="ascii"), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "zo\\xeb [bold]" in ended.stdout


def start_slowly(world: CliWorld, seconds: float) -> subprocess.Popen[str]:
    """A run of many small slices with a pause before each, after its first slice is committed."""
    many_calls(world)
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, str(seconds), "run", "calls", "--json"],
        env=environment(world), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not any((world.folder / "archive").rglob("*.entry.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_run_between_slices(world: CliWorld, number: signal.Signals) -> None:
    """Exit code 1 with the report of what was done; the next run does the rest."""
    process = start_slowly(world, 0.05)
    process.send_signal(number)
    printed, said = process.communicate(timeout=60)

    found = json.loads(printed)
    (report,) = found["result"]["datasets"]
    assert process.returncode == found["exit"] == 1
    assert report["trouble"]["message"] == "the run was asked to stop"
    assert 0 < report["records"] < ROWS
    assert said.startswith("Stopping after the slice under way.")
    rest = world.json("run", "calls")["result"]
    assert rest["records"] == ROWS + 6 - report["records"]


def test_the_second_signal_ends_it_at_once(world: CliWorld) -> None:
    """Exit code 1, no traceback; nothing is lost, and the next run finishes."""
    process = start_slowly(world, 2)
    time.sleep(0.5)  # now it pauses before its second slice, and no longer asks whether to stop
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    printed, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert json.loads(printed)["error"]["message"] == "interrupted"
    assert "Traceback" not in said
    assert world.call("run", "calls").exit_code == 0
    archived = world.json("archive", "query", "SELECT count(*) FROM calls")["result"]["rows"]
    assert archived == [[ROWS + 6]]


def test_the_console_script_is_the_same_program(world: CliWorld) -> None:
    """`lapse` and `python -m lapse` answer alike."""
    script = Path(sys.executable).with_name("lapse")
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)

    assert ended.stdout.startswith("lapse ")
    assert Budget().rows > 1000  # the slow run above really has smaller slices than others
