"""What the contract asks of the one who brings a store: a world of records to fill, disturb and compare.

A world's records have six fields of the same names everywhere: ``id`` (integer), ``at`` (the record time),
``kind``, ``tenant``, ``level`` (integer) and ``body``.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from lapse.instant import Nanos, parse_rfc3339
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import RECORD_KEY
from lapse.ports import Store

NOW = parse_rfc3339("2026-11-22T10:00:00Z")
"""The ``now`` of every contract test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record to put into a store under test.

    Attributes:
        key: Its name, ascending with arrival.
        at: Its time; a text that is no time; None where it has none.
        kind: Its type. None if it has none.
        tenant: Its tenant. None if it has none.
        level: A number. None if it has none.
        body: Its content.
    """

    key: int
    at: Nanos | str | None
    kind: str | None = "call"
    tenant: str | None = "acme"
    level: int | None = None
    body: str = ""

    @property
    def instant(self) -> Nanos | None:
        """Its time, None if it has none that can be read."""
        return None if isinstance(self.at, str) else self.at

    def read(self, name: str) -> object:
        """Its value of a field, as `Selection.decide` asks for it."""
        return self.key if name in ("id", RECORD_KEY) else getattr(self, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How stores differ where the port lets them.

    Attributes:
        step: Nanoseconds between two neighbouring times that the time column can tell apart.
        garbage: Whether the time column can hold texts that are no time.
        marked: Whether there is a high-water mark.
        keyed: Whether two records cannot have the same key.
        divisible: Whether slices follow the budget of rows; else each is a whole file.
    """

    step: int = 1
    garbage: bool = True
    marked: bool = True
    keyed: bool = True
    divisible: bool = True


class World(ABC):
    """One store under test, with the means to work on it from outside."""

    store_class: ClassVar[type[Store]]
    traits: ClassVar[Traits] = Traits()
    table: ClassVar[str | None] = "log"
    time_format: ClassVar[TimeFormat] = TimeFormat.AUTO

    @property
    @abstractmethod
    def address(self) -> str:
        """The store's address."""

    @abstractmethod
    def create(self, records: Sequence[Record]) -> None:
        """Begin again with exactly *records*, in a store that nobody has open, without markers."""

    @abstractmethod
    def add(self, *records: Record) -> bool:
        """Add records as another writer and commit. False if the store let no other writer in."""

    @abstractmethod
    def change(self, record: Record) -> bool:
        """Give the record of this key other content, as another writer. False if the store prevented it."""

    @abstractmethod
    def snapshot(self) -> Mapping[int, object]:
        """Every record's full content by key, comparable. Nobody has the store open."""

    @abstractmethod
    def image(self) -> object:
        """The store to the byte, comparable; files that readers make themselves left out."""

    def dataset(self, **overrides: Any) -> Dataset:
        """The dataset of this world, with *overrides* of its attributes."""
        attributes: dict[str, Any] = {
            "name": "log",
            "store": self.address,
            "shown": self.address,
            "table": self.table,
            "time": "at",
            "time_format": self.time_format,
            "type": "kind",
            "tenant": "tenant",
            "key": "id",
        }
        return Dataset(**{**attributes, **overrides})

    @contextmanager
    def store(self, dataset: Dataset | None = None, *, read_only: bool = False) -> Iterator[Store]:
        """The store, open until the block is left."""
        opened = self.store_class(dataset or self.dataset(), read_only=read_only)
        try:
            yield opened
        finally:
            opened.close()

    def lease_elsewhere(self) -> str:
        """What a process of its own gets that asks for the lease: ``leased``, or its error's class name."""
        question = pickle.dumps((self.store_class, self.dataset()))
        answer = subprocess.run(
            [sys.executable, "-m", "lapse.testing.elsewhere"], input=question, capture_output=True, check=True
        )
        return answer.stdout.decode().strip()
