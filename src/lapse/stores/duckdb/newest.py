"""The newest of each group: their thresholds in a temporary table of the connection."""

from __future__ import annotations

from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import Members, check_names, thresholds
from lapse.sqlcore.thresholds import Thresholds, spelled
from lapse.stores.duckdb.connection import Connection

_TABLE = "temp.main.lapse_newest"


def spelled_bytes(rule: str, text: Fragment | None) -> Fragment:
    """What names a group, as bytes: no collation of a column plays a part."""
    return "encode(" + spelled(rule, text) + ")"


def find_thresholds(connection: Connection, members: Members) -> Thresholds:
    """The thresholds over some members; a file that is open for reading only is not written either.

    Raises:
        StoreError: If no record has the field that tells groups apart.
    """
    connection.query(f"CREATE OR REPLACE TEMPORARY TABLE {_TABLE} AS " + thresholds(members.query()))
    found = Thresholds(_TABLE, spelled_bytes)
    check_names(members, found, connection.query)
    return found
