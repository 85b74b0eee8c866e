"""The store contract for text logs, for a file that is named and for one that a glob finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonl_world import JsonlWorld

from lapse.ports import Budget
from lapse.testing.flow import days_ago, judged, rule, run
from lapse.testing.harness import Record, World
from lapse.testing.store_contract import StoreContract


class TestJsonl(StoreContract):
    """Everything that the engine relies on."""

    @pytest.fixture(params=["audit.jsonl", "audit*.jsonl*"])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> World:
        """One log file."""
        return JsonlWorld(tmp_path, request.param)

    def test_a_slice_stays_within_its_budget_of_rows(self, world: World) -> None:
        """A file is rewritten once for each destination: the budget does not cut it."""
        world.create([Record(key=n, at=days_ago(400)) for n in range(50)])
        selection = judged(world, rule("10 days"))

        with world.store() as store:
            removals = run(store, selection, Budget(rows=8))

        assert [removal.disposal.records for removal in removals] == [50]
