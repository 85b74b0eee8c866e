"""PostgreSQL gives space back: measured, tidied after a run, and written anew when somebody says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from lapse.errors import BusyError
from lapse.model.reclaim import Progress
from lapse.stores.postgresql.catalog import Table, find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.reclaiming import Patience, Session, allocated, prediction, rewrite, space, tidy
from servers.postgres import PostgresServer, servers
from servers.processes import await_condition

HASTY = Patience(lock=0.1, tries=2, pause=0.05, look=0.01)


@dataclass
class Database:
    """A database with a table ``log``, of which four rows in five are gone."""

    url: str
    connection: Connection

    def table(self, name: str = "log") -> Table:
        """The table of that name."""
        return find_table(self.connection, name)

    def session(self, user: str | None = None) -> Session:
        """How to connect, as *user*."""
        url = self.url if user is None else self.url.replace("postgres@", f"{user}@")
        return Session(address=url, shown="postgresql://x")

    def rows(self, name: str = "log") -> object:
        """Everything that the table holds, as a digest and a count."""
        return self.connection.rows(f"SELECT count(*), md5(string_agg(md5(r::text), '' ORDER BY id)) FROM {name} r")

    def files(self) -> dict[str, int]:
        """The file of each relation of the tests."""
        return dict(
            self.connection.rows(
                "SELECT relname, relfilenode::bigint FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
        )


@pytest.fixture
def database(pg_database: str) -> Iterator[Database]:
    """A database of the test's own."""
    connection = Connection(pg_database, shown="postgresql://x", read_only=False)
    fill(connection)
    yield Database(pg_database, connection)
    connection.close()


def fill(connection: Connection) -> None:
    """Make the table, with indexes and long values, and remove four rows in five."""
    connection.run(
        "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz, kind text, body text, big text) "
        "WITH (autovacuum_enabled = off)"
    )
    connection.run(
        "INSERT INTO log SELECT i, now() - i * interval '1 min', 'k' || i % 5, repeat('x', i % 200), "
        "CASE WHEN i % 50 = 0 THEN (SELECT string_agg(md5(random()::text || g), '') FROM generate_series(1, 200) g) "
        "END FROM generate_series(1, 30000) i"
    )
    connection.run("CREATE INDEX ON log (at)")
    connection.run("CREATE INDEX ON log (lower(body))")
    connection.run("DELETE FROM log WHERE id % 5 <> 0")


@pytest.mark.parametrize("measured", [True, False], ids=["pgstattuple", "sample"])
def test_what_a_rewrite_gives_back_is_what_was_predicted(database: Database, measured: bool) -> None:
    """Within a quarter; it needs no more than predicted, says how it measured, and every row is there afterwards."""
    if measured:
        database.connection.run("CREATE EXTENSION pgstattuple")
    connection, tables = database.connection, [database.table()]
    tidy(connection, tables)
    before, rows = allocated(connection, tables), database.rows()
    predicted = prediction(connection, tables)
    told: list[Progress] = []

    rewrite(connection, tables, told.append, session=database.session(), patience=HASTY)

    after = allocated(connection, tables)
    assert before == predicted.space.allocated
    assert abs((before - after) - predicted.returns) < predicted.returns / 4
    assert after < predicted.needs_free
    assert ("pgstattuple" in predicted.space.measured) is measured
    assert predicted.blocked is None
    assert database.rows() == rows
    assert any("public.log" in progress.phase for progress in told)


def test_a_table_that_was_written_anew_has_little_to_give_back(database: Database) -> None:
    """The second time there is nothing to do, and nothing is done."""
    connection, tables = database.connection, [database.table()]
    rewrite(connection, tables, lambda progress: None, session=database.session(), patience=HASTY)
    files = database.files()

    assert prediction(connection, tables).returns == 0
    rewrite(connection, tables, lambda progress: None, session=database.session(), patience=HASTY)
    assert database.files() == files


def test_tidying_makes_space_reusable_and_writes_nothing_anew(database: Database) -> None:
    """No dead row is left, statistics are there, the files are the same ones."""
    connection, tables, files = database.connection, [database.table()], database.files()
    connection.run("CREATE EXTENSION pgstattuple")
    before = space(connection, tables)  # reading the rows would clear dead ones away
    rows = database.rows()

    assert tidy(connection, tables) == ()

    after = space(connection, tables)
    assert before.dead is not None
    assert before.dead > 1_000_000
    assert after.dead == 0
    assert after.free is not None
    assert before.free is not None
    assert after.free > before.free
    assert database.files() == files
    assert database.rows() == rows
    assert connection.value("SELECT count(*) FROM pg_stats WHERE tablename = 'log'") == 5


