"""The newest of each group: their thresholds in a temporary table of the session, filled by one statement."""

from __future__ import annotations

from lapse.errors import UnsupportedError
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import Members, check_names, thresholds
from lapse.sqlcore.thresholds import Thresholds
from lapse.stores.mysql.connection import Connection


def spelled_hash(rule: str, text: Fragment | None) -> Fragment:
    """What names a group, by a hash of its text: servers sort by the beginning of long texts only."""
    if text is None:
        return Fragment(f"CONCAT({rule}, ':')")
    return f"COALESCE(CONCAT({rule}, '=', SHA2(CONVERT(" + text + f" USING utf8mb4), 256)), CONCAT({rule}, ':'))"


def find_thresholds(connection: Connection, members: Members, *, name: str) -> Thresholds:
    """The thresholds over some members. No transaction may be open.

    A session for reading only writes nothing but that table, in a transaction that says otherwise.

    Raises:
        UnsupportedError: If the server cannot look into such a table as often as a statement needs.
        StoreError: If no record has the field that tells groups apart.
    """
    if not connection.is_mariadb:
        raise UnsupportedError(
            "MySQL looks into a temporary table once in a statement, which is too little for `keep last`",
            hint="Leave `keep last` out, or let the rules of these records keep them for longer.",
        )
    connection.run("START TRANSACTION READ WRITE")
    try:
        connection.run(f"DROP TEMPORARY TABLE IF EXISTS {name}")
        connection.run(
            f"CREATE TEMPORARY TABLE {name} (k VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, "
            "since BIGINT NOT NULL) ENGINE = InnoDB"
        )
        connection.change(f"INSERT INTO {name} " + thresholds(members.query()))
        connection.run("COMMIT")
    except BaseException:
        connection.roll_back()
        raise
    found = Thresholds(name, spelled_hash)
    check_names(members, found, connection.query)
    return found
