"""What a user of MariaDB may do: a reader cannot write, and a purge needs few rights."""

from __future__ import annotations

import pytest
from mysql_opened import opened, world
from mysql_worlds import MysqlWorld

from lapse.errors import StoreError, UnsupportedError
from lapse.model.policy import Hold
from lapse.model.posted import PostedHold
from lapse.stores.mysql import MysqlStore
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, judged, rule, run

__all__ = ["world"]


def test_the_server_itself_keeps_a_reader_from_writing(world: MysqlWorld) -> None:
    """Whatever the code above it does."""
    world.create(aged(5))
    store = MysqlStore(world.dataset(), read_only=True)
    try:
        connection = store._connection
        for statement in (
            "DELETE FROM log",
            "INSERT INTO log (id) VALUES (99)",
            "CREATE TABLE x (y INT)",
            "DROP TABLE log",
        ):
            with pytest.raises(StoreError, match="reading only"):
                connection.run(statement)
        connection.begin()
        with pytest.raises(StoreError, match="reading only"):
            connection.run("DELETE FROM log")
    finally:
        store.close()

    assert len(world.snapshot()) == 5


def test_a_user_who_may_not_make_lapse_s_tables_is_told_which_rights_are_missing(world: MysqlWorld) -> None:
    """Without a marker nobody could tell whether a commit happened: nothing is removed."""
    world.create(aged(5))
    server, database = world.server, world.database
    server.execute("CREATE OR REPLACE USER clerk@localhost")
    server.execute(f"GRANT SELECT, DELETE ON {database}.log TO clerk@localhost")
    selection = judged(world, rule("1 day", ()))
    address = server.socket_url(database, "clerk")

    with opened(world, store=address) as store:
        (piece,) = cut(store, selection)
        with pytest.raises(UnsupportedError, match="lapse_disposals") as refused, store.take(piece):
            pass
        with pytest.raises(UnsupportedError, match="lapse_disposals"), store.lease():
            pass

    assert "Grant" in (refused.value.hint or "")
    assert len(world.snapshot()) == 5


def test_a_user_with_just_the_rights_of_the_docs_can_purge(world: MysqlWorld) -> None:
    """Somebody else has made Lapse's tables; SELECT and DELETE on the log are enough."""
    world.create(aged(5))
    server, database = world.server, world.database
    with world.store() as store, store.lease():
        assert isinstance(store, MysqlStore)
        store.post_hold(PostedHold(Hold(matter="M-1")))
        store.withdraw_hold("M-1")
    server.execute("CREATE OR REPLACE USER clerk@localhost")
    server.execute(f"GRANT SELECT, DELETE ON {database}.log TO clerk@localhost")
    server.execute(f"GRANT SELECT ON {database}.lapse_holds TO clerk@localhost")
    server.execute(f"GRANT SELECT, INSERT, DELETE ON {database}.lapse_disposals TO clerk@localhost")
    server.execute(f"GRANT SELECT, INSERT, UPDATE ON {database}.lapse_leases TO clerk@localhost")

    with opened(world, store=server.socket_url(database, "clerk")) as store, store.lease():
        store.identity()
        removals = run(store, judged(world, rule("3 days")))
        store.prune(removal.disposal for removal in removals)

    assert len(world.snapshot()) == 3
