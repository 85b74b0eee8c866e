"""What a database says of itself to drop-ins, and the transaction that it lends to somebody else's purger."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from lapse.errors import StoreError
from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.inspecting import without_secrets

_ZONE = "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'"
_COLUMNS = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)


def describe(address: str, *, tables: Sequence[str], small: Sequence[SmallTable]) -> DatabaseFacts:
    """The time zone of sessions that ask for none, columns by table, and the rows of small tables; one snapshot.

    Raises:
        StoreError: If the server does not answer, or a small table is none.
    """
    connection = Connection(address, shown=without_secrets(address), read_only=True)
    with closing(connection), connection.transaction("ISOLATION LEVEL REPEATABLE READ"):
        columns = {name: _columns(connection, name) for name in (*tables, *(table.name for table in small))}
        return DatabaseFacts(
            time_zone=str(connection.value(_ZONE)),
            tables={name: found for name, found in columns.items() if found},
            rows={table.name: _rows(connection, table, columns[table.name]) for table in small if columns[table.name]},
        )


def _columns(connection: Connection, table: str) -> Mapping[str, str]:
    return {str(name): str(kind) for name, kind in connection.rows(_COLUMNS, (quote(table),))}


def _rows(
    connection: Connection, table: SmallTable, present: Mapping[str, str]
) -> tuple[Mapping[str, str | None], ...]:
    names = [name for name in table.columns if name in present]
    wanted = ", ".join(f"{quote(name)}::text" for name in names) or "NULL"
    found = connection.rows(f"SELECT {wanted} FROM {quote(table.name)} LIMIT {table.most + 1}")
    if len(found) > table.most:
        raise StoreError(
            f"{connection.shown}: table {table.name} has more than {table.most:,} rows",
            hint="It should hold settings only. Look at what is in it.",
        )
    return tuple(dict(zip(names, row, strict=False)) for row in found)


class LentSession(Connection):
    """A session for statements of somebody else's, with the settings that the server gives everybody."""

    def __init__(self, address: str) -> None:
        super().__init__(address, shown=without_secrets(address), read_only=False)
        self.run("RESET ALL")

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one statement, with psycopg's placeholders; returns psycopg's cursor and raises its errors."""
        return self._con.execute(statement, parameters)


@contextmanager
def transaction(address: str) -> Iterator[LentSession]:
    """A session whose transaction ends with the block: committed, or undone by an error.

    Raises:
        CommitUnknownError: If the server did not answer the commit.
        StoreError: If it refused it, as after a statement that failed; then nothing is committed.
    """
    with closing(LentSession(address)) as session, session.transaction():
        yield session
