"""Stores with a promise added: the same interface, one behaviour more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar

from lapse.errors import StoreError, UnsupportedError
from lapse.model.disposal import Disposal, Facts
from lapse.model.match import Match
from lapse.model.plan import Identity, Tally
from lapse.model.posted import PostedHold
from lapse.model.selection import Selection
from lapse.ports import (
    Board,
    Budget,
    Burden,
    Burdened,
    Entangled,
    Found,
    Leased,
    Matched,
    Remarking,
    Searchable,
    Slice,
    Store,
    Take,
)


class ReadOnly:
    """A store that can be looked at and nothing else, whatever its adapter allows.

    The second lock on a dry run: the adapter itself was opened read-only, too.
    """

    scheme: ClassVar[str] = "read-only"

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

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """As the store within.

        Raises:
            UnsupportedError: If it cannot look records up by their values.
        """
        if not isinstance(self._store, Searchable):
            raise UnsupportedError(
                f"{self._store.scheme} stores cannot be searched by value", hint="Name the record by its key."
            )
        return self._store.search(selection, match, limit=limit)

    def key_fields(self) -> tuple[str, ...]:
        """As the store within; none if it cannot tell."""
        return self._store.key_fields() if isinstance(self._store, Searchable) else ()

    def lease_holder(self) -> str | None:
        """As the store within; None if it cannot tell."""
        return self._store.lease_holder() if isinstance(self._store, Leased) else None

    def keepers(self, selection: Selection, key: str) -> tuple[str, ...]:
        """As the store within; none if it knows of none."""
        return self._store.keepers(selection, key) if isinstance(self._store, Entangled) else ()

    def posted_holds(self) -> tuple[PostedHold, ...]:
        """As the store within; none if there is no place for them."""
        return self._store.posted_holds() if isinstance(self._store, Board) else ()

    def burden(self) -> Burden:
        """As the store within; nothing to wait for if it cannot tell."""
        return self._store.burden() if isinstance(self._store, Burdened) else Burden()

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