def test_looking_needs_no_right_to_write(database: Database) -> None:
    """A session that may only read predicts the same."""
    reader = Connection(database.url, shown="x", read_only=True)
    try:
        assert (
            prediction(reader, [database.table()]).returns
            == prediction(database.connection, [database.table()]).returns
        )
    finally:
        reader.close()


def test_a_role_that_does_not_own_the_table_is_told(database: Database, postgres: PostgresServer) -> None:
    """Tidying leaves it to autovacuum and says so; a rewrite is blocked; what is free on the disk is not known."""
    role = database.url.rpartition("/")[2] + "_reader"
    database.connection.run(f"CREATE ROLE {role} LOGIN")
    database.connection.run(f"GRANT SELECT, DELETE ON log TO {role}")
    connection = Connection(database.session(role).address, shown="x", read_only=False)
    try:
        (remark,) = tidy(connection, [database.table()])
        found = prediction(connection, [database.table()])
    finally:
        connection.close()
        database.connection.run(f"DROP OWNED BY {role}")
        database.connection.run(f"DROP ROLE {role}")
    assert "public.log was not vacuumed" in remark
    assert found.blocked is not None
    assert "not the owner of public.log" in found.blocked
    assert found.free is None
    assert found.needs_free > 0


def test_the_disk_of_a_server_on_this_machine_is_seen(database: Database) -> None:
    """Free bytes are those of the file system, whichever way the session came."""
    free = prediction(database.connection, [database.table()]).free

    assert free is not None
    assert free > 1_000_000


def test_only_partitions_with_something_to_give_back_are_written_anew(database: Database) -> None:
    """The others keep their files; all rows stay."""
    connection = database.connection
    connection.run("CREATE TABLE parts (id int, at date, body text) PARTITION BY RANGE (at)")
    for part, first, last in (("parts_1", "2026-01-01", "2026-02-01"), ("parts_2", "2026-02-01", "2026-03-01")):
        connection.run(f"CREATE TABLE {part} PARTITION OF parts FOR VALUES FROM ('{first}') TO ('{last}')")
    connection.run(
        "INSERT INTO parts SELECT i, '2026-01-05'::date + (i % 2) * 31, repeat('x', 100) "
        "FROM generate_series(1, 20000) i"
    )
    connection.run("DELETE FROM parts WHERE at < '2026-02-01' AND id % 10 <> 0")
    files, rows = database.files(), database.rows("parts")

    predicted = prediction(connection, [database.table("parts")])
    rewrite(connection, [database.table("parts")], lambda progress: None, session=database.session(), patience=HASTY)

    assert "parts_1" in predicted.lock
    assert "parts_2" not in predicted.lock
    assert predicted.returns > 1_000_000
    assert {name for name, file in database.files().items() if file != files[name]} == {"parts_1"}
    assert database.rows("parts") == rows


def test_odd_names_are_names(database: Database) -> None:
    """Quotes, percent signs and capitals in names of tables and columns."""
    connection = database.connection
    connection.run('CREATE TABLE "Odd ""%s" (id int PRIMARY KEY, "100%" text)')
    connection.run('INSERT INTO "Odd ""%s" SELECT i, repeat(i::text, 20) FROM generate_series(1, 20000) i')
    connection.run('DELETE FROM "Odd ""%s" WHERE id > 200')
    tables = [database.table('Odd "%s')]

    assert tidy(connection, tables) == ()
    rewrite(connection, tables, lambda progress: None, session=database.session(), patience=HASTY)
    assert allocated(connection, tables) < 200_000


def test_a_table_that_somebody_uses_is_not_waited_for_without_end(database: Database) -> None:
    """After some tries it is given up as busy, the files are the same ones, and the session's settings are back."""
    connection, files = database.connection, database.files()
    told: list[Progress] = []
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM log LIMIT 1")
        with pytest.raises(BusyError):
            rewrite(connection, [database.table()], told.append, session=database.session(), patience=HASTY)
    assert any("waiting for its lock" in progress.phase for progress in told)
    assert database.files() == files
    assert connection.value("SHOW lock_timeout") == "0"


