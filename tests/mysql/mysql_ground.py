"""A policy on a partitioned table of MariaDB, run as commands do; and whether nothing was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from server_ground import ServerGround
from servers.mariadb import MariadbServer
from servers.processes import await_condition

COLUMNS = "id BIGINT NOT NULL AUTO_INCREMENT, at {} NOT NULL, tenant VARCHAR(40), body TEXT, PRIMARY KEY (id, at)"
BY_MONTH = (
    "PARTITION BY RANGE COLUMNS (at) (PARTITION p1 VALUES LESS THAN ('2025-02-01'), "
    "PARTITION p2 VALUES LESS THAN ('2025-03-01'), PARTITION p3 VALUES LESS THAN ('2025-04-01'), "
    "PARTITION p4 VALUES LESS THAN ('2025-05-01'), PARTITION new VALUES LESS THAN (MAXVALUE))"
)
HOLD = "holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n"


@dataclass(frozen=True)
class Ground(ServerGround):
    """A database, a policy on its table ``log``, and Lapse's own folders.

    Attributes:
        server: The server.
        database: The database's name.
    """

    server: MariadbServer
    database: str

    def policy(
        self,
        *,
        keep: str = "90 days",
        archive: str = "cold",
        dataset: str = "tenant: tenant",
        top: str = "",
        user: str = "lapse",
    ) -> None:
        """Write the policy for that user: *dataset* are further lines of the dataset, *top* of the policy."""
        store = self.server.socket_url(self.database, user)
        self.write_policy(store, keep=keep, archive=archive, dataset=dataset, top=top)

    def create(self, columns: str = COLUMNS, partitions: str = BY_MONTH, kind: str = "DATETIME(6)") -> None:
        """Ten rows in each of four months that have lapsed, and a new one."""
        self.execute(f"CREATE TABLE log ({columns.format(kind)}) {partitions}")
        for month in range(1, 5):
            rows = [f"({100 * month + n}, '2025-0{month}-{n + 10}', 'acme', '{'x' * n}')" for n in range(10)]
            self.execute(f"INSERT INTO log (id, at, tenant, body) VALUES {', '.join(rows)}")
        self.execute("INSERT INTO log (id, at, tenant, body) VALUES (1000, '2026-10-20', 'acme', 'new')")

    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""
        found: list[Any] = []
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'")
            for statement in statements:
                cursor.execute(statement)
                found = list(cursor.fetchall())
        return found

    @contextmanager
    def holding(self, *statements: str) -> Iterator[Any]:
        """A transaction of somebody else's that has run these statements, and stays open."""
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            connection.begin()
            for statement in statements:
                cursor.execute(statement)
                cursor.fetchall()
            yield connection

    def tables(self) -> list[str]:
        """The tables that rows may be in, those of Lapse's own left out."""
        found = [name for (name,) in self.execute("SHOW TABLES")]
        return [name for name in found if name not in ("lapse_disposals", "lapse_holds", "lapse_leases")]

    def partitions(self) -> list[str]:
        """The names of the partitions."""
        found = self.execute(
            "SELECT PARTITION_NAME FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() "
            "AND TABLE_NAME = 'log' ORDER BY PARTITION_ORDINAL_POSITION"
        )
        return [name for (name,) in found]

    def rows(self, columns: str = "id") -> list[Any]:
        """What the table has."""
        found = self.execute(f"SELECT {columns} FROM log ORDER BY 1")
        return [row[0] if len(row) == 1 else row for row in found]

    def alone(self) -> None:
        """Wait until the server has noticed that a killed process is gone, and has undone what it left."""
        others = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'lapse' AND ID <> CONNECTION_ID()"
        await_condition(lambda: self.server.execute(others)[0][0] == 0, "the killed process's connections to end")

    def check(self) -> None:
        """Nothing is left open, nothing is aside, nothing lies around, and the ledger is whole."""
        assert self.tables() == ["log"]
        assert self.execute("SELECT COUNT(*) FROM lapse_disposals") == [(0,)]
        super().check()
