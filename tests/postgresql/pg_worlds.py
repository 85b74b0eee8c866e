"""Worlds of the PostgreSQL store: one table in several shapes, filled and disturbed by another session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import psycopg

from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Facts
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import Selection
from lapse.ports import Budget, Slice
from lapse.stores.postgresql import PostgresStore
from lapse.stores.postgresql.scene import Mark
from lapse.testing.harness import Record, Traits, World

_COLUMNS = '"id", "at", "kind", "tenant", "level", "body"'


class PostgresWorld(World):
    """A plain table with a bigint key and ``timestamptz``."""

    store_class = PostgresStore
    traits: ClassVar[Traits] = Traits(step=1000, garbage=False)
    time_type: ClassVar[str] = "timestamptz"
    key: ClassVar[str] = "bigint PRIMARY KEY"
    options: ClassVar[str] = ""
    more: ClassVar[str] = ""

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def address(self) -> str:
        """The database's address."""
        return self._address

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Another session; every statement is committed at once."""
        with psycopg.connect(self._address, autocommit=True, options="-c lock_timeout=300ms") as connection:
            yield connection

    def create(self, records: Sequence[Record]) -> None:
        """Make the table anew, without markers."""
        with self.connected() as connection:
            connection.execute('DROP TABLE IF EXISTS "log", "lapse_disposals"')
            connection.execute(
                f'CREATE TABLE "log" ("id" {self.key}, "at" {self.time_type}, "kind" varchar(100), '
                f'"tenant" text, "level" bigint, "body" text) {self.options}; {self.more}'
            )
            self._insert(connection, records)

    def _insert(self, connection: psycopg.Connection[Any], records: Sequence[Record]) -> None:
        rows = [(r.key, self.time(r.at), r.kind, r.tenant, r.level, r.body) for r in records]
        with connection.cursor() as cursor, connection.transaction():
            cursor.executemany(f'INSERT INTO "log" ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)', rows)

    def time(self, at: Nanos | str | None) -> object:
        """The time as this column has it."""
        return rfc3339(at) if isinstance(at, int) else at

    def add(self, *records: Record) -> bool:
        """Insert rows in a session of its own."""
        with self.connected() as connection:
            self._insert(connection, records)
        return True

    def change(self, record: Record) -> bool:
        """Give a row other content; False if it is locked."""
        values = (self.time(record.at), record.kind, record.tenant, record.level, record.body, record.key)
        with self.connected() as connection:
            try:
                connection.execute(
                    'UPDATE "log" SET "at" = %s, "kind" = %s, "tenant" = %s, "level" = %s, "body" = %s WHERE "id" = %s',
                    values,
                )
            except psycopg.errors.LockNotAvailable:
                return False
        return True

    def snapshot(self) -> Mapping[int, object]:
        """Every row as text."""
        with self.connected() as connection:
            rows = connection.execute('SELECT "id", "log"::text FROM "log" ORDER BY 1, 2').fetchall()
        assert len({key for key, _ in rows}) == len(rows)
        return dict(rows)

    def image(self) -> object:
        """Every row with its place, its version and its last lock."""
        with self.connected() as connection:
            return connection.execute(
                'SELECT tableoid, ctid::text, xmin::text, xmax::text, "log"::text FROM "log" ORDER BY 1, 2'
            ).fetchall()


class PostgresNaiveWorld(PostgresWorld):
    """Wall clock times, and no key at all."""

    traits = Traits(step=1000, garbage=False, marked=False, keyed=False)
    time_type = "timestamp"
    key = "bigint"

    def time(self, at: Nanos | str | None) -> object:
        """Without zone."""
        return rfc3339(at).removesuffix("Z") if isinstance(at, int) else at


class PostgresTextWorld(PostgresWorld):
    """Times in texts, as old telephone systems write them."""

    traits = Traits(step=1)
    time_type = "varchar(40)"


class PostgresMillisWorld(PostgresWorld):
    """Milliseconds in a bigint."""

    traits = Traits(step=1_000_000, garbage=False)
    time_type = "bigint"
    time_format = TimeFormat.MILLISECONDS

    def time(self, at: Nanos | str | None) -> object:
        """A number."""
        return at // 1_000_000 if isinstance(at, int) else None


class PostgresPartitionedWorld(PostgresWorld):
    """A partition under a name that needs care; partitioned by something else than time, so rows go one by one."""

    traits = Traits(step=1000, garbage=False, marked=False, keyed=False)
    key = "bigint"
    options = 'PARTITION BY RANGE ("id")'
    more = 'CREATE TABLE "log%s ""all""" PARTITION OF "log" FOR VALUES FROM (MINVALUE) TO (MAXVALUE);'


