"""Several datasets in one run: each is accounted for by itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lapse.engine.running import Wishes, run
from lapse.engine.status import status
from lapse.ports import Budget
from worlds import World, make

_SECOND = """\
  audit:
    store: sqlite:///data/log.db
    table: audit
    time: at
    keep: 90 days
    archive: none
  lines:
    store: lines/*.jsonl
    time: at
    keep: 90 days
    archive: cold
holds:
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two tables in one SQLite file, and a folder of lines."""
    world = make(tmp_path / "world", "sqlite", 200)
    connection = sqlite3.connect(world.data / "log.db")
    connection.execute("CREATE TABLE audit AS SELECT * FROM log")
    connection.close()
    (world.folder / "lines").mkdir()
    lines = [f'{{"at": "2026-0{month}-01T00:00:00Z", "n": {month}}}\n' for month in range(1, 10)]
    (world.folder / "lines" / "a.jsonl").write_text("".join(lines))
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("holds:\n", _SECOND))
    return world


def test_the_ledger_counts_every_dataset(world: World) -> None:
    """Slices of different datasets have different names, or one would pass for the other's retry."""
    report = run(world.session(), Wishes(budget=Budget(rows=50)))

    assert all(dataset.records > 0 for dataset in report.datasets)
    totals = {dataset.dataset: dataset.total_records for dataset in status(world.session()).datasets}
    assert totals == {dataset.dataset: dataset.records for dataset in report.datasets}
    assert world.strays() == []


def test_named_datasets_are_the_only_ones_touched(world: World) -> None:
    """`lapse run NAME` leaves the others as they are."""
    before = world.records()

    report = run(world.session(), Wishes(names=("lines",)))

    assert [dataset.dataset for dataset in report.datasets] == ["lines"]
    assert world.records() == before


def test_a_dataset_that_fails_leaves_the_others_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One target or store in trouble: exit 1, and the rest of the run is complete."""
    from lapse.errors import StoreError
    from lapse.stores.jsonl import STORE

    def broken(*_: object, **__: object) -> None:
        raise StoreError("the disk is gone", hint="Put it back.")

    monkeypatch.setattr(STORE, "take", broken)

    report = run(world.session(), Wishes())

    assert report.exit_code == 1
    assert [dataset.status.value for dataset in report.datasets] == ["done", "done", "incomplete"]
    assert report.datasets[2].trouble is not None
