"""Runs that servers, locks, replicas and people disturb: progress is kept, and the run says how it ended and why."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pg_looking import connected
from pg_runs import Ended, PgWorld, make, other_session

from lapse.errors import LeaseError
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.leasing import fence, lease, lock_number
from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers
from servers.processes import await_condition
from servers.proxy import Cut, Proxy

_SINCE = b"DELETE FROM"
_HASTY = "from lapse.engine import retrying\nretrying._FIRST_DELAY = 0.05"
"""For a run: what was too busy is tried again soon."""
_SHORT = "{transaction: 200 ms}"
_OLD = "at < '2026-07-01' AND kind = 'call' AND tenant <> 'held'"


@pytest.fixture
def server(request: pytest.FixtureRequest, postgres_pool: PostgresPool) -> PostgresServer:
    """The newest one, unless a test names others."""
    return postgres_pool.get(getattr(request, "param", servers()[-1]))


@pytest.fixture
def newest(server: PostgresServer) -> Iterator[str]:
    """An empty database of it."""
    yield server.create_database("disturbed")
    server.drop_database("disturbed")


@pytest.fixture
def calls(newest: str, tmp_path: Path) -> PgWorld:
    """Some rows in it."""
    return make(tmp_path / "world", newest, records=2_000)


@pytest.fixture
def proxy(newest: str) -> Iterator[Proxy]:
    """Loses a run's connection."""
    with Proxy(newest) as proxy:
        yield proxy


@pytest.fixture
def world(newest: str, proxy: Proxy, tmp_path: Path) -> PgWorld:
    """Some rows, reached through the proxy."""
    return make(tmp_path / "world", newest, records=2_000, store=proxy.url)


def waits(world: PgWorld) -> None:
    """Wait until a run waits for a lock."""
    locked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lapse' AND wait_event_type = 'Lock'"
    await_condition(lambda: world.execute(locked)[0][0] > 0, "the run to wait")


def trouble(ended: Ended) -> str:
    """Why the only dataset is incomplete; the run has told it with exit 1."""
    assert ended.exit == 1, ended
    assert ended.dataset["status"] == "incomplete", ended
    assert ended.dataset["trouble"]["hint"], ended
    return str(ended.dataset["trouble"]["message"])


# The connection, and the server


@pytest.mark.parametrize("server", servers(), indirect=True)
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER], ids=lambda cut: cut.name.lower())
def test_a_connection_lost_during_a_commit_is_asked_about_by_the_next_run(
    world: PgWorld, proxy: Proxy, cut: Cut
) -> None:
    """The run cannot know, and says so; the marker tells the next one."""
    original = world.records()
    proxy.cut(cut, since=_SINCE)

    ended = world.lapse("run", "--json").end()

    assert proxy.has_cut
    assert "did not confirm the commit" in trouble(ended)
    assert "Run again" in ended.dataset["trouble"]["hint"]
    world.alone()
    assert (world.records() == original) == (cut is Cut.BEFORE)
    assert world.archived().total() == 0
    world.assert_recovered(original)


def test_a_commit_that_arrives_late_is_not_decided_before(world: PgWorld, proxy: Proxy) -> None:
    """While its session lives, the next run touches nothing and exits 4; then the marker is there."""
    original = world.records()
    proxy.cut(Cut.LATE, since=_SINCE)
    assert "did not confirm the commit" in trouble(world.lapse("run", "--json").end())

    for _ in range(2):
        meanwhile = world.lapse("run", "--json").end()
        assert meanwhile.exit == 4, meanwhile
        assert meanwhile.error["kind"] == "LeaseError"
        assert "pg_locks" in meanwhile.error["hint"]
    sealed = sorted(world.archive.rglob("*.parquet"))
    assert sealed
    proxy.deliver()
    world.alone()

    gone = original - world.records()
    assert gone
    world.assert_recovered(original)
    assert sealed[0].exists()
    assert not gone - world.archived()


def test_a_transaction_that_does_not_end_keeps_the_next_run_away(calls: PgWorld) -> None:
    """One that has lost its lease but not itself, as behind a pooler: it is waited for, then the run gives up."""
    patience = "from lapse.stores.postgresql import leasing\nleasing._WAIT = '300ms'"
    take = "SELECT pg_advisory_xact_lock_shared(%s)"
    with other_session(calls) as zombie:
        zombie.execute(take, (_take_number(calls),))
        ended = calls.lapse("run", "--json", before=patience).end()

    assert ended.exit == 4, ended
    assert "a transaction of an earlier run on table log is still open" in ended.error["message"]
    assert "pg_terminate_backend" in ended.error["hint"]
    assert calls.lapse("run").end().exit == 0


def _take_number(world: PgWorld) -> int:
    with connected(world.url) as connection:
        return lock_number(find_table(connection, "log"), "take")


