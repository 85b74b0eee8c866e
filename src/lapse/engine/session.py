"""A session: one policy, one ``now``, the state folder and the archives, opened once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lapse import clock, policyfile
from lapse.errors import UsageError
from lapse.instant import Nanos, to_datetime
from lapse.model.policy import Dataset, Hold, Policy
from lapse.model.posted import PostedHold, together
from lapse.model.selection import HeldScope, Selection, held_scopes, select
from lapse.ports import ArchiveTarget, Event, Hook, Remembering, Store
from lapse.registry import database_schemes, open_store, open_target, target_schemes
from lapse.state.folders import StateFolders, state_root
from lapse.state.keys import load_signer
from lapse.state.ledger import Ledger
from lapse.wrappers import ReadOnly


@dataclass(frozen=True)
class Session:
    """What every command works with.

    Attributes:
        policy: The policy.
        now: The instant that decides.
        real_now: The real time at the start.
        folders: Where Lapse's state is.
        hooks: Who watches.
        planned_at: Real time of the sealed plan that is followed: what was doubtful then is doubtful now. None
            without one.
        rescan: Whether stores look at everything, whatever they remember of earlier runs.
    """

    policy: Policy
    now: Nanos
    real_now: Nanos
    folders: StateFolders
    hooks: tuple[Hook, ...] = ()
    planned_at: Nanos | None = None
    rescan: bool = False

    @property
    def scope(self) -> str:
        """The policy file, absolute: one state folder can serve several policies, and this tells them apart."""
        return str(Path(self.policy.folder) / Path(self.policy.file).name)

    def state_name(self, dataset: str) -> str:
        """The name under which the state folder knows a dataset of this policy."""
        return f"{self.scope}#{dataset}"

    @property
    def holds_folder(self) -> Path:
        """The folder of hold files, beside the policy."""
        return Path(self.policy.folder) / "holds"

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, for reading."""
        return Ledger(self.folders.ledger)

    @cached_property
    def writable_ledger(self) -> Ledger:
        """The ledger, for writing: the signing key is made on first use, the ledger with its first entry."""
        return Ledger(self.folders.ledger, load_signer(self.folders.keys))

    @cached_property
    def targets(self) -> Mapping[str, ArchiveTarget]:
        """Every archive of the policy, by name."""
        return {name: open_target(archive) for name, archive in self.policy.archives.items()}

    def holds(self) -> tuple[Hold, ...]:
        """The holds of the policy and of the holds folder, read now.

        Raises:
            HoldsError: If one cannot be read.
        """
        if not os.path.lexists(self.holds_folder):
            return self.policy.holds
        return (*self.policy.holds, *policyfile.load_holds(self.holds_folder, datasets=self.policy.datasets))

    def datasets(self, names: Sequence[str]) -> tuple[Dataset, ...]:
        """The datasets of those names in policy order; all without a name.

        Raises:
            UsageError: If a name is unknown.
        """
        for name in names:
            if name not in self.policy.datasets:
                known = ", ".join(self.policy.datasets) or "none"
                raise UsageError(f"{self.policy.file} has no dataset {name!r}", hint=f"It has: {known}.")
        return tuple(self._apart(each) for name, each in self.policy.datasets.items() if not names or name in names)

    def _apart(self, dataset: Dataset) -> Dataset:
        """*dataset*, which knows what tables of its store are the business of others."""
        others = (each.table for each in self.policy.datasets.values() if each.store == dataset.store)
        return replace(dataset, apart=tuple(table for table in others if table not in (None, dataset.table)))

    def selection(self, dataset: Dataset, holds: Sequence[Hold], posted: Sequence[PostedHold] = ()) -> Selection:
        """What decides about *dataset* in this session, under those of *holds* that are active by now.

        Arguments:
            dataset: The dataset.
            holds: The holds of this host.
            posted: Those that were found in the dataset's store.
        """
        selection = select(
            dataset,
            floors=self.policy.floors,
            holds=together(dataset, holds, posted),
            now=self.now,
            real_now=self._looked_at,
            held_at=(self.real_now, clock.real_now()),
        )
        return replace(selection, posted=tuple(posted))

    def held(self, dataset: Dataset, holds: Sequence[Hold], posted: Sequence[PostedHold] = ()) -> tuple[HeldScope, ...]:
        """The holds of such a selection, active by now."""
        instants = (self.now, self._looked_at, self.real_now, clock.real_now())
        return held_scopes(dataset, together(dataset, holds, posted), instants)

    @property
    def _looked_at(self) -> Nanos:
        return self.real_now if self.planned_at is None else self.planned_at

    def opened(self, dataset: Dataset, *, read_only: bool) -> Store:
        """The store of *dataset*, which may use what it remembers of earlier runs.

        Raises:
            PolicyError: If no adapter understands its address.
            StoreError: If it cannot be opened.
        """
        store = open_store(dataset, read_only=read_only)
        if isinstance(store, Remembering):
            store.remember(self.folders.root, self.state_name(dataset.name), rescan=self.rescan)
        return store

    @contextmanager
    def reading(self, dataset: Dataset) -> Iterator[ReadOnly]:
        """The store of *dataset*, opened so that nothing can be written."""
        store = ReadOnly(self.opened(dataset, read_only=True))
        try:
            yield store
        finally:
            store.close()

    def tell(self, name: str, **facts: str | int | float | None) -> None:
        """Tell every hook what happened."""
        event = Event(name, facts)
        for hook in self.hooks:
            hook.on(event)


def open_session(policy_file: str, *, hooks: Sequence[Hook] = (), rescan: bool = False) -> Session:
    """Read the policy and the clock. Writes nothing.

    Raises:
        PolicyError: With every complaint about the policy.
        UsageError: If ``LAPSE_NOW`` makes no sense.
    """
    _require_text(str(Path(policy_file).absolute()))
    policy = policyfile.load(policy_file, schemes=database_schemes(), target_schemes=target_schemes())
    return session_for(policy, hooks=hooks, rescan=rescan)


def session_for(
    policy: Policy, *, now: Nanos | None = None, hooks: Sequence[Hook] = (), rescan: bool = False
) -> Session:
    """A session for *policy*, in the state folder. Writes nothing.

    Arguments:
        policy: The policy, whether a file says it or another system's configuration.
        now: The instant that decides. None reads the clock.
        hooks: Who watches.
        rescan: Whether stores forget what they remember.

    Raises:
        UsageError: If ``LAPSE_NOW`` makes no sense.
    """
    ledger = None if policy.ledger is None else Path(policy.ledger)
    return Session(
        policy=policy,
        now=clock.run_now() if now is None else now,
        real_now=clock.real_now(),
        folders=StateFolders(state_root(), ledger_folder=ledger),
        hooks=tuple(hooks),
        rescan=rescan,
    )


def _require_text(path: str) -> None:
    """Refuse a path that the ledger could not hold, in which every hold names its policy file."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{path!r} is not UTF-8 text", hint="Rename the folder.") from error


def run_id(real_now: Nanos) -> str:
    """A new run id, ascending with time and unique."""
    return f"{to_datetime(real_now):%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
