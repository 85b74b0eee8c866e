"""Worlds on a PostgreSQL server to crash and disturb runs in, and runs as processes of their own.

As a program it kills a run at one port call after another, and lets the next run recover; one JSON line a case:
``python pg_runs.py URL FOLDER [FIRST STEP]``. It imports everything once and forks for each case.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from matrix import ArmedTake, Bomb, arm, check, crash, told_in_child
from psycopg.rows import TupleRow

from lapse.engine.session import Session, open_session
from lapse.stores.postgresql import PostgresStore
from lapse.stores.postgresql.connection import Connection
from servers.processes import await_condition
from worlds import NOW, World, _rows, sealed_rows

COLUMNS = ("id", "at", "kind", "tenant", "body")
HELPERS = (Path(__file__).parent, Path(__file__).parents[1], Path(__file__).parents[1] / "crash")
_RECORDS = 150

_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  log:
    store: {store}
    table: log
    time: at
    type: kind
    tenant: tenant
    keep:
      - {{type: keep, for: forever}}
      - {{for: 90 days}}
    archive: {archive}
{pace}holds:
  - {{matter: M-1, match: {{dataset: log, tenant: held}}, reason: litigation}}
guards: {{ramp: off}}
"""
_TABLE = "CREATE TABLE log (id bigserial PRIMARY KEY, at timestamptz, kind text, tenant text, body text)"


