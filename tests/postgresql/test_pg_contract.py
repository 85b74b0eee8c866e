"""PostgreSQL passes the contract of every store, whatever the type of its time column."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pg_worlds import (
    PostgresBorrowingWorld,
    PostgresBusyWorld,
    PostgresIndexedWorld,
    PostgresMillisWorld,
    PostgresNaiveWorld,
    PostgresPartitionedWorld,
    PostgresTextWorld,
    PostgresWorld,
)

from lapse.testing.harness import World
from lapse.testing.store_contract import StoreContract
from servers.fixtures import PostgresPool
from servers.postgres import servers

_SHAPES = [
    PostgresWorld,
    PostgresBusyWorld,
    PostgresIndexedWorld,
    PostgresNaiveWorld,
    PostgresTextWorld,
    PostgresMillisWorld,
    PostgresPartitionedWorld,
    PostgresBorrowingWorld,
]

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


def _cases() -> Iterator[object]:
    """Every shape on the newest server and the plain one on each; the others take long and are part of the soak."""
    newest = servers()[-1]
    for version in servers():
        for shape in _SHAPES:
            quick = version == newest or shape is PostgresWorld
            name = f"postgres{version}-{shape.__name__}"
            yield pytest.param((version, shape), marks=() if quick else pytest.mark.soak, id=name)


class Emptied:
    """One database of each server, empty whenever a test gets it: to make one takes longer than most of the tests."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._name = f"contract_{os.getpid()}"
        self._made: dict[str, str] = {}

    def get(self, version: str) -> str:
        """The address of the database of that version, with nothing in it and nobody connected."""
        server = self._pool.get(version)
        if version not in self._made:
            self._made[version] = server.create_database(self._name)
        server.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{self._name}'")
        with server.connect(self._name) as connection:
            for (schema,) in connection.execute(_SCHEMAS).fetchall():
                connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
            connection.execute("CREATE SCHEMA public")
        return self._made[version]


@pytest.fixture(scope="module")
def emptied(postgres_pool: PostgresPool) -> Emptied:
    """Shared by the tests of this process, one after the other."""
    return Emptied(postgres_pool)


class TestPostgresStore(StoreContract):
    """The contract, for each shape of the table and each version of the server."""

    @pytest.fixture(params=_cases())
    def world(self, request: pytest.FixtureRequest, emptied: Emptied) -> World:
        """A table of this shape in an empty database."""
        version, shape = request.param
        made: World = shape(emptied.get(version))
        return made
