"""A record that is not in its store, looked for in the ledger and in the archive."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lapse.archive import catalog
from lapse.archive.catalog import SegmentEntry
from lapse.archive.looking import Copy, Sought, Unread, copies
from lapse.engine.layering import Ground
from lapse.engine.session import Session
from lapse.errors import LapseError, StateError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.disposal import sealed_segments
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.model.paths import entry_path
from lapse.model.why import PastDisposal
from lapse.state.files import read_private
from lapse.state.ledger import sidecar_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """What somebody remembers of a record that is gone.

    Attributes:
        first: Earliest record time it can have. None if nobody knows.
        last: Latest record time it can have, inclusive. None if nobody knows.
        tenant: Its tenant. None if nobody knows.
    """

    first: Nanos | None = None
    last: Nanos | None = None
    tenant: str | None = None

    def meets(self, entry: LedgerEntry) -> bool:
        """Whether the records of a disposal can have it among them, by their times."""
        oldest, newest = _instant(entry.body.get("oldest")), _instant(entry.body.get("newest"))
        begins = self.last is None or oldest is None or oldest <= self.last
        return begins and (self.first is None or newest is None or self.first <= newest)


NO_CLUES = Clues()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What ledger and archive know of a record.

    Attributes:
        copies: Segments that hold it.
        disposals: The disposal of each, the earliest first.
        returns: When one of these segments was restored into the store, and which.
        uncopied: Disposals of its dataset that left no copy, the latest first.
        unread: What could not be looked into.
    """

    copies: tuple[Copy, ...]
    disposals: tuple[PastDisposal, ...]
    returns: tuple[tuple[Nanos, str], ...]
    uncopied: tuple[PastDisposal, ...]
    unread: tuple[str, ...]


def past_of(
    session: Session, on: Ground, what: Sought | None, *, clues: Clues = NO_CLUES, among: frozenset[str] | None = None
) -> Past:
    """What ledger and archives know of a record. Nothing is restored, and nothing is written.

    Arguments:
        session: Whose ledger and archives are asked.
        on: The dataset, and what decides about it.
        what: How to know the record in a segment. None if it cannot be known: then only the ledger is asked.
        clues: What somebody remembers of it.
        among: Look into these segments only, and do not ask what else is missing. None looks into all.
    """
    unread: list[str] = []
    ledger = list(_ledger(session, on.dataset.name, unread))
    entries: list[SegmentEntry] = []
    if what is not None:
        found = _entries(session, on.dataset.name, clues, unread)
        entries = [entry for entry in found if among is None or entry.path in among]
        if among is None:
            unread += _missing(ledger, {entry.path for entry in entries}, unread, clues)
    found_in = _looked_into(entries, what, unread)
    by_path = {entry.path: entry for entry in entries}
    dated = sorted((_disposal(on, item, by_path[item.manifest.path], ledger) for item in found_in), key=when)
    return Past(
        copies=tuple(found_in),
        disposals=tuple(dated),
        returns=tuple(_returns(ledger, {item.manifest.path for item in found_in})),
        uncopied=() if found_in else tuple(_uncopied(session, ledger, clues)),
        unread=tuple(unread),
    )


def restored_segments(session: Session, name: str) -> frozenset[str]:
    """Paths of the segments that were restored into the dataset's own store, as far as the ledger can be read."""
    found = (entry for entry in _ledger(session, name, []) if entry.kind is EntryKind.RESTORE)
    return frozenset(str(entry.body["segment"]) for entry in found if entry.body.get("own_store"))


def when(disposal: PastDisposal) -> Nanos:
    """When it was, for their order; before all others where nobody knows."""
    return disposal.at if disposal.at is not None else Nanos(0)


def _looked_into(entries: Sequence[SegmentEntry], what: Sought | None, unread: list[str]) -> list[Copy]:
    """The copies in *entries*; what could not be looked into is noted, together where the reason is one."""
    found: list[Copy] = []
    failed: dict[str, list[str]] = {}
    for item in copies(entries, what) if what is not None else ():
        if isinstance(item, Unread):
            failed.setdefault(item.reason, []).append(item.path)
        else:
            found.append(item)
    unread += [f"{_segments(paths)} cannot be looked into: {reason}" for reason, paths in failed.items()]
    return found


def _entries(session: Session, name: str, clues: Clues, unread: list[str]) -> Iterator[SegmentEntry]:
    """The committed segments that may hold it; what cannot be looked into is noted."""
    until = None if clues.last is None else Nanos(clues.last + 1)
    wanted = catalog.Wanted(dataset=name, since=clues.first, until=until)
    for archive in session.policy.archives:
        try:
            for item in catalog.catalog(session.targets[archive], archive_name=archive, wanted=wanted):
                if isinstance(item, SegmentEntry):
                    yield item
                else:
                    unread.append(f"segment {item.path} in archive {archive} cannot be read: {item.reason}")
        except LapseError as error:
            unread.append(f"archive {archive} cannot be listed: {error}")


