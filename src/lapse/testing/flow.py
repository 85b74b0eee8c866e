"""The steps of a run in short form, for tests: rules to a selection, parts to a proof, slices to disposals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lapse.canonical import sha256
from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Disposal, Facts, Owner, Proof, SealedSegment, Verified, Waiver
from lapse.model.match import Condition, Glob, Match, Range, text_of
from lapse.model.period import parse_period
from lapse.model.plan import Tally
from lapse.model.policy import Floor, Hold, Last, Rule
from lapse.model.selection import Selection, select
from lapse.ports import Batch, Budget, LineBlock, Part, Slice, Store
from lapse.segments.content import ContentDigest
from lapse.testing.harness import NOW, Record, World

Item = str | Glob | Range
Wanted = Item | Sequence[Item]


@dataclass(frozen=True, slots=True)
class Not:
    """Anything but some values.

    Attributes:
        wanted: The values.
    """

    wanted: Wanted


_ROLES = {"kind": "type", "tenant": "tenant"}


def matching(**wanted: Wanted | Not) -> Match:
    """A match on the world's fields: ``matching(tenant="acme", kind=Not(Glob("auth*")), level=Range(5))``."""
    return Match(tuple(_condition(field, value) for field, value in wanted.items()))


def _condition(field: str, said: Wanted | Not) -> Condition:
    wanted = said.wanted if isinstance(said, Not) else said
    options = [wanted] if isinstance(wanted, str | Glob | Range) else list(wanted)
    return Condition(
        field=field,
        values=tuple(option for option in options if isinstance(option, str)),
        globs=tuple(option for option in options if isinstance(option, Glob)),
        role=_ROLES.get(field, ""),
        ranges=tuple(option for option in options if isinstance(option, Range)),
        negated=isinstance(said, Not),
    )


def rule(
    period: str, archives: Sequence[str] = ("cold",), *, last: Last | int | None = None, **wanted: Wanted | Not
) -> Rule:
    """A rule; without *archives* it is a waiver. *last* keeps the newest, of each group or of all."""
    return Rule(
        index=0,
        match=matching(**wanted),
        keep=parse_period(period),
        archives=tuple(archives),
        waived=not archives,
        last=Last(last) if isinstance(last, int) else last,
    )


def judged(
    world: World, *rules: Rule, floors: Iterable[Floor] = (), holds: Iterable[Hold] = (), **overrides: object
) -> Selection:
    """The world's dataset under *rules*, at `NOW`; *overrides* are attributes of the dataset."""
    numbered = tuple(replace(item, index=index) for index, item in enumerate(rules))
    dataset = world.dataset(rules=numbered, **overrides)
    return select(dataset, floors=floors, holds=holds, now=NOW, real_now=NOW)


def facts_of(selection: Selection) -> Facts:
    """What the engine would say of every slice of this selection."""
    return Facts(
        owner=Owner(ledger="ledger-1", run="20261122T100000Z-1"),
        fingerprint="world:log",
        policy="0" * 64,
        now=selection.now,
        rules_digest=selection.rules_digest,
        rules={str(item.index): str(item) for item in selection.sources},
        cutoffs={
            str(index): "never" if bound.cutoff is None else rfc3339(bound.cutoff)
            for index, bound in enumerate(selection.rules)
        },
    )


def code_of(selection: Selection, record: Record, among: Sequence[Record] = ()) -> int:
    """The code that the definition gives a record; *among* are all there are, where the newest of a group stay."""
    return selection.decide(
        record.instant, record.read, is_newest=lambda rule: _is_newest(selection, rule, record, among)
    )


def _is_newest(selection: Selection, rule: int, record: Record, among: Sequence[Record]) -> bool:
    """Whether fewer members of its group are newer than the rule keeps."""
    last, own = selection.sources[rule].last, record.instant
    if last is None or own is None:
        return False
    value = None if last.per is None else text_of(record.read(last.per))
    instants = [
        other.instant
        for other in among
        if selection.decide(other.instant, other.read) >= selection.first_hold  # others are doubtful
        and selection.dispatch.first(other.read) == rule
        and (last.per is None or text_of(other.read(last.per)) == value)
    ]
    return sum(instant is not None and instant > own for instant in instants) < last.count


def expected(selection: Selection, records: Iterable[Record]) -> Counter[tuple[int, str | None]]:
    """How many records the definition counts, by code and tenant."""
    among = list(records)
    return Counter((code_of(selection, record, among), record.tenant) for record in among)


