"""A DuckDB file to test with, and the dataset that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.policy import Dataset
from lapse.model.selection import Selection, select
from lapse.stores.duckdb import DuckdbStore
from lapse.testing.flow import facts_of, rule
from lapse.testing.harness import NOW


class DuckdbFile:
    """A file, opened from outside for each statement."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.duckdb"

    def run(self, *statements: str) -> None:
        """Run statements as an application would."""
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[Any]:
        """All rows of a query."""
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows: list[Any] = connection.execute(query).fetchall()
            return rows

    def dataset(self, **overrides: Any) -> Dataset:
        """The table ``log`` with the time column ``at``; everything older than a day lapses."""
        attributes: dict[str, Any] = {
            "name": "log",
            "store": f"duckdb:///{self.path}",
            "shown": f"duckdb:///{self.path}",
            "table": "log",
            "time": "at",
            "rules": (rule("1 day"),),
        }
        return Dataset(**{**attributes, **overrides})

    def store(self, *, read_only: bool = False, **overrides: Any) -> DuckdbStore:
        """The store of that dataset; the caller closes it."""
        return DuckdbStore(self.dataset(**overrides), read_only=read_only)


def selection_of(dataset: Dataset, now: Nanos = NOW) -> Selection:
    """The dataset's rules at *now*, no floors and no holds."""
    return select(dataset, floors=(), holds=(), now=now, real_now=now)


def instants(file: DuckdbFile, **overrides: Any) -> dict[int, Nanos | None]:
    """The record time that the store reads, by ``id``."""
    dataset = file.dataset(key="id", doubt_before=None, **overrides)
    [(rows,)] = file.rows('SELECT count(*) FROM "log"')
    store = DuckdbStore(dataset, read_only=True)
    try:
        found = store.search(selection_of(dataset), Match(), limit=rows).first
    finally:
        store.close()
    assert len(found) == rows
    return {int(each.key): each.instant for each in found}


__all__ = ["DuckdbFile", "facts_of", "instants", "selection_of"]
