"""What a store may be able to do besides; each is asked for by ``isinstance``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lapse.canonical import Json
from lapse.instant import Nanos
from lapse.model.disposal import Proof
from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.model.files import PendingFile
from lapse.model.found import Matched, RestoreCount, Sketch
from lapse.model.growth import Footprint
from lapse.model.match import Match
from lapse.model.posted import PostedHold
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.model.rotation import Turn
from lapse.model.selection import Selection
from lapse.ports.work import Part, Slice


@runtime_checkable
class Inspectable(Protocol):
    """A store that can look around at an address, for ``lapse init``. Reads only."""

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe what is there, the likeliest log first."""
        ...


@runtime_checkable
class Witness(Protocol):
    """A store of which a part can be away: then a marker that is not found does not prove that nothing was removed."""

    def place_of(self, piece: Slice) -> str:
        """What the place that a slice was cut from can be recognised by; no record's content."""
        ...

    def is_untouched(self, place: str) -> bool:
        """Whether that place is there, and nothing was removed from it by a commit."""
        ...


@runtime_checkable
class Pledged(Protocol):
    """A take whose commit can leave no marker; its store is then asked by what the journal has."""

    def pledge(self, proof: Proof) -> Mapping[str, Json] | None:
        """What to ask the store with, ``disposal`` among it. None if the commit leaves a marker."""
        ...


@runtime_checkable
class Pledging(Protocol):
    """A store that knows what became of a transaction that left no marker."""

    def outcome(self, pledge: Mapping[str, Json]) -> bool | None:
        """Whether it was committed. None if that is no longer known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """How others fare while a run works.

    Attributes:
        wait: Why the run should wait now, for people, such as ``replica b is 34 s behind``. None if it need not.
        busy: Whether other sessions are at work, which makes a run rest where its pace says ``rest: auto``.
    """

    wait: str | None = None
    busy: bool = False


@runtime_checkable
class Burdened(Protocol):
    """A store that others use, and that can tell how they fare."""

    def burden(self) -> Burden:
        """Look now, by the dataset's `Pace`; asked between slices, never while a take is open.

        Raises:
            StoreError: If it cannot tell, as where the query of ``pause while`` fails. Stops the dataset.
            BusyError: If it could not tell just now. The run waits and asks again.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A store that needs not look at everything again, where it may keep notes of what it saw."""

    def remember(self, folder: Path, name: str, *, rescan: bool) -> None:
        """Use the notes that lie in Lapse's state folder, and keep them; a store that is read-only writes none.

        Arguments:
            folder: The state folder.
            name: What the state folder calls the dataset.
            rescan: Whether to look at everything nevertheless.
        """
        ...


@runtime_checkable
class Remarking(Protocol):
    """A store that has more to say of what it has just surveyed than the counts do."""

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """What removing the lapsed records does beyond them, and where doubtful ones lie, for the plan. Reads only."""
        ...


@runtime_checkable
class Searchable(Protocol):
    """A store that can look records up by their values. Reads only."""

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The records that *match* matches, counted by what *selection* decides, and the first *limit* of them.

        Raises:
            StoreMissingError: If the table lacks a column that *match* names.
        """
        ...

    def key_fields(self) -> tuple[str, ...]:
        """Columns or keys whose texts, with commas between, name a record. Empty where its place does."""
        ...


@runtime_checkable
class Leased(Protocol):
    """A store that can say who works on it, without getting in anybody's way."""

    def lease_holder(self) -> str | None:
        """Who holds the lease now, for people. None if nobody does. Takes no lock and writes nothing."""
        ...


@runtime_checkable
class Entangled(Protocol):
    """A store in which rows of other tables can keep a record that has lapsed. Reads only."""

    def keepers(self, selection: Selection, key: str) -> tuple[str, ...]:
        """What keeps the records that *key* names, beside what *selection* decides about them, each in a phrase."""
        ...


@runtime_checkable
class Filed(Protocol):
    """A store whose rows name files: what removes rows notes their files, in the same transaction."""

    def pending_files(self) -> Iterator[Sequence[PendingFile]]:
        """Files below the dataset's folder whose rows are gone, in batches; none that a row still names.

        That is seen right before a batch is yielded. What still is named is forgotten: it is noted again when the
        last row that names it goes. Nothing at all where the dataset has no files.
        """
        ...

    def forget_files(self, files: Iterable[PendingFile]) -> None:
        """Take off the list what is no longer there."""
        ...


