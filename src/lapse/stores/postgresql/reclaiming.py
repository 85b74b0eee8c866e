"""Giving space back: ``VACUUM (ANALYZE)`` after a run, and ``VACUUM FULL`` when somebody says so."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.errors import LockNotAvailable

from lapse import clock
from lapse.errors import BusyError, StoreError
from lapse.model.bytesize import size_text
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.sqlcore.room import Room, room
from lapse.stores.postgresql import measuring
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.measuring import Measure, measures
from lapse.stores.postgresql.places import Leaf, leaves

_SPEED = 50_000_000  # bytes a second read or written, a guess
_RESERVE = 1.1  # estimates are estimates
_LONG = "1 minute"
_STATISTICS_AT_ONCE = 150_000
"""Server version from which a session can have its counts of rows taken over at once."""
_MAINTAIN = 170_000
"""Server version from which a role can be granted maintenance of a table that is not its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where a second session connects to.

    Attributes:
        address: The database, with its secrets.
        shown: The same without them.
    """

    address: str
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a rewrite waits for its lock. Whoever comes behind it waits as long.

    Attributes:
        lock: Seconds of one try.
        tries: How often it is tried.
        pause: Seconds between two tries, in which others go on.
        look: Seconds between two looks at the progress.
    """

    lock: float = 3.0
    tries: int = 20
    pause: float = 2.0
    look: float = 0.5


_PATIENCE = Patience()


def allocated(connection: Connection, tables: Sequence[Table]) -> int:
    """Bytes of all files of *tables*: rows, long values, indexes and maps."""
    return measuring.allocated(connection, tables)


def space(connection: Connection, tables: Sequence[Table]) -> Space:
    """What the files of *tables* hold.

    Arguments:
        connection: The session.
        tables: The dataset's own, and those whose rows go with its rows.
    """
    with _settings(connection, statement_timeout="0"):
        return _space(tuple(measures(connection, tables)))


def _space(found: Sequence[Measure]) -> Space:
    exact = all(measure.exact for measure in found)
    how = "pgstattuple" if exact else "a sample of its pages, and the server's count of dead rows"
    return Space(
        allocated=sum(measure.allocated for measure in found),
        dead=sum(measure.dead for measure in found),
        free=sum(measure.free for measure in found),
        measured=f"rows by {how}; indexes by the width of their columns",
    )


# After a run


_VACUUM_REST = 0.002
"""Seconds of each of its rests, where VACUUM is to rest: what autovacuum does by default."""
_VACUUM_COST = 1_000_000
"""What a second of VACUUM's work costs by its own reckoning, about, on pages that are in memory."""


def tidy(connection: Connection, tables: Sequence[Table], *, rest: float = 0.0) -> tuple[str, ...]:
    """Make the space of removed rows usable again; returns what should be known about it. Rests for that share of it.

    Partitions without dead rows are left alone. Where replicas follow, the free end of the files is not cut off:
    that takes an exclusive lock, whose replay cancels the replicas' queries.
    """
    remarks: list[str] = []
    replicas = _replicas(connection)
    options = "ANALYZE, TRUNCATE FALSE" if replicas else "ANALYZE"
    with _settings(connection, statement_timeout="0", lock_timeout="5s", **_vacuum_rests(rest)):
        for table in tables:
            for leaf in _used(connection, table):
                remarks += _vacuum(connection, leaf, options)
    if replicas:
        remarks.append(
            f"{_following(replicas)}, so the free end of the files was not cut off: that would cancel queries "
            "there. New rows use the space again"
        )
    return tuple(remarks)


def _vacuum_rests(share: float) -> dict[str, str]:
    """The settings that let VACUUM rest for a share of the time. None are needed to let it not rest."""
    if share == 0:
        return {}
    work = _VACUUM_REST * (1 - share) / share
    cost = min(10_000, max(1, round(work * _VACUUM_COST)))
    return {"vacuum_cost_delay": f"{_VACUUM_REST * 1000:g}ms", "vacuum_cost_limit": str(cost)}


def _used(connection: Connection, table: Table) -> tuple[Leaf, ...]:
    """The leaves that have dead rows; a plain table in any case, since the server counts with a delay."""
    found = leaves(connection, table)
    if connection.version >= _STATISTICS_AT_ONCE:
        # What this session removed is counted now, not after the vacuum, which would make dead rows of it again.
        connection.rows("SELECT pg_stat_force_next_flush()")
    if table.kind != "p":
        return found
    dead = connection.rows(
        "SELECT relid::bigint FROM pg_stat_all_tables WHERE relid = ANY (%s) AND n_dead_tup > 0",
        ([leaf.oid for leaf in found],),
    )
    return tuple(leaf for leaf in found if (leaf.oid,) in dead)


