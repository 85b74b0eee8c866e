"""The newest of each group: their thresholds in a temporary table of the session, filled by one statement."""

from __future__ import annotations

from lapse.errors import StoreError
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import check_names, thresholds
from lapse.sqlcore.thresholds import Thresholds, spelled
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge


def find_thresholds(connection: Connection, judge: Judge, where: Fragment, *, name: str) -> Thresholds | None:
    """The thresholds over the rows ``r`` that *where* admits. None if the server makes no such table for this role.

    A session for reading only writes nothing but that table, in transactions that say otherwise.

    Raises:
        StoreError: If no record has the field that tells groups apart.
    """
    if connection.in_transaction or not _made(connection, name):
        return None
    table, members = f"pg_temp.{name}", judge.members(where)
    with connection.transaction("READ WRITE"):
        connection.change(f"INSERT INTO {table} " + thresholds(members.query()))
        # A btree takes no long texts.
        connection.run(f"CREATE INDEX ON {table} USING hash (k)")
        connection.run(f"ANALYZE {table}")
    found = Thresholds(table, spelled, ' COLLATE "C"')
    check_names(members, found, connection.query)
    return found


def _made(connection: Connection, name: str) -> bool:
    try:
        with connection.transaction("READ WRITE"):
            connection.run(f"DROP TABLE IF EXISTS pg_temp.{name}")
            connection.run(f'CREATE TEMPORARY TABLE {name} (k text COLLATE "C", since bigint)')
    except StoreError:
        if connection.closed:
            raise
        return False
    return True
