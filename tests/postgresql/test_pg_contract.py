"""PostgreSQL passes the contract of every store, whatever the type of its time column."""

from __future__ import annotations

import pytest
from pg_worlds import (
    PostgresBorrowingWorld,
    PostgresIndexedWorld,
    PostgresMillisWorld,
    PostgresNaiveWorld,
    PostgresPartitionedWorld,
    PostgresTextWorld,
    PostgresWorld,
)

from lapse.testing.harness import World
from lapse.testing.store_contract import StoreContract


class TestPostgresStore(StoreContract):
    """The contract, for each shape of the table and each version of the server."""

    @pytest.fixture(
        params=[
            PostgresWorld, PostgresIndexedWorld, PostgresNaiveWorld, PostgresTextWorld, PostgresMillisWorld,
            PostgresPartitionedWorld, PostgresBorrowingWorld,
        ]
    )  # fmt: skip
    def world(self, request: pytest.FixtureRequest, pg_database: str) -> World:
        """A table of this shape in a database of its own."""
        made: World = request.param(pg_database)
        return made
