"""Other programs that write into a world's tables all the time, and keep account of what they wrote and took away."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Self

import psycopg
from pg_runs import COLUMNS, PgWorld
from psycopg.rows import TupleRow

from worlds import NOW

_LEG_COLUMNS = ("id", "log_id", "note")
_ACCOUNTS = (
    "CREATE TABLE leg (id bigserial PRIMARY KEY, log_id bigint NOT NULL REFERENCES log ON DELETE CASCADE, note text)",
    "CREATE INDEX ON leg (log_id)",
    "CREATE TABLE made AS TABLE log",
    "CREATE TABLE gone AS TABLE log WITH NO DATA",
    "CREATE TABLE made_leg AS TABLE leg WITH NO DATA",
    "CREATE TABLE gone_leg AS TABLE leg WITH NO DATA",
    "CREATE INDEX ON log (at)",
)
_LOG = ", ".join(COLUMNS)
_PICK = f"SELECT {_LOG} FROM log WHERE id >= %s ORDER BY id LIMIT 1 FOR UPDATE"


class Writers:
    """Sessions that insert, change, back-date and remove rows, and give them children, until the block is left.

    Each transaction writes what it made and what it took away into tables beside, so that afterwards
    ``made - gone`` is what Lapse was given to keep or to archive, to the letter.

    Attributes:
        done: How often each thing was done.
    """

    def __init__(self, world: PgWorld, *, threads: int = 3, seed: int = 1, children: bool = False) -> None:
        """Begin to keep account; nobody writes yet."""
        self._world = world
        self._numbers = count(1)
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self.done: Counter[str] = Counter()
        for table in ("made", "gone", "made_leg", "gone_leg"):
            world.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _ACCOUNTS:
            world.execute(statement)
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(seed * 1000 + number), children))
            for number in range(threads)
        ]

    def assert_nothing_is_lost(self) -> None:
        """Every row that was made and not taken away is in the table or in a committed segment, once."""
        world = self._world
        for table, columns in (("log", COLUMNS), ("leg", _LEG_COLUMNS)):
            suffix = "_leg" if table == "leg" else ""
            given = world.rows(f"made{suffix}", columns)
            given.subtract(world.rows(f"gone{suffix}", columns))
            assert min(given.values(), default=0) >= 0, "the account is wrong"
            found = world.rows(table, columns) + world.archived_of(table, columns)
            lost, doubled = +given - found, found - +given
            assert not lost, f"{table}: lost {lost.total()}: {list(lost)[:3]}"
            assert not doubled, f"{table}: too many {doubled.total()}: {list(doubled)[:3]}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _write(self, chance: random.Random, children: bool) -> None:
        deeds: list[Callable[[psycopg.Connection[TupleRow], random.Random], None]]
        deeds = [self._insert, self._change, self._change, self._back_date, self._remove]
        deeds += [self._add_leg] * 6 + [self._change_leg, self._remove_leg] if children else []
        try:
            while not self._over.is_set():
                with contextlib.suppress(psycopg.OperationalError):  # locked, a deadlock, or the server is away
                    self._session(chance, deeds)
        except BaseException as error:  # noqa: BLE001  told at the end of the block
            self._failures.append(error)

    def _session(
        self,
        chance: random.Random,
        deeds: list[Callable[[psycopg.Connection[TupleRow], random.Random], None]],
    ) -> None:
        options = "-c lock_timeout=2s -c synchronous_commit=off"
        with psycopg.connect(self._world.url, autocommit=True, options=options) as connection:
            while not self._over.is_set():
                deed = chance.choice(deeds)
                with connection.transaction():
                    deed(connection, chance)
                self.done[deed.__name__] += 1

    def _body(self) -> str:
        return f"written {next(self._numbers)}"

    def _insert(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        for _ in range(chance.randint(1, 20)):
            connection.execute(
                f"WITH new AS (INSERT INTO log (at, kind, tenant, body) VALUES (%s, %s, %s, %s) RETURNING {_LOG}) "
                f"INSERT INTO made ({_LOG}) SELECT {_LOG} FROM new",
                (_time(chance, 270), "call", f"tenant {chance.randint(0, 2)}", self._body()),
            )

    def _change(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        self._update(connection, chance, "body = %s", (self._body(),))

    def _back_date(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        self._update(connection, chance, "at = %s, body = %s", (_time(chance, 270), self._body()))

    def _update(
        self, connection: psycopg.Connection[TupleRow], chance: random.Random, change: str, values: tuple[object, ...]
    ) -> None:
        row = self._pick(connection, chance)
        if row is not None:
            connection.execute(f"INSERT INTO gone ({_LOG}) VALUES (%s, %s, %s, %s, %s)", row)
            connection.execute(
                f"WITH new AS (UPDATE log SET {change} WHERE id = %s RETURNING {_LOG}) "
                f"INSERT INTO made ({_LOG}) SELECT {_LOG} FROM new".encode(),
                (*values, row[0]),
            )

    def _remove(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        row = self._pick(connection, chance)
        if row is not None:
            connection.execute("SELECT 1 FROM leg WHERE log_id = %s FOR UPDATE", (row[0],))
            connection.execute("INSERT INTO gone_leg SELECT * FROM leg WHERE log_id = %s", (row[0],))
            connection.execute(f"INSERT INTO gone ({_LOG}) VALUES (%s, %s, %s, %s, %s)", row)
            connection.execute("DELETE FROM log WHERE id = %s", (row[0],))

    def _add_leg(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        (bounds,) = connection.execute("SELECT min(id), max(id) FROM log").fetchall()
        parent = _between(chance, bounds)
        connection.execute(
            "WITH parent AS (SELECT id FROM log WHERE id >= %s ORDER BY id LIMIT 1 FOR KEY SHARE), "
            "new AS (INSERT INTO leg (log_id, note) SELECT id, %s FROM parent RETURNING *) "
            "INSERT INTO made_leg SELECT * FROM new",
            (parent, self._body()),
        )

    def _change_leg(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        leg = self._pick_leg(connection, chance)
        if leg is not None:
            connection.execute("INSERT INTO gone_leg VALUES (%s, %s, %s)", leg)
            connection.execute(
                "WITH new AS (UPDATE leg SET note = %s WHERE id = %s RETURNING *) "
                "INSERT INTO made_leg SELECT * FROM new",
                (self._body(), leg[0]),
            )

    def _remove_leg(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> None:
        leg = self._pick_leg(connection, chance)
        if leg is not None:
            connection.execute("INSERT INTO gone_leg VALUES (%s, %s, %s)", leg)
            connection.execute("DELETE FROM leg WHERE id = %s", leg[:1])

    def _pick(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> TupleRow | None:
        (bounds,) = connection.execute("SELECT min(id), max(id) FROM log").fetchall()
        return connection.execute(_PICK, (_between(chance, bounds),)).fetchone()

    def _pick_leg(self, connection: psycopg.Connection[TupleRow], chance: random.Random) -> TupleRow | None:
        (bounds,) = connection.execute("SELECT min(id), max(id) FROM leg").fetchall()
        pick = "SELECT id, log_id, note FROM leg WHERE id >= %s ORDER BY id LIMIT 1 FOR UPDATE"
        return connection.execute(pick, (_between(chance, bounds),)).fetchone()


def _time(chance: random.Random, days: float) -> datetime:
    return NOW - timedelta(days=chance.uniform(0, days))


def _between(chance: random.Random, bounds: TupleRow) -> int:
    """A key from the lower half rather than the upper one: where the lapsed rows are."""
    first, last = bounds[0] or 0, bounds[1] or 0
    return int(first + (last - first) * chance.random() ** 2)
