"""Guarding: what must be true before the first removal. Over a limit, the run is refused, exit 3."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from lapse.errors import GuardError
from lapse.instant import Nanos, rfc3339, rfc3339_second
from lapse.model.guards import Guard, Guards, Limit, Over
from lapse.model.plan import DatasetPlan, Fingerprint
from lapse.model.policy import Dataset
from lapse.model.selection import SKEW, Verdict

_NAMED = 3
"""Tenants that a refusal names, the worst first."""


def over_limits(plan: DatasetPlan, guards: Guards, refreshed: Mapping[str, Nanos]) -> tuple[Over, ...]:
    """The guards that *plan* goes over: that it would empty its dataset, and the limits of the policy. Pure.

    Arguments:
        plan: What would go.
        guards: The limits of this dataset.
        refreshed: The time before which everything is in what is made of its records, by name.
    """
    total, going = plan.records(), plan.records(Verdict.LAPSED)
    if not going:
        return ()
    return *_over(plan, guards, going=going, total=total), *_over_derived(plan, refreshed)


def _over_derived(plan: DatasetPlan, refreshed: Mapping[str, Nanos]) -> Iterator[Over]:
    """What is made of the records and does not hold all that may go; by cutoffs, as records may still arrive late."""
    needed: dict[str, Nanos] = {}
    for rule, cutoff in zip(plan.rules, plan.cutoffs, strict=True):
        if cutoff is not None:
            needed.update({name: max(needed.get(name, cutoff), cutoff) for name in rule.derived})
    for name, cutoff in needed.items():
        until = refreshed.get(name)
        if until is not None and cutoff <= until:
            continue
        so_far = "nobody has said that it holds any" if until is None else f"it holds those before {rfc3339(until)}"
        yield Over(
            guard=Guard.DERIVED,
            finding=f"{name!r} is made of records that may go, of before {rfc3339(cutoff)}, and {so_far}",
            remedy="",
            figures={"derived": name, "needed": rfc3339(cutoff), "until": None if until is None else rfc3339(until)},
            command=f"lapse refreshed {plan.dataset} {shlex.quote(name)}",
        )


def _over(plan: DatasetPlan, guards: Guards, *, going: int, total: int) -> Iterator[Over]:
    figures = {"going": going, "records": total}
    if going == total:
        lapsed = "its only record has" if total == 1 else f"all {total:,} records have"
        finding = f"{lapsed} lapsed, the dataset would be empty"
        yield Over(guard=Guard.EMPTY, finding=finding, remedy="", figures=figures)
    if guards.share is not None and not guards.allows_share(going, total):
        finding = f"{going:,} of {total:,} records would go, {going / total:.1%}; the policy allows {_percent(guards)}"
        yield Over(
            guard=Guard.SHARE, finding=finding, remedy="`guards: share`",
            figures={**figures, "limit": _percent(guards)},
        )  # fmt: skip
    if guards.rows is not None and not guards.allows_rows(going):
        finding = f"{going:,} records would go; the policy allows {guards.rows:,}"
        yield Over(
            guard=Guard.ROWS, finding=finding, remedy="`guards: rows`", figures={**figures, "limit": guards.rows}
        )
    yield from _over_tenants(plan, guards.tenants)


def _percent(limit: Limit) -> str:
    return f"{100 * (limit.share or 0):g}%"


def _over_tenants(plan: DatasetPlan, limit: Limit) -> Iterator[Over]:
    if not limit.is_set:
        return
    total: Counter[str | None] = Counter()
    going: Counter[str | None] = Counter()
    for group in plan.groups:
        total[group.tally.tenant] += group.tally.records
        if group.outcome.verdict is Verdict.LAPSED:
            going[group.tally.tenant] += group.tally.records
    worst = sorted(
        (tenant for tenant, records in going.items() if records and not limit.allows(records, total[tenant])),
        key=lambda tenant: (-going[tenant], -going[tenant] / total[tenant], tenant or ""),
    )
    if not worst or set(total) == {None}:
        return  # a dataset without tenants has none of whom too much could go
    named = [_figures(tenant, going[tenant], total[tenant]) for tenant in worst[:_NAMED]]
    more = [f"{len(worst) - _NAMED:,} more"] if len(worst) > _NAMED else []
    of_whom = "1 tenant" if len(worst) == 1 else f"{len(worst):,} tenants"
    yield Over(
        guard=Guard.TENANTS,
        finding=f"more would go of {of_whom} than the {limit} that the policy allows of each: "
        + ", ".join([*named, *more]),
        remedy="`guards: tenants`",
        figures={"tenants": len(worst), "limit": str(limit)},
    )


def _figures(tenant: str | None, going: int, total: int) -> str:
    name = "records without a tenant" if tenant is None else tenant
    return f"{name} {going:,} of {total:,} ({going / total:.1%})"


def check_limits(
    plan: DatasetPlan, guards: Guards, refreshed: Mapping[str, Nanos], *, allowed: Collection[Guard]
) -> tuple[Over, ...]:
    """Refuse a plan that would empty its dataset, or that goes over a limit of the policy.

    Arguments:
        plan: What would go.
        guards: The limits of this dataset.
        refreshed: As for `over_limits`.
        allowed: Guards that the caller passes by, this once.

    Returns:
        Those of *allowed* that would have refused.

    Raises:
        GuardError: With the figures, the limits, and the way to allow it.
    """
    found = over_limits(plan, guards, refreshed)
    refusing = [over for over in found if over.guard not in allowed]
    if refusing:
        raise GuardError(f"{plan.dataset}: {'; '.join(over.finding for over in refusing)}", hint=_hint(refusing))
    return found


def _hint(refusing: Collection[Over]) -> str:
    options = " ".join(
        dict.fromkeys(
            "--allow-empty" if over.guard is Guard.EMPTY else f"--allow {over.guard.value}" for over in refusing
        )
    )
    remedies = [over.remedy for over in refusing if over.remedy]
    lasting = f", or raise {' and '.join(remedies)} in the policy" if remedies else ""
    commands = [f"`{over.command}`" for over in refusing if over.command]
    first = f"Refresh what is derived, then say so with {' and '.join(commands)}. " if commands else ""
    return f"{first}Look at `lapse plan`. If it is right, run again with {options}{lasting}."


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
            f"the clock says {rfc3339_second(real_now)},"
            f" but the ledger's last entry is of {rfc3339_second(last_entry)}",
            hint="Set the clock right. A run with a wrong clock would remove too much or too little.",
        )
