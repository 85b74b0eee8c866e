"""Checking a policy: it can be followed, and what about it someone should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lapse.engine.effects import short_lived, without_effect
from lapse.engine.filing import check_files
from lapse.engine.session import Session
from lapse.instant import DAY, SECOND
from lapse.model.period import Kind
from lapse.model.policy import Dataset, Hold, Policy, Rule
from lapse.policyfile.lasting import void
from lapse.policyfile.loading import raise_complaints

_SHORT = DAY // SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A policy that can be followed.

    Attributes:
        policy: What it says.
        holds: Its holds and those of the holds folder.
        remarks: What is allowed, but deserves a second look.
        notes: For each dataset, which of its rules have no effect of their own, and what has it instead.
    """

    policy: Policy
    holds: tuple[Hold, ...]
    remarks: tuple[str, ...]
    notes: Mapping[str, tuple[str, ...]]


def check(session: Session) -> Checked:
    """Look through the policy of *session* and the holds beside it. No store is opened, nothing is written.

    Raises:
        HoldsError: If the holds cannot be read.
        PolicyError: If a hold file is wrong, or has a hold that no record can match.
        UnsupportedError: If a store cannot do what the policy asks for.
    """
    for dataset in session.policy.datasets.values():
        check_files(session, dataset)
    holds = session.holds()
    raise_complaints(str(session.holds_folder), tuple(void(tuple(session.policy.datasets.values()), holds)))
    active = [hold for hold in holds if hold.active(session.real_now)]
    policy = session.policy
    notes = {name: tuple(without_effect(policy, dataset, active)) for name, dataset in policy.datasets.items()}
    return Checked(policy=policy, holds=holds, remarks=tuple(_remarks(policy)), notes=notes)


def _remarks(policy: Policy) -> Iterator[str]:
    if not policy.datasets:
        yield "the policy has no dataset: nothing is ever removed"
    for dataset in policy.datasets.values():
        for remark in _dataset_remarks(dataset):
            yield f"{dataset.origin() or policy.file}: {dataset.name}: {remark}"
        for archive in policy.archives.values():
            yield from short_lived(dataset, archive)
    if policy.datasets and not policy.archives:
        yield "the policy has no archive: a cut tail of the ledger cannot be detected"


def _dataset_remarks(dataset: Dataset) -> Iterator[str]:
    if not dataset.rules:
        yield "it has no rule: everything is kept"
    for rule in dataset.rules:
        yield from _rule_remarks(rule)
    if dataset.rules and dataset.rules[-1].tenant is not None:
        yield "only single tenants have rules: the records of all others are kept"
    elif dataset.rules and dataset.rules[-1].match.conditions:
        yield "the last rule does not match everything: records that no rule matches are kept"


def _rule_remarks(rule: Rule) -> Iterator[str]:
    if rule.keep.kind is Kind.NO_TIME:
        yield f"{rule} removes records of any age"
    elif rule.keep.kind is Kind.ELAPSED and not rule.keep.months and rule.keep.seconds < _SHORT:
        yield f"{rule} keeps records for less than a day"
