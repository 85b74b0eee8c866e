"""Another process has the file locked: a run waits for it, and says so if it does not let go."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lapse.cli.main import app
from lapse.engine import retrying
from lapse.engine.running import Wishes, run
from lapse.engine.session import open_session
from lapse.errors import BusyError, ExitCode
from lapse.model.report import Status
from lapse.ports import Event
from lapse.stores.sqlite import database
from worlds import World, make

_HOLDING = """
import sqlite3
import sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
connection.close()
"""


@contextmanager
def locked(path: Path, begin: str = "BEGIN IMMEDIATE") -> Iterator[Callable[[], object]]:
    """While the block lasts another process holds a lock; it lets go when the function it gives is called."""
    command = [sys.executable, "-c", _HOLDING, str(path), begin]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"held\n"
            yield process.communicate
        finally:
            if process.poll() is None:
                process.communicate()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A file of 200 records, and little patience."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    monkeypatch.setattr(database, "_WAIT", 0.05)
    monkeypatch.setattr(retrying, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr(retrying, "TRIES", 2)
    return make(tmp_path / "world", "sqlite", 200)


class _LetsGo:
    """A hook that has the other process let go once a slice was put back."""

    def __init__(self, let_go: Callable[[], object]) -> None:
        self.reasons: list[object] = []
        self._let_go = let_go

    def on(self, event: Event) -> None:
        """Note why."""
        if event.name == "slice.put_back":
            self.reasons.append(event.facts["reason"])
            if len(self.reasons) == 1:
                self._let_go()


def test_a_run_waits_for_a_lock_and_goes_on(world: World) -> None:
    """The slice comes again once the other process has let go, and the run is done."""
    before = world.records()
    world.session()

    with locked(world.data / "log.db") as let_go:
        hook = _LetsGo(let_go)
        report = run(open_session(str(world.folder / "lapse.yaml"), hooks=(hook,)), Wishes())

    assert report.exit_code is ExitCode.DONE
    assert report.records > 0
    assert "is locked by another program" in str(hook.reasons[0])
    assert world.records() + world.archived() == before
    assert world.strays() == []


def test_a_lock_that_stays_leaves_the_slice_and_says_why(world: World) -> None:
    """It is tried a few times; nothing is lost, nothing is left open, and the next run takes it."""
    before = world.records()

    with locked(world.data / "log.db"):
        report = world.run()

    (found,) = report.datasets
    assert (report.exit_code, found.status, found.records) == (ExitCode.INCOMPLETE, Status.INCOMPLETE, 0)
    assert found.trouble is not None
    assert "is locked by another program" in found.trouble.message
    assert world.records() == before
    assert world.run().exit_code is ExitCode.DONE
    assert world.records() + world.archived() == before
    assert world.strays() == []


def test_a_file_that_cannot_even_be_read_is_told_of(world: World) -> None:
    """Without a write-ahead log a writer keeps readers out: exit 1 with what to do, and the file is as it was."""
    world.session()
    file = world.data / "log.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    before = file.read_bytes()

    with locked(file, "BEGIN EXCLUSIVE"):
        answer = CliRunner().invoke(app, ["run", "--policy", str(world.folder / "lapse.yaml")])

    assert answer.exit_code == ExitCode.INCOMPLETE
    assert "log.db is locked by another program" in answer.stderr
    assert "Run again when it is idle; nothing was changed." in answer.stderr
    assert file.read_bytes() == before


def test_a_lock_is_an_error_of_its_own(world: World) -> None:
    """So that whoever can wait knows that waiting helps."""
    with locked(world.data / "log.db"):
        found = database.Database(f"sqlite:///{world.data}/log.db", shown="log.db", read_only=False)
        with pytest.raises(BusyError, match="locked by another program") as caught, found.writing():
            pass
        found.close()

    assert caught.value.exit_code is ExitCode.INCOMPLETE
    assert caught.value.hint == "Run again when it is idle; nothing was changed."
