"""MariaDB keeps the promises of every store, whatever the shape of its table; and so does the way of MySQL 8."""

from __future__ import annotations

import pytest
from mysql_worlds import MillisWorld, MysqlWorld, NoReturningWorld, PartitionedWorld, TextWorld, TimestampWorld

from lapse.errors import ChangedError
from lapse.testing.flow import cut, days_ago, drain, judged, prove, rule
from lapse.testing.harness import Record, World
from lapse.testing.store_contract import StoreContract
from servers.mariadb import MariadbServer


class TestMysql(StoreContract):
    """The contract, for each shape."""

    @pytest.fixture(params=[MysqlWorld, TimestampWorld, MillisWorld, TextWorld, NoReturningWorld])
    def world(self, request: pytest.FixtureRequest, mariadb: MariadbServer, mariadb_database: str) -> World:
        """A database of its own."""
        world: World = request.param(mariadb, mariadb_database)
        return world


class TestPartitions(StoreContract):
    """The contract for what goes as a whole: a row that comes late keeps the others."""

    @pytest.fixture
    def world(self, mariadb: MariadbServer, mariadb_database: str) -> World:
        """A database of its own."""
        return PartitionedWorld(mariadb, mariadb_database)

    def test_what_arrives_between_read_and_commit_survives(self, world: World) -> None:
        """The partition is not the one that was sealed: it is put back, with everything in it."""
        world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
        late = [Record(key=15, at=days_ago(401)), Record(key=41, at=days_ago(1))]
        selection = judged(world, rule("30 days"))

        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken:
                drained = drain(taken.parts())
                assert world.add(*late)
                with pytest.raises(ChangedError):
                    taken.commit(prove(piece, drained))
            again = cut(store, selection)

        assert set(world.snapshot()) == {10, 15, 20, 30, 41}
        assert again