def _vacuum(connection: Connection, leaf: Leaf, options: str) -> Iterator[str]:
    if not _may_vacuum(connection, leaf):
        yield f"{leaf.sql} was not vacuumed: the role is not its owner; autovacuum does it in its own time"
        return
    try:
        connection.run(f"VACUUM ({options}) {leaf.sql}")
    except BusyError:
        yield f"{leaf.sql} was not vacuumed: another session locks it; autovacuum does it in its own time"


def _may_vacuum(connection: Connection, leaf: Leaf) -> bool:
    maintain = "has_table_privilege(c.oid, 'MAINTAIN')" if connection.version >= _MAINTAIN else "FALSE"
    return bool(
        connection.value(
            f"SELECT pg_has_role(c.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE') OR {maintain} "
            "FROM pg_class c, pg_database d WHERE c.oid = %s AND d.datname = current_database()",
            (leaf.oid,),
        )
    )


def _replicas(connection: Connection) -> int:
    return int(connection.value("SELECT count(*) FROM pg_stat_replication"))


def _following(replicas: int) -> str:
    return "1 replica follows" if replicas == 1 else f"{replicas} replicas follow"


# Before a rewrite


def prediction(connection: Connection, tables: Sequence[Table]) -> Prediction:
    """What ``VACUUM FULL`` of *tables* would give back, leaf by leaf, and what it needs."""
    with _settings(connection, statement_timeout="0"):
        found = tuple(measures(connection, tables))
    worth = [measure for measure in found if measure.returns]
    needed = _room(connection, worth)
    return Prediction(
        space=_space(found),
        returns=sum(measure.returns for measure in worth),
        needs_free=needed.needs,
        free=needed.free,
        lock=_lock(worth),
        seconds=sum(measure.allocated + 2 * measure.after for measure in worth) / _SPEED,
        blocked=_blocked(connection, worth),
        notes=tuple(_notes(connection, worth)),
    )


def _lock(worth: Sequence[Measure]) -> str:
    names = [measure.leaf.sql for measure in worth]
    if len(names) > 1:
        return f"nobody reads or writes a table while it is written anew, one after the other: {', '.join(names)}"
    return f"nobody reads or writes {names[0] if names else 'the table'} meanwhile"


def _blocked(connection: Connection, worth: Sequence[Measure]) -> str | None:
    if connection.value("SELECT pg_is_in_recovery()"):
        return "the server is a replica, which only reads"
    foreign = next((m.leaf.sql for m in worth if not _may_vacuum(connection, m.leaf)), None)
    return None if foreign is None else f"the role is not the owner of {foreign}"


def _notes(connection: Connection, worth: Sequence[Measure]) -> Iterator[str]:
    replicas, written = _replicas(connection), sum(measure.after for measure in worth)
    if replicas and written:
        yield (
            f"{_following(replicas)}: about {size_text(written)} of write-ahead log goes there, and cancels queries "
            "on the table"
        )
    oldest = connection.rows(
        "SELECT pid, date_trunc('second', now() - xact_start)::text FROM pg_stat_activity "
        f"WHERE xact_start < now() - interval '{_LONG}' AND datname = current_database() AND pid <> pg_backend_pid() "
        "ORDER BY xact_start LIMIT 1"
    )
    for pid, age in oldest:
        yield f"session {pid} has had a transaction open for {age}: rows that it may still see are not given back"


def _room(connection: Connection, worth: Sequence[Measure]) -> Room:
    """The room for the leaf that needs most beyond what is free: each is given back before the next begins."""
    data = data_folder(connection)
    logged = connection.value("SHOW wal_level") != "minimal"
    rooms = []
    for measure in worth:
        needs = _needs(measure, logged=logged)
        if data is None:
            rooms.append(Room(sum(needs.values()), None))
        else:
            rooms.append(room({data / place: size for place, size in needs.items()}))
    return min(rooms, key=lambda one: (one.free or 0) - one.needs, default=Room(0, None))


def _needs(measure: Measure, *, logged: bool) -> Counter[str]:
    """Bytes by place: the new files beside the old ones, the sort of the largest index, and the log of it all."""
    needs: Counter[str] = Counter()
    for file in measure.files:
        needs[file.place] += int(file.after * _RESERVE)
    sorting = max((file.after for file in measure.indexes), default=0)
    needs[""] += int((sorting + (measure.after if logged else 0)) * _RESERVE)
    return needs


