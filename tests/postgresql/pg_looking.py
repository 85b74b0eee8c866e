"""What the tests of looking at a PostgreSQL database share: a table, a role, statements in, a connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from lapse.model.plan import Identity
from lapse.model.policy import Dataset, Pace
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.identifying import identify
from servers.postgres import PostgresServer

CEL = """
CREATE TABLE cel (
    id serial PRIMARY KEY, eventtime timestamptz NOT NULL, eventtype text NOT NULL, tenant_uuid uuid, cid_num text
)
"""


def run(url: str, *statements: str) -> None:
    """Run statements, each a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def connected(url: str, *, read_only: bool = False) -> Iterator[Connection]:
    """A session as the store has it."""
    connection = Connection(url, shown=url, read_only=read_only)
    try:
        yield connection
    finally:
        connection.close()


def dataset(url: str, table: str = "cel", *, time: str = "eventtime", pace: Pace | None = None) -> Dataset:
    """A dataset that keeps everything."""
    return Dataset(name="calls", store=url, shown=url, table=table, time=time, pace=pace or Pace())


def identity(url: str, table: str = "cel", *, time: str = "eventtime") -> Identity:
    """What the store says of *table*, asked by a session of its own."""
    with connected(url, read_only=True) as connection:
        return identify(connection, find_table(connection, table), dataset(url, table, time=time))


def as_role(url: str, role: str) -> str:
    """The same database for another role."""
    return url.replace("//postgres@", f"//{role}@")


@pytest.fixture
def role(postgres: PostgresServer, pg_database: str) -> Iterator[str]:
    """A role of the test's own that may do nothing; gone afterwards."""
    name = f"reader_{os.getpid()}"
    postgres.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres.execute(f"DROP OWNED BY {name}", pg_database.rpartition("/")[2])
    postgres.execute(f"DROP ROLE {name}")


@pytest.fixture
def calls(pg_database: str) -> str:
    """A database with the table ``cel``."""
    run(pg_database, CEL, "INSERT INTO cel (eventtime, eventtype) VALUES ('2026-01-01Z', 'HANGUP'), (now(), 'ANSWER')")
    return pg_database
