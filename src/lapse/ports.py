"""The doors of the engine: what a store, an archive target and a hook promise.

`lapse.testing` holds the other half of these definitions: an adapter is done when its contract passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, TypeAlias, runtime_checkable

from lapse.canonical import Json
from lapse.model.disposal import Disposal, Facts, Proof
from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.model.found import Found as Found
from lapse.model.found import RestoreCount as RestoreCount
from lapse.model.found import Sketch as Sketch
from lapse.model.manifest import Column
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.model.selection import Destination, Selection

if TYPE_CHECKING:
    import pyarrow as pa

RowBatch: TypeAlias = "pa.RecordBatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How big a slice may be.

    Attributes:
        rows: Records at most.
        size: Bytes of content at most, about; one record may be larger.
        seconds: How long its transaction should last at most. A store that can measures its slices and cuts
            the next ones to fit; others go by rows and size.
        whole: Whether what can only go whole, such as a partition, may be larger than all that.
    """

    rows: int = 50_000
    size: int = 16 * 1024 * 1024
    seconds: float = 1.0
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A bounded, independent piece of work on one dataset, with one destination. Picklable.

    Attributes:
        name: Unique within its run and ascending, such as ``000017``.
        selection: What decides about its records; carries the dataset.
        destination: Where its lapsed records go.
        bounds: The store's own description of the piece: keys, a path, an inode.
        facts: What its marker and ledger entry say besides the counts.
    """

    name: str
    selection: Selection
    destination: Destination
    bounds: tuple[str | int | None, ...]
    facts: Facts

    @property
    def dataset(self) -> Dataset:
        """The dataset it is a piece of."""
        return self.selection.dataset


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines of a text log, byte for byte.

    Attributes:
        data: The lines one after the other, each with its line end.
        records: How many.
    """

    data: bytes
    records: int


Batch: TypeAlias = "RowBatch | LineBlock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The records of one table or file in a take.

    Attributes:
        table: Table, or path of the log file relative to the dataset's folder.
        columns: Columns of the batches, in order, the odd column left out. Empty for lines.
        odd_column: Name of the binary column for cells that do not fit their column. None for lines.
        batches: The records, in store order; can be read once.
    """

    table: str
    columns: tuple[Column, ...]
    odd_column: str | None
    batches: Iterator[Batch] = field(compare=False)


class Take(Protocol):
    """Records on their way out of a store, in a transaction that nobody has committed yet.

    Leaving the ``with`` block without a commit puts every record back. What a commit removes is exactly
    what `parts` yielded.
    """

    def parts(self) -> Iterator[Part]:
        """Yield what is removed, once; nothing at all if the slice has nothing to remove."""
        ...

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of what `parts` yielded, by code and tenant. Valid once the parts are read through.

        Under a waiver the parts need not be read: then the store counts by itself.
        """
        ...

    def commit(self, proof: Proof) -> Disposal:
        """Make the removal permanent and leave a marker beside it, in the same transaction.

        Raises:
            ProofError: If *proof* is not for exactly these records.
            ChangedError: If a record changed since it was yielded. Nothing was removed.
            CommitUnknownError: If the store did not answer. The next run finds out.
        """
        ...


class Store(Protocol):
    """A place that holds the records of one dataset and can be told to let some of them go.

    Opened with ``scheme_class(dataset, read_only=…)``. Every method raises StoreError and its kin, and
    nothing of the driver's own. A read-only store cannot write, enforced by the server or the system.
    """

    scheme: ClassVar[str]

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None: ...

    def close(self) -> None:
        """Give back connections and files."""
        ...

    def identity(self) -> Identity:
        """What this store is, what it cannot do, and its high-water mark. Writes nothing.

        Raises:
            StoreMissingError: If the file, table or a column is not there.
        """
        ...

    def survey(self, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None = None) -> Iterator[Tally]:
        """Count every record by outcome and tenant, in one pass. Writes nothing.

        Arguments:
            selection: What decides.
            mark: Values of a high-water mark: records above it are not counted. None counts all.
        """
        ...

    def slices(
        self,
        selection: Selection,
        facts: Facts,
        budget: Budget,
        mark: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Iterator[Slice]:
        """Cut the work into slices, one destination each, that visit each record once. Lazy."""
        ...

    def take(self, piece: Slice) -> AbstractContextManager[Take]:
        """Begin to remove a slice."""
        ...

    def lease(self) -> AbstractContextManager[None]:
        """Keep every other run away from this store, until the block is left.

        Raises:
            LeaseError: If another run has it.
        """
        ...

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Finish what an interrupted commit had begun, and yield every marker in the store.

        Arguments:
            intact: Whether all segments of a disposal can be read back. A commit that is only rolled
                forward is not, where this answers no.
        """
        ...

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove the markers of disposals that are in the ledger and checkpointed."""
        ...

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The records that *key* names, decided by *selection*. Writes nothing."""
        ...


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
class Remarking(Protocol):
    """A store whose lapsed records mean something to others."""

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """What removing the lapsed records does beyond them, with counts, for the plan. Reads only."""
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
class Restorable(Protocol):
    """A store that can take records back."""

    def restore(self, part: Part) -> RestoreCount:
        """Write the records that are not there yet, all of them or none.

        Running it again writes nothing. The table is created where it is missing.

        Raises:
            StoreError: If a record of the same key but other content is there; it is never overwritten.
        """
        ...


class ArchiveTarget(Protocol):
    """A place for segments. Objects are written once and never changed."""

    scheme: ClassVar[str]

    def __init__(self, address: str) -> None: ...

    def staging(self, name: str) -> Path:
        """The local path where a segment is written before it is published; *name* is unique.

        The same name gives the same path in every process, so that a journal entry is enough to clear it.
        """
        ...

    def discard(self, name: str) -> None:
        """Remove what is staged under *name*; no error if there is nothing."""
        ...

    def publish(self, staged: Path, path: str) -> None:
        """Make a staged file the object *path*, durably, unless an object is there.

        An object with equal bytes is this call's own retry and counts as done.

        Raises:
            TargetError: If another object is there, or the target cannot be written.
        """
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write a small object durably; the promises of `publish` hold."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading, seekable.

        Raises:
            TargetError: If it is not there or cannot be read.
        """
        ...

    def exists(self, path: str) -> bool:
        """Whether there is an object *path*."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Paths of objects below *prefix*, sorted. For reading only: nothing is deleted from a listing."""
        ...

    def remove(self, path: str) -> None:
        """Remove an object that the journal proves to be an orphan; no error if it is gone."""
        ...

    def location(self) -> Path | None:
        """The local folder it writes into. None where it is not local."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for hooks: a name with keys, never a record's body.

    Attributes:
        name: Such as ``disposal.committed``.
        facts: Its keys.
    """

    name: str
    facts: Mapping[str, Json]


class Hook(Protocol):
    """Something that watches a run: a log, a progress bar, metrics."""

    def on(self, event: Event) -> None:
        """Take note of *event*. An error here stops the dataset."""
        ...
