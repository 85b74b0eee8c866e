"""How others fare while a run works: replicas, a query of the policy's own, other sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from pg_looking import CEL, as_role, connected, identity, run

from lapse.errors import BusyError, StoreError
from lapse.model.policy import Pace
from lapse.ports import Burden
from lapse.stores.postgresql.burdening import Seen, burden
from servers.postgres import POSTGRES_USER, PostgresServer, servers
from servers.processes import await_condition, server_folder

QUICK = Pace(max_lag=0.3)


def now(url: str, pace: Pace) -> Burden:
    """One look by a session of its own."""
    with connected(url) as connection:
        return burden(connection, pace)


@pytest.fixture(scope="module", params=servers())
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A server with a table ``log``, and a replica that follows it."""
    with (
        server_folder(POSTGRES_USER) as folder,
        PostgresServer.start(request.param, folder / "primary") as primary,
        primary.replica(folder / "replica", options={"wal_receiver_status_interval": "1s"}) as replica,
    ):
        primary.execute("CREATE TABLE log (id serial PRIMARY KEY, at timestamptz DEFAULT now())")
        replica.catch_up(primary)
        yield primary, replica


def watched(primary: PostgresServer, wanted: Callable[[Burden], bool]) -> Burden:
    """Write, and look as a run does between its slices, until *wanted*."""
    seen, found = Seen(), Burden()

    def looked() -> bool:
        nonlocal found
        primary.execute("INSERT INTO log DEFAULT VALUES")
        found = burden(connection, QUICK, seen)
        return wanted(found)

    with connected(primary.url()) as connection:
        await_condition(looked, "a burden as wanted")
    return found


