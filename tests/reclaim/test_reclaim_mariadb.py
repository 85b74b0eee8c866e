"""MariaDB gives space back: measured, analyzed after a run, and built anew when somebody says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lapse.errors import BusyError
from lapse.model.reclaim import Progress
from lapse.stores.mysql import reclaiming
from lapse.stores.mysql.address import parse
from lapse.stores.mysql.catalog import Table, find_table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.reclaiming import allocated, prediction, rewrite, space, tidy
from servers.mariadb import MariadbServer
from servers.processes import await_condition

_PARTS = (
    "PARTITION BY RANGE (id) (PARTITION `p old` VALUES LESS THAN (20000), PARTITION p_new VALUES LESS THAN MAXVALUE)"
)


@dataclass
class Database:
    """A database with a table of 40,000 rows, of which 2,000 are left."""

    server: MariadbServer
    name: str
    connection: Connection

    def table(self, name: str = "log") -> Table:
        """The table of that name."""
        return find_table(self.connection, name)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement from outside."""
        return self.server.execute(statement, database=self.name)

    def fill(self, name: str, options: str = "") -> None:
        """Make a table and remove most of its rows, until the server has cleared them away."""
        self.execute(f"CREATE TABLE `{name}` (id INT PRIMARY KEY, body VARCHAR(1000)) ENGINE=InnoDB {options}")
        self.execute(f"INSERT INTO `{name}` SELECT seq, repeat('x', 800) FROM seq_1_to_40000")
        self.execute(f"DELETE FROM `{name}` WHERE id < 38000")
        table = self.table(name)
        await_condition(self._is_purged, "the purge of old rows")
        await_condition(lambda: prediction(self.connection, table).returns > 15_000_000, "free extents")

    def _is_purged(self) -> bool:
        """Whether the server has cleared away every removed row."""
        ((_, waiting),) = self.execute("SHOW GLOBAL STATUS LIKE 'Innodb\\_history\\_list\\_length'")
        return int(waiting) == 0

    def rows(self, name: str = "log") -> list[tuple[Any, ...]]:
        """Everything in the table, as a count and a checksum."""
        return self.execute(f"SELECT count(*), sum(crc32(concat(id, body))) FROM `{name}`")


@pytest.fixture
def database(mariadb: MariadbServer, mariadb_database: str) -> Iterator[Database]:
    """A database of the test's own."""
    address = parse(mariadb.socket_url(mariadb_database), shown="mysql://x")
    connection = Connection(address, shown="mysql://x", read_only=False)
    yield Database(mariadb, mariadb_database, connection)
    connection.close()


def test_what_a_rewrite_gives_back_is_what_was_predicted(database: Database) -> None:
    """At least that, and half as much again at most; every row is there afterwards."""
    database.fill("log")
    connection, table = database.connection, database.table()
    file = database.server.data / database.name / "log.ibd"
    before, rows, size = allocated(connection, table), database.rows(), file.stat().st_size
    predicted = prediction(connection, table)
    told: list[Progress] = []

    rewrite(connection, table, told.append)

    returned = size - file.stat().st_size
    assert before == predicted.space.allocated == size
    assert predicted.returns <= returned < 1.5 * predicted.returns
    assert allocated(connection, table) == file.stat().st_size
    assert predicted.blocked is None
    assert predicted.free is not None
    assert predicted.needs_free > file.stat().st_size
    assert any("replicas are not told" in note for note in predicted.notes)
    assert database.rows() == rows
    assert any("log" in progress.phase for progress in told)
    assert prediction(connection, table).returns == 0


def test_only_partitions_with_something_to_give_back_are_built_anew(database: Database) -> None:
    """The other partition's file stays as it is."""
    database.fill("log", _PARTS)
    connection, table, rows = database.connection, database.table(), database.rows()
    predicted = prediction(connection, table)

    rewrite(connection, table, lambda progress: None)

    assert "p old" in predicted.lock
    assert predicted.returns > 15_000_000
    assert allocated(connection, table) < predicted.space.allocated - predicted.returns / 2
    assert database.rows() == rows


def test_tidying_counts_anew_and_builds_nothing(database: Database) -> None:
    """The table has the same file and the same rows; nothing is said where there is nothing to say."""
    database.fill("log")
    file = database.server.data / database.name / "log.ibd"
    before, rows = file.stat().st_ino, database.rows()

    assert tidy(database.connection, database.table()) == ()

    found = space(database.connection, database.table())
    assert file.stat().st_ino == before
    assert database.rows() == rows
    assert found.free is not None
    assert found.free > 15_000_000


def test_a_table_that_somebody_uses_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries it is given up as busy, and nothing was changed."""
    database.fill("log")
    monkeypatch.setattr(reclaiming, "_TRIES", 2)
    monkeypatch.setattr(reclaiming, "_PAUSE", 0.01)
    database.connection.run("SET SESSION lock_wait_timeout = 1")
    file = database.server.data / database.name / "log.ibd"
    told: list[Progress] = []
    size = file.stat().st_size
    with database.server.connect(database.name) as other, other.cursor() as cursor:
        other.begin()
        cursor.execute("SELECT 1 FROM log LIMIT 1")
        with pytest.raises(BusyError):
            rewrite(database.connection, database.table(), told.append)
    assert any("waiting for its lock" in progress.phase for progress in told)
    assert file.stat().st_size == size


def test_odd_names_are_names(database: Database) -> None:
    """A name with signs of its own is measured by the server's count, and built anew."""
    name = "lo g%s"
    database.fill(name)
    rows = database.rows(name)
    database.execute(f"ANALYZE TABLE `{name}`")

    before = allocated(database.connection, database.table(name))
    rewrite(database.connection, database.table(name), lambda progress: None)

    assert allocated(database.connection, database.table(name)) < before - 15_000_000
    assert database.rows(name) == rows


def test_a_user_without_rights_to_the_files_still_measures(database: Database, tmp_path: Path) -> None:
    """Without PROCESS the server's own count is taken; a server that only reads is a reason not to begin."""
    database.fill("log")
    database.execute("CREATE USER small@localhost")
    database.execute(f"GRANT SELECT ON `{database.name}`.* TO small@localhost")
    address = parse(database.server.socket_url(database.name, user="small"), shown="mysql://x")
    reader = Connection(address, shown="mysql://x", read_only=True)
    try:
        assert prediction(reader, find_table(reader, "log")).returns > 15_000_000
        database.execute("SET GLOBAL read_only = ON")
        blocked = prediction(reader, find_table(reader, "log")).blocked
    finally:
        database.execute("SET GLOBAL read_only = OFF")
        reader.close()
        database.execute("DROP USER small@localhost")
    assert blocked == "the server only reads"
