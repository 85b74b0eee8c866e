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
    """

    match: str
    keep: str
    archives: Sequence[str]
    waived: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDataset:
    """A dataset of a policy.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        table: Table. Null for text logs.
        time: Column or key of the record time.
        type: Column or key of the type. Null if there is none.
        tenant: Column or key of the tenant. Null if there is none.
        rules: In the order that decides.
    """

    dataset: str
    store: str
    table: str | None
    time: str
    type: str | None
    tenant: str | None
    rules: Sequence[CheckedRule]


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
class CheckResult:
    """Of `lapse check`: what the policy says. A policy that cannot be followed is an error, with complaints.

    Attributes:
        file: The policy file.
        digest: Hash of what it decides.
        datasets: In file order.
        archives: Addresses by name, secrets masked.
        floors: In file order.
        holds: Those of the policy, then those of `holds/`.
    """

    file: str
    digest: str
    datasets: Sequence[CheckedDataset]
    archives: Mapping[str, str]
    floors: Sequence[FloorShown]
    holds: Sequence[HoldShown]


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
