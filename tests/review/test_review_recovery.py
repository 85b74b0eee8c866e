"""Recovery must clear only what is proven not to be committed: each test is a way in which it might not be."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lapse.engine import ledgering
from lapse.engine.running import Wishes, run
from lapse.errors import LapseError, LedgerUnknownError, StateError
from lapse.model.ledger_entry import EntryKind
from lapse.registry import store_class
from lapse.stages import recording
from lapse.state.journal import Journal, unsettled
from lapse.state.ledger import Ledger
from worlds import World, make


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of 120 records."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    return make(tmp_path / "world", request.param, 120)


_AFTER_THE_COMMIT = pytest.mark.parametrize(("owner", "step"), [(Journal, "committed"), (Ledger, "record")])


class _Killed(BaseException):
    """Stands for a process that ends here: nothing of ours catches it."""


def _dies(*_args: Any, **_kwargs: Any) -> Any:
    raise _Killed


def _die_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], Any]) -> None:
    """Do *act*, in a process that dies when it calls *name* of *owner*."""
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _dies)
        with pytest.raises(_Killed):
            act()


def _segments(world: World) -> list[Path]:
    return [p for p in sorted(world.archive.rglob("*")) if p.name.endswith((".parquet", ".jsonl.zst"))]


def _everywhere(world: World) -> Counter[str]:
    """What the store and all segments, committed or not, hold."""
    for segment in _segments(world):
        entry = segment.with_name(segment.name + ".entry.json")
        if not entry.exists():
            entry.write_text("{}")
    return world.records() + world.archived()


def _another_ledger(world: World) -> None:
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("version: 1\n", "version: 1\nledger: ledger-elsewhere\n"))


@_AFTER_THE_COMMIT
def test_a_segment_is_not_cleared_when_its_marker_is_of_another_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    """Two ledgers over one state folder: what one has committed is no orphan to the other."""
    before = world.records()
    _die_at(monkeypatch, owner, step, world.run)
    _another_ledger(world)
    session = world.session()
    session.writable_ledger.append(EntryKind.NOTE, {"note": "begun"}, at=session.real_now)

    with contextlib.suppress(LapseError):
        world.run()

    assert _everywhere(world) == before


def test_the_ledger_of_an_interrupted_run_completes_it_whoever_ran_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slice stays open in the journal until the ledger that owns it comes back."""
    before = world.records()
    policy = world.folder / "lapse.yaml"
    text = policy.read_text()
    _die_at(monkeypatch, Ledger, "record", world.run)
    _another_ledger(world)
    session = world.session()
    session.writable_ledger.append(EntryKind.NOTE, {"note": "begun"}, at=session.real_now)
    world.run()

    policy.write_text(text)
    report = world.run()

    assert report.datasets[0].recovered == 1
    assert world.records() + world.archived() == before
    assert unsettled(world.folder / "state") == ()


@_AFTER_THE_COMMIT
def test_what_another_ledger_took_over_and_committed_is_not_cleared(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    """An installation that adopted this ledger has completed the slice and pruned the marker."""
    before = world.records()
    world.run(rows=1)  # so that the archive knows the ledger
    rest = world.records()
    _add(world, "2026-01-01 00:00:00.000000")
    before = before + (world.records() - rest)
    _die_at(monkeypatch, owner, step, world.run)
    state, other = world.folder / "state", world.folder / "other"
    state.rename(world.folder / "first")
    ledgering.adopt(world.session())
    world.run()
    state.rename(other)
    (world.folder / "first").rename(state)

    with contextlib.suppress(LapseError):
        world.run()

    assert world.records() + world.archived() == before


def _add(world: World, at: str) -> None:
    if world.kind == "sqlite":
        with sqlite3.connect(world.data / "log.db") as connection:
            connection.execute("INSERT INTO log (at, kind, tenant, body) VALUES (?, 'call', 'tenant 1', 'more')", (at,))
        connection.close()
        return
    with (world.data / "log-0.jsonl").open("a") as file:
        file.write(f'{{"at": "{at}", "kind": "call", "tenant": "tenant 1", "body": "more"}}\n')


def test_a_commit_that_the_store_confirmed_is_never_cleared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal says committed, the marker is gone: whoever removed it, the copy may be the only one."""
    before = world.records()
    _die_at(monkeypatch, Ledger, "record", world.run)
    _lose_markers(world)

    with contextlib.suppress(LapseError):
        world.run()

    assert _everywhere(world) == before


def _lose_markers(world: World) -> None:
    if world.kind == "sqlite":
        with sqlite3.connect(world.data / "log.db") as connection:
            connection.execute("DELETE FROM lapse_disposals")
        connection.close()
    for journal in world.data.glob(".*.journal"):
        journal.unlink()


def test_a_commit_that_nobody_confirmed_is_found_by_its_marker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dying between the commit and its note in the journal loses nothing."""
    before = world.records()
    _die_at(monkeypatch, Journal, "committed", world.run)

    report = world.run()

    assert report.datasets[0].recovered == 1
    assert world.records() + world.archived() == before
    assert world.ledger_records() == world.archived().total()
    assert world.strays() == []


def test_an_error_of_no_kind_of_ours_after_the_commit_is_settled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError, OSError and the like pass through; the next run settles what they left."""
    before = world.records()
    with monkeypatch.context() as patch:
        patch.setattr(recording, "put_entry", lambda *a, **k: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            world.run()

    world.run()

    assert world.records() + world.archived() == before
    assert world.ledger_records() == world.archived().total()
    assert world.strays() == []


def test_a_note_that_fails_after_the_commit_clears_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk right after the commit is not "not committed"."""
    before = world.records()

    def full(*_: Any) -> None:
        raise StateError("no space left", hint="-")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "committed", full)
        assert world.run().exit_code == 1

    world.run()

    assert world.records() + world.archived() == before
    assert world.ledger_records() == world.archived().total()
    assert world.strays() == []


