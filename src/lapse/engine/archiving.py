"""The archive, for people: what lies there, whether it is intact, questions to it, and records taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lapse.archive import catalog
from lapse.archive.catalog import SegmentEntry, Unreadable
from lapse.archive.restoring import Restored
from lapse.archive.restoring import restore as restore_segments
from lapse.archive.tables import Tables
from lapse.archive.verifying import Checked, missing
from lapse.archive.verifying import verify as verify_segments
from lapse.canonical import Json
from lapse.engine.checkpointing import check_anchor, checkpoint
from lapse.engine.holding import checked_holds
from lapse.engine.ordering import add_hold
from lapse.engine.session import Session, run_id
from lapse.errors import UsageError
from lapse.instant import DAY, Nanos, rfc3339, rfc3339_second
from lapse.model.disposal import sealed_segments
from lapse.model.ledger_entry import EntryKind
from lapse.model.masking import masked
from lapse.model.policy import Dataset, Hold
from lapse.policyfile.addresses import store_address
from lapse.policyfile.secrets import AddressError
from lapse.ports import ArchiveTarget, Part, Restorable, RestoreCount, Store
from lapse.registry import database_schemes, open_store, scheme_of
from lapse.segments import JSONL_ZST
from lapse.state.keys import public_keys

if TYPE_CHECKING:
    from lapse.archive.querying import QueryResult

_LOGS = "jsonl"
"""Scheme of text logs, which an address without one means."""

HOLD_DAYS = 30
"""How long what came back is held by default, or the next run would take it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which segments are meant.

    Attributes:
        archive: Only copies in this archive. None takes all archives.
        dataset: Only segments of this dataset. None takes all.
        run: Only segments of this run. None takes all.
        paths: Only segments of these paths. Empty takes all.
        include_prepared: Whether segments count whose disposal is not known to have been committed.
    """

    archive: str | None = None
    dataset: str | None = None
    run: str | None = None
    paths: tuple[str, ...] = ()
    include_prepared: bool = False

    def in_catalog(self) -> catalog.Wanted:
        """The part of it that the catalog understands."""
        return catalog.Wanted(dataset=self.dataset, run=self.run)

    @property
    def is_exact(self) -> bool:
        """Whether it names something that must be there."""
        return bool(self.paths) or self.run is not None

    def takes(self, path: str) -> bool:
        """Whether a segment's path is meant."""
        return not self.paths or path in self.paths


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        store: Address of the store it went to, secrets masked; by dataset where several were restored.
        restored: Every segment with the counts of its records.
        hold: Matter of the hold that protects what came back. None if there is none.
        held_until: When that hold ends. None if there is none.
    """

    restored: tuple[Restored, ...]
    hold: str | None = None
    held_until: Nanos | None = None
    stores: tuple[str, ...] = field(default=())

    @property
    def records(self) -> int:
        """Records written."""
        return sum(item.count.restored for item in self.restored)

    @property
    def present(self) -> int:
        """Records that were there already."""
        return sum(item.count.present for item in self.restored)


def list_segments(session: Session, wanted: Wanted) -> Iterator[SegmentEntry | Unreadable]:
    """What lies in the archives of the policy; what cannot be made out is listed with its reason.

    Raises:
        UsageError: If the archive is unknown.
        TargetError: If an archive cannot be listed.
    """
    for name, target in _targets(session, wanted).items():
        found = catalog.catalog(
            target, archive_name=name, wanted=wanted.in_catalog(), include_prepared=wanted.include_prepared
        )
        yield from (item for item in found if wanted.takes(item.path))


def verify(session: Session, wanted: Wanted) -> Iterator[Checked]:
    """Read every copy of every segment and compare it with its manifest, its entry and the ledger.

    Segments that the ledger names but no archive has are problems, too.

    Raises:
        UsageError: If the archive is unknown, or if a run or path was named that no segment has.
    """
    found = False
    for item in _checks(session, wanted):
        found = True
        yield item
    if not found and wanted.is_exact:
        raise UsageError("no segment is meant", hint="See `lapse archive list`.")


def _checks(session: Session, wanted: Wanted) -> Iterator[Checked]:
    targets = _targets(session, wanted)
    checks = verify_segments(
        targets,
        keys=public_keys(session.folders.keys),
        wanted=wanted.in_catalog(),
        include_prepared=wanted.include_prepared,
    )
    yield from (item for item in checks if wanted.takes(item.path))
    for entry in session.ledger.entries():
        body = entry.body
        if entry.kind is not EntryKind.DISPOSAL or wanted.run not in (None, body["run"]):
            continue
        if wanted.dataset in (None, body["dataset"]):
            named = (segment for segment in sealed_segments(entry) if wanted.takes(segment.path))
            yield from missing(named, targets)


def query(session: Session, sql: str, wanted: Wanted | None = None) -> AbstractContextManager[QueryResult]:
    """Ask the committed segments in SQL; each dataset is a table. The rows can be read inside the block.

    Raises:
        UsageError: If the statement does more than read, or DuckDB does not understand it.
    """
    from lapse.archive.querying import query as query_segments  # DuckDB is needed for this alone

    return query_segments(_committed(session, wanted or Wanted()), sql)


def restore(
    session: Session,
    wanted: Wanted,
    *,
    to: str | None = None,
    table: str | None = None,
    hold_days: int | None = HOLD_DAYS,
) -> RestoreReport:
    """Bring committed segments back into their own stores, or into another one.

    Takes the store's lease, writes each segment wholly or not at all, never overwrites, is entered into the
    ledger, and holds what came back into its own store. Running it again restores nothing twice.

    Arguments:
        session: The session.
        wanted: Which segments.
        to: Address of another store. None restores each dataset into its own.
        table: Table in that store. None keeps the name.
        hold_days: How long what came back is held. None holds nothing.

    Raises:
        UsageError: If no segment is meant, or a dataset is unknown.
        StoreError: If another record of the same key is there.
    """
    checked_holds(session)
    check_anchor(session)
    entries = list(_committed(session, wanted))
    if not entries:
        raise UsageError("no committed segment is meant", hint="See `lapse archive list`.")
    names = dict.fromkeys(entry.manifest.dataset for entry in entries)
    segments = {name: [entry for entry in entries if entry.manifest.dataset == name] for name in names}
    destinations = {name: _destination(session, name, to=to, table=table) for name in segments}
    for name, dataset in destinations.items():
        _require_kind(segments[name], dataset)
    matter = None
    if to is None and hold_days is not None:
        matter = _hold(session, entries, hold_days)
    restored: list[Restored] = []
    stores: list[str] = []
    tables = Tables(_committed(session, replace(wanted, paths=())))
    for name, dataset in destinations.items():
        stores.append(dataset.shown)
        restored += _restore_into(session, dataset, segments[name], wanted, tables)
    checkpoint(session)
    until = Nanos(session.real_now + (hold_days or 0) * DAY) if matter else None
    return RestoreReport(restored=tuple(restored), hold=matter, held_until=until, stores=tuple(stores))


def _targets(session: Session, wanted: Wanted) -> dict[str, ArchiveTarget]:
    if wanted.archive is not None and wanted.archive not in session.targets:
        known = ", ".join(session.targets) or "none"
        raise UsageError(f"{session.policy.file} has no archive {wanted.archive!r}", hint=f"It has: {known}.")
    return {name: target for name, target in session.targets.items() if wanted.archive in (None, name)}


def _committed(session: Session, wanted: Wanted) -> Iterator[SegmentEntry]:
    for name, target in _targets(session, wanted).items():
        found = catalog.segments(
            target, archive_name=name, wanted=wanted.in_catalog(), include_prepared=wanted.include_prepared
        )
        yield from (entry for entry in found if wanted.takes(entry.path))


def _destination(session: Session, name: str, *, to: str | None, table: str | None) -> Dataset:
    if to is None:
        (dataset,) = session.datasets([name])
        return dataset if table is None else replace(dataset, table=table)
    try:
        address = store_address(to, Path.cwd(), database_schemes()).full
    except AddressError as error:
        raise UsageError(f"--to: {error}", hint=error.hint) from error
    base = session.policy.datasets.get(name) or Dataset(name=name, store=address, shown=masked(to), time="")
    return replace(base, store=address, shown=masked(to), table=table or base.table, rules=(), expect=None)


def _require_kind(entries: list[SegmentEntry], dataset: Dataset) -> None:
    """Refuse lines for a table and rows for log files, before anything is made there."""
    lines = scheme_of(dataset.store, default=_LOGS) == _LOGS
    for entry in entries:
        if (entry.manifest.format == JSONL_ZST) != lines:
            what = "rows cannot be restored into log files" if lines else "lines cannot be restored into a table"
            raise UsageError(
                f"{dataset.name}: {what}, {dataset.shown}",
                hint="Name a table of a database with --to and --table." if lines else "Name a log file with --to.",
            )


def _restore_into(
    session: Session, dataset: Dataset, entries: list[SegmentEntry], wanted: Wanted, tables: Tables
) -> Iterator[Restored]:
    with ExitStack() as stack:
        shelves = _Shelves(stack, dataset, tables)
        keys = public_keys(session.folders.keys)
        for item in restore_segments(entries, shelves, keys=keys, include_prepared=wanted.include_prepared):
            _record(session, dataset, item)
            yield item


class _Shelves:
    """Where records go: those of a dataset's own table into the dataset's, those that went along into their own."""

    def __init__(self, stack: ExitStack, dataset: Dataset, tables: Tables) -> None:
        self._stack = stack
        self._dataset = dataset
        self._tables = tables
        self._opened: dict[str | None, Restorable] = {}
        self._shelf(dataset.table)

    def restore(self, part: Part) -> RestoreCount:
        """Write the records that are not there yet."""
        is_own = self._tables.is_own(self._dataset.name, part.table)
        return self._shelf(self._dataset.table if is_own else part.table).restore(part)

    def _shelf(self, table: str | None) -> Restorable:
        if table not in self._opened:
            store: Store = open_store(replace(self._dataset, table=table), read_only=False)
            self._stack.callback(store.close)
            self._stack.enter_context(store.lease())
            if not isinstance(store, Restorable):
                raise UsageError(
                    f"{self._dataset.shown} cannot take records back", hint="Restore into another store with --to."
                )
            self._opened[table] = store
        return self._opened[table]


def _record(session: Session, dataset: Dataset, item: Restored) -> None:
    body: dict[str, Json] = {
        "dataset": dataset.name,
        "segment": item.entry.path,
        "archive": item.entry.archive,
        "restored": item.count.restored,
        "present": item.count.present,
        "oldest": None if item.entry.manifest.oldest is None else rfc3339(item.entry.manifest.oldest),
        "newest": None if item.entry.manifest.newest is None else rfc3339(item.entry.manifest.newest),
        "own_store": dataset.name in session.policy.datasets
        and session.policy.datasets[dataset.name].store == dataset.store,
    }
    session.writable_ledger.append(EntryKind.RESTORE, body, at=session.real_now)


def _hold(session: Session, entries: list[SegmentEntry], days: int) -> str:
    """Hold what comes back before it comes back: each dataset, from the oldest to the newest record of it."""
    run = run_id(session.real_now)
    matters = []
    for name in dict.fromkeys(entry.manifest.dataset for entry in entries):
        if name not in session.policy.datasets:
            continue
        manifests = [entry.manifest for entry in entries if entry.manifest.dataset == name]
        oldest = [manifest.oldest for manifest in manifests]
        newest = [manifest.newest for manifest in manifests]
        whole = None in oldest or None in newest
        matter = f"restore-{run}-{name}"
        hold = Hold(
            matter=matter,
            reason=f"restored on {rfc3339_second(session.real_now)}",
            dataset=name,
            since=None,
            until=Nanos(session.real_now + days * DAY),
            records_from=None if whole else min(instant for instant in oldest if instant is not None),
            records_before=None if whole else Nanos(max(instant for instant in newest if instant is not None) + 1),
        )
        add_hold(session, hold, here_only=True)
        matters.append(matter)
    return ", ".join(matters)
