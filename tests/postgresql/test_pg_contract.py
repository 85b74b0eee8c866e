"""PostgreSQL passes the contract of every store, whatever the type of its time column."""

from __future__ import annotations

import itertools
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


_numbers = itertools.count()


def _cases() -> Iterator[object]:
    """Every shape on the newest server and the plain one on each; the others take long and are part of the soak."""
    newest = servers()[-1]
    for version in servers():
        for shape in _SHAPES:
            quick = version == newest or shape is PostgresWorld
            name = f"postgres{version}-{shape.__name__}"
            yield pytest.param((version, shape), marks=() if quick else pytest.mark.soak, id=name)


class TestPostgresStore(StoreContract):
    """The contract, for each shape of the table and each version of the server."""

    @pytest.fixture(params=_cases())
    def world(self, request: pytest.FixtureRequest, postgres_pool: PostgresPool) -> Iterator[World]:
        """A table of this shape in a database of its own."""
        version, shape = request.param
        server = postgres_pool.get(version)
        name = f"contract_{os.getpid()}_{next(_numbers)}"
        made: World = shape(server.create_database(name))
        yield made
        server.drop_database(name)
