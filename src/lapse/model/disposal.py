"""Who removes records, what one committed slice removed, and the proof that let it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from msgspec import Struct

from lapse.canonical import Digest, Json, Spelled, spelled
from lapse.instant import Nanos, parse_rfc3339, rfc3339
from lapse.model.ledger_entry import LedgerEntry
from lapse.model.naming import Named, Spellings
from lapse.model.plan import Tally
from lapse.model.tallied import tallied

_MOST_WAIVED = 100
"""Rules whose texts stand twice in a disposal that is a waiver."""


class Method(Enum):
    """How records left their store."""

    ROW_DELETE = "row delete"
    PARTITION_DROP = "partition drop"
    FILE_COLLAPSE = "file collapse"
    FILE_REWRITE = "file rewrite"
    FILE_REMOVAL = "file removal"


NOT_COVERED: Mapping[Method, str] = {
    Method.ROW_DELETE: "freed pages until they are reused or the file is rebuilt, write-ahead logs, replicas, backups",
    Method.PARTITION_DROP: "write-ahead logs, replicas, backups",
    Method.FILE_COLLAPSE: "freed disk blocks, copies, backups",
    Method.FILE_REWRITE: "freed disk blocks of the old file, copies, backups",
    Method.FILE_REMOVAL: "freed disk blocks, copies, backups",
}
"""What each method leaves behind; certificates and ledger entries name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose work a slice is. Markers and temporary names carry it.

    Attributes:
        ledger: Ledger id.
        run: Run id, unique, ascending with time.
    """

    ledger: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSegment:
    """Where one segment lies, as proofs, markers and ledger entries name it.

    Attributes:
        archive: Archive name.
        path: Path in its target.
        digest: SHA-256 of the segment file.
        size: Bytes of the segment file.
        records: Number of records.
        merkle_root: Root over the salted record digests.
        manifest: SHA-256 of the manifest beside it.
    """

    archive: str
    path: str
    digest: Digest
    size: int
    records: int
    merkle_root: Digest
    manifest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The proof: a slice's segments in one archive, read back and equal to what was taken.

    Attributes:
        archive: Archive name.
        slice: Slice name.
        segments: One for each part, in order.
        content: Content digest of each part, in order: what a store compares a removal with.
    """

    archive: str
    slice: str
    segments: tuple[SealedSegment, ...]
    content: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """The policy's word that these records go without a copy.

    Attributes:
        slice: Slice name.
        rules: Texts of rules that say so. The disposal names those under which records went.
    """

    slice: str
    rules: tuple[str, ...] = ()


Proof = tuple[Verified, ...] | Waiver


