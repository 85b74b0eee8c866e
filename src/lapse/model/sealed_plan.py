"""A plan that binds a run: its cutoffs, counts, policy, store and high-water mark, with a digest over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lapse.canonical import Json, digest_of
from lapse.instant import Nanos, parse_rfc3339, rfc3339
from lapse.model.plan import DatasetPlan, Plan
from lapse.model.selection import Verdict

SEALED_PLAN_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedGroup:
    """Lapsed records of one rule and tenant, as planned.

    Attributes:
        rule: Rule index.
        tenant: Tenant. None where there is none.
        records: How many.
        oldest: Earliest time, RFC 3339.
        newest: Latest time, RFC 3339.
        checksum: Tells other records from the same number of them.
    """

    rule: int
    tenant: str | None
    records: int
    oldest: str | None
    newest: str | None
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDataset:
    """One dataset of a sealed plan.

    Attributes:
        name: Dataset name.
        fingerprint: Its store.
        mark_kind: Kind of its high-water mark.
        mark: Values of the mark.
        cutoffs: For each rule, RFC 3339 or None.
        groups: What was going to go, ordered by rule and tenant.
    """

    name: str
    fingerprint: str
    mark_kind: str
    mark: Mapping[str, tuple[int, ...]]
    cutoffs: tuple[str | None, ...]
    groups: tuple[SealedGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPlan:
    """What `lapse plan -o` writes and `lapse run --plan` follows.

    Attributes:
        now: The instant that decided, and decides again.
        real_now: Real time of the plan.
        policy: Policy hash.
        datasets: What was planned, in policy order.
    """

    now: Nanos
    real_now: Nanos
    policy: str
    datasets: tuple[SealedDataset, ...]

    def to_json(self) -> dict[str, Json]:
        """The plan as it is written, its own digest last."""
        body: dict[str, Json] = {
            "lapse_plan": SEALED_PLAN_VERSION,
            "now": rfc3339(self.now),
            "real_now": rfc3339(self.real_now),
            "policy": self.policy,
            "datasets": [
                {
                    "name": dataset.name,
                    "fingerprint": dataset.fingerprint,
                    "mark": {
                        "kind": dataset.mark_kind,
                        "values": {key: [str(v) for v in values] for key, values in dataset.mark.items()},
                    },
                    "cutoffs": dataset.cutoffs,
                    "lapsed": [
                        {
                            "rule": group.rule,
                            "tenant": group.tenant,
                            "records": group.records,
                            "oldest": group.oldest,
                            "newest": group.newest,
                            "checksum": group.checksum,
                        }
                        for group in dataset.groups
                    ],
                }
                for dataset in self.datasets
            ],
        }
        return {**body, "digest": digest_of(body)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SealedPlan:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If it is no sealed plan, or was edited.
        """
        body = {key: value for key, value in facts.items() if key != "digest"}
        if body.get("lapse_plan") != SEALED_PLAN_VERSION:
            raise ValueError("it is not a plan that `lapse plan -o` wrote")
        if facts.get("digest") != digest_of(body):
            raise ValueError("its digest does not match: the file was edited or cut")
        return cls(
            now=parse_rfc3339(body["now"]),
            real_now=parse_rfc3339(body["real_now"]),
            policy=body["policy"],
            datasets=tuple(_dataset(item) for item in body["datasets"]),
        )


def _dataset(item: Mapping[str, Any]) -> SealedDataset:
    return SealedDataset(
        name=item["name"],
        fingerprint=item["fingerprint"],
        mark_kind=item["mark"]["kind"],
        mark={key: tuple(int(v) for v in values) for key, values in item["mark"]["values"].items()},
        cutoffs=tuple(item["cutoffs"]),
        groups=tuple(SealedGroup(**group) for group in item["lapsed"]),
    )


def seal_plan(plan: Plan, real_now: Nanos) -> SealedPlan:
    """Seal *plan*.

    Raises:
        ValueError: If a dataset has no high-water mark; the text names it and says why.
    """
    return SealedPlan(
        now=plan.now,
        real_now=real_now,
        policy=plan.policy_digest,
        datasets=tuple(_sealed(dataset) for dataset in plan.datasets),
    )


def _sealed(plan: DatasetPlan) -> SealedDataset:
    identity = plan.identity
    if identity.mark is None:
        raise ValueError(f"{plan.dataset} has no high-water mark: {identity.unmarked}")
    return SealedDataset(
        name=plan.dataset,
        fingerprint=identity.fingerprint.text,
        mark_kind=identity.mark.kind,
        mark=identity.mark.values,
        cutoffs=tuple(None if cutoff is None else rfc3339(cutoff) for cutoff in plan.cutoffs),
        groups=lapsed_groups(plan),
    )


def lapsed_groups(plan: DatasetPlan) -> tuple[SealedGroup, ...]:
    """The lapsed groups of *plan* in a form that does not depend on the numbering of outcomes."""
    groups = (
        SealedGroup(
            rule=group.outcome.rule if group.outcome.rule is not None else -1,
            tenant=group.tally.tenant,
            records=group.tally.records,
            oldest=None if group.tally.oldest is None else rfc3339(group.tally.oldest),
            newest=None if group.tally.newest is None else rfc3339(group.tally.newest),
            checksum=group.tally.checksum,
        )
        for group in plan.groups
        if group.outcome.verdict is Verdict.LAPSED
    )
    return tuple(sorted(groups, key=lambda group: (group.rule, group.tenant is not None, group.tenant or "")))
