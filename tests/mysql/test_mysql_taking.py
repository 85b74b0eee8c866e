"""Takes of MariaDB that something goes wrong in: a server that dies, a row that slips in, a value in doubt."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_opened import world
from mysql_worlds import MysqlWorld, NoReturningWorld

from lapse.errors import CommitUnknownError, StoreError
from lapse.stores.mysql import MysqlStore
from lapse.stores.mysql.judging import Judge
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, days_ago, drain, judged, keys_of, prove, remove, rule
from lapse.testing.harness import Record
from servers.mariadb import MariadbServer

__all__ = ["world"]


def test_a_server_that_is_killed_in_a_take_has_lost_nothing(own_mariadb: MariadbServer) -> None:
    """The error is a store's, a commit that nobody confirmed is unknown, and every row is back."""
    own_mariadb.create_database("shop")
    world = MysqlWorld(own_mariadb, "shop")
    world.create(aged(50))
    before = world.snapshot()
    selection = judged(world, rule("10 days"))

    with world.store() as store:
        (piece,) = cut(store, selection)
        with store.take(piece) as taken:
            proof = prove(piece, drain(taken.parts()))
            own_mariadb.crash()
            with pytest.raises(StoreError):
                taken.commit(proof)
    with world.store() as store:
        markers = list(store.recover(lambda _: True))
        after = world.snapshot()
        assert remove(store, piece) is not None

    assert (after, markers) == (before, [])


def test_a_commit_that_nobody_confirmed_is_unknown(own_mariadb: MariadbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection dies between the marker and the answer; the next run finds out that nothing happened."""
    own_mariadb.create_database("shop")
    world = MysqlWorld(own_mariadb, "shop")
    world.create(aged(50))
    selection = judged(world, rule("10 days"))

    with world.store() as store:
        (piece,) = cut(store, selection)
        assert isinstance(store, MysqlStore)
        commit = store._connection.commit

        def dying(what: str) -> None:
            own_mariadb.kill()
            commit(what)

        monkeypatch.setattr(store._connection, "commit", dying)
        with pytest.raises(CommitUnknownError), store.take(piece) as taken:
            taken.commit(prove(piece, drain(taken.parts())))
    own_mariadb.restart()
    with world.store() as store, store.lease():
        assert list(store.recover(lambda _: True)) == []

    assert len(world.snapshot()) == 50


def test_a_row_that_slips_in_between_read_and_delete_is_not_removed_unseen(
    mariadb: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RETURNING one row more goes than was read: the slice begins anew, and yields that row, too."""
    world = NoReturningWorld(mariadb, mariadb_database)
    world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
    selection = judged(world, rule("30 days"))
    with world.store() as store:
        (piece,) = cut(store, selection)
        assert isinstance(store, MysqlStore)
        change, late = store._connection.change, [Record(key=15, at=days_ago(401))]

        def changed(statement: Any) -> int:
            if late:
                world.add(late.pop())
            return change(statement)

        monkeypatch.setattr(store._connection, "change", changed)
        removal = remove(store, piece)

    assert removal is not None
    assert sorted(keys_of(removal.drained)) == [10, 15, 20, 30]
    assert removal.disposal.records == 4
    assert world.snapshot() == {}


@pytest.mark.parametrize("kind", [MysqlWorld, NoReturningWorld])
@pytest.mark.parametrize("unsure", ["COALESCE(JSON_EXTRACT('{', '$.a'), 1) = 1", "CAST('1x' AS SIGNED) = 1"])
def test_nothing_goes_where_the_server_is_not_sure_of_a_value(
    mariadb: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch, kind: type[MysqlWorld], unsure: str
) -> None:
    """A warning in what decides gives the rows back, and its words are in the error."""
    world = kind(mariadb, mariadb_database)
    world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
    selection = judged(world, rule("30 days"))
    going = Judge.going
    with world.store() as store:
        (piece,) = cut(store, selection)
        monkeypatch.setattr(Judge, "going", lambda self, codes: going(self, codes) + f" AND {unsure}")
        with pytest.raises(StoreError, match=r"JSON|INTEGER"):
            remove(store, piece)

    assert len(world.snapshot()) == 3