def test_a_replica_that_follows_is_no_burden(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """However often one looks."""
    primary, _ = pair
    with connected(primary.url()) as connection:
        seen = Seen()
        for _ in range(30):
            primary.execute("INSERT INTO log DEFAULT VALUES")
            assert burden(connection, Pace(max_lag=5), seen).wait is None


def test_a_replica_that_replays_nothing_is_waited_for(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """It receives all the same, and its connection lives; the run goes on once it has caught up."""
    primary, replica = pair
    replica.execute("SELECT pg_wal_replay_pause()")
    try:
        stopped = watched(primary, lambda found: found.wait is not None)
    finally:
        replica.execute("SELECT pg_wal_replay_resume()")
    gone_on = watched(primary, lambda found: found.wait is None)

    assert (stopped.wait or "").startswith("replica walreceiver is ")
    assert gone_on.wait is None


def test_a_replica_that_does_not_answer_is_waited_for(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """The server's own figure of its lag stands still, too: how long it stood there is what counts."""
    primary, replica = pair
    watched(primary, lambda found: found.wait is None)
    replica.pause()
    try:
        stopped = watched(primary, lambda found: found.wait is not None)
    finally:
        replica.resume()
    watched(primary, lambda found: found.wait is None)

    assert (stopped.wait or "").startswith("replica walreceiver is ")


def test_a_replica_that_went_away_is_waited_for_where_a_slot_remembers_it(
    pair: tuple[PostgresServer, PostgresServer],
) -> None:
    """All that is written meanwhile waits for it in the server's log."""
    primary, _ = pair
    primary.execute("SELECT pg_create_physical_replication_slot('gone', true)")
    try:
        found = now(primary.url(), QUICK)
    finally:
        primary.execute("SELECT pg_drop_replication_slot('gone')")

    assert (found.wait or "").startswith("the replica of slot gone is not connected")
    assert now(primary.url(), Pace(max_lag=None)).wait is None


def test_a_replica_that_has_said_nothing_yet_is_waited_for(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """It has connected, and nobody knows how much it has."""
    primary, _ = pair
    with closing(psycopg.connect(f"{primary.url()}?replication=true&application_name=newcomer", autocommit=True)):
        found = now(primary.url(), QUICK)

    assert found.wait == "replica newcomer has not said yet how far it is"


def test_a_role_that_sees_no_lag_is_stopped_and_told(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """What is unknown is no go-ahead; the plan says it before the run does."""
    primary, _ = pair
    primary.execute("CREATE ROLE blind LOGIN")
    primary.execute("GRANT SELECT ON log TO blind")
    url = as_role(primary.url(), "blind")
    try:
        with pytest.raises(StoreError) as caught:
            now(url, QUICK)
        told = identity(url, "log", time="at").notes
        unasked = now(url, Pace(max_lag=None))
        primary.execute("GRANT pg_monitor TO blind")
        seeing = now(url, Pace(max_lag=60))
    finally:
        primary.execute("DROP OWNED BY blind")
        primary.execute("DROP ROLE blind")

    assert caught.value.hint == "Let it: GRANT pg_monitor TO blind; or write `max lag: none`."
    assert any("GRANT pg_monitor TO blind" in note for note in told)
    assert unasked.wait is None
    assert seeing.wait is None


def test_shortening_files_is_told_where_there_are_replicas(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """The lock that VACUUM takes for it stops their queries; a table that forbids it is not mentioned."""
    primary, replica = pair
    told = identity(primary.url(), "log", time="at").notes
    primary.execute("ALTER TABLE log SET (vacuum_truncate = off)")
    untold = identity(primary.url(), "log", time="at").notes
    primary.execute("ALTER TABLE log RESET (vacuum_truncate)")

    assert any("stops queries on the replica" in note for note in told)
    assert not any("vacuum_truncate" in note for note in untold)
    replica.catch_up(primary)


def test_a_hot_standby_is_refused(pair: tuple[PostgresServer, PostgresServer]) -> None:
    """It has the same number as its primary, and cannot be written."""
    primary, replica = pair
    replica.catch_up(primary)

    found = identity(replica.url(), "log", time="at")

    assert "hot standby" in (found.refusal or "")
    assert found.fingerprint == identity(primary.url(), "log", time="at").fingerprint


@pytest.mark.parametrize(
    ("query", "waits"),
    [
        ("SELECT true", True),
        ("SELECT false", False),
        ("SELECT 2.5", True),
        ("SELECT 0.0", False),
        ("SELECT count(*) FROM pg_class WHERE relname LIKE 'no%such'", False),
        ("SELECT 1 WHERE false", False),
        ("SELECT NULL::int", True),
    ],
)
def test_the_query_of_the_policy_decides(pg_database: str, query: str, waits: bool) -> None:
    """True, or not zero; no row is no reason; what is unknown is one."""
    found = now(pg_database, Pace(pause_while=query))

    assert (found.wait is not None) is waits


def test_the_query_of_the_policy_cannot_write(pg_database: str) -> None:
    """It runs in a transaction for reading only, which leaves nothing open."""
    run(pg_database, CEL)
    with connected(pg_database) as connection:
        with pytest.raises(StoreError):
            burden(connection, Pace(pause_while="DELETE FROM cel RETURNING 1"))
        assert not connection.in_transaction
        assert burden(connection, Pace()).wait is None


def test_a_query_that_takes_long_is_asked_again(pg_database: str) -> None:
    """A second is all it has."""
    with pytest.raises(BusyError):
        now(pg_database, Pace(pause_while="SELECT pg_sleep(5) IS NULL"))


def test_a_query_that_answers_with_a_text_is_an_error(pg_database: str) -> None:
    """Is 'f' no, or a text? Nobody knows."""
    with pytest.raises(StoreError, match="gives a str"):
        now(pg_database, Pace(pause_while="SELECT 'f'::text"))


def test_others_at_work_make_the_store_busy(pg_database: str) -> None:
    """Sessions that have waited for their clients for a second do not."""
    with closing(psycopg.connect(pg_database, autocommit=True)) as other, connected(pg_database) as connection:
        other.execute("SELECT 1")
        await_condition(lambda: not burden(connection, Pace()).busy, "rest")

        other.pgconn.send_query(b"SELECT pg_sleep(60)")

        await_condition(lambda: burden(connection, Pace()).busy, "work")
        connection.run("SELECT pg_terminate_backend(%s)", (other.info.backend_pid,))


def test_short_statements_one_after_the_other_are_work_too(pg_database: str) -> None:
    """At the instant of the look none may be under way."""
    with closing(psycopg.connect(pg_database, autocommit=True)) as other, connected(pg_database) as connection:
        await_condition(lambda: not burden(connection, Pace()).busy, "rest")

        other.execute("SELECT 1")

        assert burden(connection, Pace()).busy


def test_sessions_that_cannot_be_seen_count_as_busy(postgres: PostgresServer, pg_database: str) -> None:
    """A role without pg_monitor sees that they are there, and no more."""
    postgres.execute("CREATE ROLE shortsighted LOGIN")
    try:
        with psycopg.connect(pg_database) as other:
            other.execute("SELECT 1")
            blind = now(as_role(pg_database, "shortsighted"), Pace(max_lag=None))
            postgres.execute("GRANT pg_monitor TO shortsighted")
            pace = Pace(max_lag=None)
            await_condition(lambda: not now(as_role(pg_database, "shortsighted"), pace).busy, "sessions at rest")
    finally:
        postgres.execute("DROP ROLE shortsighted")

    assert blind.busy
