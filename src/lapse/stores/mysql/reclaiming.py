"""Giving space back: pages that InnoDB keeps, and ``OPTIMIZE TABLE``, which builds the table's file anew."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lapse import clock
from lapse.errors import BusyError, StoreError, UnsupportedError
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.sqlcore.room import Room, room
from lapse.stores.mysql.catalog import Table, quote
from lapse.stores.mysql.connection import Connection

_SPEED = 30_000_000  # bytes a second read or written, a guess
_WORTH = 0.05  # share of its files below which a rewrite is not worth while
_RESERVE = 1.1  # estimates are estimates
_SLACK = 1024 * 1024  # InnoDB keeps some free extents in every file
_TRIES = 20
_PAUSE = 2.0  # seconds between two tries, in which others go on
_LONG = 60.0  # seconds of work that are not done a second time for a lock at their end
_PLAIN = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A table, or one of its partitions: what has a file of its own.

    Attributes:
        partition: Its name. None for a table without partitions.
        used: Bytes of data and indexes.
        free: Bytes of whole extents that nothing uses.
    """

    partition: str | None
    used: int
    free: int

    @property
    def allocated(self) -> int:
        """Bytes of its file."""
        return self.used + self.free

    @property
    def returns(self) -> int:
        """Bytes that building it anew gives back; 0 where that is not worth while."""
        gain = self.free - _SLACK
        return gain if gain > _WORTH * self.allocated else 0


def allocated(connection: Connection, table: Table) -> int:
    """Bytes of the table's files, its indexes with it."""
    return sum(piece.allocated for piece in _pieces(connection, table))


def space(connection: Connection, table: Table) -> Space:
    """What the table's files hold."""
    return _space(_pieces(connection, table))


def _space(pieces: Sequence[_Piece]) -> Space:
    return Space(
        allocated=sum(piece.allocated for piece in pieces),
        dead=None,
        free=sum(piece.free for piece in pieces),
        measured="the server's count of free extents; what is free within pages in use is not counted",
    )


def _pieces(connection: Connection, table: Table) -> tuple[_Piece, ...]:
    with _fresh(connection):
        found = connection.rows(
            "SELECT PARTITION_NAME, COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0), COALESCE(DATA_FREE, 0) "
            "FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
            "AND PARTITION_NAME IS NOT NULL "
            "UNION ALL SELECT NULL, COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0), COALESCE(DATA_FREE, 0) "
            "FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
            "AND CREATE_OPTIONS NOT LIKE '%%partitioned%%'",
            (table.database, table.name, table.database, table.name),
        )
    files = _files(connection, table)
    pieces: dict[str | None, _Piece] = {}
    for name, counted, free in found:
        file = files.get(table.name.lower() if name is None else f"{table.name}#p#{name}".lower())
        used = int(counted) if file is None else max(0, file - int(free))
        before = pieces.get(name, _Piece(partition=name, used=0, free=0))  # subpartitions are counted together
        pieces[name] = _Piece(partition=name, used=before.used + used, free=before.free + int(free))
    return tuple(pieces.values())


def _files(connection: Connection, table: Table) -> dict[str, int]:
    """Bytes of the table's files by their names, in lower case; empty where the user may not know.

    The server's own count of pages in use is as old as its last look at the table.
    """
    if not _PLAIN.fullmatch(f"{table.database}{table.name}"):
        return {}  # in names of files, other characters are written in a way of their own
    view = "INNODB_SYS_TABLESPACES" if connection.is_mariadb else "INNODB_TABLESPACES"
    try:
        found = connection.rows(
            f"SELECT NAME, FILE_SIZE FROM information_schema.{view} WHERE NAME LIKE %s",
            (f"{table.database}/{table.name}%".replace("_", "\\_"),),
        )
    except UnsupportedError:
        return {}
    return {str(name).lower().partition("/")[2]: int(size) for name, size in found}


@contextmanager
def _fresh(connection: Connection) -> Iterator[None]:
    """MySQL 8 remembers the catalogue's figures for a day, unless it is told not to."""
    if connection.is_mariadb:
        yield
        return
    connection.run("SET SESSION information_schema_stats_expiry = 0")
    yield
    connection.run("SET SESSION information_schema_stats_expiry = DEFAULT")


def tidy(connection: Connection, table: Table) -> tuple[str, ...]:
    """Count the rows anew for the server's plans; InnoDB clears removed rows away by itself. Returns remarks."""
    try:
        # Of this server only: replicas count for themselves.
        connection.rows(f"ANALYZE NO_WRITE_TO_BINLOG TABLE {table.sql}")
    except BusyError:
        return (f"{table.shown} was not analyzed: another session locks it",)
    return ()


