"""How others fare: this server's own lag where it is a replica, a query of the policy's own, sessions at work.

A primary is not told how far its replicas have come. Where the server itself is a replica, its own lag counts; for
others `pause while` can ask a table of heartbeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from lapse.errors import StoreError, UnsupportedError
from lapse.model.pace import Pace
from lapse.ports import Burden
from lapse.stores.mysql.connection import Connection


def burden(connection: Connection, pace: Pace) -> Burden:
    """Look now. A transaction must not be open.

    Raises:
        StoreError: If the query of ``pause while`` fails, or gives no number.
        BusyError: If that query took too long.
    """
    ((_, running),) = connection.rows("SHOW GLOBAL STATUS LIKE 'Threads\\_running'")
    return Burden(wait=next(_reasons(connection, pace), None), busy=int(running) > 1)


def _reasons(connection: Connection, pace: Pace) -> Iterator[str]:
    if pace.max_lag is not None:
        yield from _lagging(connection, pace.max_lag)
    if pace.pause_while is not None and _answer(connection, pace.pause_while):
        yield "the query of `pause while` says so"


def _lagging(connection: Connection, most: float) -> Iterator[str]:
    for status in _replica_states(connection):
        name = status.get("Connection_name") or "this server"
        behind = status.get("Seconds_Behind_Master", status.get("Seconds_Behind_Source"))
        if behind is None:
            yield f"replication to {name} has stopped"
        elif int(behind) > most:
            yield f"{name} is {int(behind):,} s behind its primary"


def _replica_states(connection: Connection) -> list[dict[str, Any]]:
    """How far this server is behind each of its primaries; nothing where it has none, or where nobody may ask."""
    statements = ("SHOW ALL SLAVES STATUS",) if connection.is_mariadb else ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
    for statement in statements:
        try:
            return connection.named_rows(statement)
        except UnsupportedError:
            return []  # only a replica's administrator may ask
        except StoreError:
            continue  # an older or newer server's words
    return []


def _answer(connection: Connection, query: str) -> bool:
    """Whether the first value of *query* is true, not zero, or null: what is unknown is no go-ahead."""
    limit = "SET STATEMENT max_statement_time = 1 FOR " if connection.is_mariadb else ""
    connection.run("START TRANSACTION READ ONLY")
    try:
        found = connection.rows(limit + query.replace("%", "%%"))
    finally:
        connection.roll_back()
    if not found:
        return False
    value = found[0][0]
    if value is None:
        return True
    if isinstance(value, bool | int | float | Decimal):
        return bool(value)
    raise StoreError(
        f"the query of `pause while` gives a {type(value).__name__}",
        hint="Let it give a number that is zero while the run may go on.",
    )
