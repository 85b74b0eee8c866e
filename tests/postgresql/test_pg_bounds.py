"""What the options of a run bound, is bounded, with a copy and without; and what it leaves to others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pg_runs import PgWorld, make

from lapse import clock
from lapse.engine.pacing import Pacer
from lapse.stores.postgresql.places import Stretch
from lapse.stores.postgresql.stepping import Steps
from servers.fixtures import PostgresPool
from servers.postgres import servers
from servers.processes import await_condition

ROWS = 30_000


@pytest.fixture(params=["cold", "none"])
def world(request: pytest.FixtureRequest, postgres_pool: PostgresPool, tmp_path: Path) -> Iterator[PgWorld]:
    """A table that nobody else vacuums, whose rows go with a copy, or without."""
    server = postgres_pool.get(servers()[-1])
    world = make(tmp_path / "world", server.create_database("bounds"), records=ROWS, archive=request.param)
    world.execute("ALTER TABLE log SET (autovacuum_enabled = off)")
    yield world
    server.drop_database("bounds")


def vacuums(world: PgWorld) -> int:
    """How often the table was vacuumed, by whoever asked for it."""
    world.alone()
    return int(world.execute("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'log'")[0][0])


def test_a_budget_of_rows_is_kept_to_the_row(world: PgWorld) -> None:
    """Even where nothing is read, and only the time of a transaction bounds a slice."""
    ended = world.lapse("run", "--rows", "777", "--json").end()

    assert ended.exit == 0, ended
    assert ended.dataset["records"] == 777
    assert ended.dataset["remaining"] > 0
    assert len(list(world.records().elements())) == ROWS - 777


@pytest.mark.parametrize(
    ("options", "times"),
    [((), 1), (("--rows", "777"), 1), (("--no-tidy",), 0), (("--no-tidy", "--rows", "777"), 0)],
)
def test_a_run_tidies_up_unless_it_is_told_not_to(world: PgWorld, options: tuple[str, ...], times: int) -> None:
    """A budget of rows, as of a nightly run that never gets through, is no reason to leave the space unusable."""
    before = vacuums(world)

    assert world.lapse("run", *options).end().exit == 0

    await_condition(lambda: vacuums(world) == before + times, "the vacuum to be counted")


def test_a_transaction_does_not_rest_past_its_target(world: PgWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests of a tenth of a second after each page: not one begins when four fifths of the second are over."""
    real, stretches = clock.monotonic, Steps.stretches
    takes: list[int] = []

    def begin(steps: Steps) -> Iterator[Stretch]:
        takes.append(0)
        return stretches(steps)

    def rest(pacer: Pacer, seconds: float) -> None:
        takes[-1] += 1

    monkeypatch.setattr(clock, "monotonic", lambda: real() + sum(takes) / 10)
    monkeypatch.setattr(Steps, "stretches", begin)
    monkeypatch.setattr(Pacer, "burst", lambda pacer: 0.0)
    monkeypatch.setattr(Pacer, "rest", rest)

    world.run(20_000)

    assert 0 < max(takes) <= 8
