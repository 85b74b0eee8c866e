"""A store of MariaDB on a world, opened with other settings; statements of other programs, and what the server read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mysql_worlds import MysqlWorld

from lapse.stores.mysql import MysqlStore
from servers.mariadb import MariadbServer


@pytest.fixture
def world(mariadb: MariadbServer, mariadb_database: str) -> MysqlWorld:
    """A database of its own."""
    return MysqlWorld(mariadb, mariadb_database)


@contextmanager
def opened(world: MysqlWorld, **overrides: Any) -> Iterator[MysqlStore]:
    """The world's store."""
    store = MysqlStore(world.dataset(**overrides), read_only=overrides.pop("read_only", False))
    try:
        yield store
    finally:
        store.close()


def statements(world: MysqlWorld, *lines: str) -> None:
    """Run statements in the world's database."""
    for line in lines:
        world.server.execute(line, database=world.database)


def identity_of(world: MysqlWorld, **overrides: Any) -> Any:
    """What the store says of itself."""
    with opened(world, **overrides) as store:
        return store.identity()


def rows_read(world: MysqlWorld) -> int:
    rows = world.server.execute("SHOW GLOBAL STATUS LIKE 'Rows_read'")
    return int(rows[0][1])
