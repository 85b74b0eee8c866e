"""``hold add`` against a run that is under way: what it holds when it returns is there for good."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hosts import Host
from lapse import clock
from lapse.engine.ordering import add_hold
from lapse.engine.running import Wishes, run
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.model.report import DatasetReport
from lapse.ports import Budget
from servers.fixtures import PostgresPool
from servers.mariadb import MariadbServer, mariadb, mariadb_database
from servers.postgres import servers

__all__ = ["mariadb", "mariadb_database"]

ROWS = 20
SLICE = 4
_NAMED = "tenant: tenant\n    key: id"
TENANT = Match((Condition("tenant", ("held",), role="tenant"),))
SHORT, FULL = 25, 1000


class Arena(ABC):
    """A table that can be filled again and again, and what its records of one tenant are."""

    columns = "id, at, tenant"

    @abstractmethod
    def reset(self, round_: int) -> tuple[Host, Host]:
        """Fill it anew; a host that runs and one that holds, both as if for the first time."""

    @abstractmethod
    def keys(self, where: str) -> set[int]:
        """The keys of its rows for which *where* is true."""

    @staticmethod
    def rows() -> Iterator[tuple[int, str, str]]:
        """Lapsed rows, every other one of the tenant that is to be held."""
        for number in range(ROWS):
            yield number, f"2025-01-{1 + number % 28:02} 00:00:00", "held" if number % 2 else "acme"


@dataclass
class SqliteArena(Arena):
    """One file on one host: a lock in its state folder is what a run and a hold meet at."""

    folder: Path

    def reset(self, round_: int) -> tuple[Host, Host]:
        """A folder of its own."""
        shutil.rmtree(self.folder / "host", ignore_errors=True)
        host = Host(folder=self.folder / "host", url="sqlite:///log.db")
        host.folder.mkdir(parents=True)
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, tenant TEXT)")
            connection.executemany("INSERT INTO log VALUES (?, ?, ?)", self.rows())
        host.policy(archive="none" if round_ % 3 else "cold", dataset=_NAMED)
        return host, host

    @property
    def _file(self) -> Path:
        return self.folder / "host" / "log.db"

    def keys(self, where: str) -> set[int]:
        """By a connection of its own."""
        with closing(sqlite3.connect(self._file, timeout=60)) as connection:
            return {key for (key,) in connection.execute(f"SELECT id FROM log WHERE {where}")}


@dataclass
class ServerArena(Arena):
    """A table on a server, and two hosts that share nothing else: they meet at the table of holds."""

    folder: Path
    url: str
    connection: Any
    parted: bool = False

    def reset(self, round_: int) -> tuple[Host, Host]:
        """The same table, emptied; hosts of their own."""
        cursor = self.connection.cursor()
        for table in ("log", "lapse_holds", "lapse_disposals", "lapse_leases"):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        if self.parted:
            cursor.execute("CREATE TABLE log (id INT, at TIMESTAMP, tenant VARCHAR(9)) PARTITION BY RANGE (at)")
            for day in range(1, 29, 7):
                bounds = f"('2025-01-{day:02}') TO ('2025-01-{day + 7:02}')"
                cursor.execute(f"CREATE TABLE log_{day} PARTITION OF log FOR VALUES FROM {bounds}")
        else:
            cursor.execute("CREATE TABLE log (id INT PRIMARY KEY, at TIMESTAMP NOT NULL, tenant VARCHAR(9))")
        cursor.execute("INSERT INTO log VALUES " + ", ".join(map(str, self.rows())))
        cursor.close()
        hosts = []
        for name in ("here", "there"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            host = Host(folder=self.folder / name, url=self.url)
            hosts.append(host.policy(archive="none" if round_ % 3 else "cold", dataset=_NAMED))
        return hosts[0], hosts[1]

    def keys(self, where: str) -> set[int]:
        """By a connection that is open all the time."""
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(f"SELECT id FROM log WHERE {where}")
            return {key for (key,) in cursor.fetchall()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is one: that nothing is lost when the power goes is the business of other tests."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="lapse-races-") as name:
        yield Path(name)


@pytest.fixture
def sqlite_arena(folder: Path) -> Arena:
    """A file."""
    return SqliteArena(folder)


@pytest.fixture(params=[False, True], ids=["rows", "partitions"])
def postgres_arena(request: pytest.FixtureRequest, postgres_pool: PostgresPool, folder: Path) -> Iterator[Arena]:
    """A table of the newest PostgreSQL, and one whose partitions are dropped."""
    server = postgres_pool.get(servers()[-1])
    url = server.create_database(folder.name.replace("-", "_"))
    with psycopg.connect(url, autocommit=True) as connection:
        yield ServerArena(folder, url, connection, request.param)
    server.drop_database(folder.name.replace("-", "_"))


@pytest.fixture
def mariadb_arena(mariadb: MariadbServer, mariadb_database: str, folder: Path) -> Iterator[Arena]:
    """A table of MariaDB."""
    with mariadb.connect(mariadb_database) as connection:
        yield ServerArena(folder, mariadb.socket_url(mariadb_database, "lapse"), connection)


def _race(arena: Arena, round_: int, delay: float) -> tuple[set[int], set[int], DatasetReport, float]:
    """What was there of the tenant when ``hold add`` returned, what is there in the end, and how long the run took."""
    running, holding = arena.reset(round_)
    session, ordering = running.session(), holding.session()
    hold = Hold(matter="M-1", match=TENANT) if round_ % 2 else Hold(
        matter="M-1", dataset="log", keys=tuple(map(str, range(1, ROWS, 2)))
    )  # fmt: skip
    reports: list[DatasetReport] = []
    began = clock.monotonic()
    took: list[float] = []

    def work() -> None:
        reports.extend(run(session, Wishes(allow_empty=True, budget=Budget(rows=SLICE))).datasets)
        took.append(clock.monotonic() - began)

    runner = threading.Thread(target=work)
    runner.start()
    threading.Event().wait(delay)
    add_hold(ordering, hold)
    there = arena.keys("tenant = 'held'")
    runner.join(120)
    return there, arena.keys("tenant = 'held'"), reports[0], took[0]


def _check(arena: Arena, rounds: int) -> None:
    """Race so often, at ever other moments of the run; what was there when the command returned must stay."""
    rng, typical, outcomes = random.Random(rounds), 0.1, Counter[str]()
    for round_ in range(rounds):
        there, left, report, took = _race(arena, round_, rng.uniform(0, typical))
        assert there <= left, f"round {round_}: {sorted(there - left)} went after `hold add` had returned"
        assert report.trouble is None, f"round {round_}: {report.trouble}"
        assert arena.keys("tenant = 'acme'") == set(), f"round {round_}"
        typical += 0.2 * (took - typical)
        outcomes["all" if len(there) == ROWS // 2 else "some" if there else "none"] += 1
    # A race in which the one always comes first proves nothing.
    assert outcomes["some"] >= rounds // 10, outcomes


def test_what_is_held_when_hold_add_returns_stays_on_sqlite(sqlite_arena: Arena) -> None:
    """Whenever in a run the hold comes."""
    _check(sqlite_arena, SHORT)


def test_what_is_held_when_hold_add_returns_stays_on_postgresql(postgres_arena: Arena) -> None:
    """Whenever in a run of another host the hold comes."""
    _check(postgres_arena, SHORT)


def test_what_is_held_when_hold_add_returns_stays_on_mariadb(mariadb_arena: Arena) -> None:
    """Whenever in a run of another host the hold comes."""
    _check(mariadb_arena, SHORT)


@pytest.mark.soak
def test_a_thousand_races_on_sqlite(sqlite_arena: Arena) -> None:
    """The same, many times."""
    _check(sqlite_arena, FULL)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_races_on_postgresql(postgres_arena: Arena) -> None:
    """The same, many times."""
    _check(postgres_arena, FULL)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_races_on_mariadb(mariadb_arena: Arena) -> None:
    """The same, many times."""
    _check(mariadb_arena, FULL)