@runtime_checkable
class Posted(Protocol):
    """A store beside whose records holds can lie, open for whatever purpose."""

    def posted_holds(self) -> tuple[PostedHold, ...]:
        """The holds on the dataset's table; none where there is no place for them. Writes nothing.

        Raises:
            HoldsError: If they cannot be read.
        """
        ...


@runtime_checkable
class Board(Posted, Protocol):
    """Such a store, open for writing: what is put there, the runs of every host find.

    Its takes read the holds again in the transaction that removes, under a lock: once `post_hold` has returned, no
    commit of any host removes what the hold keeps.
    """

    def post_hold(self, hold: PostedHold) -> None:
        """Put a hold there, durably; no error if it is there.

        Raises:
            UnsupportedError: If this user may not.
            BusyError: If a commit under way did not end in time.
        """
        ...

    def withdraw_hold(self, matter: str) -> None:
        """Remove the holds of a matter on the dataset's table; no error if there is none."""
        ...


@runtime_checkable
class Naming(Protocol):
    """A store that can say why records of the dataset have no key that stays with them."""

    def unnamed(self) -> str | None:
        """Why not, without a full stop. None if each has one."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A store that can cut a slice in two, for one that was too long or too contended."""

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """The slice in parts that visit each of its records once, in order. Empty or one: it cannot be cut further."""
        ...


@runtime_checkable
class Describable(Protocol):
    """A database that can say what it has, for drop-ins whose configuration names no columns. Reads only."""

    @classmethod
    def describe(cls, address: str, *, tables: Sequence[str], small: Sequence[SmallTable] = ()) -> DatabaseFacts:
        """The columns of *tables*, and the rows of the *small* ones; what is not there is left out."""
        ...


class DriverSession(Protocol):
    """A transaction of its own, for statements that somebody else's plug-in writes."""

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one statement; what comes back is the driver's own cursor."""
        ...


@runtime_checkable
class Transacting(Protocol):
    """A database that lends out a transaction. Nothing in it is counted, archived or proven."""

    @classmethod
    def transaction(cls, address: str) -> AbstractContextManager[DriverSession]:
        """A transaction, committed where the block ends well, and else rolled back.

        Raises:
            CommitUnknownError: If the store did not answer the commit.
        """
        ...


@runtime_checkable
class Reclaimable(Protocol):
    """A store that can say what its files take up, and give back what nothing uses. Nothing here removes a record."""

    def allocated(self) -> int:
        """Bytes that its files have on disk now: table, indexes, and the tables that go with it."""
        ...

    def space(self) -> Space:
        """What of that is dead or free. Writes nothing."""
        ...

    def tidy(self) -> tuple[str, ...]:
        """Clean up after removals, as far as nobody has to wait for it; never a rewrite. Returns remarks."""
        ...

    def prediction(self) -> Prediction:
        """What `rewrite` would give back, and what it needs. Writes nothing."""
        ...

    def rewrite(self, tell: Callable[[Progress], None]) -> None:
        """Write the files anew without what nothing uses; the lease is held. Every record is there afterwards.

        Raises:
            BusyError: If a lock was not to be had. Nothing was changed by the last step.
        """
        ...


@runtime_checkable
class Rotatable(Protocol):
    """A store of files to which others append. Nothing here removes a record."""

    def due(self, now: Nanos, *, force: bool) -> Iterator[Turn]:
        """What `rotate` would set aside. Writes nothing."""
        ...

    def rotate(self, now: Nanos, *, force: bool) -> Iterator[Turn]:
        """Set aside, under other names, the files that the dataset's rotation says; the lease is held.

        What an earlier rotation left to do is done first, whatever the dataset says now.

        Arguments:
            now: Decides what is due.
            force: Whether every file that is not empty is set aside.

        Raises:
            StoreError: At the end, of the first file that could not be. No record is lost.
        """
        ...

    def footprint(self) -> Footprint:
        """How large the files are, and how fast they grow as far as a look at the newest one tells. Reads only."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """A store that can take records back."""

    def restore(self, part: Part) -> RestoreCount:
        """Write the records that are not there yet, all of them or none.

        Running it again writes nothing. The table is created where it is missing.

        Raises:
            StoreError: If a record of the same key but other content is there; it is never overwritten.
        """
        ...
