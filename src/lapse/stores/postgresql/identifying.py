"""What a table is known by, how far it reaches, and all that a plan says of it before anything is counted."""

from __future__ import annotations

from lapse.canonical import canonical, sha256
from lapse.errors import StoreError
from lapse.model.plan import Fingerprint, Identity, Mark
from lapse.model.policy import Dataset
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.identifiers import quote
from lapse.stores.postgresql.borrowing import loan_notes
from lapse.stores.postgresql.catalog import Table, TableColumn
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.noticing import notes
from lapse.stores.postgresql.preflight import graph, index_notes, members, reference_notes
from lapse.stores.postgresql.refusing import check_clock, check_readable, refusal

_DIGITS = 12
_HOLDS_ROWS = ("r", "p")


def identify(connection: Connection, table: Table, dataset: Dataset) -> Identity:
    """Everything a plan says of a table before it counts. Writes nothing, and reads no row but that of the highest key.

    Raises:
        StoreMissingError: If a column the policy uses is not there.
        StoreError: If this role may not read the table.
        UnsupportedError: If row-level security hides rows from this role.
        GuardError: If the server's clock is more than five minutes off.
    """
    known = fingerprint(connection, table, dataset.fields)
    check_clock(connection)
    oids = members(connection, table)
    check_readable(connection, table, [*oids, *(loan.lender.oid for loan in table.loans)])
    keys = graph(connection, table)
    said: list[str] = []
    if table.kind in _HOLDS_ROWS:
        said += notes(connection, table, oids, dataset)
        if table.column(dataset.time).loan is None:
            said += index_notes(connection, table, dataset.time)
        said += loan_notes(table)
        said += reference_notes(connection, keys)
    mark = _mark(connection, table)
    return Identity(
        fingerprint=known,
        mark=mark,
        unmarked=None if mark else f"table {table.shown} has no single integer column as its primary key",
        notes=tuple(said),
        refusal=refusal(connection, table, oids, keys),
    )


def fingerprint(connection: Connection, table: Table, fields: tuple[str, ...]) -> Fingerprint:
    """Which server, database and table, and which columns of what type: nothing that a new row changes.

    Copies of a server made of its files (a replica, a restored base backup) are the same server to it.

    Raises:
        StoreMissingError: If a column is not there.
    """
    used = {table.column(field_path(field).column) for field in fields}
    columns = sorted([column.name, column.type, *_lender(column)] for column in used)
    database = str(connection.value("SELECT current_database()"))
    names = (database, table.name) if table.schema == "public" else (database, table.schema, table.name)
    parts = (server_of(connection), ".".join(map(_word, names)), sha256(canonical(columns))[:_DIGITS])
    return Fingerprint(text=":".join(("postgresql", *parts)), parts=parts)


def _lender(column: TableColumn) -> tuple[str, ...]:
    """Where a column is borrowed from; nothing for one of the table's own."""
    loan = column.loan
    return () if loan is None else (loan.lender.schema, loan.lender.name, loan.lender_key, loan.column.name)


def server_of(connection: Connection) -> str:
    """The server's own number, the same on its replicas and after a restore; else the database's, in words."""
    try:
        return str(connection.value("SELECT system_identifier FROM pg_control_system()"))
    except StoreError:  # it may be called by everybody, unless that was revoked
        number = connection.value("SELECT oid FROM pg_database WHERE datname = current_database()")
        return f"database-{number}"


def _word(name: str) -> str:
    """*name* without the signs that part a fingerprint."""
    return name.replace("%", "%25").replace(":", "%3A").replace(".", "%2E")


def _mark(connection: Connection, table: Table) -> Mark | None:
    key = table.integer_key
    if key is None:
        return None
    highest = connection.value(f"SELECT max({quote(key)}) FROM {table.sql}")  # noqa: S608 - quoted
    return Mark(kind="key", values={key: (int(highest or 0),)})
