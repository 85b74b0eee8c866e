"""What a run would do, with a reason for every group of records; and the seal that binds a run to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from lapse.instant import Nanos
from lapse.model.guards import Over
from lapse.model.policy import Rule
from lapse.model.selection import Outcome, Verdict

CHECKSUM_MODULUS = 2**53 - 111
"""A prime below the largest integer that JSON carries exactly."""


class Tally(Struct, frozen=True, kw_only=True, gc=False):
    """A count of records with one outcome and one tenant, as a store reports it; of very many rules there are many.

    Attributes:
        code: The outcome's number in the selection.
        tenant: Tenant text. None where the dataset or the record has none.
        records: How many.
        size: Bytes of their content; an estimate where `Fingerprint.exact_sizes` is false.
        oldest: Earliest record time. None if none could be read.
        newest: Latest record time. None if none could be read.
        checksum: Sum over the records of a number made of key and time (or of the line's bytes), modulo
            `CHECKSUM_MODULUS`. Tells other records from the same number of them.
    """

    code: int
    tenant: str | None
    records: int
    size: int
    oldest: Nanos | None = None
    newest: Nanos | None = None
    checksum: int = 0

    def merged(self, other: Tally) -> Tally:
        """The sum of two tallies of the same code and tenant."""
        return Tally(
            code=self.code,
            tenant=self.tenant,
            records=self.records + other.records,
            size=self.size + other.size,
            oldest=_least(self.oldest, other.oldest),
            newest=_most(self.newest, other.newest),
            checksum=(self.checksum + other.checksum) % CHECKSUM_MODULUS,
        )


def merge(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Tallies with equal code and tenant made one, ordered by code and tenant."""
    found = list(tallies)
    if all(map(_precedes, found, found[1:])):
        return tuple(found)
    merged: dict[tuple[int, str | None], Tally] = {}
    for tally in found:
        key = (tally.code, tally.tenant)
        merged[key] = merged[key].merged(tally) if key in merged else tally
    return tuple(merged[key] for key in sorted(merged, key=lambda key: (key[0], key[1] is not None, key[1] or "")))


def _precedes(one: Tally, other: Tally) -> bool:
    """Whether a tally stands before another one in order, and is not of the same code and tenant."""
    if one.code != other.code:
        return one.code < other.code
    return other.tenant is not None and (one.tenant is None or one.tenant < other.tenant)


def _least(one: Nanos | None, other: Nanos | None) -> Nanos | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Nanos | None, other: Nanos | None) -> Nanos | None:
    return other if one is None else one if other is None else max(one, other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Which store, table and columns a policy speaks of; never an inode.

    Attributes:
        text: One word to compare, ``scheme:store:table:columns``.
        parts: The same in parts, to say which one differs: store, table, columns.
    """

    text: str
    parts: tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The highest point of a store at the time of a plan; what comes later is not part of it.

    Attributes:
        kind: ``key`` (a key that only ascends) or ``files`` (sizes and inodes).
        values: For ``key`` one item, the name of the column and the last key, inclusive; for ``files``
            the size in bytes and the inode of each, by path.
    """

    kind: str
    values: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a store says of itself before anything is done to it.

    Attributes:
        fingerprint: Which store, table and columns.
        mark: Its high-water mark. None if it has none, and `unmarked` says why.
        unmarked: Why there is no mark. None if there is one.
        notes: Remarks for the plan: naive times read as UTC, an index that is missing, …
        refusal: Why Lapse will not remove anything here. None if it will.
    """

    fingerprint: Fingerprint
    mark: Mark | None = None
    unmarked: str | None = None
    notes: tuple[str, ...] = ()
    refusal: str | None = None


class Group(Struct, frozen=True, kw_only=True, gc=False):
    """Records with one outcome and one tenant, with the reason in words.

    Attributes:
        outcome: Which outcome, and why.
        tally: How many.
    """

    outcome: Outcome
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPlan:
    """What a run would do to one dataset.

    Attributes:
        dataset: Its name.
        store: Its address, secrets masked.
        clock: Column or key of the record time, from which ages are counted. Empty where nobody says it.
        identity: What the store said of itself.
        cutoffs: For each rule, the first instant it keeps; None for ever. Index for index.
        rules: The rules, index for index. Empty where nobody says them.
        groups: Every group of records, those that go first.
        segments: How many archive segments the run would write at least; a store that keeps its locks short cuts
            smaller slices.
        over: Guards that would refuse a run. Empty also where nobody has asked them.
    """

    dataset: str
    store: str
    identity: Identity
    cutoffs: tuple[Nanos | None, ...]
    groups: tuple[Group, ...]
    segments: int
    over: tuple[Over, ...] = ()
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    clock: str = ""
    _known_sums: dict[Verdict, tuple[int, int]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def records(self, *verdicts: Verdict) -> int:
        """Records with one of the verdicts; of all without any named."""
        return sum(records for verdict, (records, _) in self._sums().items() if not verdicts or verdict in verdicts)

    def size(self, *verdicts: Verdict) -> int:
        """Bytes of the records with one of the verdicts; of all without any named."""
        return sum(size for verdict, (_, size) in self._sums().items() if not verdicts or verdict in verdicts)

    def _sums(self) -> Mapping[Verdict, tuple[int, int]]:
        """Records and bytes by verdict, added up once: of very many rules there are many groups."""
        if not self._known_sums:
            found: defaultdict[Verdict, list[Tally]] = defaultdict(list)
            for group in self.groups:
                found[group.outcome.verdict].append(group.tally)
            for verdict, tallies in found.items():
                self._known_sums[verdict] = sum(t.records for t in tallies), sum(t.size for t in tallies)
        return self._known_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do.

    Attributes:
        now: The instant it was made for.
        policy_digest: Hash of the policy it follows.
        datasets: In policy order.
    """

    now: Nanos
    policy_digest: str
    datasets: tuple[DatasetPlan, ...]
