"""A hold is respected however it came about: each test is a way in which it might not be."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lapse import slicework
from lapse.engine.ordering import add_hold, release_hold
from lapse.engine.planning import plan, write_sealed
from lapse.engine.running import Wishes, run
from lapse.engine.session import open_session
from lapse.errors import GuardError, HoldsError
from lapse.instant import SECOND, Nanos, rfc3339
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.model.selection import Verdict
from lapse.ports import Budget
from worlds import NOW, World, make

_TENANT = Match((Condition("tenant", ("tenant 1",), role="tenant"),))


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of 200 records."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    return make(tmp_path / "world", request.param, 200)


def _held(world: World) -> set[str]:
    return {record for record in world.records() if '"tenant 1"' in record}


def _hold_in_policy(world: World, extra: str) -> None:
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text() + f"  - {{matter: M-9, match: {{dataset: log, tenant: tenant 1}}, {extra}}}\n")


def test_a_hold_that_began_after_the_plan_was_sealed_is_respected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealed plan decides at its own time, but an order to keep applies from when it says."""
    from lapse import clock

    session = world.session()
    since = Nanos(session.real_now + 3600 * SECOND)
    _hold_in_policy(world, f"reason: inquiry, since: {rfc3339(since)}")
    session, file = world.session(), world.folder / "plan.json"
    write_sealed(session, plan(session), file)
    held = _held(world)
    later = Nanos(since + 3600 * SECOND)
    monkeypatch.setattr(clock, "real_now", lambda: later)

    with contextlib.suppress(GuardError):
        run(world.session(), Wishes(plan_file=file))

    assert held <= set(world.records())


def test_a_sealed_plan_is_followed_after_another_run_has_written_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock guard looks at the real time of the run, not at that of the plan."""
    from lapse import clock
    from lapse.model.ledger_entry import EntryKind

    session, file = world.session(), world.folder / "plan.json"
    write_sealed(session, plan(session), file)
    later = Nanos(session.real_now + 3600 * SECOND)
    session.writable_ledger.append(EntryKind.NOTE, {"note": "another policy"}, at=later)
    monkeypatch.setattr(clock, "real_now", lambda: later)

    report = run(world.session(), Wishes(plan_file=file))

    assert report.records > 0
    ats = [entry.at for entry in world.session().ledger.entries()]
    assert ats == sorted(ats)


def test_a_hold_that_begins_while_a_run_is_under_way_is_respected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recheck before a commit asks the real time anew."""
    from lapse import clock

    session = world.session()
    since = Nanos(session.real_now + 3600 * SECOND)
    _hold_in_policy(world, f"reason: inquiry, since: {rfc3339(since)}")
    held = _held(world)
    session = world.session()
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(since + SECOND))

    run(session, Wishes(budget=Budget(rows=20)))

    assert held <= set(world.records())


def test_a_hold_that_was_ended_by_hand_stops_the_run(world: World) -> None:
    """An end in the past, written into the file, is a release that nobody recorded."""
    add_hold(world.session(), Hold(matter="M-2", match=_TENANT))
    (file,) = (world.folder / "holds").glob("*.yaml")
    file.write_text(file.read_text() + f"until: {(NOW - timedelta(days=900)).isoformat()}\n")
    held = _held(world)

    with pytest.raises(HoldsError, match="M-2"):
        world.run()

    assert held <= set(world.records())


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ("tenant: tenant 1", "tenant: tenant 7"),
        ("match:", "records before: 1999-01-01T00:00:00Z\nmatch:"),
        ("match:", "since: 2999-01-01T00:00:00Z\nmatch:"),
        ("tenant: tenant 1", "tenant: tenant 1\n  dataset: log\n  body: nothing"),
    ],
)
def test_a_hold_that_was_narrowed_by_hand_stops_the_run(world: World, find: str, replace: str) -> None:
    """What a recorded hold covered is covered until its release is recorded."""
    add_hold(world.session(), Hold(matter="M-2", match=_TENANT))
    (file,) = (world.folder / "holds").glob("*.yaml")
    assert find in file.read_text()
    file.write_text(file.read_text().replace(find, replace))
    held = _held(world)

    with pytest.raises(HoldsError, match="M-2"):
        world.run()
    assert held <= set(world.records())

    release_hold(world.session(), "M-2")
    assert world.run().exit_code == 0


