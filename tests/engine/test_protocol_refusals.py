"""Runs that are refused before they remove anything: what they find is not what it has to be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from file_worlds import world

from lapse.engine import ledgering
from lapse.engine.ordering import add_hold, release_hold
from lapse.engine.running import Wishes, run
from lapse.errors import GuardError, HoldsError, LedgerUnknownError
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.ports import Budget
from lapse.registry import store_class
from worlds import World

__all__ = ["world"]


def test_markers_of_an_unknown_ledger_stop_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: a store with markers, but no ledger here that could know them, is refused until adopted."""
    monkeypatch.setattr(store_class(_address(world)), "prune", lambda self, disposals: None)
    world.run()
    (world.folder / "state").rename(world.folder / "lost")

    with pytest.raises(LedgerUnknownError):
        world.run()

    ledgering.adopt(world.session())
    assert world.run().exit_code == 0
    assert world.ledger_records() == world.archived().total()


def _address(world: World) -> str:
    return world.session().datasets([])[0].store


def test_a_vanished_hold_stops_the_run(world: World) -> None:
    """Rule 8: a hold that the ledger knows must be found again, or released."""
    add_hold(world.session(), Hold(matter="M-2", match=Match((Condition("tenant", ("tenant 1",), role="tenant"),))))
    (hold,) = (world.folder / "holds").glob("*.yaml")
    hold.unlink()
    before = world.records()

    with pytest.raises(HoldsError, match="M-2"):
        world.run()
    assert world.records() == before

    release_hold(world.session(), "M-2")
    assert world.run().records > 0


def test_emptying_a_dataset_is_refused_unless_allowed(world: World) -> None:
    """The guard names the way around it; nothing is touched before."""
    policy = world.folder / "lapse.yaml"
    text = policy.read_text().replace("{type: keep, for: forever}", "{type: keep, for: 1 day}")
    text = text.replace("for: 90 days", "for: 1 day").partition("holds:")[0]
    policy.write_text(text)
    _drop_doubtful(world)
    before = world.records()

    with pytest.raises(GuardError, match="would be empty"):
        world.run()
    assert world.records() == before

    report = run(world.session(), Wishes(allow_empty=True, budget=Budget(rows=50)))
    assert report.records == before.total()
    assert world.archived() == before


def _drop_doubtful(world: World) -> None:
    if world.kind == "sqlite":
        import sqlite3

        connection = sqlite3.connect(world.data / "log.db")
        connection.execute("DELETE FROM log WHERE at IS NULL OR at > '2026-10-30'")
        connection.commit()
        connection.close()
        return
    for file in world.data.glob("*.jsonl"):
        lines = file.read_text().splitlines(keepends=True)
        dated = [line for line in lines if (at := json.loads(line)["at"]) and at < "2026-10-30"]
        file.write_text("".join(dated))


@pytest.mark.parametrize("guard", ["share: 10%", "rows: 5"])
def test_a_guard_refuses_before_the_first_removal(world: World, guard: str) -> None:
    """Over its limit the run ends with exit 3 and the store has every record."""
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text() + f"guards: {{{guard}}}\n")
    before = world.records()

    with pytest.raises(GuardError) as caught:
        world.run()

    assert int(caught.value.exit_code) == 3
    assert caught.value.hint is not None
    assert world.records() == before


def test_a_clock_behind_the_ledger_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real clock more than five minutes behind the last entry stops the run."""
    world.run()
    session = world.session()
    behind = replace(session, real_now=type(session.real_now)(session.real_now - 3600 * 10**9))

    with pytest.raises(GuardError, match="clock"):
        run(behind, Wishes())


def test_a_policy_for_another_store_is_refused(world: World) -> None:
    """`expect:` names the store; another one is exit 3, and says which part differs."""
    policy = world.folder / "lapse.yaml"
    fingerprint = "jsonl:0:log:0" if world.kind == "jsonl" else "sqlite:0:log:0"
    policy.write_text(policy.read_text().replace("    time: at\n", f"    time: at\n    expect: {fingerprint}\n"))
    before = world.records()

    with pytest.raises(GuardError) as caught:
        world.run()

    assert "expects" in str(caught.value)
    assert caught.value.origin is not None
    assert world.records() == before


def test_a_store_that_changed_since_the_first_run_is_refused(world: World) -> None:
    """The first run pins what it saw; a moved store has to be accepted by a person."""
    from lapse.engine.trusting import trust

    world.run()
    (world.folder / "data").rename(world.folder / "moved")
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("data/log", "moved/log"))

    with pytest.raises(GuardError) as caught:
        world.run()
    assert "lapse trust log" in str(caught.value.hint)

    trust(world.session(), "log")
    assert world.run().exit_code == 0


def test_a_cut_ledger_tail_stops_the_next_run(world: World) -> None:
    """Rule 9: a checkpoint ahead of the ledger is a cut tail; nothing is removed on such a base."""
    world.run()
    ledger = next((world.folder / "state").rglob("ledger.jsonl"))
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-1]))

    with pytest.raises(GuardError, match="cut"):
        world.run()
