"""The proxy that loses connections: what each cut leaves behind in a real server."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from servers.postgres import PostgresServer
from servers.processes import await_condition
from servers.proxy import Cut, Proxy, _Plan, _Watch


@pytest.fixture
def proxy(pg_database: str) -> Iterator[Proxy]:
    """A proxy before a database with the records 1, 2 and 3."""
    with psycopg.connect(pg_database) as connection:
        connection.execute("CREATE TABLE log (id int)")
        connection.execute("INSERT INTO log VALUES (1), (2), (3)")
    with Proxy(pg_database) as proxy:
        yield proxy


def _records(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [int(number) for (number,) in connection.execute("SELECT id FROM log ORDER BY id")]


def _delete(connection: psycopg.Connection[TupleRow], number: int) -> None:
    """In a transaction of its own."""
    with connection.transaction():
        connection.execute(b"DELETE FROM log WHERE id = %d" % number)


def _delete_and_lose(url: str) -> None:
    """Delete record 1 and be left without an answer."""
    with psycopg.connect(url) as connection, pytest.raises(psycopg.OperationalError):
        _delete(connection, 1)


def _sessions(url: str) -> int:
    """How many others work on the database."""
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return int(count)


def test_without_a_cut_everything_passes(proxy: Proxy, pg_database: str) -> None:
    """Commits, and results that are larger than any buffer."""
    with psycopg.connect(proxy.url) as connection:
        _delete(connection, 1)
        [(large,)] = connection.execute("SELECT repeat('x', 1000000)").fetchall()

    assert len(large) == 1_000_000
    assert _records(pg_database) == [2, 3]
    assert not proxy.has_cut


def test_a_cut_before_the_commit_leaves_everything(proxy: Proxy, pg_database: str) -> None:
    """The server never hears of the commit and rolls back."""
    proxy.cut(Cut.BEFORE)

    _delete_and_lose(proxy.url)

    assert proxy.has_cut
    await_condition(lambda: _sessions(pg_database) == 0, "the end of the lost session")
    assert _records(pg_database) == [1, 2, 3]


def test_a_cut_after_the_commit_hides_that_it_happened(proxy: Proxy, pg_database: str) -> None:
    """The same error for the client, and the record is gone."""
    proxy.cut(Cut.AFTER)

    _delete_and_lose(proxy.url)

    assert proxy.has_cut
    assert _records(pg_database) == [2, 3]


def test_a_late_commit_comes_about_when_everybody_has_given_up(proxy: Proxy, pg_database: str) -> None:
    """The client has lost its connection, the record is there and locked; then the commit arrives."""
    proxy.cut(Cut.LATE)

    _delete_and_lose(proxy.url)
    assert _records(pg_database) == [1, 2, 3]
    with psycopg.connect(pg_database) as other, pytest.raises(psycopg.errors.LockNotAvailable):
        other.execute("SELECT id FROM log FOR UPDATE NOWAIT")
    proxy.deliver()

    assert _records(pg_database) == [2, 3]


def test_a_late_commit_is_too_late_for_a_session_that_was_ended(proxy: Proxy, pg_database: str) -> None:
    """Ending the session on the server settles the outcome: rolled back."""
    proxy.cut(Cut.LATE)
    _delete_and_lose(proxy.url)
    with psycopg.connect(pg_database) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        )

    proxy.deliver()

    assert _records(pg_database) == [1, 2, 3]


def test_only_the_commit_that_was_named_is_cut(proxy: Proxy, pg_database: str) -> None:
    """Commits of transactions that delete nothing do not count, and the first that does passes."""
    proxy.cut(Cut.AFTER, since=b"DELETE", skip=1)

    with psycopg.connect(proxy.url, autocommit=True) as connection:
        _delete(connection, 1)
        with connection.transaction():
            connection.execute("INSERT INTO log VALUES (4)")
        with pytest.raises(psycopg.OperationalError):
            _delete(connection, 2)

    assert _records(pg_database) == [3, 4]


def test_any_statement_can_be_cut(proxy: Proxy, pg_database: str) -> None:
    """The statement that the bytes are in, and everything its transaction did, is undone."""
    proxy.cut(Cut.BEFORE, at=b"DELETE FROM log WHERE id = 2")

    with psycopg.connect(proxy.url) as connection:
        connection.execute("DELETE FROM log WHERE id = 1")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("DELETE FROM log WHERE id = 2")

    assert _records(pg_database) == [1, 2, 3]


def test_the_server_can_crash_between_commit_and_answer(
    proxy: Proxy, pg_database: str, postgres: PostgresServer
) -> None:
    """What it has committed it still has afterwards; the client knows of nothing."""
    before = postgres.pid
    proxy.cut(Cut.AFTER, then=postgres.crash)

    _delete_and_lose(proxy.url)

    assert postgres.pid != before
    assert _records(pg_database) == [2, 3]


def test_dropped_and_refused_connections_end_with_errors(proxy: Proxy) -> None:
    """As when the network goes down and comes back."""
    with psycopg.connect(proxy.url) as connection:
        proxy.drop_all()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    proxy.refusing = True
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.url)
    proxy.refusing = False

    assert _records(proxy.url) == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_messages_are_found_wherever_their_chunks_end(size: int) -> None:
    """A network hands over bytes as it likes."""
    sent = b"BEGIN..DELETE..COMMIT..BEGIN..COMMIT..DELETE..COMMIT.."
    watch = _Watch(_Plan(Cut.BEFORE, b"COMMIT", b"DELETE", 1, lambda: None))
    found = [watch.find(sent[start : start + size]) is not None for start in range(0, len(sent), size)]

    assert found.count(True) == 1
    assert found.index(True) == (sent.rindex(b"COMMIT") + 5) // size