def prediction(connection: Connection, table: Table) -> Prediction:
    """What building *table* anew would give back, partition by partition, and what it needs."""
    pieces = _pieces(connection, table)
    worth = [piece for piece in pieces if piece.returns]
    # The new file, and beside it the log of what others write meanwhile, and the sorting of indexes.
    needs = int(max((piece.used for piece in worth), default=0) * 2 * _RESERVE)
    needed = _room(connection, needs)
    return Prediction(
        space=_space(pieces),
        returns=sum(piece.returns for piece in worth),
        needs_free=needed.needs,
        free=needed.free,
        lock=_lock(table, worth),
        seconds=sum(piece.used * 3 for piece in worth) / _SPEED,
        blocked=_blocked(connection, table),
        notes=tuple(_notes(connection, table)),
    )


def _lock(table: Table, worth: Sequence[_Piece]) -> str:
    if any(piece.partition is not None for piece in worth):
        names = ", ".join(str(piece.partition) for piece in worth)
        return f"nobody writes to {table.shown} while its partitions are built anew, one after the other: {names}"
    return f"reading and writing go on; at its beginning and end everybody waits for a moment who uses {table.shown}"


def _blocked(connection: Connection, table: Table) -> str | None:
    if (table.engine or "").lower() != "innodb":
        return f"{table.shown} is not a table of InnoDB"
    if _is_on(connection, "read_only"):
        return "the server only reads"
    if not _is_on(connection, "innodb_file_per_table"):
        return "innodb_file_per_table is off: the tables share one file, which never gets shorter"
    return None


def _is_on(connection: Connection, variable: str) -> bool:
    return any(value == "ON" for _, value in connection.rows("SHOW VARIABLES LIKE %s", (variable,)))


def _notes(connection: Connection, table: Table) -> Iterator[str]:
    if any(index.columns and not index.whole and not index.unique for index in table.indexes):
        yield f"{table.shown} may have an index for full text or places: then writers wait while it is built anew"
    if _is_on(connection, "log_bin"):
        yield "replicas are not told, so that they do not stand still: their files stay as they are"


def _room(connection: Connection, needs: int) -> Room:
    """The room on the server's disk, if the server runs on this machine."""
    folder = data_folder(connection)
    return Room(needs, None) if folder is None else room({folder: needs})


def data_folder(connection: Connection) -> Path | None:
    """The server's data folder, if it is on this machine. None otherwise.

    An address of this machine proves nothing: tunnels and containers have one, too. The file of the server's
    process id does, together with the machine's name.
    """
    ((folder, pid_file),) = connection.rows("SELECT @@datadir, @@pid_file")
    path = Path(str(folder)) / str(pid_file)
    try:
        title = Path(f"/proc/{int(path.read_text())}/comm").read_text()
    except (OSError, ValueError):
        return None
    ((host,),) = connection.rows("SELECT @@hostname")
    is_here = host == os.uname().nodename and title.startswith(("mariadbd", "mysqld"))
    return Path(str(folder)) if is_here else None


def rewrite(connection: Connection, table: Table, tell: Callable[[Progress], None]) -> None:
    """Build the table's files anew where it is worth while.

    Raises:
        BusyError: If a lock was not to be had. Partitions before that one are done.
    """
    for piece in _pieces(connection, table):
        if piece.returns:
            _rebuild(connection, table, piece, tell)


def _rebuild(connection: Connection, table: Table, piece: _Piece, tell: Callable[[Progress], None]) -> None:
    name = table.shown if piece.partition is None else f"{table.shown}, partition {piece.partition}"
    for attempt in range(_TRIES):
        tell(Progress(phase=f"building {name} anew"))
        began = clock.monotonic()
        try:
            _build(connection, table, piece)
            return
        except BusyError:
            if attempt == _TRIES - 1 or clock.monotonic() - began > _LONG:
                raise
        tell(Progress(phase=f"{name}: waiting for its lock"))
        clock.sleep(_PAUSE)


def _build(connection: Connection, table: Table, piece: _Piece) -> None:
    """Build a file anew, on this server only; these statements give errors as rows."""
    statement = f"OPTIMIZE NO_WRITE_TO_BINLOG TABLE {table.sql}"
    if piece.partition is not None:
        partition = f"REBUILD PARTITION NO_WRITE_TO_BINLOG {quote(piece.partition)}"
        statement = f"ALTER TABLE {table.sql} {partition}"
    for _, _, kind, text in connection.rows(statement):
        if str(kind).lower() == "error":
            busy = "lock" in str(text).lower()
            kind_of = BusyError if busy else StoreError
            raise kind_of(f"{table.shown} was not built anew: {text}", hint="Every record is there. Run again.")
