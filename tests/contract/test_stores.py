"""Every store passes the same contract; a new store is one line in this table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harnesses import DuckdbNanosWorld, DuckdbTextWorld, DuckdbWorld, JsonlWorld, SqliteMillisWorld, SqliteWorld

from lapse.testing.harness import World
from lapse.testing.memory_world import MemoryWorld
from lapse.testing.store_contract import StoreContract

STORES = [
    pytest.param(lambda folder: MemoryWorld(folder.name), id="memory"),
    pytest.param(SqliteWorld, id="sqlite"),
    pytest.param(SqliteMillisWorld, id="sqlite-ms"),
    pytest.param(JsonlWorld, id="jsonl"),
    pytest.param(DuckdbWorld, id="duckdb"),
    pytest.param(DuckdbNanosWorld, id="duckdb-ns-keyless"),
    pytest.param(DuckdbTextWorld, id="duckdb-text"),
]


class TestStores(StoreContract):
    """The contract, for each line of the table."""

    @pytest.fixture(params=STORES)
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> World:
        """The store of this line, in a folder of its own."""
        make: Callable[[Path], World] = request.param
        return make(tmp_path)
