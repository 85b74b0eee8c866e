"""Runs while others write: no row is gone unless its exact content is in a committed segment or a writer took it."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pg_runs import PgWorld, make, other_session
from pg_writers import Writers

from lapse.stores.postgresql.places import Stretch
from lapse.stores.postgresql.stepping import Steps
from lapse.stores.postgresql.taking import PostgresTake
from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers
from servers.processes import await_condition

VERSIONS = servers()


@pytest.fixture
def server(postgres_pool: PostgresPool) -> PostgresServer:
    """The newest one."""
    return postgres_pool.get(VERSIONS[-1])


@pytest.fixture
def url(server: PostgresServer, tmp_path: Path) -> str:
    """An empty database."""
    return server.create_database(f"racing_{tmp_path.name}")


def race(
    world: PgWorld, writers: Writers, *, seconds: float, seed: int, rows: int, crash: Callable[[], None] | None = None
) -> Counter[int]:
    """Run after run while the writers write, most of them killed; then one in peace. How they ended."""
    chance, ended, over = random.Random(seed), Counter[int](), time.monotonic() + seconds
    with writers:
        while time.monotonic() < over:
            running = world.start(rows)
            if chance.random() < 0.7:
                time.sleep(chance.uniform(0.5, 2.0))
                running.process.kill()
            if crash is not None and chance.random() < 0.2:
                crash()
            last = running.end(600)
            assert last.exit in (0, -signal.SIGKILL) or crash is not None, last.said
            ended[last.exit] += 1
            world.back()
            world.alone()
    last = world.lapse("run").end()
    assert last.exit == 0, last
    assert world.strays() == []
    assert world.ledger_records() == world.archived().total() > 0
    return ended


@pytest.mark.crash
@pytest.mark.parametrize("children", [False, True], ids=["alone", "children"])
def test_nothing_is_lost_while_others_write_and_runs_are_killed(children: bool, url: str, tmp_path: Path) -> None:
    """Inserts, changes, back-dated rows and removals, with and without children that come all the time."""
    world = make(tmp_path / "world", url, records=5_000, pace="{rest: 20%}")
    writers = Writers(world, seed=11, children=children)

    ended = race(world, writers, seconds=4, seed=11, rows=1000)

    assert ended[-signal.SIGKILL] > 0
    assert min(writers.done[deed] for deed in ("_insert", "_change", "_back_date", "_remove")) > 10
    writers.assert_nothing_is_lost()


@pytest.mark.soak
@pytest.mark.crash
@pytest.mark.parametrize("children", [False, True], ids=["alone", "children"])
def test_nothing_is_lost_in_ten_minutes_of_writing(
    children: bool, server: PostgresServer, url: str, tmp_path: Path
) -> None:
    """The full count of the promise above, with a server that crashes now and then as well."""
    world = make(tmp_path / "world", url, records=200_000, pace="{rest: 20%}")
    writers = Writers(world, threads=4, seed=12, children=children)

    race(world, writers, seconds=600, seed=12, rows=1000, crash=server.crash)

    writers.assert_nothing_is_lost()


_LAPSED = "at <= timestamptz '2026-11-01Z' - interval '90 days' AND kind = 'call' AND tenant <> 'held'"
_GIVEN = "TABLE made EXCEPT ALL TABLE gone"


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_slices_in_steps_count_what_they_remove_while_others_write(
    archive: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a copy and without: no row goes uncounted, none is counted twice, and none goes that has not lapsed."""
    world = make(tmp_path / "world", url, records=5_000, archive=archive, pace="{rest: 20%}")
    writers = Writers(world, seed=13)
    # Slices have steps where nothing refers to the rows, and where they go by places.
    world.execute("ALTER TABLE leg DROP CONSTRAINT leg_log_id_fkey")
    world.execute("DROP INDEX log_at_idx")
    stretches, begun = Steps.stretches, list[Steps]()

    def begin(steps: Steps) -> Iterator[Stretch]:
        begun.append(steps)
        return stretches(steps)

    monkeypatch.setattr(Steps, "stretches", begin)
    over = time.monotonic() + 3
    with writers:
        while time.monotonic() < over:
            world.run(1000)
    world.run(1000)

    assert len(begun) > 5
    assert min(writers.done[deed] for deed in ("_insert", "_change", "_back_date", "_remove")) > 10
    assert world.execute(f"TABLE log EXCEPT ALL ({_GIVEN})") == []
    removed = f"SELECT count(*), count(*) FILTER (WHERE {_LAPSED}) FROM ({_GIVEN} EXCEPT ALL TABLE log) AS removed"
    assert world.execute(removed) == [(world.ledger_records(),) * 2]
    if archive == "cold":
        writers.assert_nothing_is_lost()