def lapsed(selection: Selection, records: Iterable[Record]) -> set[int]:
    """Keys of the records that lapse by the definition."""
    codes, among = selection.lapsed_codes(), list(records)
    return {record.key for record in among if code_of(selection, record, among) in codes}


def counted(tallies: Iterable[Tally]) -> Counter[tuple[int, str | None]]:
    """What a survey or take counted, by code and tenant, zeros left out."""
    counts: Counter[tuple[int, str | None]] = Counter()
    for tally in tallies:
        if tally.records:
            counts[tally.code, tally.tenant] += tally.records
    return counts


@dataclass(frozen=True, slots=True)
class Drained:
    """A part that was read through.

    Attributes:
        part: Its table and columns; its batches are used up.
        batches: What it held.
    """

    part: Part
    batches: tuple[Batch, ...]

    def again(self) -> Part:
        """The same part, to be read once more."""
        return replace(self.part, batches=iter(self.batches))

    @property
    def keys(self) -> list[int]:
        """The ``id`` of every record, in order."""
        return [key for batch in self.batches for key in _keys(batch)]


def drain(parts: Iterator[Part]) -> tuple[Drained, ...]:
    """Read everything that a take yields."""
    return tuple(Drained(part, tuple(part.batches)) for part in parts)


def _keys(batch: Batch) -> list[int]:
    if isinstance(batch, LineBlock):
        return [json.loads(line)["id"] for line in batch.data.splitlines()]
    return [int(value) for value in batch.column("id").to_pylist()]


def keys_of(drained: Iterable[Drained]) -> list[int]:
    """The ``id`` of every record of all parts."""
    return [key for item in drained for key in item.keys]


def prove(piece: Slice, drained: Sequence[Drained]) -> Proof:
    """The proof that an honest archive would give for what was drained; a waiver where there is none."""
    if not piece.destination.archives:
        return Waiver(slice=piece.name, rules=tuple(map(str, piece.selection.sources)))
    contents = [_content(item) for item in drained]
    return tuple(
        Verified(
            archive=archive,
            slice=piece.name,
            segments=tuple(_segment(archive, piece, content) for content in contents),
            content=tuple(content.digest() for content in contents),
        )
        for archive in piece.destination.archives
    )


def _content(item: Drained) -> ContentDigest:
    content = ContentDigest()
    for batch in item.batches:
        content.update(batch)
    return content


def _segment(archive: str, piece: Slice, content: ContentDigest) -> SealedSegment:
    return SealedSegment(
        archive=archive,
        path=f"ledger-1/log/2026/11/{piece.name}.segment",
        digest=sha256(piece.name.encode()),
        size=content.raw_size,
        records=content.records,
        merkle_root=sha256(b""),
        manifest=sha256(b""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One slice that was taken and committed.

    Attributes:
        piece: The slice.
        drained: What the take yielded.
        tallies: What the take counted.
        disposal: What the commit said.
    """

    piece: Slice
    drained: tuple[Drained, ...]
    tallies: Sequence[Tally]
    disposal: Disposal


def cut(
    store: Store,
    selection: Selection,
    budget: Budget | None = None,
    mark: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Slice]:
    """All slices of a selection."""
    return list(store.slices(selection, facts_of(selection), budget or Budget(), mark))


def remove(store: Store, piece: Slice) -> Removal | None:
    """Take, prove and commit one slice. None if it held nothing to remove."""
    with store.take(piece) as taken:
        drained = drain(taken.parts())
        if not keys_of(drained):
            return None
        disposal = taken.commit(prove(piece, drained))
        return Removal(piece=piece, drained=drained, tallies=taken.tallies(), disposal=disposal)


def run(
    store: Store,
    selection: Selection,
    budget: Budget | None = None,
    mark: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Removal]:
    """Remove everything that lapsed, slice by slice, as the engine does: cutting goes on while slices commit."""
    pieces = store.slices(selection, facts_of(selection), budget or Budget(), mark)
    return [removal for piece in pieces if (removal := remove(store, piece)) is not None]


def days_ago(days: float, plus: int = 0) -> Nanos:
    """An instant before `NOW`; *plus* nanoseconds are added."""
    return Nanos(NOW - int(days * 86_400_000_000) * 1000 + plus)