def data_folder(connection: Connection) -> Path | None:
    """The server's data folder, if the server runs on this machine and the role may know it. None otherwise.

    An address of this machine proves nothing: tunnels and containers have one, too. The server's process does, which
    bears the number and the client's port that the server names.
    """
    found = connection.rows(
        "SELECT setting, pg_backend_pid(), inet_client_port() FROM pg_settings WHERE name = 'data_directory'"
    )
    if not found or not found[0][0]:
        return None
    folder, pid, port = found[0]
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    client = b"[local]" if port in (None, -1) else f"({port})".encode()
    if not title.startswith(b"postgres: ") or client not in title:
        return None
    return Path(folder)


# The rewrite


def rewrite(
    connection: Connection,
    tables: Sequence[Table],
    tell: Callable[[Progress], None],
    *,
    session: Session,
    patience: Patience = _PATIENCE,
) -> None:
    """``VACUUM FULL`` of each leaf for which it is worth while, then ``VACUUM (ANALYZE)``.

    Arguments:
        connection: The session that holds the lease.
        tables: The dataset's own, and those whose rows go with its rows.
        tell: Told how far it is.
        session: Where to connect a second time, to look at the progress.
        patience: How long to wait for locks.

    Raises:
        BusyError: If a lock was not to be had. Leaves before that one are done.
    """
    with _settings(connection, statement_timeout="0"):
        worth = [measure.leaf for measure in measures(connection, tables) if measure.returns]
    watcher = Connection(session.address, shown=session.shown, read_only=True)
    try:
        for leaf in worth:
            _rewrite(connection, leaf, _Watch(watcher, connection.pid, leaf, tell, patience.look), patience)
    finally:
        watcher.close()


def _rewrite(connection: Connection, leaf: Leaf, watch: _Watch, patience: Patience) -> None:
    with _settings(connection, statement_timeout="0", lock_timeout=f"{int(patience.lock * 1000)}ms"):
        for attempt in range(patience.tries):
            try:
                watch.over(lambda: connection.run(f"VACUUM (FULL) {leaf.sql}"))
                break
            except BusyError as error:
                if attempt == patience.tries - 1 or not isinstance(error.__cause__, LockNotAvailable):
                    raise  # somebody who cancels it means it
            clock.sleep(patience.pause)
        # The new files have no visibility map, without which scans of an index alone are slow.
        connection.run(f"VACUUM (ANALYZE, TRUNCATE FALSE) {leaf.sql}")


class _Watch:
    """Looks at a rewrite from a second session, while the first one is busy with it."""

    def __init__(
        self, watcher: Connection, pid: int, leaf: Leaf, tell: Callable[[Progress], None], seconds: float
    ) -> None:
        self._watcher = watcher
        self._pid = pid
        self._leaf = leaf
        self._tell = tell
        self._seconds = seconds

    def over(self, work: Callable[[], object]) -> None:
        """Do *work* in a thread of its own and tell how far it is; an error ends it and is raised here."""
        failures: list[StoreError] = []

        def guarded() -> None:
            try:
                work()
            except StoreError as error:
                failures.append(error)

        thread = threading.Thread(target=guarded, name="lapse-rewrite")
        thread.start()
        try:
            while thread.is_alive():
                self._look()
                thread.join(self._seconds)
        except BaseException:
            self._watcher.rows("SELECT pg_cancel_backend(%s)", (self._pid,))
            raise
        finally:
            thread.join()
        if failures:
            raise failures[0]

    def _look(self) -> None:
        found = self._watcher.rows(
            "SELECT phase, heap_blks_scanned * size, heap_blks_total * size FROM pg_stat_progress_cluster, "
            "(SELECT current_setting('block_size')::bigint AS size) AS block WHERE pid = %s",
            (self._pid,),
        )
        if not found:
            self._tell(Progress(phase=f"{self._leaf.sql}: waiting for its lock"))
        for phase, done, total in found:
            self._tell(Progress(phase=f"{self._leaf.sql}: {phase}", done=done, total=total or None))


@contextmanager
def _settings(connection: Connection, **settings: str) -> Iterator[None]:
    """Other settings of the session while the block lasts; VACUUM cannot run where ``SET LOCAL`` can."""
    before = {name: connection.value(f"SHOW {name}") for name in settings}
    _set(connection, settings)
    try:
        yield
    finally:
        if not connection.closed:
            _set(connection, before)


def _set(connection: Connection, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        connection.rows("SELECT set_config(%s, %s, FALSE)", (name, value))
