"""A run of very many slices keeps few of them in mind, and few of their markers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from file_worlds import world

from lapse.engine import pruning
from lapse.errors import StoreError, TargetError
from lapse.model.report import Status
from lapse.registry import store_class
from lapse.state.journal import journalled_runs
from lapse.targets.file import FileTarget
from worlds import World

__all__ = ["world"]

EVERY = 2


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markers go after two disposals."""
    monkeypatch.setattr(pruning, "EVERY", EVERY)


@pytest.fixture
def pruned(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many disposals each pruning of a store was about."""
    found: list[int] = []
    store = store_class("sqlite://" if world.kind == "sqlite" else "/logs")
    prune = store.prune

    def counted(self: Any, disposals: Iterator[Any]) -> None:
        named = list(disposals)
        found.append(len(named))
        prune(self, iter(named))

    monkeypatch.setattr(store, "prune", counted)
    return found


def _checkpoints(world: World) -> int:
    return len([path for path in world.archive.rglob("*") if path.is_file() and path.parent.name == "checkpoints"])


def test_markers_go_while_a_run_goes_on(world: World, pruned: list[int]) -> None:
    """Never more than a few at once, each after a checkpoint that covers it, and what is done is the same."""
    before = world.records()

    report = world.run(5)

    slices = sum(dataset.slices for dataset in report.datasets)
    assert slices > EVERY
    assert pruned == [EVERY] * (slices // EVERY) + [slices % EVERY]
    assert _checkpoints(world) == slices // EVERY + 1
    assert world.records() + world.archived() == before
    assert world.ledger_records() == report.records == world.archived().total()
    assert world.strays() == []
    assert journalled_runs(world.folder / "state") == ()


def test_what_waits_has_no_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under very many rules they are megabytes for each disposal."""
    counts: list[object] = []
    store = store_class("sqlite://" if world.kind == "sqlite" else "/logs")
    monkeypatch.setattr(store, "prune", lambda _, named: counts.extend((d.rules, d.counts, d.tenants) for d in named))

    world.run(5)

    assert counts
    assert counts == [({}, {}, {})] * len(counts)


def test_the_journal_does_not_grow_with_the_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the markers, since everything in it is settled by then."""
    journal = world.folder / "state" / "journal"
    sizes: list[int] = []
    prune = pruning.Pruning.prune

    def measured(self: pruning.Pruning) -> None:
        sizes.extend(path.read_bytes().count(b'"begun"') for path in journal.iterdir())
        prune(self)

    monkeypatch.setattr(pruning.Pruning, "prune", measured)

    report = world.run(5)

    slices = sum(dataset.slices for dataset in report.datasets)
    assert sizes == [EVERY] * (slices // EVERY) + [1] * (slices % EVERY)


def test_what_no_checkpoint_covers_keeps_its_marker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that is out of reach for checkpoints leaves every marker; the next run removes them."""
    put = FileTarget.put

    def unreachable(self: FileTarget, path: str, data: bytes) -> None:
        if "checkpoints" in path:
            raise TargetError("the archive is away", hint="Mount it.")
        put(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(FileTarget, "put", unreachable)
        report = world.run(5)
    slices = sum(dataset.slices for dataset in report.datasets)
    pruned: list[int] = []
    store = store_class("sqlite://" if world.kind == "sqlite" else "/logs")
    monkeypatch.setattr(store, "prune", lambda _, disposals: pruned.append(len(list(disposals))))

    world.run(5)

    assert any("has no checkpoint" in warning for warning in report.warnings)
    assert pruned == [slices]


def test_a_store_that_cannot_prune_loses_no_slice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on; its end tries again, and says that the markers stay."""

    def refused(_: object, __: object) -> None:
        raise StoreError("the markers are locked", hint="Wait.")

    before = world.records()
    with monkeypatch.context() as patch:
        patch.setattr(store_class("sqlite://" if world.kind == "sqlite" else "/logs"), "prune", refused)
        report = world.run(5)

    assert [dataset.status for dataset in report.datasets] == [Status.DONE]
    assert any("markers stay until the next run" in warning for warning in report.warnings)
    assert world.records() + world.archived() == before
    world.run()
    assert world.strays() == []
