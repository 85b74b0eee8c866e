"""The PostgreSQL store with somebody else at work between the seal and the commit of a slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from lapse.canonical import Json
from lapse.model.disposal import Disposal, Proof
from lapse.model.plan import Tally
from lapse.ports import Part, Slice
from lapse.stores.postgresql import PostgresStore


class DisturbedStore(PostgresStore):
    """Calls what is in `before_commit`, once each, in order, with the slice whose commit was asked for."""

    before_commit: ClassVar[list[Callable[[Slice], object]]] = []

    @contextmanager
    def take(self, piece: Slice) -> Iterator[Any]:
        """As the store, disturbed."""
        with super().take(piece) as taken:
            yield _Disturbed(taken, piece)


class _Disturbed:
    def __init__(self, taken: Any, piece: Slice) -> None:
        self._taken = taken
        self._piece = piece

    def parts(self) -> Iterator[Part]:
        """As the take."""
        found: Iterator[Part] = self._taken.parts()
        return found

    def tallies(self) -> tuple[Tally, ...]:
        """As the take."""
        found: tuple[Tally, ...] = self._taken.tallies()
        return found

    def pledge(self, proof: Proof) -> Mapping[str, Json] | None:
        """As the take."""
        found: Mapping[str, Json] | None = self._taken.pledge(proof)
        return found

    def commit(self, proof: Proof) -> Disposal:
        """As the take, after what is to happen."""
        if DisturbedStore.before_commit:
            DisturbedStore.before_commit.pop(0)(self._piece)
        disposal: Disposal = self._taken.commit(proof)
        return disposal


STORE = DisturbedStore
