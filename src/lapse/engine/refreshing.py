"""What is made of a dataset's records: until when it holds all of them, as the ledger was told."""

from __future__ import annotations

from lapse.engine.checkpointing import check_anchor
from lapse.engine.session import Session
from lapse.errors import UsageError
from lapse.instant import Nanos, rfc3339, rfc3339_second
from lapse.model.ledger_entry import EntryKind
from lapse.model.selection import SKEW


def refreshed(session: Session, name: str, derived: str, until: Nanos | None) -> Nanos:
    """Enter into the ledger that what is made of a dataset's records holds all of them from before a time.

    What was said last counts, though it be less: it may have been made anew.

    Arguments:
        session: Whose ledger.
        name: The dataset.
        derived: What is made of its records, as the policy names it.
        until: The time. None is now.

    Returns:
        The time.

    Raises:
        UsageError: If the dataset has no such thing, or the time is yet to come.
    """
    (dataset,) = session.datasets([name])
    if derived not in dataset.derived:
        known = ", ".join(map(repr, dataset.derived))
        raise UsageError(
            f"{name}: no rule says that {derived!r} is derived from its records",
            hint=f"They say so of {known}." if known else "Name it in the policy first: `derived: [NAME]`.",
            origin=dataset.origin("derived"),
        )
    found = session.real_now if until is None else until
    if found > session.real_now + SKEW:
        raise UsageError(
            f"nothing can hold the records of {rfc3339_second(found)} yet",
            hint="Say until when it was refreshed: a time that has been.",
        )
    check_anchor(session)
    body = {"dataset": name, "derived": derived, "until": rfc3339(found)}
    session.writable_ledger.append(EntryKind.REFRESHED, body, at=session.real_now)
    return found
