"""What goes through the doors of a store: how big a slice may be, the slice, its parts, and the take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from lapse import clock
from lapse.canonical import Digest
from lapse.model.disposal import Disposal, Facts, Method, Proof
from lapse.model.manifest import Column
from lapse.model.plan import Tally
from lapse.model.policy import Dataset
from lapse.model.selection import Destination, Selection

if TYPE_CHECKING:
    import pyarrow as pa

RowBatch: TypeAlias = "pa.RecordBatch"


class Breaks(Protocol):
    """When a slice lets others through before it is done; for stores that can take one in steps."""

    def burst(self) -> float | None:
        """Seconds that a step should last at most now. None: nobody is to be let through, so work on."""
        ...

    def rest(self, seconds: float) -> None:
        """Rest after a step that took so many *seconds*, as the pace says now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How big a slice may be.

    Attributes:
        rows: Records at most.
        size: Bytes of content at most, about; one record may be larger.
        seconds: How long its transaction should last at most. A store that can measures its slices and cuts
            the next ones to fit; others go by rows and size.
        whole: Whether what can only go whole, such as a partition, may go so, and be larger than all that.
        breaks: When to let others through inside of a slice. None never does.
        rewrite: Whether files are written anew even where lines could be removed in place.
        canary: Whether it is for the first slice under a new rule: nothing larger than *rows* goes whole, a file gives
            up no more than that either, though it costs as much as all of it, and the oldest records come first where
            the store finds them by their time.
    """

    rows: int = 50_000
    size: int = 16 * 1024 * 1024
    seconds: float = 1.0
    whole: bool = True
    breaks: Breaks | None = field(default=None, compare=False, repr=False)
    rewrite: bool = False
    canary: bool = False


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

    def disposal(self, method: Method, *, tallies: Sequence[Tally], proof: Proof) -> Disposal:
        """What its marker and ledger entry say, as of now: its records, which count to *tallies*, go by *method*."""
        return self.facts.disposal(
            slice_name=self.name,
            dataset=self.dataset.name,
            method=method,
            at=clock.real_now(),
            rule_of=self.selection.outcomes.rule_of,
            tallies=tallies,
            proof=proof,
        )


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


class Content(Protocol):
    """What records are, whatever batches they come in."""

    @property
    def records(self) -> int:
        """How many."""
        ...

    @property
    def raw_size(self) -> int:
        """Bytes of their content."""
        ...

    def digest(self) -> Digest:
        """Their content digest (docs/format.md)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The records of one table or file in a take.

    Attributes:
        table: Table, or path of the log file relative to the dataset's folder.
        columns: Columns of the batches, in order, the odd column left out. Empty for lines.
        odd_column: Name of the binary column for cells that do not fit their column. None for lines.
        batches: The records, in store order; can be read once.
        content: The store's own digest of what `batches` yields, complete once they are read through: what is read
            back from an archive is compared with it. None: it is made of what arrives.
    """

    table: str
    columns: tuple[Column, ...]
    odd_column: str | None
    batches: Iterator[Batch] = field(compare=False)
    content: Content | None = field(default=None, compare=False)


class Take(Protocol):
    """Records on their way out of a store, in a transaction that nobody has committed yet.

    Leaving the ``with`` block without a commit puts every record back. What a commit removes is exactly
    what `parts` yielded.
    """

    def parts(self) -> Iterator[Part]:
        """Yield what is removed, once; nothing at all if the slice has nothing to remove."""
        ...

    def tallies(self) -> Sequence[Tally]:
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
