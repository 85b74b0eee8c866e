"""What each purger works on: its table, the column of its time, and whose retention counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Retention(Enum):
    """What a tenant's own number of days is about; the value begins the names of its columns."""

    CALLS = "cdr"
    EXPORTS = "export"
    RECORDINGS = "recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purger:
    """One kind of record.

    Attributes:
        name: As the configuration calls it.
        table: Its table.
        time: Column of its time; ``a.b`` is the column *b* of the row that the foreign key *a* leads to.
        tenant: Column of its tenant, written in the same way. None if it has none.
        retention: Which of a tenant's numbers counts. None if tenants have no say.
        is_referred_to: Whether rows of other tables point at its rows, and go or change with them.
    """

    name: str
    table: str
    time: str
    tenant: str | None = None
    retention: Retention | None = None
    is_referred_to: bool = False


PURGERS = (
    Purger(name="cel", table="cel", time="eventtime"),
    Purger(name="queue-log", table="queue_log", time="time"),
    Purger(name="stat-agent", table="stat_agent_periodic", time="time"),
    Purger(name="stat-call-on", table="stat_call_on_queue", time="time"),
    Purger(name="stat-queue", table="stat_queue_periodic", time="time"),
    Purger(name="stat-switchboard", table="stat_switchboard_queue", time="time"),
    Purger(name="call-log", table="call_log", time="date", is_referred_to=True),
    # Before the calls, whose removal takes their recordings along.
    Purger(
        name="recordings",
        table="call_logd_recording",
        time="call_log_id.date",
        tenant="call_log_id.tenant_uuid",
        retention=Retention.RECORDINGS,
    ),
    Purger(
        name="call-logs",
        table="call_logd_call_log",
        time="date",
        tenant="tenant_uuid",
        retention=Retention.CALLS,
        is_referred_to=True,
    ),
    Purger(
        name="exports",
        table="call_logd_export",
        time="requested_at",
        tenant="tenant_uuid",
        retention=Retention.EXPORTS,
    ),
    Purger(name="webhookd-logs", table="webhookd_subscription_log", time="started_at"),
)
"""Every purger that Lapse has itself, in the order in which they run."""

BY_NAME = {purger.name: purger for purger in PURGERS}

DEFAULT = tuple(purger.name for purger in PURGERS[:6])
"""Those that run if nobody says otherwise."""

ALIASES = {"stat-call": "stat-call-on"}
"""Names that the documentation of the original has, by what they are really called."""
