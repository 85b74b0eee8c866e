"""MariaDB keeps the promises of every store, whatever the shape of its table; and so does the way of MySQL 8."""

from __future__ import annotations

import pytest
from mysql_worlds import MillisWorld, MysqlWorld, NoReturningWorld, TextWorld, TimestampWorld

from lapse.testing.harness import World
from lapse.testing.store_contract import StoreContract
from servers.mariadb import MariadbServer, mariadb, mariadb_database

__all__ = ["mariadb", "mariadb_database"]


class TestMysql(StoreContract):
    """The contract, for each shape."""

    @pytest.fixture(params=[MysqlWorld, TimestampWorld, MillisWorld, TextWorld, NoReturningWorld])
    def world(self, request: pytest.FixtureRequest, mariadb: MariadbServer, mariadb_database: str) -> World:
        """A database of its own."""
        world: World = request.param(mariadb, mariadb_database)
        return world
