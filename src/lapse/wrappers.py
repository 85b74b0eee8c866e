"""Stores with a promise added: the same interface, one behaviour more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from lapse.errors import StoreError
from lapse.model.disposal import Disposal, Facts
from lapse.model.plan import Identity, Tally
from lapse.model.selection import Selection
from lapse.ports import Budget, Found, Remarking, Slice, Store, Take


class ReadOnly:
    """A store that can be looked at and nothing else, whatever its adapter allows.

    The second lock on a dry run: the adapter itself was opened read-only, too.
    """

    scheme = "read-only"

    def __init__(self, store: Store) -> None:
        self._store = store

    def close(self) -> None:
        """Close the store within."""
        self._store.close()

    def identity(self) -> Identity:
        """As the store within."""
        return self._store.identity()

    def survey(self, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None = None) -> Iterator[Tally]:
        """As the store within."""
        return self._store.survey(selection, mark)

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """As the store within."""
        return self._store.find(selection, key)

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """As the store within; none if it makes none."""
        return self._store.remarks(selection) if isinstance(self._store, Remarking) else ()

    def slices(
        self,
        selection: Selection,
        facts: Facts,
        budget: Budget,
        mark: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Iterator[Slice]:
        """Refused: nobody cuts work who may not do it."""
        raise _refusal("slices")

    def take(self, piece: Slice) -> AbstractContextManager[Take]:
        """Refused."""
        raise _refusal("take")

    def lease(self) -> AbstractContextManager[None]:
        """Refused: a lease may leave a lock file."""
        raise _refusal("lease")

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Refused: a recovery may roll forward."""
        raise _refusal("recover")

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Refused."""
        raise _refusal("prune")


def _refusal(what: str) -> StoreError:
    return StoreError(f"a read-only store was asked to {what}", hint="This is a defect of Lapse: please report it.")
