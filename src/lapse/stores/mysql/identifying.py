"""What a table is, what stands against removing from it, and how far it reaches."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lapse import clock
from lapse.errors import GuardError, UnsupportedError
from lapse.instant import Nanos, rfc3339
from lapse.model.plan import Fingerprint, Identity, Mark
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import SKEW
from lapse.sqlcore.fields import field_path
from lapse.stores.mysql.catalog import INTEGERS, Table, TableColumn, is_own
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dependents import Dependents
from lapse.stores.mysql.times import is_naive

_RETURNING = (10, 0, 5)
_LARGE = 100_000
_ROWS_A_SECOND = 500_000


def has_returning(connection: Connection) -> bool:
    """Whether the server knows ``DELETE … RETURNING``."""
    return connection.is_mariadb and connection.version >= _RETURNING


def identify(connection: Connection, dependents: Dependents, dataset: Dataset, time_format: TimeFormat) -> Identity:
    """Everything a plan says of a table, the one of *dependents*, before it counts.

    Raises:
        StoreMissingError: If a column the policy uses is not there.
        GuardError: If the server's clock and this machine's differ.
    """
    check_clock(connection)
    table = dependents.table
    refused = refusal(connection, dependents)
    mark = None if refused else _mark(connection, table)
    return Identity(
        fingerprint=fingerprint(connection, table, dataset.fields),
        mark=mark,
        unmarked=None if mark else _unmarked(table),
        notes=() if refused else tuple(_notes(connection, dependents, dataset, time_format)),
        refusal=refused,
    )


def fingerprint(connection: Connection, table: Table, fields: tuple[str, ...]) -> Fingerprint:
    """Which server, database, table and columns: nothing that a new row changes."""
    used = {table.column(field_path(field).column) for field in fields}
    columns = "\0".join(sorted(f"{column.name}\0{column.declared}" for column in used))
    parts = (_short(_server(connection)), f"{table.database}.{table.name}", _short(columns))
    return Fingerprint(text=":".join(("mysql", *parts)), parts=parts)


def _server(connection: Connection) -> str:
    """The server's own identity, else what is the closest to one."""
    for variable in ("server_uuid", "server_uid"):
        value = connection.variable(variable)
        if value:
            return value
    ((server, host, folder),) = connection.rows("SELECT @@server_id, @@hostname, @@datadir")
    return f"{server}\0{host}\0{folder}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]


def check_clock(connection: Connection) -> None:
    """Refuse a server whose clock is not ours.

    Raises:
        GuardError: If they differ by more than five minutes.
    """
    ((micros,),) = connection.rows("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)")
    theirs, ours = Nanos(int(micros) * 1000), clock.real_now()
    if abs(theirs - ours) > SKEW:
        raise GuardError(
            f"the server's clock says {rfc3339(theirs)}, this machine's {rfc3339(ours)}",
            hint="Set both right. With a wrong clock too much or too little would go.",
        )


def _is_ascending(table: Table) -> bool:
    return len(table.key) == 1 and table.key[0].type in INTEGERS and table.automatic == table.key[0].name


def _mark(connection: Connection, table: Table) -> Mark | None:
    if not _is_ascending(table):
        return None
    (key,) = table.key
    ((highest,),) = connection.rows(f"SELECT MAX({key.sql}) FROM {table.sql}")
    return Mark(kind="key", values={key.name: (int(highest or 0),)})


def _unmarked(table: Table) -> str:
    return f"table {table.name} has no single AUTO_INCREMENT column as its key"


def refusal(connection: Connection, dependents: Dependents) -> str | None:
    """Why nothing may be removed. None if it may."""
    table = dependents.table
    wrong = _wrong_kind(table) or _wrong_key(table) or _wrong_parts(table) or dependents.refusal
    along = [_wrong_kind(dependent.table) or _wrong_parts(dependent.table) for dependent in dependents.taken]
    return wrong or next(filter(None, along), None) or _wrong_server(connection)


