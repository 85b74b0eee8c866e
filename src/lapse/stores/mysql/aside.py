"""Tables that hold the rows of a partition between its table and its end: set aside, then dropped or put back.

The server has no statement that drops a partition only if it holds certain rows, and none that drops it in a
transaction. So the rows are first exchanged into a table of their own, where nobody writes. From there every way is
safe: the table's comment says whose it is, and the marker of a commit alone says what becomes of it. With the marker
the rows are dropped, without it they are put back, by the run itself or by the next one.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from lapse import clock
from lapse.errors import BusyError, ChangedError, LapseError, LeaseError, StoreError, StoreMissingError
from lapse.model.disposal import Disposal, Owner
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.markers import MARKER_TABLE
from lapse.sqlcore.partitions import LeftAsideError, left_aside
from lapse.stores.mysql import own
from lapse.stores.mysql.catalog import ASIDE, Table, find_table, quote
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.leasing import lock_name
from lapse.stores.mysql.partitions import inventory
from lapse.stores.mysql.ranges import KeyRange, KeyWalk

PATIENCE = 1
"""Seconds that others wait at most behind an exclusive lock that is asked for."""

_NAME = re.compile(re.escape(ASIDE) + "[0-9a-f]{24}")
_TRIES = 5
_TAKEOVER = 10  # seconds to wait for a connection of a run that broke off
_ROWS = 5_000  # put back in one transaction
_STRICT = "ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
# A time that is none, or a number 0 for an AUTO_INCREMENT column, comes back as it was.
_LENIENT = f"{_STRICT},ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the comment of such a table says.

    Attributes:
        table: The table that the rows come from, in the same database.
        partition: The partition.
        ledger: Whose slice it is.
        run: The run.
        slice: The slice.
    """

    table: str
    partition: str
    ledger: str
    run: str
    slice: str


@dataclass(frozen=True, slots=True)
class Aside:
    """A table that holds, or is to hold, the rows of a partition.

    Attributes:
        name: Its name.
        note: Where they come from, and for what.
    """

    name: str
    note: Note

    @property
    def key(self) -> tuple[str, str, str]:
        """Ledger, run and slice."""
        return self.note.ledger, self.note.run, self.note.slice

    def of(self, table: Table) -> Table:
        """The table itself: it has all that *table* has, which its rows come from."""
        return replace(table, name=self.name, partition=None)


def standing(connection: Connection) -> tuple[Aside, ...]:
    """Those that are there and say whose they are."""
    return tuple(Aside(name, note) for name, note in _found(connection) if note is not None)


def _found(connection: Connection) -> list[tuple[str, Note | None]]:
    """The names of all, with what their comments say. None where one was about to be made."""
    found = connection.rows(
        "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
        "AND LEFT(TABLE_NAME, %s) = %s ORDER BY TABLE_NAME",
        (len(ASIDE), ASIDE),
    )
    return [(str(name), _read(comment)) for name, comment in found]


def _read(comment: object) -> Note | None:
    try:
        return msgspec.json.decode(comment if isinstance(comment, bytes) else str(comment), type=Note)
    except msgspec.MsgspecError:
        return None


@contextmanager
def exclusively(connection: Connection) -> Iterator[None]:
    """Be the only one that sets rows aside or settles what was: a statement of a lost run may still be waiting.

    Raises:
        LeaseError: If the connection of another run does not end.
    """
    name = lock_name(connection).replace("lapse:", "aside:", 1)
    ((got,),) = connection.rows("SELECT GET_LOCK(%s, %s)", (name, _TAKEOVER))
    if got != 1:
        ((owner,),) = connection.rows("SELECT IS_USED_LOCK(%s)", (name,))
        raise LeaseError(
            f"another run still drops a partition of this database (connection {owner} of the server)",
            hint="Run again when that connection has ended, or end it with KILL.",
        )
    try:
        yield
    finally:
        if connection.is_open:
            connection.rows("SELECT RELEASE_LOCK(%s)", (name,))