@dataclass(frozen=True)
class PgWorld(World):
    """A table on a server, with a policy, an archive and Lapse's state in a folder.

    Attributes:
        url: The address of the database, for those who look and disturb; the policy may name another one.
    """

    url: str

    def records(self) -> Counter[str]:
        """What the table holds."""
        return self.rows("log", COLUMNS)

    def rows(self, table: str, columns: Sequence[str]) -> Counter[str]:
        """What *table* holds, as `archived_of` writes it."""
        return Counter(text(row) for row in self.execute(f"SELECT {', '.join(columns)} FROM {table}"))

    def archived(self) -> Counter[str]:
        """What committed segments hold of the table."""
        return self.archived_of("log", COLUMNS)

    def archived_of(self, table: str, columns: Sequence[str]) -> Counter[str]:
        """What committed segments hold of *table*."""
        return Counter(map(text, sealed_rows(self.archive, table, columns)))

    def execute(self, statement: str) -> list[TupleRow]:
        """Run one statement, committed at once; its rows, with times in UTC."""
        with psycopg.connect(self.url, autocommit=True, options="-c TimeZone=UTC") as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def back(self) -> None:
        """Wait until the server, which was stopped, is there again."""
        await_condition(self._answers, "the server")

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def alone(self) -> None:
        """Wait until the server has noticed that no run is there any more, and has undone what one left."""
        sessions = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'lapse' AND backend_type = 'client backend'"
        )
        await_condition(lambda: self.execute(sessions)[0][0] == 0, "the end of the session")

    def settings(self) -> dict[str, str]:
        """The environment of a process that works on it."""
        path = os.pathsep.join([*map(str, HELPERS), os.environ.get("PYTHONPATH", "")])
        return {
            **os.environ,
            "PYTHONPATH": path,
            "LAPSE_STATE_DIR": str(self.folder / "state"),
            "LAPSE_NOW": NOW.isoformat(),
            "LAPSE_POLICY": str(self.folder / "lapse.yaml"),
        }

    def session(self) -> Session:
        """Open it as a command does."""
        with patch.dict(os.environ, self.settings()):
            return open_session(str(self.folder / "lapse.yaml"))

    def lapse(self, *arguments: str, before: str = "") -> Running:
        """Start the program, after the Python statements *before*."""
        program = f"{before}\nimport sys\nfrom lapse.cli.main import main\nsys.argv[0] = 'lapse'\nmain()\n"
        return Running(self, [sys.executable, "-c", program, *arguments])

    def start(self, rows: int = 20, *, before: str = "") -> Running:
        """Start a run with slices of *rows* records, after the Python statements *before*."""
        code = f"{before}\nfrom pg_runs import *\nPgWorld(Path({str(self.folder)!r}), 'postgresql', '').run({rows})\n"
        return Running(self, [sys.executable, "-c", code])

    def facts(self, original: Counter[str]) -> dict[str, Any]:
        """What it looks like after one more run, which must go through; see `assert_whole`."""
        ended = self.lapse("run", "--json").end()
        archived = self.archived()
        return {
            "exit": ended.exit,
            "said": ended.said,
            "whole": self.records() + archived == original,
            "twice": [record for record, count in archived.items() if count > original[record]],
            "counted": self.ledger_records() == archived.total(),
            "strays": self.strays(),
            "markers": self.markers(),
        }

    def markers(self) -> int:
        """How many markers are left; none where there is no table for them."""
        if self.execute("SELECT to_regclass('lapse_disposals') IS NULL")[0][0]:
            return 0
        return int(self.execute("SELECT count(*) FROM lapse_disposals")[0][0])

    def assert_recovered(self, original: Counter[str]) -> dict[str, Any]:
        """One more run goes through, and then everything is accounted for, once, and nothing lies around."""
        facts = self.facts(original)
        assert facts["exit"] == 0, facts
        assert facts["whole"], facts
        assert facts["twice"] == [], facts
        assert facts["counted"], facts
        assert facts["strays"] == [], facts
        assert facts["markers"] == 0, facts
        return facts


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        exit: Its exit code, negative for a signal.
        out: What it wrote to stdout.
        said: What it wrote to stderr.
    """

    exit: int
    out: str
    said: str

    @property
    def dataset(self) -> dict[str, Any]:
        """What ``--json`` says of the only dataset."""
        (found,) = self.result["datasets"]
        return dict(found)

    @property
    def result(self) -> dict[str, Any]:
        """The result that ``--json`` printed."""
        return dict(json.loads(self.out)["result"])

    @property
    def error(self) -> dict[str, Any]:
        """The error that ``--json`` printed."""
        return dict(json.loads(self.out)["error"])


class Running:
    """A process that works on a world."""

    def __init__(self, world: PgWorld, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=world.settings(),
            cwd=world.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __del__(self) -> None:
        """A test that fails leaves no process behind, and no open pipe."""
        self.process.kill()
        self.process.communicate()

    def end(self, seconds: float = 120) -> Ended:
        """Wait for its end."""
        out, said = self.process.communicate(timeout=seconds)
        return Ended(self.process.returncode, out, said)

    def kill(self) -> Ended:
        """SIGKILL."""
        self.process.kill()
        return self.end()


def text(row: Sequence[object]) -> str:
    """A row, exactly."""
    return json.dumps([str(cell) if cell is not None else None for cell in row])


def make(
    folder: Path, url: str, *, records: int, store: str | None = None, archive: str = "cold", pace: str = ""
) -> PgWorld:
    """Build a world anew with *records* records, two thirds of them lapsed, in the order of time.

    Arguments:
        folder: Not there yet.
        url: The database; its table ``log`` and all markers are dropped.
        records: How many.
        store: What the policy names. None: *url*.
        archive: ``cold``, or ``none`` for a waiver.
        pace: As in a policy, in braces. Empty: as it comes.
    """
    world = PgWorld(folder, "postgresql", url)
    world.data.mkdir(parents=True)
    paced = f"    pace: {pace}\n" if pace else ""
    policy = _POLICY.format(store=store or url, archive=archive, pace=paced)
    (folder / "lapse.yaml").write_text(policy, encoding="utf-8")
    world.execute("DROP TABLE IF EXISTS leg, log, lapse_disposals, made, gone CASCADE")
    world.execute(_TABLE)
    fill(world, records)
    return world


def fill(world: PgWorld, records: int) -> None:
    """Insert *records* rows in the order of time, and let the server count them."""
    into = "COPY log (at, kind, tenant, body) FROM STDIN"
    with other_session(world) as connection, connection.cursor() as cursor:
        with cursor.copy(into) as copy:
            for row in _rows(records):
                copy.write_row(row)
        connection.commit()
    world.execute("ANALYZE log")


@contextmanager
def other_session(world: PgWorld) -> Iterator[psycopg.Connection[TupleRow]]:
    """A session that disturbs; a transaction is open until it is ended, or undone at the end of the block."""
    with psycopg.connect(world.url, options="-c TimeZone=UTC") as connection:
        yield connection
        connection.rollback()


# Killed at every port call


class _PledgedTake(ArmedTake):
    """A take that can give a pledge."""

    def __enter__(self) -> Any:
        armed = super().__enter__()
        type(armed).pledge = self._method("pledge")
        return armed


def arm_server(bomb: Bomb) -> None:
    """A moment before and after each call of the run's ports, and of what ends the store's transactions."""
    arm(bomb, PostgresStore, _PledgedTake)
    bomb.arm(Connection, ("commit", "roll_back"))


def case(folder: Path, url: str, fuse: int, moment: str, answers: Path) -> None:
    """One crash and its recovery."""
    shutil.rmtree(folder, ignore_errors=True)
    world = make(folder, url, records=_RECORDS)
    original = world.records()
    ended = crash(world, fuse, answers, arming=arm_server, rows=50)
    world.alone()
    recovered, facts = told_in_child(lambda: {**check(world, original), "markers": world.markers()}, answers)
    print(json.dumps({"fuse": fuse, "moment": moment, "ended": ended, "recovered": recovered, **facts}), flush=True)


def chosen(moments: Sequence[str], every: bool) -> list[int]:
    """The fuses: all of them, or of each kind of moment one in the middle of the run."""
    if every:
        return list(range(1, len(moments) + 1))
    places: dict[str, list[int]] = {}
    for fuse, moment in enumerate(moments, start=1):
        places.setdefault(moment, []).append(fuse)
    return sorted(found[len(found) // 2] for found in places.values())


def main(url: str, folder: Path, every: bool, first: int, step: int) -> None:
    """Each *step*-th of the chosen moments from *first* on."""
    answers = folder / "answers.json"
    folder.mkdir(parents=True)
    for name in ("first", "rehearsal"):  # the first run makes tables of Lapse's own in the database, and no later one
        rehearsal = make(folder / name, url, records=_RECORDS)
        assert crash(rehearsal, None, answers, arming=arm_server, rows=50) == 0, f"the {name} run failed"
    moments = json.loads(answers.read_text())
    fuses = chosen(moments, every)[first::step]
    print(json.dumps({"moments": moments, "cases": len(fuses)}), flush=True)
    for fuse in fuses:
        case(folder / "world", url, fuse, moments[fuse - 1], answers)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "every", int(sys.argv[4]), int(sys.argv[5]))
