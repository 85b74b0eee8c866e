"""Tables of a real server in several shapes, filled and disturbed from outside with the plain driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pymysql

from lapse.instant import Nanos, rfc3339
from lapse.model.policy import TimeFormat
from lapse.stores.mysql import MysqlStore
from lapse.testing.harness import Record, Traits, World
from servers.mariadb import MariadbServer

_COLUMNS = "`id`, `at`, `kind`, `tenant`, `level`, `body`"


class NoReturningStore(MysqlStore):
    """The way of MySQL 8, on a server that knows another."""

    use_returning = False


class MysqlWorld(World):
    """An AUTO_INCREMENT key and DATETIME(6), with collations that take letters for one another."""

    store_class = MysqlStore
    traits: ClassVar[Traits] = Traits(step=1000, garbage=False)
    partitions: ClassVar[str] = ""
    definition: ClassVar[str] = (
        "`id` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, `at` DATETIME(6), "
        "`kind` VARCHAR(40) COLLATE utf8mb4_unicode_ci, `tenant` VARCHAR(40) COLLATE utf8mb4_general_ci, "
        "`level` BIGINT, `body` TEXT, KEY `by_time` (`at`)"
    )

    def __init__(self, server: MariadbServer, database: str) -> None:
        self.server = server
        self.database = database

    @property
    def address(self) -> str:
        """Over the unix socket."""
        return self.server.socket_url(self.database)

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A cursor of another program, committed at the end."""
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1, sql_mode = ''")
            connection.begin()
            yield cursor
            connection.commit()

    def create(self, records: Sequence[Record]) -> None:
        """Make the table anew, without markers."""
        with self.connected() as cursor:
            for table in ("log", "lapse_disposals", "lapse_leases"):
                cursor.execute(f"DROP TABLE IF EXISTS `{table}`")
            cursor.execute(f"CREATE TABLE `log` ({self.definition}) ENGINE=InnoDB {self.partitions}")
        self.add(*records)

    def add(self, *records: Record) -> bool:
        """Another writer."""
        return self._write("INSERT", records)

    def change(self, record: Record) -> bool:
        """Another writer replaces a row; it waits a second at most."""
        return self._write("REPLACE", [record])

    def _write(self, verb: str, records: Sequence[Record]) -> bool:
        rows = [(r.key, self.time(r.at), r.kind, r.tenant, r.level, r.body) for r in records]
        try:
            with self.connected() as cursor:
                cursor.executemany(f"{verb} INTO `log` ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)", rows)
        except pymysql.OperationalError as error:
            if error.args[0] != 1205:  # a lock that lasted
                raise
            return False
        return True

    def time(self, at: Nanos | str | None) -> object:
        """The time as this column has it."""
        return rfc3339(at).replace("T", " ").removesuffix("Z") if isinstance(at, int) else at

    def snapshot(self) -> Mapping[int, object]:
        """Every row."""
        with self.connected() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM `log` ORDER BY `id`")
            rows = cursor.fetchall()
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: row for row in rows}

    def image(self) -> object:
        """Every table with its rows, and how far the log of changes has come."""
        with self.connected() as cursor:
            cursor.execute("SHOW TABLES")
            tables = [name for (name,) in cursor.fetchall()]
            found = {}
            for table in tables:
                cursor.execute(f"SELECT * FROM `{table}`")
                found[table] = sorted(map(repr, cursor.fetchall()))
            cursor.execute("SHOW MASTER STATUS")
            return found, cursor.fetchall()


class TimestampWorld(MysqlWorld):
    """TIMESTAMP(6), and no AUTO_INCREMENT."""

    traits = Traits(step=1000, garbage=False, marked=False)
    definition = (
        "`id` BIGINT NOT NULL PRIMARY KEY, `at` TIMESTAMP(6) NULL, `kind` VARCHAR(40) CHARACTER SET utf8mb4, "
        "`tenant` VARCHAR(40) COLLATE utf8mb4_unicode_520_ci, `level` BIGINT, `body` TEXT"
    )

    def time(self, at: Nanos | str | None) -> object:
        """TIMESTAMP begins with 1970-01-01 00:00:01: what is earlier stands there, and is as doubtful."""
        return super().time(Nanos(max(at, 1_000_000_000)) if isinstance(at, int) else at)


class MillisWorld(MysqlWorld):
    """Unix milliseconds."""

    traits = Traits(step=1_000_000, garbage=False)
    time_format = TimeFormat.MILLISECONDS
    definition = (
        "`id` INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, `at` BIGINT, `kind` VARCHAR(40), "
        "`tenant` VARCHAR(40), `level` DECIMAL(20, 0), `body` LONGTEXT"
    )

    def time(self, at: Nanos | str | None) -> object:
        """Milliseconds since 1970."""
        return at // 1_000_000 if isinstance(at, int) else at


class TextWorld(MysqlWorld):
    """RFC 3339 texts of any length, under a key of two columns."""

    traits = Traits(marked=False)
    definition = (
        "`half` VARCHAR(10) NOT NULL DEFAULT 'É', `id` BIGINT NOT NULL, `at` VARCHAR(60), "
        "`kind` VARCHAR(40), `tenant` VARCHAR(40), `level` BIGINT, `body` TEXT, PRIMARY KEY (`half`, `id`)"
    )

    def time(self, at: Nanos | str | None) -> object:
        """RFC 3339."""
        return rfc3339(at) if isinstance(at, int) else at


class PartitionedWorld(MysqlWorld):
    """One partition of a list that takes every row: it goes whole where all of them have lapsed."""

    traits = Traits(step=1000, garbage=False, marked=False, divisible=False)
    definition = MysqlWorld.definition.replace("AUTO_INCREMENT ", "")
    partitions = "PARTITION BY LIST (`id` DIV 1000000000) (PARTITION all_of_them VALUES IN (0))"


class NoReturningWorld(MysqlWorld):
    """The way of MySQL 8."""

    store_class = NoReturningStore

    def lease_elsewhere(self) -> str:
        """The lease is the same, and another process knows no class of the tests."""
        return MysqlWorld(self.server, self.database).lease_elsewhere()
