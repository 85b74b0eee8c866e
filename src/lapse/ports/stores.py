"""What every store promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from lapse.model.disposal import Disposal, Facts
from lapse.model.found import Found
from lapse.model.plan import Identity, Tally
from lapse.model.policy import Dataset
from lapse.model.selection import Selection
from lapse.ports.work import Budget, Slice, Take


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
        """Remove the markers of disposals that are in the ledger and checkpointed; between slices, too."""
        ...

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The records that *key* names, decided by *selection*. Writes nothing."""
        ...
