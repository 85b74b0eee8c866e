"""Real MariaDB servers: initialized in a folder, started on a free port, ended with the tests.

    with server_folder(MARIADB_USER) as folder, MariadbServer.start(folder / "a") as server:
        url = server.create_database("shop")

Every test may ask for the fixtures `mariadb`, a server that all tests share, `mariadb_database`, a database of
its own there, and `own_mariadb`, a server that it may kill. Programs come from Debian's and Ubuntu's packages, or
from the ``bin`` folder in ``LAPSE_TEST_MARIADB``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Self

import pymysql
import pytest

from servers.owned import OwnedServer
from servers.processes import run_as, server_folder, server_user

MARIADB_USER = server_user("mysql")
"""The user that the servers run as. None: the one that runs the tests."""

_SMALL = {
    "innodb_buffer_pool_size": "64M",
    "innodb_log_file_size": "32M",
    "max_connections": "50",
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "server_id": "17",
    "sync_binlog": "0",
    "performance_schema": "OFF",
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_general_ci",
    "innodb_lock_wait_timeout": "5",
}
# What a power cut would need is left out: only the tests of crashes ask for it.
_HASTY = {"innodb_flush_log_at_trx_commit": "2", "innodb_flush_method": "nosync", "innodb_doublewrite": "0"}
_databases = count(1)


def program(name: str) -> str:
    """The path of one of MariaDB's programs.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    places = [os.environ.get("LAPSE_TEST_MARIADB", ""), os.environ.get("PATH", ""), "/usr/sbin:/usr/local/sbin"]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; on Debian and Ubuntu: apt-get install mariadb-server")
    return found


class MariadbServer(OwnedServer):
    """A server with databases of its own; ``lapse`` may do everything."""

    user = MARIADB_USER
    hard = signal.SIGKILL

    def __init__(self, folder: Path) -> None:
        """Name a server; `start` makes one."""
        super().__init__(folder)
        self.socket = folder / "socket"
        self._options: Mapping[str, str] = {}

    @classmethod
    def start(cls, folder: Path, *, fsync: bool = False, options: Mapping[str, str] | None = None) -> Self:
        """Initialize a data directory in *folder* and start the server.

        Args:
            folder: Not there yet, in a folder that `MARIADB_USER` may enter (`server_folder` makes one).
            fsync: Whether commits wait for the disk. Off by default: only a power cut shows the difference.
            options: Settings beyond that, as in my.cnf, such as ``{"log_bin": "other"}``.
        """
        server = cls(folder)
        server._make_folder()
        server._options = {**_SMALL, **({} if fsync else _HASTY), **(options or {})}
        run_as(
            MARIADB_USER,
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={server.data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
        )
        server._launch()
        for host in ("127.0.0.1", "localhost"):
            server.execute(f"CREATE USER lapse@'{host}'", user="root")
            server.execute(f"GRANT ALL ON *.* TO lapse@'{host}' WITH GRANT OPTION", user="root")
        return server

    def url(self, database: str = "mysql", user: str = "lapse") -> str:
        """The address of *database*, over TCP."""
        return f"mysql://{user}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "mysql", user: str = "lapse") -> str:
        """The address of *database*, over the unix socket."""
        return f"mysql://{user}@/{database}?unix_socket={self.socket}"

    def connect(self, database: str | None = None, user: str = "lapse") -> pymysql.Connection[Any]:
        """Connect to *database*; each statement commits by itself, and times are UTC."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            user=user,
            database=database,
            autocommit=True,
            charset="utf8mb4",
            init_command="SET time_zone = '+00:00'",
            ssl_disabled=True,  # to read this machine's certificates takes longer than to connect
        )

    def execute(
        self, statement: str, values: Sequence[object] = (), *, database: str | None = None, user: str = "lapse"
    ) -> list[tuple[Any, ...]]:
        """Run one *statement* in a connection of its own, and return its rows if it has any."""
        with self.connect(database, user) as connection, connection.cursor() as cursor:
            cursor.execute(statement, tuple(values) or None)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> str:
        """Make an empty database, and return its address."""
        self.execute(f"CREATE DATABASE `{name}`")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def stop(self) -> None:
        """End the server in good order. Nothing happens where it has ended already."""
        self._end(signal.SIGTERM)

    def _launch(self) -> None:
        places = {"datadir": self.data, "socket": self.socket, "pid_file": self.folder / "pid", "port": self.port}
        listen = {"bind_address": "127.0.0.1", "tmpdir": self.folder, **places}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**listen, **self._options}.items()]
        command = [program("mariadbd"), "--no-defaults", "--skip-name-resolve", *flags]
        self._spawn(command, self.folder / "pid")

    def _answers(self) -> bool:
        # PyMySQL leaves a socket open that could not connect; so ask first.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        self.connect(user="root").close()
        return True


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """A server for all tests of a session."""
    with server_folder(MARIADB_USER) as folder, MariadbServer.start(folder / "a") as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb: MariadbServer) -> Iterator[str]:
    """The name of an empty database, dropped after the test."""
    name = f"world_{next(_databases)}"
    mariadb.create_database(name)
    yield name
    mariadb.drop_database(name)


@pytest.fixture
def own_mariadb() -> Iterator[MariadbServer]:
    """A server of the test's own, which may be killed; its commits wait for the disk."""
    with server_folder(MARIADB_USER) as folder, MariadbServer.start(folder / "own", fsync=True) as server:
        yield server