def make(connection: Connection, part: Table, owner: Owner, slice_name: str) -> Aside:
    """Make an empty table of the form of *part*, a partition."""
    note = Note(
        table=part.name,
        partition=part.partition or "",
        ledger=owner.ledger,
        run=owner.run,
        slice=slice_name,
    )
    unique = hashlib.sha256("\0".join((owner.ledger, owner.run, slice_name)).encode()).hexdigest()[:24]
    aside = Aside(f"{ASIDE}{unique}", note)
    connection.run(f"CREATE TABLE {quote(aside.name)} LIKE {_plain(part)}")
    try:
        connection.run(
            f"ALTER TABLE {quote(aside.name)} COMMENT = %s REMOVE PARTITIONING", (msgspec.json.encode(note).decode(),)
        )
    except StoreError:
        if connection.is_open:
            connection.run(f"DROP TABLE {quote(aside.name)}")
        raise
    return aside


def exchange(connection: Connection, part: Table, aside: Aside) -> None:
    """Let the partition *part* and the empty table change places: from then on its rows are aside.

    Raises:
        BusyError: If somebody uses the table. Nothing was changed.
    """
    statement = f"ALTER TABLE {_plain(part)} EXCHANGE PARTITION {quote(part.partition or '')} WITH TABLE "
    patiently(connection, lambda: connection.run(statement + quote(aside.name)))


def _plain(table: Table) -> str:
    """Its name in a statement that defines something."""
    return replace(table, partition=None).sql