def _wrong_kind(table: Table) -> str | None:
    name = table.name
    if is_own(name):
        return f"{name} is Lapse's own table"
    if table.kind == "SYSTEM VERSIONED":
        return f"{name} is system-versioned: removed rows would stay in its history"
    if table.kind != "BASE TABLE":
        return f"{name} is a {table.kind.lower()}, not a table"
    if (table.engine or "").lower() != "innodb":
        return f"{name} is a table of {table.engine}, which has no transactions that Lapse could rely on"
    return None


def _wrong_key(table: Table) -> str | None:
    return None if table.key else f"{table.name} has no primary key, and no unique one without NULL, to name its rows"


def _wrong_parts(table: Table) -> str | None:
    from lapse.stores.mysql.encoding import arrow_type

    vetoing = [trigger.name for trigger in table.triggers if trigger.before]
    if vetoing:
        return f"trigger {', '.join(vetoing)} runs before each delete from {table.name} and may refuse it"
    try:
        for column in table.columns:
            arrow_type(column)
    except UnsupportedError as error:
        return error.message
    return None


def _wrong_server(connection: Connection) -> str | None:
    if _is_logged(connection) and connection.variable("binlog_format") == "STATEMENT":
        return "the server logs statements (binlog_format=STATEMENT), which InnoDB refuses at READ COMMITTED; use MIXED"
    return None


def _notes(connection: Connection, dependents: Dependents, dataset: Dataset, time_format: TimeFormat) -> Iterator[str]:
    table = dependents.table
    column = table.column(dataset.time)
    if time_format is not dataset.time_format:
        yield f"{column.name} holds numbers and is read as {time_format.value}"
    if dataset.zone is None and is_naive(column):
        yield f"{column.name} is {column.full} without time zone and is read as UTC; set `time zone:` if it is not"
    yield from _index_notes(table, column)
    for each in (table, *(dependent.table for dependent in dependents.taken)):
        for trigger in each.triggers:
            yield f"trigger {trigger.name} runs after each row that is removed from {each.shown}"
    for path in dependents.losing:
        yield f"a foreign key of {path[-1].child.shown} says ON DELETE SET NULL: rows there lose their reference"
    generated = [each.name for each in table.columns if each.generated]
    if generated:
        yield f"computed columns are archived, and computed again at a restore: {', '.join(generated)}"
    yield from _server_notes(connection)


def _index_notes(table: Table, column: TableColumn) -> Iterator[str]:
    if table.serving(column) is None and table.rows > _LARGE:
        yield (
            f"no index begins with {column.name}: a run reads the table once, about {table.rows:,} rows "
            f"({_seconds(table.rows)}). An index would be: "
            f"CREATE INDEX lapse_{_plain(column.name)} ON {table.shown} ({column.name}), "
            f"which reads it once, too, and takes about {table.rows * 20 // 1_048_576 + 1:,} MiB"
        )


def _seconds(rows: int) -> str:
    return f"about {max(1, rows // _ROWS_A_SECOND):,} s"


def _plain(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name).lower()


def _server_notes(connection: Connection) -> Iterator[str]:
    if _is_logged(connection):
        yield f"the binary log holds what was removed {_kept(connection)}"
    if _replicas(connection):
        yield (
            "replicas read this server's binary log, but do not tell it how far they are: "
            "let `pace: {pause while: …}` ask a table of heartbeats"
        )


def _is_logged(connection: Connection) -> bool:
    return connection.variable("log_bin") == "ON"


def _kept(connection: Connection) -> str:
    """For how long."""
    seconds = float(connection.variable("binlog_expire_logs_seconds") or 0)
    days = seconds / 86_400 or float(connection.variable("expire_logs_days") or 0)
    return f"for {days:g} days" if days else "until it is purged"


def _replicas(connection: Connection) -> int:
    """Connections of replicas, as far as this user may see them."""
    ((count,),) = connection.rows(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%%'"
    )
    return int(count)