def test_a_take_ends_where_the_lease_of_its_process_is_lost(calls: PgWorld) -> None:
    """Two datasets on one table share a lease: when the session that has it ends, the other may go on no more."""
    with connected(calls.url) as first, connected(calls.url) as second, contextlib.ExitStack() as stack:
        table = find_table(first, "log")
        for connection in (first, second):
            stack.enter_context(lease(connection, table, address=calls.url, dataset="log"))
        with second.transaction():
            fence(second, table)
        calls.execute(f"SELECT pg_terminate_backend({first.pid}, 5000)")

        with pytest.raises(LeaseError, match="has ended"), second.transaction():
            fence(second, table)


def test_a_session_that_has_ended_unnoticed_spoils_no_report(world: PgWorld, proxy: Proxy) -> None:
    """Everything is done, and the last word to the server finds nobody."""
    original = world.records()
    proxy.cut(Cut.BEFORE, at=b"pg_advisory_unlock")

    ended = world.lapse("run", "--json").end()

    assert proxy.has_cut
    assert ended.exit == 0, ended
    assert ended.dataset["records"] == world.archived().total() > 0
    world.assert_recovered(original)


@pytest.mark.crash
@pytest.mark.parametrize(
    ("at", "cut"),
    [(b"DELETE FROM", Cut.AFTER), (b"INSERT INTO", Cut.BEFORE), (b"", Cut.BEFORE), (b"", Cut.AFTER)],
    ids=["take", "marker", "before commit", "after commit"],
)
def test_a_server_that_stops_at_once_loses_nothing(
    newest: str, server: PostgresServer, at: bytes, cut: Cut, tmp_path: Path
) -> None:
    """``pg_ctl stop -m immediate`` during a take, at its marker, and around its commit."""
    with Proxy(newest) as proxy:
        world = make(tmp_path / "world", newest, records=2_000, store=proxy.url)
        original = world.records()
        proxy.cut(cut, at=at, since=b"" if at else _SINCE, then=server.crash)
        ended = world.lapse("run", "--json").end()

        assert proxy.has_cut
        assert trouble(ended)
        world.back()
        assert (world.records() == original) == (at != b"" or cut is Cut.BEFORE)
        world.assert_recovered(original)


@pytest.mark.crash
def test_a_commit_that_was_confirmed_outlasts_a_crash_of_the_server(server: PostgresServer, tmp_path: Path) -> None:
    """Also for a role whose commits are answered before they are on the disk: Lapse's own are not."""
    server.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    server.execute("SELECT pg_reload_conf()")
    world = make(tmp_path / "world", server.create_database("lazy"), records=500)
    server.execute("ALTER DATABASE lazy SET synchronous_commit = off")
    original = world.records()

    assert world.lapse("run").end().exit == 0
    server.crash()
    server.execute("ALTER SYSTEM RESET wal_writer_delay")
    server.execute("SELECT pg_reload_conf()")

    assert world.records() + world.archived() == original


# Locks and timeouts


@pytest.mark.parametrize("seconds", [0, pytest.param(20, marks=pytest.mark.soak)])
def test_a_lock_on_a_lapsed_row_delays_it_and_nothing_else(seconds: float, newest: str, tmp_path: Path) -> None:
    """The slice is put back and comes again in halves; when the lock is gone, the row goes as well."""
    world = make(tmp_path / "world", newest, records=2_000, pace=_SHORT)
    original = world.records()
    left = f"SELECT count(*) FROM log WHERE {_OLD}"
    with other_session(world) as holder:
        holder.execute(f"SELECT id FROM log WHERE {_OLD} ORDER BY id LIMIT 1 FOR UPDATE")
        running = world.lapse("run", "--json", before="" if seconds else _HASTY)
        await_condition(lambda: world.execute(left)[0][0] < 300, "the other rows to go")
        time.sleep(seconds)
        assert world.execute(left)[0][0] > 0
        assert running.process.poll() is None
    ended = running.end()

    assert ended.exit == 0, ended
    assert ended.dataset["remaining"] == 0
    assert "a lock was not to be had in time" in ended.dataset["waited_for"]
    assert world.execute(left) == [(0,)]
    world.assert_recovered(original)


def test_a_lock_that_stays_costs_its_slice_and_the_run_says_so(newest: str, tmp_path: Path) -> None:
    """After several tries the row is skipped: exit 1, the reason, and how much is left; the next run takes it."""
    world = make(tmp_path / "world", newest, records=600, pace=_SHORT)
    original = world.records()
    with other_session(world) as holder:
        holder.execute(f"SELECT id FROM log WHERE {_OLD} ORDER BY id LIMIT 1 FOR UPDATE")
        ended = world.lapse("run", "--json", before=_HASTY).end()

    assert "had to be skipped" in trouble(ended)
    assert "a lock was not to be had in time" in trouble(ended)
    assert "Run again" in ended.dataset["trouble"]["hint"]
    assert 0 < ended.dataset["remaining"] < 60
    assert ended.dataset["records"] > 200
    world.assert_recovered(original)


