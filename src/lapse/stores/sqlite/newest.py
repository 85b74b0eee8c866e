"""The newest of each group: their thresholds found from one state of the file, in SQLite's own temporary database."""

# ruff: noqa: S608 - names are our own

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lapse import clock
from lapse.errors import BusyError
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import check_names, ranked, thresholds
from lapse.sqlcore.thresholds import Thresholds, spelled
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange

_ALL = KeyRange(None, None)
_MEMBERS, _THRESHOLDS = "temp.lapse_members", "temp.lapse_newest"
_GOES = 3
"""How often the stretches are read before all of them are read in one transaction."""
_SHORT = 1.0
"""Seconds for which a file without a write-ahead log may be read in one transaction: so long its writers wait."""


def find_thresholds(database: Database, judge: Judge, stretches: Callable[[], Iterable[KeyRange]]) -> Thresholds:
    """The thresholds over some ranges of keys, all read from one state of the file.

    Of each range the newest of every group are remembered. A row whose key is changed meanwhile could be among them
    twice, and another record of its group would go for it.

    Raises:
        BusyError: If others write all the time, and would have to wait for long.
        StoreError: If SQLite has no room for them, or no record has the field that tells groups apart.
    """
    _gather(database, judge, stretches)
    found = thresholds(Fragment(f"SELECT k, t, n, l FROM {_MEMBERS}"), least="l")
    with database.writing_beside():
        _make(database, f"{_THRESHOLDS} (k TEXT PRIMARY KEY, since INTEGER) WITHOUT ROWID")
        database.change(f"INSERT INTO {_THRESHOLDS} " + found.sql, found.values)
        database.rows(f"DROP TABLE {_MEMBERS}")
    names = Thresholds(_THRESHOLDS, spelled)
    check_names(judge.members(_ALL), names, lambda query: database.rows(query.sql, query.values))
    return names


def _gather(database: Database, judge: Judge, stretches: Callable[[], Iterable[KeyRange]]) -> None:
    """Read the members: at once where readers are in nobody's way, else until nobody wrote in between."""
    seconds = 0.0
    for _ in range(0 if database.lets_others_write() else _GOES):
        began = clock.monotonic()
        if len(set(_read_apart(database, judge, stretches()))) <= 1:
            return
        seconds = clock.monotonic() - began
    if seconds > _SHORT:
        raise BusyError(
            f"{database.shown} was written to each time while the newest records of each group were looked for",
            hint="Run when it is idle, or let it have a write-ahead log: `PRAGMA journal_mode = WAL`.",
        )
    with database.writing_beside():
        _begin(database)
        for keys in stretches():
            _add(database, judge, keys)


def _read_apart(database: Database, judge: Judge, stretches: Iterable[KeyRange]) -> Iterator[int]:
    """Read each stretch in a transaction of its own; gives the version of the file that each of them saw."""
    with database.writing_beside():
        _begin(database)
    for keys in stretches:
        with database.writing_beside():
            _add(database, judge, keys)
            version = database.version()
        yield version


def _begin(database: Database) -> None:
    _make(database, f"{_MEMBERS} (k TEXT, t INTEGER, n INTEGER, l INTEGER)")


def _add(database: Database, judge: Judge, keys: KeyRange) -> None:
    """Remember the newest of each group in a range of keys."""
    members = "SELECT k, t, n, l FROM (" + ranked(judge.members(keys).query()) + ") WHERE r <= n"
    database.change(f"INSERT INTO {_MEMBERS} " + members.sql, members.values)


def _make(database: Database, table: str) -> None:
    """Make a table anew."""
    database.rows(f"DROP TABLE IF EXISTS {table.partition(' ')[0]}")
    database.rows(f"CREATE TABLE {table}")
