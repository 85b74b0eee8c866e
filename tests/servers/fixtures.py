"""Fixtures of every test that needs a real server; the root's conftest.py makes pytest load them.

A server starts when the first test asks for it, once in each process of pytest-xdist.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers.postgres import POSTGRES_USER, PostgresServer
from servers.postgres import servers as postgres_versions
from servers.processes import server_folder

_numbers = itertools.count(1)


class PostgresPool:
    """One running server of each version that was asked for."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        """Keep the servers in *folder* until *ends* is closed."""
        self._folder = folder
        self._ends = ends
        self._servers: dict[str, PostgresServer] = {}

    def get(self, version: str) -> PostgresServer:
        """The server of *version*, started now if it is not running."""
        if version not in self._servers:
            server = PostgresServer.start(version, self._folder / f"{version}-{next(_numbers)}")
            self._servers[version] = self._ends.enter_context(server)
        return self._servers[version]


@pytest.fixture(scope="session")
def postgres_pool() -> Iterator[PostgresPool]:
    """The servers that the tests of this process share."""
    with server_folder(POSTGRES_USER) as folder, ExitStack() as ends:
        yield PostgresPool(folder, ends)


@pytest.fixture(scope="session", params=postgres_versions(), ids=lambda version: f"postgres{version}")
def postgres(request: pytest.FixtureRequest, postgres_pool: PostgresPool) -> PostgresServer:
    """A running server, shared; the test runs once for each version. Leave its settings as they are."""
    return postgres_pool.get(request.param)


@pytest.fixture
def pg_database(postgres: PostgresServer) -> Iterator[str]:
    """The address of an empty database of the test's own, on each version in turn."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def postgres_folder() -> Iterator[Path]:
    """A folder in which a test may start PostgreSQL servers of its own, and replicas."""
    with server_folder(POSTGRES_USER) as folder:
        yield folder
