"""The newest of each group: their thresholds found stretch by stretch, in SQLite's own temporary database."""

# ruff: noqa: S608 - names are our own

from __future__ import annotations

from collections.abc import Iterable

from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import check_names, ranked, thresholds
from lapse.sqlcore.thresholds import Thresholds, spelled
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange

_ALL = KeyRange(None, None)
_MEMBERS, _THRESHOLDS = "temp.lapse_members", "temp.lapse_newest"


def find_thresholds(database: Database, judge: Judge, stretches: Iterable[KeyRange]) -> Thresholds:
    """The thresholds over some ranges of keys.

    Each range is read in a transaction of its own, as nobody can write meanwhile; of each the newest of every group
    are remembered.

    Raises:
        StoreError: If SQLite has no room for them, or no record has the field that tells groups apart.
    """
    with database.writing_beside():
        for name in (_MEMBERS, _THRESHOLDS):
            database.rows(f"DROP TABLE IF EXISTS {name}")
        database.rows(f"CREATE TABLE {_MEMBERS} (k TEXT, t INTEGER, n INTEGER, l INTEGER)")
        database.rows(f"CREATE TABLE {_THRESHOLDS} (k TEXT PRIMARY KEY, since INTEGER) WITHOUT ROWID")
    for keys in stretches:
        members = "SELECT k, t, n, l FROM (" + ranked(judge.members(keys).query()) + ") WHERE r <= n"
        _insert(database, f"INSERT INTO {_MEMBERS} " + members)
    found = thresholds(Fragment(f"SELECT k, t, n, l FROM {_MEMBERS}"), least="l")
    _insert(database, f"INSERT INTO {_THRESHOLDS} " + found)
    with database.writing_beside():
        database.rows(f"DROP TABLE {_MEMBERS}")
    names = Thresholds(_THRESHOLDS, spelled)
    check_names(judge.members(_ALL), names, lambda query: database.rows(query.sql, query.values))
    return names


def _insert(database: Database, statement: Fragment) -> None:
    with database.writing_beside():
        database.change(statement.sql, statement.values)
