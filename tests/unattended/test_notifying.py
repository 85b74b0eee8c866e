"""Programs of the operator's that are told how a run ended."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from unattended_world import World, program
from unattended_world import world_fixture as world_fixture

from lapse import clock
from lapse.engine import notifying


def told(world: World) -> list[str]:
    """What the program in `notify` noted: run, exit, policy, and what it read."""
    file = world.folder / "told"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.fixture
def notified(world: World) -> World:
    """A world whose policy names a program for both ends."""
    program(world.folder, "note", f'echo "$LAPSE_RUN|$LAPSE_EXIT|$1|$(cat)" >> {world.folder}/told')
    world.policy("notify: {on failure: [./note, bad], on success: [./note, good]}\n")
    return world


def test_a_success_is_told_with_its_report(notified: World) -> None:
    """The JSON that --json prints is on standard input; run and exit code are in the environment."""
    notified.call("run")
    (line,) = told(notified)
    run, code, argument, report = line.split("|", 3)

    assert (code, argument) == ("0", "good")
    assert json.loads(report)["result"]["run"] == run
    assert json.loads(report)["result"]["records"] == 10


def test_a_refused_run_is_told(notified: World) -> None:
    """Exit 3, with the error as it is printed; the answer of the command is not changed."""
    text = notified.policy_file.read_text(encoding="utf-8")
    notified.policy_file.write_text(f"{text}guards: {{rows: 1}}\n", encoding="utf-8")
    result = notified.call("run")
    _, code, argument, report = told(notified)[0].split("|", 3)

    assert (result.exit_code, code, argument) == (3, "3", "bad")
    assert json.loads(report)["error"]["message"] in result.stderr


def test_a_run_that_fails_half_way_is_told(notified: World) -> None:
    """Exit 1: a dataset that did not complete. Here a trigger forbids the delete."""
    with sqlite3.connect(notified.folder / "calls.db") as connection:
        connection.execute("CREATE TRIGGER no BEFORE DELETE ON cel BEGIN SELECT RAISE(ABORT, 'no'); END")
    connection.close()
    result = notified.call("run")
    _, code, argument, _ = told(notified)[0].split("|", 3)

    assert result.exit_code in (1, 2)
    assert (code, argument) == (str(result.exit_code), "bad")


def test_a_store_that_is_gone_is_told(notified: World) -> None:
    """Exit 2 is a failure as well: nobody is there to read it at night."""
    (notified.folder / "calls.db").unlink()

    assert notified.call("run").exit_code == 2
    assert told(notified)[0].split("|")[1:3] == ["2", "bad"]


def test_nobody_is_told_of_a_run_that_met_another_one(notified: World) -> None:
    """The other one has its own end."""
    from contextlib import closing

    from lapse.registry import open_store

    store = open_store(notified.session().policy.datasets["calls"], read_only=False)
    with closing(store), store.lease():
        child = notified.start("run")
        child.communicate(timeout=60)

    assert child.returncode == 4
    assert told(notified) == []


def test_nobody_is_told_of_a_dry_run(notified: World) -> None:
    """It does nothing to be told of."""
    notified.call("run", "--dry-run")

    assert told(notified) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [("/nowhere/mail", "cannot be called"), ("./deaf", "ended with exit 3"), (".", "cannot be called")],
)
def test_a_program_that_fails_is_a_warning(world: World, command: str, why: str) -> None:
    """The exit code of the run stays, and so does what it printed."""
    program(world.folder, "deaf", "exit 3")
    world.policy(f"notify: {{on success: ['{command}']}}\n")
    result = world.call("run")

    assert result.exit_code == 0
    assert why in result.stderr
    assert "10 records removed" in result.stdout


def test_no_shell_reads_the_arguments(world: World) -> None:
    """They arrive as they are written."""
    program(world.folder, "args", f'printf "%s\\n" "$@" > {world.folder}/told')
    world.policy("notify: {on success: [./args, '$HOME; rm -rf x', '`id`', '* a']}\n")
    world.call("run")

    assert told(world) == ["$HOME; rm -rf x", "`id`", "* a"]


def test_what_it_prints_stays_out_of_the_answer(world: World) -> None:
    """Standard output is one JSON object, whatever the program says."""
    program(world.folder, "loud", "echo hello; echo world >&2")
    world.policy("notify: {on success: [./loud]}\n")
    found = world.call("run", "--json")

    assert json.loads(found.stdout)["exit"] == 0
    assert "world" not in found.stderr


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """After its time it and what it started are gone, and the warning says so."""
    script = program(tmp_path, "hang", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    trouble = notifying.call([str(script)], b"{}", folder=str(tmp_path), facts={}, limit=0.5)

    child = int((tmp_path / "child").read_text(encoding="ascii"))
    assert trouble is not None
    assert "was killed" in trouble
    _await_gone(child)


def _await_gone(pid: int) -> None:
    """Until the process is gone, or waits only for its parent to notice."""
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z":
        clock.sleep(0.02)


def test_a_program_need_not_read_its_input(tmp_path: Path) -> None:
    """A report that is larger than a pipe does not make it a failure."""
    assert notifying.call(["true"], b"x" * 1_000_000, folder=str(tmp_path), facts={}) is None
