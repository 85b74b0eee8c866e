"""The world of the in-memory double."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

from lapse.errors import LapseError
from lapse.instant import rfc3339
from lapse.testing.harness import Record, World
from lapse.testing.memory import WORLDS, Memory, MemoryStore
from lapse.testing.memory_rows import Values


class MemoryWorld(World):
    """Records in this process."""

    store_class = MemoryStore

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def address(self) -> str:
        """Its address."""
        return f"memory://{self._name}"

    def create(self, records: Sequence[Record]) -> None:
        """Begin again."""
        WORLDS[self._name] = Memory({record.key: _values(record) for record in records})

    def add(self, *records: Record) -> bool:
        """Add records."""
        WORLDS[self._name].records.update({record.key: _values(record) for record in records})
        return True

    def change(self, record: Record) -> bool:
        """Replace a record."""
        return self.add(record)

    def snapshot(self) -> Mapping[int, object]:
        """A deep copy."""
        return deepcopy(WORLDS[self._name].records)

    def image(self) -> object:
        """A deep copy of everything."""
        return deepcopy(WORLDS[self._name])

    def lease_elsewhere(self) -> str:
        """Another store on the same memory: other processes cannot see it at all."""
        try:
            with MemoryStore(self.dataset(), read_only=False).lease():
                return "leased"
        except LapseError as error:
            return type(error).__name__


def _values(record: Record) -> Values:
    at = record.at if record.at is None or isinstance(record.at, str) else rfc3339(record.at)
    return {
        "id": record.key,
        "at": at,
        "kind": record.kind,
        "tenant": record.tenant,
        "level": record.level,
        "body": record.body,
    }
