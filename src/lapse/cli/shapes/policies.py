"""Policies, checked and proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapse.cli.shapes.holds import HoldShown


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRule:
    """A rule of a policy.

    Attributes:
        match: What it applies to, in words.
        keep: For how long, as written.
        archives: Archives that hold a record before it goes.
        waived: Whether the policy says that no copy is made.
        tenant: The tenant among whose rules it stands. Null for the rules of all.
        where: File, line and column.
    """

    match: str
    keep: str
    archives: Sequence[str]
    waived: bool
    tenant: str | None
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardsShown:
    """Limits of a run on a dataset.

    Attributes:
        share: Largest share of it that may go, 0 to 1. Null has no limit.
        rows: Most records of it that may go. Null has no limit.
        tenant_share: Largest share of any one tenant that may go, 0 to 1. Null has no limit.
        tenant_rows: Most records of any one tenant that may go. Null has no limit.
        ramp: Records of the first slice of a new rule. Null begins with slices of the usual size.
    """

    share: float | None
    rows: int | None
    tenant_share: float | None
    tenant_rows: int | None
    ramp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDataset:
    """A dataset of a policy.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        table: Table. Null for text logs.
        time: Column or key of the record time.
        type: Column or key of the type. Null if there is none.
        subtype: Column or key of the subtype. Null if there is none.
        tenant: Column or key of the tenant. Null if there is none.
        actor: Column or key of who caused the record. Null if there is none.
        rules: In the order that decides.
        guards: Limits of a run on it.
        notes: Which of its rules have no effect of their own, and what has it instead: a floor, or a hold.
    """

    dataset: str
    store: str
    table: str | None
    time: str
    type: str | None
    subtype: str | None
    tenant: str | None
    actor: str | None
    rules: Sequence[CheckedRule]
    guards: GuardsShown
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorShown:
    """A minimum period.

    Attributes:
        dataset: The dataset it applies to. Null applies to all.
        match: Which of its records, in words.
        at_least: For how long, as written.
        because: The law or contract.
    """

    dataset: str | None
    match: str
    at_least: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRecords:
    """The records of a dataset, as `lapse check --data` found them.

    Attributes:
        dataset: Its name.
        records: How many it has.
        undated: How many of them have no time that can be read; nothing selects these.
    """

    dataset: str
    records: int
    undated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleSelector:
    """Something in a policy that selects no record now.

    Attributes:
        selector: `rule`, `tenant`, `floor` or `hold`.
        dataset: Whose records it selects. Null selects from all datasets.
        name: The selector, in words.
        keeps: Whether it is there to keep records: then it is an error.
        meant: The tenant that was likely meant. Null if none is near.
        where: File, line and column.
    """

    selector: str
    dataset: str | None
    name: str
    keeps: bool
    meant: str | None
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Of `lapse check`: what the policy says. A policy that cannot be followed is an error, with complaints.

    Attributes:
        file: The policy file.
        digest: Hash of what it decides.
        datasets: In file order.
        archives: Addresses by name, secrets masked.
        floors: In file order.
        holds: Those of the policy, then those of `holds/`.
        records: Of each dataset. Null without `--data`.
        idle: What selects no record now. Null without `--data`.
    """

    file: str
    digest: str
    datasets: Sequence[CheckedDataset]
    archives: Mapping[str, str]
    floors: Sequence[FloorShown]
    holds: Sequence[HoldShown]
    records: Sequence[CheckedRecords] | None
    idle: Sequence[IdleSelector] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveValue:
    """One value of a merged policy.

    Attributes:
        path: Keys and positions that lead to it.
        value: As written, secrets masked.
        where: File, line and column. Null for a default.
    """

    path: str
    value: str
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveResult:
    """Of `lapse check --effective`.

    Attributes:
        values: Every value, with where it comes from.
    """

    values: Sequence[EffectiveValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaResult:
    """Of `lapse check --schema`.

    Attributes:
        schema: The JSON Schema of a policy file.
    """

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A table, or a set of log files, that was found.

    Attributes:
        dataset: Its name in the proposed policy. Null if it was left out.
        store: Its address, as the policy writes it.
        table: Table. Null for text logs.
        records: How many; an estimate for text logs.
        size: Bytes.
        time: The likeliest record time. Null if there is none.
        time_format: How it is written.
        type: The likeliest type. Null if there is none.
        tenant: The likeliest tenant. Null if there is none.
        actor: Who did it, likeliest. Null if there is none.
        oldest: Earliest record time seen. Null if there is none.
        newest: Latest record time seen. Null if there is none.
        notes: Remarks.
    """

    dataset: str | None
    store: str
    table: str | None
    records: int
    size: int
    time: str | None
    time_format: str
    type: str | None
    tenant: str | None
    actor: str | None
    oldest: str | None
    newest: str | None
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult:
    """Of `lapse init`: a policy that keeps everything until it is edited.

    Attributes:
        file: Where it was written.
        text: What was written.
        datasets: What became a dataset.
        others: What was seen and left out.
    """

    file: str
    text: str
    datasets: Sequence[Found]
    others: Sequence[Found]
