"""Holds that lie in MariaDB: added on one host, respected by the runs of every other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from mysql_ground import BY_MONTH, COLUMNS

from hosts import Host
from lapse.engine.planning import plan
from lapse.errors import HoldsError
from lapse.model.selection import Verdict
from lapse.stores.mysql import dropping, holding, taking
from servers.mariadb import MariadbServer
from shared_holds import HELD, SharedHolds, Step

LOG = "CREATE TABLE log (id BIGINT PRIMARY KEY, at DATETIME, tenant VARCHAR(20), level INT)"
ROWS = "INSERT INTO log SELECT seq, '2025-01-01' + INTERVAL seq DAY, IF(seq % 3, 'acme', 'held'), seq FROM seq_1_to_30"
CHILD = (
    "CREATE TABLE part (id BIGINT PRIMARY KEY, log BIGINT, at DATETIME, tenant VARCHAR(20), "
    "FOREIGN KEY (log) REFERENCES log (id) ON DELETE CASCADE)"
)
CHILDREN = "INSERT INTO part SELECT 100 + id, id, at, IF(id = 5, 'held', 'acme') FROM log"


@dataclass(frozen=True)
class Database:
    """A database, seen by another program."""

    server: MariadbServer
    name: str

    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def ids(self, table: str = "log") -> set[int]:
        """The keys that a table has."""
        return {key for (key,) in self.execute(f"SELECT id FROM {table}")}


@pytest.fixture
def database(mariadb: MariadbServer, mariadb_database: str) -> Database:
    """What the hosts share."""
    return Database(mariadb, mariadb_database)


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Host:
    """A host; there is no table yet."""
    return Host(folder=tmp_path / "here", url=database.server.socket_url(database.name)).policy()


@pytest.fixture
def there(here: Host, tmp_path: Path) -> Host:
    """Another host, which calls the table otherwise."""
    return Host(folder=tmp_path / "there", url=here.url, dataset="calls").policy()


@pytest.fixture
def log(database: Database) -> None:
    """Thirty lapsed rows, every third of a tenant called ``held``."""
    database.execute(LOG, ROWS)


@pytest.fixture
def parted(here: Host, database: Database) -> Host:
    """A host on four partitions of ten lapsed rows each, one of them of the tenant ``held``, and one that is kept."""
    database.execute(f"CREATE TABLE log ({COLUMNS.format('DATETIME(6)')}) {BY_MONTH}")
    for month in range(1, 5):
        rows = [f"({100 * month + n}, '2025-0{month}-{n + 10}', 'acme', 'x')" for n in range(10)]
        database.execute(f"INSERT INTO log (id, at, tenant, body) VALUES {', '.join(rows)}")
    database.execute(
        "INSERT INTO log (id, at, tenant, body) VALUES (1, '2026-10-20', 'acme', 'new')",
        "UPDATE log SET tenant = 'held' WHERE id = 205",
    )
    return here


@pytest.fixture
def family(log: None, database: Database) -> None:
    """A child of each row."""
    database.execute(CHILD, CHILDREN)


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right before the holds are looked at, one each."""
    waiting: list[Step] = []

    def locked(*arguments: Any) -> Any:
        if waiting:
            waiting.pop(0)()
        return holding.locked(*arguments)

    monkeypatch.setattr(taking, "locked", locked)
    monkeypatch.setattr(dropping, "locked", locked)
    return waiting


class TestHolds(SharedHolds):
    """What holds in a database promise."""

    holding: ClassVar[ModuleType] = holding
    taking: ClassVar[ModuleType] = taking
    waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("granted", [False, True])
def test_a_user_without_rights_on_the_holds_removes_nothing(
    here: Host,
    there: Host,
    mariadb: MariadbServer,
    database: Database,
    granted: bool,
) -> None:
    """Holds that cannot be read are not no holds, and the server does not say whether there are any."""
    here.hold()
    clerk = f"clerk_{database.name}"
    database.execute(
        f"CREATE USER {clerk}@localhost",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database.name}.log TO {clerk}@localhost",
        *([f"GRANT SELECT ON {database.name}.lapse_holds TO {clerk}@localhost"] if granted else []),
    )
    there.policy(url=mariadb.socket_url(database.name, clerk))

    if granted:
        assert plan(there.session()).datasets[0].records(Verdict.HELD) == len(HELD)
    else:
        with pytest.raises(HoldsError, match="may not read the holds in lapse_holds"):
            plan(there.session())

    assert database.ids() == set(range(1, 31))


@pytest.mark.usefixtures("log")
def test_a_table_of_that_name_that_is_another_stops_the_run(here: Host, there: Host, database: Database) -> None:
    """Whoever made it, it cannot be read as holds."""
    database.execute("CREATE TABLE lapse_holds (id INT)")

    with pytest.raises(HoldsError, match="the holds cannot be read"):
        there.run()

    assert database.ids() == set(range(1, 31))
