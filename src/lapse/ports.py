"""The doors of the engine: what a store, an archive target and a hook promise.

`lapse.testing` holds the other half of these definitions: an adapter is done when its contract passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Protocol, TypeAlias, runtime_checkable

from lapse.canonical import Json
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Facts, Proof
from lapse.model.manifest import Column
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset, TimeFormat
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
    """

    rows: int = 50_000
    size: int = 16 * 1024 * 1024


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One record that was looked up, without its body.

    Attributes:
        key: As the store names it.
        code: What becomes of it: an outcome's number.
        instant: Its time. None if it cannot be read.
        values: The fields that the policy uses, as text; None where it has none.
    """

    key: str
    code: int
    instant: Nanos | None
    values: Mapping[str, str | None]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What a look at a store found: a table, or a set of log files, that could be a dataset.

    Attributes:
        store: Address to put into a policy.
        table: Table name. None for text logs.
        records: Number of records; an estimate for text logs.
        size: Bytes.
        time: The likeliest record time. None if there is none: then it is no log.
        time_format: How it is written.
        type: The likeliest type column. None if there is none.
        tenant: The likeliest tenant column. None if there is none.
        actor: The likeliest column of who did it. None if there is none.
        key: Column that names a record. None takes the store's own.
        oldest: Earliest record time seen. None if there is none.
        newest: Latest record time seen. None if there is none.
        types: The commonest types with their share, 0 to 1.
        notes: Remarks: naive times, other time columns, doubtful values.
        fingerprint: For ``expect:``.
    """

    store: str
    table: str | None
    records: int
    size: int
    time: str | None
    time_format: TimeFormat = TimeFormat.AUTO
    type: str | None = None
    tenant: str | None = None
    actor: str | None = None
    key: str | None = None
    oldest: Nanos | None = None
    newest: Nanos | None = None
    types: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None


@runtime_checkable
class Inspectable(Protocol):
    """A store that can look around at an address, for ``lapse init``. Reads only."""

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe what is there, the likeliest log first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCount:
    """What a restore did.

    Attributes:
        restored: Records written.
        present: Records that were there already, equal; not written again.
    """

    restored: int
    present: int


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