def test_a_hold_that_was_widened_by_hand_is_followed_and_recorded(world: World) -> None:
    """More is kept than before: that needs no release."""
    add_hold(world.session(), Hold(matter="M-2", match=_TENANT))
    (file,) = (world.folder / "holds").glob("*.yaml")
    file.write_text(file.read_text().replace("tenant: tenant 1", "tenant: [tenant 1, tenant 2]"))

    assert world.run().exit_code == 0

    assert _held(world) | {r for r in world.records() if '"tenant 2"' in r}
    assert not {r for r in world.archived() if '"tenant 1"' in r or '"tenant 2"' in r}


def test_a_replay_is_under_the_holds_of_today(world: World) -> None:
    """LAPSE_NOW lies before the hold began; the removal is real all the same."""
    session = world.session()
    add_hold(session, Hold(matter="M-2", match=_TENANT, since=Nanos(session.real_now - SECOND)))
    assert session.now < session.real_now - SECOND
    held = _held(world)

    world.run()

    assert held <= set(world.records())


def test_a_hold_that_is_released_while_a_sealed_plan_is_followed_takes_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was held when the plan was sealed was not planned to go."""
    add_hold(world.session(), Hold(matter="M-2", match=_TENANT))
    session, file = world.session(), world.folder / "plan.json"
    planned = plan(session)
    write_sealed(session, planned, file)
    held = _held(world)
    released: list[int] = []

    def work(piece: Any, store: Any, bench: Any) -> Any:
        if not released:
            released.append(1)
            release_hold(world.session(), "M-2")
        return slicework.work(piece, store, bench)

    monkeypatch.setattr("lapse.engine.purging.work", work)

    report = run(world.session(), Wishes(plan_file=file, budget=Budget(rows=20)))

    assert held <= set(world.records())
    assert report.records <= planned.datasets[0].records(Verdict.LAPSED)


def _table(folder: Path, scheme: str) -> Path:
    rows = [(number, f"2020-01-0{number} 00:00:00", "t") for number in range(1, 9)]
    sql = 'CREATE TABLE log (id INTEGER PRIMARY KEY, "at" TIMESTAMP, tenant TEXT)'
    file = folder / f"log.{scheme}"
    if scheme == "sqlite":
        with sqlite3.connect(file) as connection:
            connection.execute(sql)
            connection.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
        connection.close()
        return file
    import duckdb

    with duckdb.connect(str(file)) as other:
        other.execute(sql)
        other.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
    return file


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
@pytest.mark.parametrize("what", ["hold", "floor"])
@pytest.mark.parametrize("match", ["actor: alice", "actor: 'glob:al*'", "$.detail.user: alice"])
def test_a_table_without_the_column_of_a_hold_or_floor_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, what: str, match: str
) -> None:
    """It cannot be told which rows are meant, so all of them are."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    file = _table(tmp_path, scheme)
    last = (
        f"holds: [{{matter: M-1, reason: x, match: {{{match}}}}}]"
        if what == "hold"
        else f"floors: [{{match: {{{match}}}, at least: 90 years, because: law}}]"
    )
    (tmp_path / "lapse.yaml").write_text(
        f"version: 1\ndatasets:\n  log: {{store: '{scheme}:///{file}', table: log, time: at,"
        f" keep: [{{for: 1 day}}], archive: none}}\n{last}\n"
    )

    planned = plan(open_session(str(tmp_path / "lapse.yaml")))

    assert planned.datasets[0].records(Verdict.LAPSED) == 0