def test_a_rewrite_gets_its_lock_once_it_is_free(database: Database) -> None:
    """It lets others go on between its tries, and is done when they are."""
    connection, waiting = database.connection, threading.Event()
    patience = replace(HASTY, tries=1_000)
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM log LIMIT 1")

        def tell(progress: Progress) -> None:
            if "waiting" in progress.phase and not waiting.is_set():
                waiting.set()
                other.rollback()

        rewrite(connection, [database.table()], tell, session=database.session(), patience=patience)
    assert waiting.is_set()
    assert prediction(connection, [database.table()]).returns == 0


def test_a_rewrite_that_somebody_cancels_is_not_tried_again(database: Database) -> None:
    """An administrator's pg_cancel_backend means it; nothing was changed."""
    connection, files = database.connection, database.files()
    patience = Patience(lock=30, tries=1_000, pause=0, look=0.01)
    with psycopg.connect(database.url, autocommit=True) as admin, psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM log LIMIT 1")

        def cancel() -> None:
            waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            await_condition(lambda: admin.execute(waits, (connection.pid,)).fetchall() == [(1,)], "the lock")
            admin.execute("SELECT pg_cancel_backend(%s)", (connection.pid,))

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(BusyError):
            rewrite(connection, [database.table()], lambda _: None, session=database.session(), patience=patience)
        thread.join()
    assert database.files() == files


def test_an_interrupted_rewrite_is_cancelled_on_the_server(database: Database) -> None:
    """Ctrl-C leaves no VACUUM FULL behind that goes on alone."""
    patience = Patience(lock=30, tries=1, pause=0, look=0.01)
    connection, files = database.connection, database.files()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(database.url, autocommit=True) as admin, psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM log LIMIT 1")

        def interrupt(progress: Progress) -> None:
            if admin.execute(waits, (connection.pid,)).fetchall() == [(1,)]:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rewrite(connection, [database.table()], interrupt, session=database.session(), patience=patience)
        assert admin.execute(waits, (connection.pid,)).fetchall() == [(0,)]
    assert database.files() == files


def test_a_statement_timeout_of_the_role_does_not_stop_it(database: Database) -> None:
    """Vacuum and rewrite may take as long as they take; the role's setting is back afterwards."""
    connection, tables = database.connection, [database.table()]
    connection.run("SET statement_timeout = '300ms'")

    with in_use_for(database, seconds=0.6):
        assert tidy(connection, tables) == ()
    with in_use_for(database, seconds=0.6):
        patience = replace(HASTY, lock=60)
        rewrite(connection, tables, lambda progress: None, session=database.session(), patience=patience)

    assert connection.value("SHOW statement_timeout") == "300ms"


@contextmanager
def in_use_for(database: Database, *, seconds: float) -> Iterator[None]:
    """Another session keeps vacuum and rewrite of the table waiting for so long."""
    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE log IN SHARE UPDATE EXCLUSIVE MODE")
        release = threading.Timer(seconds, other.rollback)
        release.start()
        yield
        release.join()


def test_the_free_end_of_a_table_is_not_cut_while_replicas_follow(postgres_folder: Path) -> None:
    """With a replica the files keep their length, which is said; without, they get shorter."""
    sizes, remarks = [], []
    with PostgresServer.start(servers()[0], postgres_folder / "a") as server:
        with server.replica(postgres_folder / "b"):
            connection = Connection(server.url(), shown="x", read_only=False)
            fill(connection)
            connection.run("DELETE FROM log WHERE id > 3000")
            table = find_table(connection, "log")
            remarks.append(tidy(connection, [table]))
            predicted = prediction(connection, [table])
            sizes.append(connection.value("SELECT pg_relation_size('log')"))
        await_condition(lambda: connection.value("SELECT count(*) FROM pg_stat_replication") == 0, "its end")
        remarks.append(tidy(connection, [table]))
        sizes.append(connection.value("SELECT pg_relation_size('log')"))
        connection.close()
    assert "1 replica" in remarks[0][0]
    assert "not cut off" in remarks[0][0]
    assert any("1 replica" in note for note in predicted.notes)
    assert remarks[1] == ()
    assert sizes[1] < sizes[0] / 2
