"""The newest of each group on MariaDB, what MySQL cannot do, and an answer of MariaDB's that has no rows."""

from __future__ import annotations

from contextlib import closing

import pytest
from mysql_worlds import MysqlWorld

from lapse.errors import UnsupportedError
from lapse.model.policy import Last
from lapse.sqlcore.fragments import Fragment
from lapse.stores.mysql.address import parse
from lapse.stores.mysql.connection import Connection
from lapse.testing.flow import days_ago, judged, rule, run
from lapse.testing.harness import Record
from servers.mariadb import MariadbServer


@pytest.fixture
def world(mariadb: MariadbServer, mariadb_database: str) -> MysqlWorld:
    """A database of its own, with five lapsed rows."""
    made = MysqlWorld(mariadb, mariadb_database)
    made.create([Record(key=n, at=days_ago(100 + n)) for n in range(1, 6)])
    return made


def test_mysql_itself_is_refused_before_anything_goes(world: MysqlWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks into a temporary table only once in a statement, which is said."""
    prepare = Connection._prepare

    def as_mysql(self: Connection, read_only: bool) -> None:
        prepare(self, read_only)
        self.is_mariadb = False

    monkeypatch.setattr(Connection, "_prepare", as_mysql)

    with world.store() as store, pytest.raises(UnsupportedError, match="MySQL looks into a temporary table once"):
        list(store.survey(judged(world, rule("30 days", last=2))))
    assert len(world.snapshot()) == 5


def test_long_texts_that_begin_alike_are_groups_of_their_own(world: MysqlWorld) -> None:
    """The server sorts by the beginning of long texts; a hash tells them apart."""
    texts = ["x" * 3000 + end for end in "aab"]
    world.create([Record(key=n, at=days_ago(100 + n), body=text) for n, text in enumerate(texts, 1)])

    with world.store() as store:
        run(store, judged(world, rule("30 days", last=Last(1, "body"))))

    assert set(world.snapshot()) == {1, 3}


def test_a_delete_that_can_match_nothing_is_not_waited_for(world: MysqlWorld) -> None:
    """MariaDB answers it as if it had been asked for no rows."""
    with closing(Connection(parse(world.address, shown=""), shown="", read_only=False)) as connection:
        for condition in ("FALSE", "id > 5 AND id <= 1", "id > 100"):
            found = connection.texts(Fragment(f"DELETE FROM log WHERE {condition} RETURNING CAST(id AS BINARY)"))
            assert list(found) == []
