"""Runs that keep the newest of each tenant: with a sealed plan, after a crash, and as commands tell it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from lapse.engine.asking import why
from lapse.engine.planning import plan, write_sealed
from lapse.engine.running import Wishes, run
from lapse.engine.session import open_session
from lapse.errors import GuardError
from lapse.model.selection import Verdict
from lapse.ports import Budget, Event
from worlds import NOW, World, make

pytestmark = pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
_KEPT = 3


@pytest.fixture
def world(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of 200 records; a tenant that was not heard of for long, and four that are."""
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    made = make(tmp_path / "world", kind, 200)
    policy = made.folder / "lapse.yaml"
    text = policy.read_text()
    assert "{for: 90 days}" in text
    policy.write_text(text.replace("{for: 90 days}", f"{{for: 90 days, keep last: {_KEPT} per tenant}}"))
    for days in range(200, 210):
        add(made, days)
    return made


def add(world: World, days: int, tenant: str = "silent") -> None:
    """Another writer adds a record of so many days ago."""
    at = (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
    if world.kind == "sqlite":
        with sqlite3.connect(world.data / "log.db") as connection:
            connection.execute("INSERT INTO log (at, kind, tenant, body) VALUES (?, 'call', ?, '')", (at, tenant))
        connection.close()
        return
    with (world.data / "log-2.jsonl").open("a") as file:
        file.write(json.dumps({"n": 1000 + days, "at": at, "kind": "call", "tenant": tenant, "body": ""}) + "\n")


def forget_newest(world: World) -> None:
    """Somebody else removes the newest record of the silent tenant."""
    if world.kind == "sqlite":
        with sqlite3.connect(world.data / "log.db") as connection:
            newest = "SELECT id FROM log WHERE tenant = 'silent' ORDER BY at DESC LIMIT 1"
            connection.execute(f"DELETE FROM log WHERE id = ({newest})")
        connection.close()
        return
    path = world.data / "log-2.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"n": 1200,' not in line))


def left(records: Counter[str], going: int = 90) -> Counter[str]:
    """What stays of some records, told as plainly as can be."""
    stays: Counter[str] = Counter()
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        found = json.loads(record)
        at, kind, tenant = (found[1:4]) if isinstance(found, list) else (found["at"], found["kind"], found["tenant"])
        if at is None or kind == "keep" or tenant == "held":
            stays[record] += 1
            continue
        groups[tenant].append(f"{at}{record}")
    cutoff = (NOW - timedelta(days=going)).strftime("%Y-%m-%d %H:%M:%S.%f")
    for group in groups.values():
        ordered = sorted(group, reverse=True)
        kept = [each for number, each in enumerate(ordered) if number < _KEPT or each[:26] >= cutoff]
        stays.update(each[26:] for each in kept)
    return stays


def test_a_run_leaves_the_newest_of_each_tenant(world: World) -> None:
    """However old they are; store and archive together are the original, and a second run finds nothing to do."""
    before = world.records()

    report = world.run()

    assert world.records() == left(before)
    assert world.records() + world.archived() == before
    assert report.records == before.total() - left(before).total()
    assert world.run().records == 0


def test_the_plan_says_how_many_stay_and_why(world: World) -> None:
    """Their reason names the number and the field."""
    (planned,) = plan(world.session()).datasets

    ((reason, records),) = {
        (group.outcome.reason, group.tally.records)
        for group in planned.groups
        if group.outcome.reason.startswith("kept as one")
    }
    assert records == _KEPT
    assert reason.startswith("kept as one of the 3 newest per tenant, beyond rule 2 (everything: 90 days")


def test_one_record_is_told_to_stay_for_being_new(world: World) -> None:
    """`why` names the number that stays, and that this is one of them."""
    key = "201" if world.kind == "sqlite" else f"{world.data / 'log-2.jsonl'}:{_line_of(world)}"

    (found,) = why(world.session(), "log", key)

    assert found.verdict == Verdict.KEPT.value
    assert "one of the 3 newest per tenant" in found.reason


def _line_of(world: World) -> int:
    lines = (world.data / "log-2.jsonl").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if '"n": 1200,' in line)


def test_a_sealed_plan_is_followed_though_newer_records_came(world: World) -> None:
    """They are above the mark: they push nothing out, so exactly what the plan said goes."""
    session = world.session()
    planned = plan(session)
    file = world.folder / "plan.json"
    write_sealed(session, planned, file)
    before = world.records()
    for days in (1, 2, 3):
        add(world, days)

    report = run(world.session(), Wishes(plan_file=file))

    assert report.records == planned.datasets[0].records(Verdict.LAPSED)
    assert before - world.records() == before - left(before)


def test_a_sealed_plan_is_refused_where_a_newest_record_is_gone(world: World) -> None:
    """What the plan let go could be one of the newest by now: nothing goes."""
    session = world.session()
    file = world.folder / "plan.json"
    write_sealed(session, plan(session), file)
    forget_newest(world)
    before = world.records()

    with pytest.raises(GuardError):
        run(world.session(), Wishes(plan_file=file))

    assert world.records() == before


class _KillsItself:
    """A hook that ends the process for good at the second commit."""

    def __init__(self) -> None:
        self._seen = 0

    def on(self, event: Event) -> None:
        """Count commits."""
        self._seen += event.name == "disposal.committed"
        if self._seen == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_after_a_crash_leaves_the_same(world: World) -> None:
    """The newest never went, so what they are is the same afterwards."""
    before = world.records()
    world.session()
    child = os.fork()
    if not child:
        session = open_session(str(world.folder / "lapse.yaml"), hooks=(_KillsItself(),))
        run(session, Wishes(budget=Budget(rows=20)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert before != world.records() != left(before)

    world.run()

    assert world.records() == left(before)
    assert world.records() + world.archived() == before
    assert world.strays() == []
