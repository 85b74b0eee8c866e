"""Records that were restored and lapse again are in two segments, and the ledger says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapse.engine.archiving import Wanted, restore
from lapse.model.disposal import sealed_segments
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from worlds import World, make


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world of 120 records."""
    return make(tmp_path / "world", request.param, 120)


def _disposals(world: World) -> list[LedgerEntry]:
    return [entry for entry in world.session().ledger.entries() if entry.kind is EntryKind.DISPOSAL]


def test_a_second_disposal_links_the_segments_that_came_back(world: World) -> None:
    """Without a hold the restored records go again; their entries name the earlier segments."""
    world.run(rows=1000)
    first = _disposals(world)
    restore(world.session(), Wanted(), hold_days=None)

    world.run(rows=1000)

    second = _disposals(world)[len(first) :]
    linked: set[str] = set()
    for entry in second:
        earlier = entry.body["earlier"]
        assert isinstance(earlier, list)
        linked |= set(map(str, earlier))
    assert all(entry.body["earlier"] == [] for entry in first)
    assert linked == {segment.path for entry in first for segment in sealed_segments(entry)}