class PostgresIndexedWorld(PostgresWorld):
    """An index on the time: where lapsed rows lie scattered they are found by it."""

    more = 'CREATE INDEX "by time" ON "log" ("at");'


class Considerate:
    """Others are always to be let through, after each page.

    Attributes:
        rests: Seconds of the steps after which somebody could rest.
    """

    def __init__(self) -> None:
        self.rests: list[float] = []

    def burst(self) -> float:
        """Nothing is short enough."""
        return 0.0

    def rest(self, seconds: float) -> None:
        """Take no time."""
        self.rests.append(seconds)


class SteppingStore(PostgresStore):
    """The store while others are busy: it takes its slices in steps."""

    breaks: ClassVar[Considerate] = Considerate()

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Mark | None = None) -> Iterator[Slice]:
        """As always, with breaks."""
        yield from super().slices(selection, facts, replace(budget, breaks=self.breaks), mark)


class PostgresBusyWorld(PostgresWorld):
    """A plain table whose slices are taken in steps."""

    store_class = SteppingStore

    def lease_elsewhere(self) -> str:
        """Another process does not have this module, and a lease has no steps."""
        return PostgresWorld(self.address).lease_elsewhere()


class PostgresBorrowingWorld(PostgresWorld):
    """The time stands in the row of another table that a foreign key leads to."""

    def dataset(self, **overrides: Any) -> Dataset:
        """The dataset with its borrowed time."""
        return super().dataset(**{"time": "call.at", **overrides})

    def create(self, records: Sequence[Record]) -> None:
        """Make both tables anew."""
        with self.connected() as connection:
            connection.execute('DROP TABLE IF EXISTS "log", "call", "lapse_disposals"')
            connection.execute('CREATE TABLE "call" ("no." bigint PRIMARY KEY, "at" timestamptz)')
            connection.execute(
                'CREATE TABLE "log" ("id" bigint PRIMARY KEY, "call" bigint REFERENCES "call", "kind" varchar(100), '
                '"tenant" text, "level" bigint, "body" text)'
            )
            self._insert(connection, records)

    def _insert(self, connection: psycopg.Connection[Any], records: Sequence[Record]) -> None:
        rows = [(r.key, self.time(r.at), r.key, r.key, r.kind, r.tenant, r.level, r.body) for r in records]
        with connection.cursor() as cursor, connection.transaction():
            cursor.executemany(
                'WITH called AS (INSERT INTO "call" VALUES (%s, %s) ON CONFLICT DO NOTHING) '
                'INSERT INTO "log" ("id", "call", "kind", "tenant", "level", "body") VALUES (%s, %s, %s, %s, %s, %s)',
                rows,
            )

    def change(self, record: Record) -> bool:
        """Give a row other content and its parent another time; False if either is locked."""
        with self.connected() as connection:
            try:
                with connection.transaction():
                    connection.execute(
                        'UPDATE "call" SET "at" = %s WHERE "no." = %s', (self.time(record.at), record.key)
                    )
                    connection.execute(
                        'UPDATE "log" SET "kind" = %s, "tenant" = %s, "level" = %s, "body" = %s WHERE "id" = %s',
                        (record.kind, record.tenant, record.level, record.body, record.key),
                    )
            except psycopg.errors.LockNotAvailable:
                return False
        return True