def _missing(ledger: Iterable[LedgerEntry], there: set[str], unread: Sequence[str], clues: Clues) -> Iterator[str]:
    """Segments that the ledger names and no archive of the policy has."""
    absent = [
        segment.path
        for entry in ledger
        if entry.kind is EntryKind.DISPOSAL and clues.meets(entry)
        for segment in sealed_segments(entry)
        if segment.path not in there and not any(segment.path in reason for reason in unread)
    ]
    paths = list(dict.fromkeys(absent))
    if paths:
        yield f"{_segments(paths)}: named in the ledger, and in no archive of the policy"


def _segments(paths: Sequence[str]) -> str:
    return f"segment {paths[0]}" + ("" if len(paths) == 1 else f" and {len(paths) - 1:,} more")


def _ledger(session: Session, name: str, unread: list[str]) -> Iterator[LedgerEntry]:
    """Disposals and restores of a dataset."""
    try:
        for entry in session.ledger.entries():
            if entry.kind in (EntryKind.DISPOSAL, EntryKind.RESTORE) and entry.body.get("dataset") == name:
                yield entry
    except LapseError as error:
        unread.append(f"the ledger cannot be read: {error}")


def _returns(ledger: Iterable[LedgerEntry], paths: set[str]) -> Iterator[tuple[Nanos, str]]:
    for entry in ledger:
        if entry.kind is EntryKind.RESTORE and entry.body.get("own_store") and entry.body["segment"] in paths:
            yield parse_rfc3339(entry.at), str(entry.body["segment"])


def _disposal(on: Ground, copy: Copy, segment: SegmentEntry, ledger: Sequence[LedgerEntry]) -> PastDisposal:
    """The disposal that a copy belongs to, by the ledger, else by the entry that lies beside the segment."""
    manifest = copy.manifest
    known = next((each for each in ledger if manifest.path in {s.path for s in sealed_segments(each)}), None)
    entry = known or _beside(segment)
    body: Mapping[str, object] = {} if entry is None else entry.body
    rules = {str(index): text for index, text in manifest.rules.items() if index in manifest.counts}
    at, method = body.get("at"), body.get("method")
    return PastDisposal(
        at=parse_rfc3339(at) if isinstance(at, str) else None,
        run=manifest.run,
        rules=_rules(on, copy, rules, str(body.get("rules_digest"))),
        records=manifest.records,
        oldest=manifest.oldest,
        newest=manifest.newest,
        method=str(method) if method is not None else None,
        segment=manifest.path,
        archives=copy.archives,
    )


def _rules(on: Ground, copy: Copy, rules: Mapping[str, str], digest: str) -> tuple[str, ...]:
    """The rule it lapsed under; all that the segment's records lapsed under, where the rules have changed since."""
    if len(rules) > 1 and digest == on.selection.rules_digest:
        index = str(on.selection.dispatch.first(copy.values.get))
        if index in rules:
            return (rules[index],)
    return tuple(rules[index] for index in sorted(rules, key=int))


def _beside(segment: SegmentEntry) -> LedgerEntry | None:
    """The entry beside a segment. None if it cannot be read: `lapse archive verify` says why."""
    try:
        with segment.target.open(entry_path(segment.path)) as file:
            return LedgerEntry.from_json(json.load(file))
    except (LapseError, ValueError, TypeError, RecursionError):
        return None


def _uncopied(session: Session, ledger: Iterable[LedgerEntry], clues: Clues) -> Iterator[PastDisposal]:
    """Disposals without a copy that it can have gone by, the latest first."""
    for entry in reversed(list(ledger)):
        body = entry.body
        if entry.kind is not EntryKind.DISPOSAL or body.get("waiver") is None or not clues.meets(entry):
            continue
        of_tenant = None if clues.tenant is None else _of_tenant(session, entry, clues.tenant)
        if of_tenant == 0:
            continue
        rules = body.get("rules")
        yield PastDisposal(
            at=_instant(body.get("at")),
            run=str(body.get("run")),
            rules=tuple(map(str, rules.values())) if isinstance(rules, Mapping) else (),
            records=int(str(body.get("records"))),
            of_tenant=of_tenant,
            oldest=_instant(body.get("oldest")),
            newest=_instant(body.get("newest")),
            method=str(body.get("method")),
        )


def _of_tenant(session: Session, entry: LedgerEntry, tenant: str) -> int | None:
    """How many records of a disposal were the tenant's, by the counts beside the ledger. None if these are gone."""
    run, piece = str(entry.body.get("run")), str(entry.body.get("slice"))
    try:
        data = read_private(sidecar_path(session.ledger.folder, run, piece))
        counts = None if data is None else json.loads(data)
    except (StateError, ValueError):
        return None
    found = counts.get(tenant, 0) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else None


def _instant(value: object) -> Nanos | None:
    return parse_rfc3339(value) if isinstance(value, str) else None