def patiently(connection: Connection, step: Callable[[], object]) -> None:
    """Try a step that needs locks several times, and let everybody else go first in between.

    Raises:
        BusyError: If it never worked.
    """
    for number in range(_TRIES):
        try:
            with connection.waiting(PATIENCE):
                step()
        except BusyError:
            if number == _TRIES - 1:
                raise
            clock.sleep(0.2 * (number + 1) * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
        else:
            return


# Back


def put_back(connection: Connection, aside: Aside) -> None:
    """Move the rows back into their table, in transactions of bounded size, and drop what is empty then.

    The partition may have new rows by now, so it is not exchanged once more. Every row is in one of the two tables
    all the time, and what broke off goes on with what is left.

    Raises:
        StoreError: If a row cannot be put back. It stays where it is.
    """
    source, name = aside.note, aside.name
    try:
        table = find_table(connection, source.table)
        walk = KeyWalk(connection, aside.of(table))
        with _leniently(connection):
            while walk.last() is not None:
                keys = KeyRange(None, walk.step(KeyRange(None, None), _ROWS))
                patiently(connection, partial(_move, connection, aside.of(table), table, walk.within(keys)))
        patiently(connection, lambda: connection.run(f"DROP TABLE {quote(name)}"))
    except LapseError as error:
        raise LeftAsideError(
            f"rows of partition {source.partition} of {source.table} are set aside in table {name} and could not be "
            f"put back: {error}",
            hint="No row is lost, and the next run tries again. Where a row of the same key has come meanwhile, "
            f"compare the two, and remove one of them from {source.table} or {name}.",
        ) from error


def _move(connection: Connection, source: Table, target: Table, where: Fragment) -> None:
    names = ", ".join(column.sql for column in target.columns if not column.generated)
    copied = f"INSERT INTO {target.sql} ({names}) SELECT {names} FROM {source.sql} WHERE "
    with connection.transaction(f"putting back rows of {target.shown}"):
        written = connection.change(copied + where)
        removed = connection.change(f"DELETE FROM {source.sql} WHERE " + where)
        if written != removed:
            raise StoreError(f"{written} rows were written, but {removed} removed", hint="Nothing was moved.")


@contextmanager
def _leniently(connection: Connection) -> Iterator[None]:
    """What stood in the table may stand there again."""
    unchecked, checked = ("", "")
    if connection.is_mariadb:
        unchecked, checked = (f", check_constraint_checks = {value}" for value in ("OFF", "DEFAULT"))
    connection.run(f"SET SESSION sql_mode = '{_LENIENT}'{unchecked}")
    try:
        yield
    finally:
        if connection.is_open:
            connection.run(f"SET SESSION sql_mode = '{_STRICT}'{checked}")


# Away


def finish(connection: Connection, aside: Aside) -> None:
    """Drop the rows, whose marker is committed, and the emptied partition, where nothing will miss it.

    The partition goes first: as long as the table stands, the next run knows what is left to do.

    Raises:
        BusyError: If somebody reads the rows. They are dropped later.
    """
    # Where somebody is in the way, or table or partition are gone, an empty partition may stay.
    with suppress(BusyError, ChangedError, StoreMissingError):
        patiently(connection, lambda: _drop_emptied(connection, aside.note))
    patiently(connection, lambda: connection.run(f"DROP TABLE IF EXISTS {quote(aside.name)}"))


def _drop_emptied(connection: Connection, note: Note) -> None:
    """Drop the partition, if it is one of a range, is not the last one, and has got no new rows.

    A partition of a list stays: without it the table would refuse its values.
    """
    table = find_table(connection, note.table)
    part = inventory(connection, table).find(note.partition)
    if part is None or not part.ranged or part.is_last:
        return
    connection.run(f"LOCK TABLES {table.sql} WRITE")
    try:
        if not connection.rows(f"SELECT 1 FROM {replace(table, partition=part.name).sql} LIMIT 1"):
            connection.run(f"ALTER TABLE {table.sql} DROP PARTITION {quote(part.name)}")
    finally:
        if connection.is_open:
            connection.run("UNLOCK TABLES")


# Recovery


def settle(connection: Connection, intact: Callable[[Disposal], bool]) -> None:
    """Bring what broken-off runs left aside to its end: away where its marker is committed, back where not.

    Arguments:
        connection: Its user may write.
        intact: Whether all segments of a disposal can be read back. Rows whose archive cannot stay aside.
    """
    if not _found(connection):
        return
    with exclusively(connection):
        known = own.markers(connection).read() if MARKER_TABLE in own.existing(connection) else ()
        markers = {(found.owner.ledger, found.owner.run, found.slice): found for found in known}
        for name, note in _found(connection):
            if note is None:
                _clear(connection, name)
            else:
                _settle(connection, Aside(name, note), markers, intact)


def _clear(connection: Connection, name: str) -> None:
    """Drop a table that was about to be made: it is empty. Whatever else bears such a name is left alone."""
    if _NAME.fullmatch(name) and not connection.rows(f"SELECT 1 FROM {quote(name)} LIMIT 1"):
        connection.run(f"DROP TABLE {quote(name)}")


def _settle(
    connection: Connection,
    aside: Aside,
    markers: Mapping[tuple[str, str, str], Disposal],
    intact: Callable[[Disposal], bool],
) -> None:
    marker = markers.get(aside.key)
    if marker is None:
        put_back(connection, aside)
    elif intact(marker):
        with suppress(BusyError):
            finish(connection, aside)


def finish_all(connection: Connection, unfinished: list[Aside]) -> None:
    """Try once more to drop what somebody was in the way of; what is dropped is taken off the list."""
    for aside in tuple(unfinished):
        with suppress(BusyError), exclusively(connection):
            finish(connection, aside)
            unfinished.remove(aside)


def left_of(connection: Connection, table: Table) -> tuple[Table, ...]:
    """The tables that rows of *table* are aside in."""
    if not table.home:
        return ()
    return tuple(aside.of(table) for aside in standing(connection) if aside.note.table == table.name)


def remarks(connection: Connection, table: Table) -> Iterator[str]:
    """For a plan: what a broken-off run left aside of *table*."""
    for aside in standing(connection):
        if table.home and aside.note.table == table.name:
            ((rows,),) = connection.rows(f"SELECT COUNT(*) FROM {quote(aside.name)}")
            yield left_aside(rows, partition=aside.note.partition, where=f"in table {aside.name}")
