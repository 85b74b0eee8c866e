"""What the tests of looking at a PostgreSQL database share: statements in, a connection of the store's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from lapse.model.plan import Identity
from lapse.model.policy import Dataset, Pace
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.identifying import identify

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
