"""SQLite keeps the promises of every store, whatever the shape of its table."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_worlds import SqliteKeyedWorld, SqliteNumberWorld, SqliteWalWorld, SqliteWorld

from lapse.testing.harness import World
from lapse.testing.store_contract import StoreContract


class TestSqlite(StoreContract):
    """The contract, for each shape."""

    @pytest.fixture(params=[SqliteWorld, SqliteWalWorld, SqliteNumberWorld, SqliteKeyedWorld])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> World:
        """A file in a folder of its own."""
        world: World = request.param(tmp_path)
        return world
