"""A policy on a PostgreSQL table, run as commands do, and partitions for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from server_ground import ServerGround


@dataclass(frozen=True)
class Ground(ServerGround):
    """A database, a policy on one of its tables, and Lapse's own folders.

    Attributes:
        url: The database.
    """

    url: str

    def policy(
        self,
        *,
        store: str | None = None,
        table: str = "log",
        keep: str = "90 days",
        archive: str = "cold",
        dataset: str = "",
        top: str = "",
    ) -> None:
        """Write the policy: *dataset* are further lines of the dataset, *top* of the policy."""
        self.write_policy(store or self.url, table=table, keep=keep, archive=archive, dataset=dataset, top=top)

    @contextmanager
    def connected(self, *, autocommit: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """Another session."""
        with psycopg.connect(self.url, autocommit=autocommit) as connection:
            yield connection

    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""
        with self.connected() as connection:
            cursor = None
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return [] if cursor is None or cursor.description is None else cursor.fetchall()


def months(first: int, last: int, year: int = 2025) -> Sequence[str]:
    """Statements that make partitions of ``log``, one for each of these months, each with ten rows."""
    found = []
    for month in range(first, last + 1):
        name, begin = f"log_{year}_{month:02}", f"{year}-{month:02}-01"
        end = f"{year}-{month + 1:02}-01" if month < 12 else f"{year + 1}-01-01"
        found.append(f"CREATE TABLE {name} PARTITION OF log FOR VALUES FROM ('{begin}') TO ('{end}')")
        found.append(
            f"INSERT INTO log SELECT {100 * month} + n, '{begin}'::timestamp + n * interval '1 day', 'acme', "
            f"repeat('x', n) FROM generate_series(0, 9) n"
        )
    return found
