"""Others at work on a table of MariaDB: locks, leases and writers, and runs that wait while the server is busy."""

from __future__ import annotations

import threading
from contextlib import closing

import pymysql
import pytest
from mysql_opened import opened, statements, world
from mysql_worlds import MysqlWorld, NoReturningWorld

from lapse.errors import BusyError, LeaseError, StoreError
from lapse.model.disposal import Waiver
from lapse.model.pace import Pace
from lapse.ports import Budget
from lapse.stores.mysql import MysqlStore
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, judged, remove, rule, run
from servers.mariadb import MariadbServer
from servers.processes import await_condition

__all__ = ["world"]


def test_a_lapsed_row_that_somebody_has_locked_makes_the_take_busy_and_keeps_everything(world: MysqlWorld) -> None:
    """It is tried a few times; then the error says so, and once the lock is gone it works."""
    world.create(aged(5))
    selection = judged(world, rule("1 day"))
    with world.store() as store:
        (piece,) = cut(store, selection)
        assert isinstance(store, MysqlStore)
        store._connection.run("SET SESSION innodb_lock_wait_timeout = 1")
        with world.connected() as cursor:
            cursor.execute("SELECT * FROM log WHERE id = 3 FOR UPDATE")
            with pytest.raises(BusyError, match="lock"):
                remove(store, piece)
        assert len(world.snapshot()) == 5
        assert remove(store, piece) is not None


@pytest.mark.parametrize("kind", [MysqlWorld, NoReturningWorld])
def test_rows_that_are_written_during_a_run_are_sealed_as_they_went_or_survive(
    kind: type[MysqlWorld], mariadb: MariadbServer, mariadb_database: str
) -> None:
    """Writers insert, update and back-date all the time: what is gone was yielded in exactly its last form."""
    world = kind(mariadb, mariadb_database)
    world.create(aged(600))
    selection = judged(world, rule("100 days"))
    stop = threading.Event()
    written: dict[int, str] = {record.key: record.body for record in aged(600)}

    def write() -> None:
        number = 10_000
        with closing(world.server.connect(world.database)) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                number += 1
                old, body = number % 600 + 1, f"changed {number}"
                cursor.execute(
                    "INSERT INTO log (id, at, kind, tenant, body) VALUES (%s, '2026-01-01', 'call', 't0', 'new')",
                    (number,),
                )
                written[number] = "new"
                try:
                    if cursor.execute("UPDATE log SET body = %s WHERE id = %s", (body, old)):
                        written[old] = body
                except pymysql.OperationalError as error:
                    if error.args[0] not in (1205, 1213):  # a lock that lasted, a deadlock
                        raise

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with world.store() as store:
            removals = run(store, selection, Budget(rows=20))
    finally:
        stop.set()
        writer.join()

    left = {key: row[5] for key, row in world.snapshot().items()}  # type: ignore[index]
    sealed: dict[int, str] = {}
    for removal in removals:
        for drained in removal.drained:
            for batch in drained.batches:
                for row in batch.to_pylist():  # type: ignore[union-attr]
                    assert row["id"] not in sealed
                    sealed[row["id"]] = row["body"]
    assert not set(left) & set(sealed)
    assert {**left, **sealed} == written


def test_a_run_that_lost_its_lease_without_noticing_commits_nothing(world: MysqlWorld) -> None:
    """Its connection was cut and another run has begun since: the number in the table tells."""
    world.create(aged(5))
    selection = judged(world, rule("1 day"))
    with world.store() as first, first.lease():
        (piece,) = cut(first, selection)
        assert isinstance(first, MysqlStore)
        statements(world, "UPDATE lapse_leases SET token = token + 1")
        with pytest.raises(LeaseError, match="another run"):
            remove(first, piece)

    assert len(world.snapshot()) == 5


def test_the_lease_waits_for_a_transaction_that_a_lost_run_left_open(world: MysqlWorld) -> None:
    """Until it has ended nobody knows its outcome; then the marker is read."""
    world.create(aged(5))
    selection = judged(world, rule("1 day", ()))
    with world.store() as lost, world.store() as following:
        (piece,) = cut(lost, selection)
        order: list[str] = []

        def begin() -> None:
            with following.lease():
                order.append("leased")
                order.extend(marker.slice for marker in following.recover(lambda _: True))

        with lost.take(piece) as taken:
            taken.tallies()
            thread = threading.Thread(target=begin)
            thread.start()
            waiting = (
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                "WHERE COMMAND = 'Query' AND INFO LIKE 'SELECT \"token\"%FOR UPDATE'"
            )
            await_condition(lambda: world.server.execute(waiting)[0][0] > 0, "the next run to wait")
            order.append("committing")
            taken.commit(Waiver(slice=piece.name, rules=("rule 1",)))
        thread.join()

    assert order == ["committing", "leased", piece.name]


def test_two_datasets_of_one_run_share_the_lease(world: MysqlWorld) -> None:
    """And it stays until the last of them gives it back."""
    world.create(aged(5))
    with world.store() as one, world.store() as other, one.lease():
        with other.lease():
            assert world.lease_elsewhere() == "LeaseError"
        assert world.lease_elsewhere() == "LeaseError"
    assert world.lease_elsewhere() == "leased"


@pytest.mark.parametrize(("query", "waits"), [("SELECT 0", False), ("SELECT 1", True), ("SELECT NULL", True)])
def test_a_query_of_the_policy_makes_a_run_wait(world: MysqlWorld, query: str, waits: bool) -> None:
    """Its first value says so; NULL is no go-ahead."""
    world.create([])
    with opened(world, pace=Pace(pause_while=query)) as store:
        burden = store.burden()

    assert (burden.wait is not None) == waits


def test_a_query_that_gives_no_number_or_fails_is_an_error(world: MysqlWorld) -> None:
    """The run stops: it must not go on against the policy."""
    world.create([])
    for query in ("SELECT 'yes'", "SELECT nonsense FROM nowhere"):
        with opened(world, pace=Pace(pause_while=query)) as store, pytest.raises(StoreError):
            store.burden()


def test_sessions_at_work_make_the_store_busy(world: MysqlWorld) -> None:
    """And idle ones do not."""
    world.create([])
    with opened(world) as store:
        assert not store.burden().busy
        worker = threading.Thread(target=lambda: world.server.execute("SELECT SLEEP(1)"))
        worker.start()
        await_condition(lambda: store.burden().busy, "the store to be busy")
        worker.join()