# One race at a time, on every version


@pytest.fixture
def world(pg_database: str, tmp_path: Path) -> PgWorld:
    """Sixty rows on one page, forty of them lapsed."""
    return make(tmp_path / "world", pg_database, records=60)


_YOUNG = "at > '2026-10-01' AND kind = 'call' AND tenant = 'tenant 0'"
_OLD = "at < '2026-07-01' AND kind = 'call' AND tenant <> 'held'"


def test_a_row_back_dated_between_children_and_parents_keeps_its_child(
    world: PgWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lapses when the children of the others are sealed already; its own child must not vanish unsealed with it."""
    writers = Writers(world)
    world.execute(f"WITH n AS (INSERT INTO leg (log_id, note) SELECT id, 'a' FROM log WHERE {_OLD} RETURNING *) "
                  "INSERT INTO made_leg SELECT * FROM n")  # fmt: skip
    removing = PostgresTake._batches
    disturbed: list[bool] = []

    def disturb(taken: PostgresTake) -> object:
        if not disturbed:
            disturbed.append(True)
            young = f"SELECT min(id) FROM log WHERE {_YOUNG}"
            ((key,),) = world.execute(young)
            world.execute(f"INSERT INTO gone SELECT * FROM log WHERE id = {key}")
            world.execute(f"UPDATE log SET at = '2026-01-01' WHERE id = {key}")
            world.execute(f"INSERT INTO made SELECT * FROM log WHERE id = {key}")
            world.execute(f"WITH n AS (INSERT INTO leg (log_id, note) VALUES ({key}, 'late') RETURNING *) "
                          "INSERT INTO made_leg SELECT * FROM n")  # fmt: skip
        return removing(taken)

    monkeypatch.setattr(PostgresTake, "_batches", disturb)
    report = world.run(1000)

    assert disturbed
    assert report.records > 0
    assert world.execute("SELECT note FROM leg") == [("late",)]
    writers.assert_nothing_is_lost()
    world.run(1000)
    assert world.execute("SELECT note FROM leg") == []
    writers.assert_nothing_is_lost()


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"])
def test_a_row_that_is_referred_to_meanwhile_stays_and_the_run_goes_on(world: PgWorld, action: str) -> None:
    """The server refuses the slice; it comes again without that row."""
    original = world.records()
    action, _, deferred = action.partition(" DEFERRABLE")
    deferred = f"DEFERRABLE{deferred}" if deferred else ""
    world.execute(f"CREATE TABLE pin (log_id bigint REFERENCES log ON DELETE {action} {deferred})")
    with other_session(world) as first:
        first.execute(f"SELECT id FROM log WHERE {_OLD} ORDER BY id LIMIT 1 FOR UPDATE")
        running = world.lapse("run", "--json")
        waiting(world)
        # One that the slice, which has looked already, has not come to yet.
        world.execute(f"INSERT INTO pin SELECT id FROM log WHERE {_OLD} LIMIT 1 FOR UPDATE SKIP LOCKED")
    ended = running.end()

    assert ended.exit == 0, ended
    assert "refer" in ended.dataset["waited_for"] or "foreign key" in ended.dataset["waited_for"], ended
    assert world.execute(f"SELECT id FROM log WHERE {_OLD}") == world.execute("SELECT log_id FROM pin")
    assert world.records() + world.archived() == original


def waiting(world: PgWorld) -> None:
    """Wait until a run waits for a lock."""
    locked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lapse' AND wait_event_type = 'Lock'"
    await_condition(lambda: world.execute(locked)[0][0] > 0, "the run to wait")