def test_an_entry_is_not_put_where_its_segment_is_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that is not mounted gets no entry; once it is back, the segment is committed."""
    before = world.records()
    _die_at(monkeypatch, Ledger, "record", world.run)
    away = world.folder / "away"
    world.archive.rename(away)

    with pytest.raises(LapseError, match="segment"):
        world.run()
    shutil.rmtree(world.archive, ignore_errors=True)
    away.rename(world.archive)
    world.run()

    assert world.records() + world.archived() == before
    assert world.strays() == []


def test_two_policies_with_archives_of_one_name_do_not_settle_each_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say `cold`, but mean other folders: the entry goes where the segment is, or nowhere."""
    before = world.records()
    _die_at(monkeypatch, Ledger, "record", world.run)
    other = world.folder / "other.yaml"
    text = (world.folder / "lapse.yaml").read_text()
    other.write_text(text.replace("to: archive}", "to: elsewhere}"))
    from lapse.engine.session import open_session

    world.session()
    with contextlib.suppress(LapseError):
        run(open_session(str(other)), Wishes())

    world.run()

    assert world.records() + world.archived() == before
    assert not list((world.folder / "elsewhere").rglob("*.entry.json"))


@pytest.mark.parametrize("world", ["jsonl"], indirect=True)
def test_a_folder_of_logs_that_is_away_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose place is gone cannot say that a slice was not committed."""
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("data/log*.jsonl", "data/**/log*.jsonl"))
    for number in range(2):
        folder = world.data / f"host-{number}"
        folder.mkdir()
        (world.data / f"log-{number}.jsonl").rename(folder / f"log-{number}.jsonl")
    before = _nested(world)
    _die_at(monkeypatch, Journal, "committed", world.run)
    (changed,) = {journal.parent for journal in world.data.rglob(".*.journal")}
    away = world.folder / "away"
    changed.rename(away)
    changed.mkdir()  # an empty mount point

    with contextlib.suppress(LapseError):
        world.run()
    changed.rmdir()
    away.rename(changed)
    world.run()

    assert _nested(world) + world.archived() == before


def _nested(world: World) -> Counter[str]:
    files = [file.read_bytes() for file in sorted(world.data.rglob("log*.jsonl"))]
    return Counter(line.decode() for data in files for line in data.lstrip(b" ").splitlines())


def test_adopting_removes_nothing_from_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ledger adopt` reads markers; an interrupted commit is as it was, and the next run completes it."""
    before = world.records()
    world.run(rows=5)
    mid = world.records()
    _add(world, "2026-01-01 00:00:00.000000")
    before += world.records() - mid
    _die_at(monkeypatch, Ledger, "record", world.run)
    (world.folder / "state").rename(world.folder / "lost")

    ledgering.adopt(world.session())
    world.run()

    assert world.records() + world.archived() == before


def _address(world: World) -> str:
    return world.session().datasets([])[0].store


def test_markers_stay_until_every_archive_has_the_checkpoint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: a marker is pruned only after entry and checkpoint are there."""
    from lapse.engine import checkpointing

    pruned: list[int] = []
    kind = store_class(_address(world))
    prune = kind.prune

    def watched(self: Any, disposals: Any) -> None:
        found = list(disposals)
        pruned.append(len(found))
        prune(self, iter(found))

    monkeypatch.setattr(kind, "prune", watched)

    def down(*_: Any) -> None:
        raise StateError("target down", hint="-")

    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "publish", down)
        world.run()
    assert pruned == []

    world.run()
    assert pruned[0] > 0


def test_a_slice_of_another_ledger_is_left_to_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was committed, only the ledger knows that it belongs to: it clears it when it is back."""
    before = world.records()
    policy = world.folder / "lapse.yaml"
    text = policy.read_text()
    _die_at(monkeypatch, Journal, "committing", world.run)
    _another_ledger(world)
    session = world.session()
    session.writable_ledger.append(EntryKind.NOTE, {"note": "begun"}, at=session.real_now)

    assert world.run().datasets[0].cleared == 0

    policy.write_text(text)
    assert world.run().datasets[0].cleared == 1
    assert world.records() + world.archived() == before
    assert world.strays() == []


def test_markers_without_a_ledger_stop_the_run_even_if_no_archive_knows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4: the run died before its first checkpoint, and then the ledger was lost."""
    before = world.records()
    _die_at(monkeypatch, Journal, "committed", world.run)
    (world.folder / "state").rename(world.folder / "lost")

    with pytest.raises(LedgerUnknownError):
        world.run()

    ledgering.adopt(world.session())
    assert world.run().datasets[0].recovered == 1
    assert world.records() + world.archived() == before


def test_an_open_slice_without_its_ledger_stops_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's folder alone is lost: the journal still says that there was one."""
    before = world.records()
    _die_at(monkeypatch, Journal, "committing", world.run)
    (world.folder / "state" / "ledger").rename(world.folder / "lost")

    with pytest.raises(LedgerUnknownError):
        world.run()

    ledgering.adopt(world.session())
    assert world.run().datasets[0].cleared == 1
    assert world.records() + world.archived() == before
    assert world.strays() == []
