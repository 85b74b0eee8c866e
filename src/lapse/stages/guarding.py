"""Guarding: what must be true before the first removal. Over a limit, the run is refused, exit 3."""

from __future__ import annotations

from lapse.errors import GuardError
from lapse.instant import Nanos, rfc3339
from lapse.model.plan import DatasetPlan, Fingerprint
from lapse.model.policy import Dataset, Guards
from lapse.model.selection import SKEW, Verdict


def check_limits(plan: DatasetPlan, guards: Guards, *, allow_empty: bool) -> None:
    """Refuse a plan that would empty its dataset, or that goes over a limit of the policy.

    Raises:
        GuardError: With the figure, the limit, and the way to allow it.
    """
    total, going = plan.records(), plan.records(Verdict.LAPSED)
    if not going:
        return
    if going == total and not allow_empty:
        raise GuardError(
            f"{plan.dataset}: all {total:,} records have lapsed, the dataset would be empty",
            hint="If that is meant, run again with --allow-empty.",
        )
    if guards.share is not None and going > guards.share * total:
        raise GuardError(
            f"{plan.dataset}: {going:,} of {total:,} records would go, {going / total:.1%};"
            f" the policy allows {guards.share:.0%}",
            hint="Look at `lapse plan`. If it is right, raise `guards: share` in the policy.",
        )
    if guards.rows is not None and going > guards.rows:
        raise GuardError(
            f"{plan.dataset}: {going:,} records would go; the policy allows {guards.rows:,}",
            hint="Look at `lapse plan`. If it is right, raise `guards: rows` in the policy.",
        )


def check_fingerprint(dataset: Dataset, found: Fingerprint, pinned: str | None) -> None:
    """Refuse a store that is not the one the policy was written for.

    Arguments:
        dataset: Its ``expect:`` is compared first; it may leave the columns out, and then any will do.
        found: What the store says of itself.
        pinned: The fingerprint of the first run. None if there was none.

    Raises:
        GuardError: Naming what differs.
    """
    if dataset.expect is not None and not f"{found.text}:".startswith(f"{dataset.expect}:"):
        raise GuardError(
            f"{dataset.name}: the policy expects {dataset.expect}, but {dataset.shown} is {found.text}"
            f" ({_difference(dataset.expect, found)})",
            hint="The policy was written for another store. If this one is meant, put its fingerprint into `expect:`.",
            origin=dataset.origin("expect"),
        )
    if dataset.expect is None and pinned is not None and pinned != found.text:
        raise GuardError(
            f"{dataset.name}: the first run saw {pinned}, but {dataset.shown} is now {found.text}"
            f" ({_difference(pinned, found)})",
            hint=f"If this is meant, accept it with: lapse trust {dataset.name}",
            origin=dataset.origin("store"),
        )


def _difference(expected: str, found: Fingerprint) -> str:
    parts = expected.split(":")[1:]
    names = ("the store", "the table", "a column")
    differing = [name for name, one, other in zip(names, parts, found.parts, strict=False) if one != other]
    if expected.partition(":")[0] != found.text.partition(":")[0] or not differing:
        return "it is another kind of store"
    return f"{' and '.join(differing)} {'differ' if len(differing) > 1 else 'differs'}"


def check_clock(real_now: Nanos, last_entry: Nanos | None) -> None:
    """Refuse a clock that runs behind the ledger.

    Raises:
        GuardError: If the real time is more than five minutes before the last entry's.
    """
    if last_entry is not None and real_now < last_entry - SKEW:
        raise GuardError(
            f"the clock says {rfc3339(real_now)}, but the ledger's last entry is of {rfc3339(last_entry)}",
            hint="Set the clock right. A run with a wrong clock would remove too much or too little.",
        )