def test_a_short_statement_timeout_of_the_role_is_no_hindrance(newest: str, tmp_path: Path) -> None:
    """700 ms, for the survey as well as for the slices of many rows."""
    world = make(tmp_path / "world", newest, records=3_000)
    name = newest.rpartition("/")[2]
    world.execute(f"ALTER DATABASE {name} SET statement_timeout = '700ms'")
    world.execute("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                  "'BEGIN PERFORM pg_sleep(0.0005); RETURN NULL; END'")  # fmt: skip
    world.execute("CREATE TRIGGER slow AFTER DELETE ON log FOR EACH ROW EXECUTE FUNCTION slow()")
    original = world.records()

    ended = world.lapse("run", "--json").end()

    assert ended.exit == 0, ended
    assert ended.dataset["remaining"] == 0
    assert "the statement took longer than it may" in ended.dataset["waited_for"]
    world.assert_recovered(original)


def test_a_broken_deadlock_is_tried_again(calls: PgWorld) -> None:
    """Another session has a later row and wants an earlier one; whoever is the victim, nothing is lost."""
    name = calls.url.rpartition("/")[2]
    calls.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '50ms'")
    original = calls.records()
    with other_session(calls) as other:
        other.execute("SET deadlock_timeout = '10s'")  # the run is the one that looks
        ids = [row[0] for row in other.execute(f"SELECT id FROM log WHERE {_OLD} ORDER BY id").fetchall()]
        other.execute("SELECT id FROM log WHERE id = %s FOR UPDATE", (ids[len(ids) // 2],))
        running = calls.lapse("run", "--json")
        waits(calls)
        other.execute("SELECT id FROM log WHERE id = %s FOR UPDATE", (ids[0],))
    ended = running.end()

    assert ended.exit == 0, ended
    assert "a deadlock was broken" in ended.dataset["waited_for"], ended
    calls.assert_recovered(original)


def test_a_serialization_failure_is_tried_again(newest: str, tmp_path: Path) -> None:
    """Where nothing is archived, and nothing rests, rows are counted and removed in one snapshot."""
    world = make(tmp_path / "world", newest, records=2_000, archive="none", pace="{rest: none}")
    before = world.records()
    with other_session(world) as other:
        other.execute(f"UPDATE log SET body = 'changed' WHERE id = (SELECT min(id) FROM log WHERE {_OLD})")
        running = world.lapse("run", "--json")
        waits(world)
        other.commit()
    ended = running.end()

    assert ended.exit == 0, ended
    assert ended.dataset["remaining"] == 0
    assert ended.dataset["waived"] == ended.dataset["records"] == before.total() - world.records().total()
    assert "another transaction came in between" in ended.dataset["waited_for"]


# People and replicas


def test_sigterm_ends_a_run_after_the_slice_under_way(newest: str, tmp_path: Path) -> None:
    """What was done is kept and recorded, and the run says that it was asked to stop."""
    pace = "{rows per second: 2000}"
    world = make(tmp_path / "world", newest, records=30_000, pace=pace)
    original = world.records()
    running = world.lapse("run", "--json")
    await_condition(lambda: world.execute("SELECT count(*) FROM log")[0][0] < 30_000, "the first slice")
    running.process.send_signal(signal.SIGTERM)
    ended = running.end()

    assert "asked to stop" in trouble(ended)
    assert "Stopping after the slice under way" in ended.said
    assert 0 < ended.dataset["records"] == world.archived().total() == world.ledger_records()
    assert ended.dataset["remaining"] > 0
    assert world.records() + world.archived() == original
    assert world.strays() == []


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_a_replica_that_stops_makes_the_run_wait(seconds: float, postgres_folder: Path, tmp_path: Path) -> None:
    """Nothing is removed while it stands still; when it is back, the run goes on and is complete."""
    with PostgresServer.start(servers()[-1], postgres_folder / "a") as server:
        url = server.create_database("shop")
        # Short transactions make small slices, so that the run looks at the replica often.
        pace = "{max lag: 1 s, rows per second: 4000, transaction: 20 ms}"
        world = make(tmp_path / "world", url, records=40_000, pace=pace)
        with server.replica(postgres_folder / "b") as replica:
            replica.catch_up(server)
            running = world.lapse("run", "--json")
            await_condition(lambda: _left(world) < 29_000, "the first slices")
            replica.pause()
            await_condition(lambda: _stands_still(world, seconds), "the run to wait", seconds=20 + 2 * seconds)
            assert running.process.poll() is None
            replica.resume()
            ended = running.end()

    assert ended.exit == 0, ended
    assert ended.dataset["remaining"] == 0
    assert ended.dataset["waited"] >= 1
    assert "behind" in ended.dataset["waited_for"]


def _left(world: PgWorld) -> int:
    return int(world.execute("SELECT count(*) FROM log")[0][0])


def _stands_still(world: PgWorld, seconds: float) -> bool:
    """Whether nothing is removed for *seconds*, which is longer than a run rests."""
    before = _left(world)
    time.sleep(seconds)
    return _left(world) == before