class Share(Struct, frozen=True, kw_only=True, gc=False):
    """The records that went under one rule and belonged to one tenant; of very many rules there are many.

    Attributes:
        rule: The rule's index.
        tenant: The tenant. None where the dataset or the record has none.
        records: How many.
    """

    rule: int
    tenant: str | None
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposal:
    """A committed take: these records are gone from their store.

    Attributes:
        owner: Ledger and run.
        slice: Slice name.
        dataset: Dataset name.
        fingerprint: The store they came from.
        method: How they left.
        at: Real time of the commit.
        now: The run's ``now``.
        policy: Policy hash.
        rules_digest: Hash of the dataset's rules.
        rules: Rule texts by index.
        rule_digests: Hash of each of these rules in its place, by index; empty where it was not recorded.
        cutoffs: Cutoff of each rule in `rules`, RFC 3339.
        counts: Records by rule index.
        tenants: Records by tenant. Kept out of the ledger, in its sidecar.
        records: All records.
        size: Bytes of their content.
        oldest: Earliest record time. None if none had one.
        newest: Latest record time. None if none had one.
        segments: Every sealed segment; empty under a waiver.
        waiver: Texts of the rules that waived the archive; of very many, how many they are. None where there is one.
        earlier: Paths of segments that were restored into this store before and may hold some of these records,
            by their times. So a record in two committed segments is explained.
        ramp: Which step of a ramp it was, from 1, the canary. None where slices had their usual size.
        shares: Records by rule and tenant, as in a `Share`, for reports; neither markers nor the ledger have them, so
            that it is empty where the disposal was read back from one.
    """

    owner: Owner
    slice: str
    dataset: str
    fingerprint: str
    method: Method
    at: Nanos
    now: Nanos
    policy: str
    rules_digest: str
    rules: Mapping[str, str]
    cutoffs: Mapping[str, str]
    counts: Mapping[str, int]
    tenants: Mapping[str, int] = field(repr=False)
    records: int
    size: int
    oldest: Nanos | None
    newest: Nanos | None
    segments: tuple[SealedSegment, ...]
    waiver: tuple[str, ...] | None
    earlier: tuple[str, ...] = ()
    rule_digests: Mapping[str, str] = field(default_factory=dict)
    ramp: int | None = None
    shares: Mapping[tuple[int, str | None], int] = field(default_factory=dict, compare=False, repr=False)
    _spelled: dict[str, Spelled] = field(default_factory=dict, init=False, compare=False, repr=False)

    def without_counts(self) -> Disposal:
        """The same without what it counts by rule and tenant, of which there may be very much."""
        return replace(self, shares={}, rules={}, cutoffs={}, counts={}, tenants={}, rule_digests={})

    def spelled(self, name: str) -> Spelled:
        """The canonical JSON of one of its mappings, made once: its marker, its entry and the sidecar have it alike."""
        if name not in self._spelled:
            self._spelled[name] = spelled(getattr(self, name))
        return self._spelled[name]

    def shorthand(self) -> dict[str, Json]:
        """What `to_json` gives, to be spelled: its mappings are spelled already."""
        found = self.to_json()
        return {**found, **{name: self.spelled(name) for name in _MAPPINGS if name in found}}

    def to_json(self) -> dict[str, Json]:
        """Everything, as a marker carries it."""
        return {
            "ledger": self.owner.ledger,
            "run": self.owner.run,
            "slice": self.slice,
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "method": self.method.value,
            "not_covered": NOT_COVERED[self.method],
            "at": rfc3339(self.at),
            "now": rfc3339(self.now),
            "policy": self.policy,
            "rules_digest": self.rules_digest,
            "rules": self.rules,
            "cutoffs": self.cutoffs,
            "counts": self.counts,
            "tenants": self.tenants,
            "records": self.records,
            "size": self.size,
            "oldest": None if self.oldest is None else rfc3339(self.oldest),
            "newest": None if self.newest is None else rfc3339(self.newest),
            "segments": [asdict(segment) for segment in self.segments],
            "waiver": None if self.waiver is None else list(self.waiver),
            "earlier": list(self.earlier),
            **({"rule_digests": self.rule_digests} if self.rule_digests else {}),
            **({} if self.ramp is None else {"ramp": self.ramp}),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Disposal:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If a field is missing or unreadable.
        """
        try:
            return cls(
                owner=Owner(ledger=facts["ledger"], run=facts["run"]),
                method=Method(facts["method"]),
                at=parse_rfc3339(facts["at"]),
                now=parse_rfc3339(facts["now"]),
                oldest=None if facts["oldest"] is None else parse_rfc3339(facts["oldest"]),
                newest=None if facts["newest"] is None else parse_rfc3339(facts["newest"]),
                segments=tuple(SealedSegment(**segment) for segment in facts["segments"]),
                waiver=None if facts["waiver"] is None else tuple(facts["waiver"]),
                earlier=tuple(facts["earlier"]),
                rule_digests=facts.get("rule_digests", {}),
                ramp=facts.get("ramp"),
                **{name: facts[name] for name in _PLAIN},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"disposal is not complete: {error}") from error


_MAPPINGS = ("rules", "cutoffs", "counts", "tenants", "rule_digests")

_PLAIN = (
    "slice", "dataset", "fingerprint", "policy", "rules_digest", "rules",
    "cutoffs", "counts", "tenants", "records", "size",
)  # fmt: skip


def sealed_segments(entry: LedgerEntry) -> tuple[SealedSegment, ...]:
    """The segments that a disposal's ledger entry names; none for entries of another kind."""
    listed = entry.body.get("segments", ())
    return tuple(SealedSegment(**segment) for segment in listed) if isinstance(listed, list | tuple) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CameBack:
    """A segment that was restored into the store its records came from.

    Attributes:
        path: Its path.
        oldest: Earliest record time in it. None if not known.
        newest: Latest record time in it. None if not known.
    """

    path: str
    oldest: Nanos | None
    newest: Nanos | None

    def meets(self, oldest: Nanos | None, newest: Nanos | None) -> bool:
        """Whether it may hold records of a time from *oldest* to *newest*, both inclusive."""
        if self.oldest is None or self.newest is None or oldest is None or newest is None:
            return True
        return self.oldest <= newest and oldest <= self.newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the engine knows of every slice of a dataset, for its marker and its ledger entry.

    Attributes:
        owner: Ledger and run.
        fingerprint: The store, as checked by the guards.
        policy: Policy hash.
        now: The run's ``now``.
        rules_digest: Hash of the dataset's rules.
        rules: Rule texts by index.
        cutoffs: Cutoff of each rule, RFC 3339.
        came_back: Segments that were restored into the dataset's own store.
        rule_digests: Hash of each rule in its place, by index.
        ramp: Which step of a ramp its slices are, from 1. None where they have their usual size.
    """

    owner: Owner
    fingerprint: str
    policy: str
    now: Nanos
    rules_digest: str
    rules: Mapping[str, str]
    cutoffs: Mapping[str, str]
    came_back: tuple[CameBack, ...] = ()
    rule_digests: Mapping[str, str] = field(default_factory=dict)
    ramp: int | None = None
    _spellings: dict[str, Spellings] = field(default_factory=dict, init=False, compare=False, repr=False)

    def prepare(self, rules: Iterable[int]) -> None:
        """Spell what disposals will say of some *rules*, while no transaction waits for it."""
        names = ("rules", "cutoffs", *(("rule_digests",) if self.rule_digests else ()))
        spellings = [self._spelling(name) for name in names]
        for rule in rules:
            for each in spellings:
                _ = each[rule]

    def text_of(self, rule: int) -> str:
        """The text of the rule of this index."""
        return self._spelling("rules").text(rule)

    def _spelling(self, name: str) -> Spellings:
        """What one of the mappings says of each rule."""
        if name not in self._spellings:
            self._spellings[name] = Spellings(getattr(self, name))
        return self._spellings[name]

    def disposal(
        self,
        *,
        slice_name: str,
        dataset: str,
        method: Method,
        at: Nanos,
        rule_of: Callable[[int], int | None],
        tallies: Sequence[Tally],
        proof: Proof,
    ) -> Disposal:
        """The disposal of a slice whose records, all of them lapsed, count to *tallies*.

        *rule_of* gives the rule index of a code.
        """
        shares: dict[tuple[int, str | None], int] = {}
        found = tallied(tallies)
        for code, tenant, records in zip(found.codes, found.tenants, found.records, strict=True):
            if (rule := rule_of(code)) is not None:
                shares[rule, tenant] = shares.get((rule, tenant), 0) + records
        counts: dict[int, int] = {}
        tenants: dict[str, int] = {}
        for (rule, tenant), records in shares.items():
            counts[rule] = counts.get(rule, 0) + records
            tenants[tenant or ""] = tenants.get(tenant or "", 0) + records
        rules = sorted(counts, key=str)
        oldest, newest = found.ends
        return Disposal(
            owner=self.owner,
            slice=slice_name,
            dataset=dataset,
            fingerprint=self.fingerprint,
            method=method,
            at=at,
            now=self.now,
            policy=self.policy,
            rules_digest=self.rules_digest,
            rules=Named(self._spelling("rules"), rules),
            cutoffs=Named(self._spelling("cutoffs"), rules),
            counts={str(rule): counts[rule] for rule in rules},
            tenants=tenants,
            records=sum(found.records),
            size=sum(found.sizes),
            oldest=oldest,
            newest=newest,
            segments=() if isinstance(proof, Waiver) else tuple(s for verified in proof for s in verified.segments),
            waiver=self._waived(rules) if isinstance(proof, Waiver) else None,
            earlier=tuple(segment.path for segment in self.came_back if segment.meets(oldest, newest)),
            rule_digests=Named(self._spelling("rule_digests"), rules) if self.rule_digests else {},
            ramp=self.ramp,
            shares=shares,
        )

    def _waived(self, rules: Sequence[int]) -> tuple[str, ...]:
        """What a disposal says of the *rules* under which its records went without a copy."""
        if len(rules) > _MOST_WAIVED:
            return (f"all {len(rules):,} rules that it names",)
        return tuple(map(self.text_of, sorted(rules)))
