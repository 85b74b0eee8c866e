"""How others fare: replicas that fall behind, a query of the policy's own, sessions at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from lapse import clock
from lapse.errors import StoreError
from lapse.model.pace import Pace
from lapse.ports import Burden
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.noticing import monitor_grant

_MEGABYTE = 1_000_000
_QUERY_TIME = "1s"

_REPLICAS = """
SELECT r.pid, coalesce(nullif(r.application_name, ''), r.pid::text), r.state,
    coalesce(r.replay_lsn, r.write_lsn)::text,
    pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, r.write_lsn)) > 0,
    extract(epoch FROM r.replay_lag)::float8,
    EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
FROM pg_stat_replication r WHERE r.state IS DISTINCT FROM 'backup' ORDER BY 2, 1
"""
_SLOTS = """
SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 FROM pg_replication_slots
WHERE NOT active AND restart_lsn IS NOT NULL AND wal_status IS DISTINCT FROM 'lost' ORDER BY 1
"""
_OTHERS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()
    AND (backend_type IS NULL OR backend_type = 'client backend' AND application_name <> 'lapse'
        AND (state = 'active' OR state_change > clock_timestamp() - interval '1 second')))
"""


class Seen:
    """Where each replica stood at the last looks: what tells one that stands still from one that follows."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[str, float]] = {}

    def still(self, replica: int, place: str) -> float:
        """Seconds for which *replica* has been at *place*, by what was seen."""
        now = clock.monotonic()
        before, since = self._places.get(replica, (place, now))
        self._places[replica] = (place, since if before == place else now)
        return now - self._places[replica][1]

    def follows(self, replica: int) -> None:
        """Take note that *replica* has everything."""
        self._places.pop(replica, None)


def burden(connection: Connection, pace: Pace, seen: Seen | None = None) -> Burden:
    """Look now. A transaction must not be open.

    Arguments:
        connection: The session.
        pace: What to look for.
        seen: What the earlier looks of this run saw. Without it a replica that does not answer any more
            is not noticed, if it followed closely until then.

    Raises:
        StoreError: If this role may not see how far replicas are behind, or the query of ``pause while`` fails.
        BusyError: If that query took longer than a second.
    """
    wait = next(_reasons(connection, pace, seen or Seen()), None)
    return Burden(wait=wait, busy=is_busy(connection))


def is_busy(connection: Connection) -> bool:
    """Whether other sessions are at work. Those that this role cannot see count as such."""
    return bool(connection.value(_OTHERS))


def _reasons(connection: Connection, pace: Pace, seen: Seen) -> Iterator[str]:
    if pace.max_lag is not None:
        yield from _lagging(connection, pace.max_lag, seen)
        yield from _disconnected(connection)
    if pace.pause_while is not None and _answer(connection, pace.pause_while):
        yield "the query of `pause while` says so"


def _lagging(connection: Connection, most: float, seen: Seen) -> Iterator[str]:
    for pid, name, state, place, behind, lag, logical in connection.rows(_REPLICAS):
        if state is None:
            raise StoreError(
                f"{connection.shown}: this role may not see how far replica {name} is behind",
                hint=f"Let it: {monitor_grant(connection)}; or write `max lag: none`.",
            )
        if place is None:
            yield f"replica {name} has not said yet how far it is"
        elif not behind:
            seen.follows(pid)
        else:
            # Subscribers report places of what is published to them only, so standing still is no sign of theirs.
            seconds = max(lag or 0.0, 0.0 if logical else seen.still(pid, place))
            if seconds > most:
                yield f"replica {name} is {seconds:,.0f} s behind"


def _disconnected(connection: Connection) -> Iterator[str]:
    """Replicas that are away: what is written now waits for them in the server's log."""
    for name, size in connection.rows(_SLOTS):
        yield f"the replica of slot {name} is not connected, {size / _MEGABYTE:,.0f} MB wait for it"


def _answer(connection: Connection, query: str) -> bool:
    """Whether the first value of *query* is true, not zero, or null: what is unknown is no go-ahead."""
    with connection.transaction("READ ONLY"):
        connection.run(f"SET LOCAL statement_timeout = '{_QUERY_TIME}'")
        found = connection.rows(query)
    return bool(found) and _truth(connection, found[0])


def _truth(connection: Connection, row: Sequence[object]) -> bool:
    value = row[0] if row else None
    if value is None:
        return True
    if isinstance(value, bool | int | float | Decimal):
        return bool(value)
    raise StoreError(
        f"{connection.shown}: the query of `pause while` gives a {type(value).__name__}",
        hint="Let it give a truth value, or a number that is zero while the run may go on.",
    )
