"""The servers that the other tests stand on: both versions, real crashes, a replica that follows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers
from servers.processes import await_condition


def _count(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM log").fetchall()
    return int(count)


def test_two_versions_are_tested_at_least() -> None:
    """The machine's packages give one version and the wheel another."""
    assert len(servers()) >= 2
    assert "18" in servers()


@pytest.mark.parametrize("version", servers())
def test_a_server_is_of_the_version_it_says(postgres_pool: PostgresPool, version: str) -> None:
    """What a test's name says was tested is what was tested."""
    [(said,)] = postgres_pool.get(version).execute("SHOW server_version")

    assert said.split(".")[0] == version


def test_each_test_has_a_database_of_its_own(postgres: PostgresServer, pg_database: str) -> None:
    """The database is empty and is the address's own."""
    with psycopg.connect(pg_database) as connection:
        tables = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()

    assert tables == []
    assert pg_database.startswith(postgres.url(""))


def test_a_crash_keeps_what_was_committed_and_nothing_else(postgres: PostgresServer, pg_database: str) -> None:
    """The server recovers from its log; a transaction that was open is gone, and so is its connection."""
    with psycopg.connect(pg_database) as committed:
        committed.execute("CREATE TABLE log (id int)")
        committed.execute("INSERT INTO log VALUES (1)")
    undecided = psycopg.connect(pg_database)
    undecided.execute("INSERT INTO log VALUES (2)")

    postgres.crash()

    assert _count(pg_database) == 1
    with pytest.raises(psycopg.OperationalError):
        undecided.execute("SELECT 1")
    undecided.close()


def test_a_restart_keeps_the_address(postgres: PostgresServer, pg_database: str) -> None:
    """Clients find the server again where it was."""
    before = postgres.pid

    postgres.restart()

    assert postgres.pid != before
    psycopg.connect(pg_database).close()


@pytest.mark.parametrize("version", servers())
def test_a_replica_follows_and_a_frozen_one_does_not(version: str, postgres_folder: Path) -> None:
    """What is written shows on the replica; while that is frozen, the primary sees it lag."""
    lag = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication"
    with (
        PostgresServer.start(version, postgres_folder / "primary") as primary,
        primary.replica(postgres_folder / "replica") as replica,
    ):
        primary.execute("CREATE TABLE log AS SELECT generate_series(1, 10) AS id")
        replica.catch_up(primary)
        assert replica.execute("SELECT pg_is_in_recovery(), count(*) FROM log") == [(True, 10)]

        replica.pause()
        primary.execute("INSERT INTO log SELECT generate_series(1, 5000)")
        assert primary.execute(lag)[0][0] > 100_000
        replica.resume()

        replica.catch_up(primary)
        assert _count(replica.url()) == 5010


def test_options_are_the_servers_settings(postgres_folder: Path) -> None:
    """A test that needs them sets autovacuum, fsync and whatever else is in postgresql.conf."""
    settings = "SELECT current_setting('fsync'), current_setting('autovacuum'), current_setting('work_mem')"
    with PostgresServer.start(
        servers()[0], postgres_folder / "a", fsync=True, options={"autovacuum": "off", "work_mem": "1MB"}
    ) as server:
        assert server.execute(settings) == [("on", "off", "1MB")]


def test_a_server_does_not_outlive_tests_that_are_killed(postgres_folder: Path) -> None:
    """Nobody is left to stop it, and it stops."""
    script = (
        "import sys, pathlib\n"
        "from servers.postgres import PostgresServer, servers\n"
        "server = PostgresServer.start(servers()[0], pathlib.Path(sys.argv[1]))\n"
        "print(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(postgres_folder / "a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as tests:
        assert tests.stdout is not None
        server = int(tests.stdout.readline())
        tests.send_signal(signal.SIGKILL)

    await_condition(lambda: not _runs(server), "the server's end")


def test_a_server_that_does_not_start_says_why(postgres_folder: Path) -> None:
    """The end of its log is in the error."""
    with pytest.raises(RuntimeError, match="no_such_setting"):
        PostgresServer.start(servers()[0], postgres_folder / "a", options={"no_such_setting": "1"})


def _runs(pid: int) -> bool:
    """Whether it does; one that has ended and that nobody has asked about since does not."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
