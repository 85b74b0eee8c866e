"""Whether the parts of a policy get in each other's way: datasets on the same records, folders inside stores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from lapse.errors import Complaint, Origin
from lapse.model.period import Kind
from lapse.model.policy import Dataset, Rule
from lapse.policyfile import patterns
from lapse.policyfile.addresses import Address, place_of
from lapse.policyfile.nearby import Nearby

UNKNOWN = Origin("", 0, 0)


def overlapping(datasets: Iterable[Dataset]) -> Iterator[Complaint]:
    """Pairs of datasets whose rules could decide about the same records in two ways."""
    for one, other in combinations(datasets, 2):
        if not _same_place(one, other):
            continue
        for first, second in _pairs(one, other):
            what = (
                f"{second.name} of `{other.name}` and {first.name} of `{one.name}`"
                f" at {first.origin} could decide about the same records of {other.shown}"
            )
            hint = "Make one dataset of the two, or let their rules match different values of one field."
            yield Complaint(second.origin or UNKNOWN, what, hint)
            break


def _pairs(one: Dataset, other: Dataset) -> Iterator[tuple[Rule, Rule]]:
    nearby = Nearby((rule.match, rule) for rule in other.rules)
    for first in one.rules:
        for second in nearby.meeting(first.match):
            if first.keep.kind is not Kind.FOREVER or second.keep.kind is not Kind.FOREVER:
                yield first, second


def _same_place(one: Dataset, other: Dataset) -> bool:
    if place_of(one) != place_of(other):
        return False
    if one.table is None or other.table is None:
        return patterns.meet(patterns.real(one.store), patterns.real(other.store))
    return _same_table(one.table, other.table)


def _same_table(one: str, other: str) -> bool:
    """Whether two names could mean one table; a missing schema could be any, and case may not count."""
    first, second = (name.replace('"', "").replace("`", "").casefold().split(".") for name in (one, other))
    shorter = min(len(first), len(second))
    return first[-shorter:] == second[-shorter:]


def folders_in_stores(
    targets: Mapping[str, Address], ledger: Address | None, stores: Mapping[str, Address]
) -> Iterator[Complaint]:
    """Archive and ledger folders that lie where a store's records are.

    Arguments:
        targets: Addresses of the archives, by name.
        ledger: The ledger's folder. None keeps it out of the policy's reach.
        stores: Addresses of the datasets' stores, by name.
    """
    folders = [(f"archive `{name}`", address) for name, address in targets.items()]
    if ledger is not None:
        folders.append(("`ledger`", ledger))
    for what, folder in folders:
        for name, store in stores.items():
            why = _in_the_way(folder, store)
            if why is not None:
                hint = "Choose a folder outside of it."
                yield Complaint(folder.origin or UNKNOWN, f"{what}: {folder.shown} {why} of `{name}`", hint)
                break


def bad_file_folders(
    unders: Mapping[str, Address], targets: Mapping[str, Address], ledger: Address | None
) -> Iterator[Complaint]:
    """Folders of rows' files below which a row could name a file of an archive or the ledger, or any file at all.

    Arguments:
        unders: Folders of files, by dataset.
        targets: Addresses of the archives, by name.
        ledger: The ledger's folder. None keeps it out of the policy's reach.
    """
    own = [(f"archive `{name}`", address) for name, address in targets.items()]
    own += [("the ledger", ledger)] if ledger is not None else []
    for under in unders.values():
        origin = under.origin or UNKNOWN
        if is_root(under):
            yield Complaint(origin, f"`under`: {under.shown} is every file there is", "Name the folder of the files.")
        for what, folder in own:
            if not is_root(under) and folder.local is not None and _meet(under.full, folder.local):
                hint = "Let neither of the two lie in the other: a row could name any file below it."
                yield Complaint(origin, f"`under`: {under.shown} and {what} at {folder.shown} overlap", hint)


def is_root(folder: Address) -> bool:
    """Whether everything lies below it."""
    return os.path.realpath(folder.full) == "/"


def _meet(one: str, other: str) -> bool:
    first, second = os.path.realpath(one), os.path.realpath(other)
    return os.path.commonpath([first, second]) in (first, second)


def _in_the_way(address: Address, store: Address) -> str | None:
    if address.local is None or store.local is None:
        return None
    folder, files = os.path.realpath(address.local), patterns.real(store.local)
    start = patterns.start_of(files)
    if folder in (start, files):
        return "is the folder of the store" if folder == start else "is the store"
    if not store.is_database and patterns.inside(folder, start) and patterns.meet(files, f"{folder}/**"):
        return f"lies where {store.shown} looks for the log files"
    return None


def twin_targets(targets: Mapping[str, Address]) -> Iterator[Complaint]:
    """Archives that are one place under two names."""
    for (one, first), (other, second) in combinations(targets.items(), 2):
        if _place(first) == _place(second):
            what = f"archives `{one}` and `{other}` are one place, {second.shown}"
            hint = "Two copies in one place are one copy: remove one, or move it."
            yield Complaint(second.origin or UNKNOWN, what, hint)


def _place(target: Address) -> str:
    return os.path.realpath(target.local) if target.local is not None else target.full.rstrip("/")
