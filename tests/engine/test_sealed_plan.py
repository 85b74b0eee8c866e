"""`plan -o` seals what a run may do, and `run --plan` does exactly that or refuses."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lapse.engine.planning import plan, write_sealed
from lapse.engine.running import Wishes, run
from lapse.errors import GuardError, UsageError
from lapse.model.report import RunReport
from lapse.ports import Budget
from worlds import World, make


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world of 200 records."""
    return make(tmp_path / "world", request.param, 200)


def sealed(world: World) -> Path:
    """Plan and seal."""
    session = world.session()
    file = world.folder / "plan.json"
    write_sealed(session, plan(session), file)
    return file


def follow(world: World, file: Path) -> RunReport:
    """Run the sealed plan."""
    return run(world.session(), Wishes(plan_file=file, budget=Budget(rows=40)))


def add(world: World, number: int, at: str, body: str = "late") -> None:
    """Another writer adds a record."""
    if world.kind == "sqlite":
        connection = sqlite3.connect(world.data / "log.db")
        connection.execute("INSERT INTO log (at, kind, tenant, body) VALUES (?, 'call', 'tenant 1', ?)", (at, body))
        connection.commit()
        connection.close()
        return
    line = json.dumps({"n": number, "at": at, "kind": "call", "tenant": "tenant 1", "body": body})
    with (world.data / "log-2.jsonl").open("a") as file:
        file.write(line + "\n")


def test_a_sealed_plan_is_followed_to_the_record(world: World) -> None:
    """The run removes what the plan counted."""
    planned = plan(world.session()).datasets[0]

    report = follow(world, sealed(world))

    assert report.records == sum(g.tally.records for g in planned.groups if g.outcome.verdict.value == "lapsed")


def test_records_above_the_mark_survive_and_are_no_drift(world: World) -> None:
    """What was written after the plan is not part of it, however old it says it is."""
    file = sealed(world)
    before = world.records()
    add(world, 1000, "2026-01-01 00:00:00")

    follow(world, file)

    (late,) = [record for record in world.records() if "late" in record]
    assert late not in before
    assert world.run().records == 1


def test_fewer_records_below_the_mark_are_refused(world: World) -> None:
    """A record that is gone since the plan: exit 3, nothing removed."""
    file = sealed(world)
    _forget_oldest(world)
    before = world.records()

    with pytest.raises(GuardError):
        follow(world, file)

    assert world.records() == before


def test_other_records_below_the_mark_are_refused(world: World) -> None:
    """As many records as planned, but others: exit 3, nothing removed."""
    file = sealed(world)
    _change_oldest(world)
    before = world.records()

    with pytest.raises(GuardError, match=r"drifted|gone|differ"):
        follow(world, file)

    assert world.records() == before


def test_another_policy_is_refused(world: World) -> None:
    """The plan names the policy's hash."""
    file = sealed(world)
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("90 days", "91 days"))

    with pytest.raises(GuardError, match="another policy"):
        follow(world, file)


def test_an_edited_plan_is_refused(world: World) -> None:
    """One figure changed by hand, and the plan's own digest does not match."""
    file = sealed(world)
    facts: dict[str, Any] = json.loads(file.read_text())
    facts["datasets"][0]["lapsed"][0]["records"] += 1
    file.write_text(json.dumps(facts))

    with pytest.raises(GuardError, match="edited"):
        follow(world, file)


@pytest.mark.parametrize("content", [None, b"", b"not json", b"[1]", b'{"lapse_plan": 99}', b"\xff"])
def test_what_is_no_plan_is_refused(world: World, content: bytes | None) -> None:
    """A missing, empty or foreign file ends with a message, not a traceback."""
    file = world.folder / "plan.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises((UsageError, GuardError)) as caught:
        follow(world, file)

    assert caught.value.hint is not None


def test_a_hold_that_came_later_is_drift(world: World) -> None:
    """Fewer records would go than planned: make a new plan."""
    file = sealed(world)
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text() + "  - {matter: M-2, match: {tenant: tenant 1}}\n")

    with pytest.raises(GuardError):
        follow(world, file)


def test_the_plan_file_is_private(world: World) -> None:
    """It names tenants: mode 0600."""
    assert sealed(world).stat().st_mode & 0o777 == 0o600


def _forget_oldest(world: World) -> None:
    if world.kind == "sqlite":
        connection = sqlite3.connect(world.data / "log.db")
        connection.execute("DELETE FROM log WHERE id = 1")
        connection.commit()
        connection.close()
        return
    file = world.data / "log-0.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))


def _change_oldest(world: World) -> None:
    if world.kind == "sqlite":
        connection = sqlite3.connect(world.data / "log.db")
        connection.execute("UPDATE log SET at = '2026-02-01 00:00:00' WHERE id = 1")
        connection.commit()
        connection.close()
        return
    file = world.data / "log-0.jsonl"
    first, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first.replace(b"record 0", b"record X") + b"".join(rest))


def test_a_table_without_an_ascending_key_cannot_be_sealed(world: World) -> None:
    """There is no high-water mark to seal, and the message says why."""
    if world.kind == "jsonl":
        assert sealed(world).exists()  # files always have their size
        return
    connection = sqlite3.connect(world.data / "log.db")
    connection.executescript(
        "ALTER TABLE log RENAME TO old;"
        "CREATE TABLE log (id TEXT PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT, body TEXT) WITHOUT ROWID;"
        "INSERT INTO log SELECT * FROM old;"
    )
    connection.close()

    with pytest.raises(UsageError, match="no high-water mark"):
        sealed(world)
