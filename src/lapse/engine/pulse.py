"""When the daemon is to run: by the policy's schedule, or so long after the run before."""

from __future__ import annotations

import secrets
from pathlib import Path

from lapse import clock
from lapse.canonical import sha256
from lapse.engine.daemon import Plan
from lapse.engine.session import Session
from lapse.errors import UsageError
from lapse.instant import SECOND, Nanos
from lapse.model.policy import Schedule
from lapse.state.runs import LastRuns


def plan_of(session: Session, every: float | None) -> Plan:
    """When the policy's runs are due.

    Arguments:
        session: Whose policy it is.
        every: Seconds from the beginning of one run to the next, instead of the schedule. None goes by the schedule.

    Raises:
        UsageError: If there is neither.
        StateError: If it cannot be read when the last run was.
    """
    last = _last(session)
    if every is not None:
        step = round(every * SECOND)
        first = clock.real_now() if last is None else Nanos(last + step)
        return Plan(next_after=lambda began: Nanos(began + step), first=first)
    schedule = session.policy.schedule
    if schedule is None:
        hint = "Add one to the policy, like `schedule: {daily at: 02:00}`; or say --every."
        raise UsageError(f"{session.policy.file} does not say when runs are to happen", hint=hint)
    return Plan(next_after=lambda began: _jittered(schedule, began), first=_first(schedule, last))


def health_file(session: Session) -> Path:
    """Where the daemon of this policy gives its signs of life, unless it is told otherwise."""
    return session.folders.root / "daemon" / f"{sha256(session.scope.encode())[:16]}.json"


def _last(session: Session) -> Nanos | None:
    """When the last run of the policy began. None if there was none."""
    past = LastRuns(session.folders.root).all()
    mine = (past.get(session.state_name(name)) for name in session.policy.datasets)
    return max((each.last.began for each in mine if each is not None and each.last is not None), default=None)


def _first(schedule: Schedule, last: Nanos | None) -> Nanos:
    """The next due time; the last one, if it passed without a run of a policy that has run before.

    A policy that has never run is not made up for, but while the jitter of a due time lasts it is that time's turn:
    a daemon that begins, or reads the policy again, in between would else pass over a night.
    """
    now = clock.real_now()
    passed = schedule.last_until(now, local=clock.local_zone())
    if last is not None and last < passed:
        return passed
    left = passed + round(schedule.jitter * SECOND) - now
    return _jittered(schedule, now) if last is not None or left <= 0 else Nanos(now + secrets.randbelow(left))


def _jittered(schedule: Schedule, instant: Nanos) -> Nanos:
    due = schedule.next_after(instant, local=clock.local_zone())
    return Nanos(due + secrets.randbelow(round(schedule.jitter * SECOND) + 1))
