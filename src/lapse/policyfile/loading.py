"""A policy file to a `Policy`, with every complaint at once."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lapse.errors import Complaint, PolicyError
from lapse.model.masking import masked
from lapse.model.policy import Dataset, Floor, Hold, Policy, Rule
from lapse.policyfile import (
    build,
    conflicts,
    lasting,
    merge,
    references,
    rotating,
    ruling,
    scheduling,
    scopes,
    sets,
    shadowing,
    tenants,
)
from lapse.policyfile.addresses import (
    STORE_SCHEMES,
    TARGET_SCHEMES,
    Address,
    folder_address,
    store_address,
    target_address,
)
from lapse.policyfile.guards import guards_of, own_guards
from lapse.policyfile.models import DatasetShape, FloorShape, HoldShape, PolicyShape
from lapse.policyfile.secrets import AddressError
from lapse.policyfile.shape import misshapen, plain, shaped
from lapse.policyfile.tree import Entry, Mapped, Node, Scalar, children, items

_VERY_MANY = 10_000
"""Rules from which on the collector is told that they stay."""

_AT_ONCE = 1_000_000
"""New objects after which it looks for garbage then: what a run makes of so many rules is none either."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A policy that was read and found right.

    Attributes:
        policy: What it says.
        tree: Where it says so: every file, merged.
    """

    policy: Policy
    tree: Mapped


def load(
    path: str | Path,
    *,
    schemes: Sequence[str] = STORE_SCHEMES,
    target_schemes: Sequence[str] = TARGET_SCHEMES,
) -> Policy:
    """Read a policy and the ``conf.d`` beside it.

    Arguments:
        path: The policy file. Relative paths in it start at its folder.
        schemes: Schemes of databases that a `store` may have.
        target_schemes: Schemes that an archive's `to` may have.

    Raises:
        PolicyError: If it cannot be followed, with every complaint in file order.
    """
    with _uncollected():
        policy = read(path, schemes=schemes, target_schemes=target_schemes).policy
    if sum(len(dataset.rules) for dataset in policy.datasets.values()) >= _VERY_MANY:
        gc.freeze()
        gc.set_threshold(_AT_ONCE, *gc.get_threshold()[1:])
    return policy


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is read is no garbage: very many rules are not gone through for some again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read(
    path: str | Path,
    *,
    schemes: Sequence[str] = STORE_SCHEMES,
    target_schemes: Sequence[str] = TARGET_SCHEMES,
) -> Reading:
    """As `load`, together with the tree that the policy was made of."""
    main = Path(path)
    files = merge.files_of(main)
    complaints: list[Complaint] = []
    roots = [root for root in (merge.read(file, complaints) for file in files) if root is not None]
    for root in roots:
        complaints += _shape_complaints(root, is_main=root.origin.file == str(main))
    tree = merge.merge(roots, complaints)
    folder = Path(os.path.normpath(Path.cwd() / main)).parent
    draft = _Draft(sets.expanded(tree), folder, complaints, schemes=schemes, target_schemes=target_schemes)
    if len(roots) == len(files):  # else names that the missing file defines would seem unknown
        complaints += sets.bad_sets(tree)
        draft.check()
    raise_complaints(main.name, in_order(complaints, [str(file) for file in files]))
    return Reading(draft.policy(main), tree)


def raise_complaints(name: str, complaints: Sequence[Complaint]) -> None:
    """Raise the complaints about *name*, if there are any."""
    if complaints:
        count = "1 problem" if len(complaints) == 1 else f"{len(complaints)} problems"
        raise PolicyError(f"{name} has {count}", complaints=complaints)


def in_order(complaints: Sequence[Complaint], files: Sequence[str]) -> tuple[Complaint, ...]:
    """The complaints by file, line and column, each once, without secrets: what they quote could be an address."""
    rank = {file: index for index, file in enumerate(files)}

    def place(complaint: Complaint) -> tuple[int, int, int]:
        origin = complaint.origin
        return rank.get(origin.file, len(rank)), origin.line, origin.column

    shown = (replace(each, message=masked(each.message), hint=each.hint and masked(each.hint)) for each in complaints)
    return tuple(sorted(dict.fromkeys(shown), key=place))


def _shape_complaints(root: Mapped, *, is_main: bool) -> Iterator[Complaint]:
    return misshapen(PolicyShape, root, optional=() if is_main else ("version",))


class _Draft:
    """A policy on its way from the tree to its values; notes what is wrong with it."""

    def __init__(
        self,
        tree: Mapped,
        folder: Path,
        complaints: list[Complaint],
        *,
        schemes: Sequence[str],
        target_schemes: Sequence[str],
    ) -> None:
        self._tree = tree
        self._folder = folder
        self._complaints = complaints
        self._stores = self._addresses("datasets", "store", lambda text: store_address(text, folder, schemes))
        self._targets = self._addresses("archives", "to", lambda text: target_address(text, folder, target_schemes))
        self._unders = self._folders_of_files()
        self._anywhere = self._told_by_ending()
        self._ledger = self._address(tree, "ledger", lambda text: folder_address(text, folder))
        self._sound: dict[str, Dataset] = {}
        self._own: dict[str, DatasetShape] = {}

    def _addresses(self, kind: str, key: str, resolve: Callable[[str], Address]) -> Mapping[str, Address]:
        found = {entry.key: self._address(entry.node, key, resolve) for entry in children(self._tree.get(kind))}
        return {name: address for name, address in found.items() if address is not None}

    def _folders_of_files(self) -> Mapping[str, Address]:
        found = {}
        for entry in children(self._tree.get("datasets")):
            files = entry.node.get("files") if isinstance(entry.node, Mapped) else None
            if files is not None:
                found[entry.key] = self._address(files, "under", lambda text: folder_address(text, self._folder))
        return {name: address for name, address in found.items() if address is not None}

    def _told_by_ending(self) -> frozenset[str]:
        """Datasets whose files may lie anywhere, since they end as nothing of Lapse's own does."""
        nodes = {entry.key: entry.node for entry in children(self._tree.get("datasets"))}
        roots = (name for name, under in self._unders.items() if conflicts.is_root(under))
        files = ((name, node.get("files")) for name in roots if isinstance(node := nodes[name], Mapped))
        return frozenset(name for name, node in files if isinstance(node, Mapped) and node.get("ending"))

    def _address(self, owner: Node, key: str, resolve: Callable[[str], Address]) -> Address | None:
        node = owner.get(key) if isinstance(owner, Mapped) else None
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
            return None  # the shape complains about it, if it must be there
        try:
            return replace(resolve(node.value), origin=node.origin)
        except AddressError as error:
            self._complaints.append(Complaint(node.origin, f"`{key}`: {error}", error.hint))
            return None

    def check(self) -> None:
        """Note everything that leads nowhere or gets in the way of something else."""
        datasets = children(self._tree.get("datasets"))
        names = [entry.key for entry in datasets]
        holds = [hold for hold in items(self._tree.get("holds")) if isinstance(hold, Mapped)]
        sound = [dataset for dataset in map(self._dataset, datasets) if dataset is not None]
        wrong_holds = list(scopes.bad_holds(holds, names))
        floors, kept = self._floors(), [] if wrong_holds else self._holds()
        for found in (
            scopes.bad_names(self._tree),
            scopes.stray_references(self._tree),
            scopes.bad_floors(self._tree, names),
            wrong_holds,
            scheduling.bad_schedule(self._tree),
            tenants.homeless(self._tree.get("datasets")),
            (shadow.complaint for entry in datasets for shadow in shadowing.shadows(self._rules(entry))),
            lasting.bad_floors(sound, floors),
            lasting.void(sound, [*floors, *kept]) if len(sound) == len(datasets) else (),
            conflicts.overlapping(sound),
            conflicts.folders_in_stores(self._targets, self._ledger, self._stores),
            conflicts.twin_targets(self._targets),
            conflicts.bad_file_folders(
                {name: under for name, under in self._unders.items() if name not in self._anywhere},
                self._targets,
                self._ledger,
            ),
        ):
            self._complaints += found

    def _dataset(self, entry: Entry) -> Dataset | None:
        """The dataset, if nothing in it is wrong by itself."""
        if tenants.added_alone(entry.node):
            return None  # there is a complaint about it
        known = references.Known(archives=self._formats(), stores=self._stores)
        wrong = list(references.bad_dataset(entry, known))
        self._complaints += wrong
        shape = None if wrong else shaped(DatasetShape, entry.node)
        if shape is None or entry.key not in self._stores:
            return None
        under = self._unders.get(entry.key)
        if under is not None and conflicts.is_root(under) and entry.key not in self._anywhere:
            under = None  # there is a complaint about it
        dataset = build.dataset_of(entry, shape, self._stores[entry.key], under=under)
        self._own[entry.key] = shape.model_copy(update={"keep": None, "tenants": {}})  # rules may be very many
        self._sound[entry.key] = rotating.with_logs_kept(dataset, shape, self._folder)
        return self._sound[entry.key]

    def _rules(self, entry: Entry) -> Sequence[Rule]:
        """The rules of a dataset; of one with a mistake in it, those without."""
        dataset = self._sound.get(entry.key)
        return ruling.sound_rules(entry.node) if dataset is None else dataset.rules

    def _floors(self) -> list[Floor]:
        """The floors in which nothing is wrong."""
        found = ((shaped(FloorShape, node), node.origin) for node in items(self._tree.get("floors")))
        return [build.floor_of(shape, origin) for shape, origin in found if shape is not None]

    def _holds(self) -> list[Hold]:
        """The holds in which nothing is wrong."""
        found = ((shaped(HoldShape, node), node.origin) for node in items(self._tree.get("holds")))
        return [build.hold_of(shape, origin) for shape, origin in found if shape is not None]

    def _formats(self) -> Mapping[str, str]:
        archives = children(self._tree.get("archives"))
        return {e.key: (e.node.text("format") or "") if isinstance(e.node, Mapped) else "" for e in archives}

    def policy(self, main: Path) -> Policy:
        """The policy, once nothing is wrong with it."""
        others = tuple(entry for entry in self._tree.entries if entry.key != "datasets")
        shape = PolicyShape.model_validate(plain(Mapped(others, self._tree.origin)))
        floors, holds = items(self._tree.get("floors")), items(self._tree.get("holds"))
        return Policy(
            file=str(main),
            folder=str(self._folder),
            datasets={
                name: replace(
                    self._sound[name],
                    pace=build.pace_of(shape.pace, own.pace),
                    guards=own_guards(shape.guards, own.guards),
                )
                for name, own in self._own.items()
            },
            archives={
                entry.key: build.archive_of(entry, shape.archives[entry.key], self._targets[entry.key])
                for entry in children(self._tree.get("archives"))
            },
            floors=tuple(build.floor_of(each, node.origin) for each, node in zip(shape.floors, floors, strict=True)),
            holds=tuple(build.hold_of(each, node.origin) for each, node in zip(shape.holds, holds, strict=True)),
            guards=guards_of(shape.guards),
            ledger=self._ledger.local if self._ledger else None,
            schedule=None if shape.schedule is None else scheduling.schedule_of(shape.schedule),
            notify=scheduling.notify_of(shape.notify),
        )
