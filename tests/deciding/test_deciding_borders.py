"""A nanosecond, a microsecond, a millisecond around every border: the same outcome whatever zones are set anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import psycopg
import pytest
from borders import STEPS, ZONES, all_borders
from judging_worlds import Clock, Ground, Row
from test_deciding_duckdb import DuckdbGround
from test_deciding_jsonl import JsonlGround
from test_deciding_mysql import MariadbGround
from test_deciding_postgresql import PostgresGround
from test_deciding_sqlite import SqliteGround

from lapse.instant import SECOND, Nanos
from servers.fixtures import PostgresPool
from servers.mariadb import MariadbServer, mariadb

__all__ = ["mariadb"]

_OFFSETS = {
    "UTC": "+00:00",
    "Pacific/Kiritimati": "+13:00",  # the furthest that MariaDB knows
    "America/New_York": "-05:00",
    "Europe/Berlin": "+01:00",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A store, and how its server's sessions get another zone.

    Attributes:
        ground: The store.
        clocks: Names of the time columns to look at.
        zoned: Sets the zone of new sessions, until the block is left.
    """

    ground: Ground
    clocks: Sequence[str]
    zoned: Callable[[str], AbstractContextManager[None]]


@contextmanager
def _nowhere(_: str) -> Iterator[None]:
    yield


@pytest.fixture(params=["sqlite", "duckdb", "jsonl", "postgresql15", "postgresql18", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each store in turn."""
    kind = request.param
    if kind == "sqlite":
        yield Place(ground=SqliteGround(tmp_path), clocks=("nanos", "micros", "mixed"), zoned=_nowhere)
    elif kind == "duckdb":
        yield Place(ground=DuckdbGround(tmp_path), clocks=("nanos",), zoned=_nowhere)
    elif kind == "jsonl":
        yield Place(ground=JsonlGround(tmp_path), clocks=("nanos", "mixed"), zoned=_nowhere)
    elif kind == "mariadb":
        yield from _on_mariadb(request.getfixturevalue("mariadb"))
    else:
        yield from _on_postgresql(request.getfixturevalue("postgres_pool"), kind.removeprefix("postgresql"))


def _on_mariadb(server: MariadbServer) -> Iterator[Place]:
    @contextmanager
    def zoned(zone: str) -> Iterator[None]:
        server.execute(f"SET GLOBAL time_zone = '{_OFFSETS[zone]}'")
        try:
            yield
        finally:
            server.execute("SET GLOBAL time_zone = 'SYSTEM'")

    ground = MariadbGround(server)
    yield Place(ground=ground, clocks=("micros", "stamps"), zoned=zoned)
    ground.drop()


def _on_postgresql(pool: PostgresPool, version: str) -> Iterator[Place]:
    server = pool.get(version)
    address = server.create_database("borders")

    @contextmanager
    def zoned(zone: str) -> Iterator[None]:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE borders SET timezone = '{zone}'")
        yield

    yield Place(ground=PostgresGround(address), clocks=("zoned", "naive"), zoned=zoned)
    server.drop_database("borders")


@contextmanager
def _process_in(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process takes *zone* for the local one."""
    with monkeypatch.context() as patch:
        patch.setitem(os.environ, "TZ", zone)
        patch.setitem(os.environ, "PGTZ", zone)
        time.tzset()
        yield
    time.tzset()


def _told(place: Place, clock: Clock, zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every record at a border of a zone that fares otherwise than by arithmetic.

    What else is set to a zone, process and server, is set to another one for each border in turn.
    """
    ground, borders, rng = place.ground, all_borders(zone), Random(zone)
    dataset = replace(ground.dataset(clock), zone=zone)
    wanted = sorted({border.at + step for border in borders for step in STEPS})
    cells = {name: values[0] for name, values in ground.columns.items()}
    rows = [Row(key=key, at=clock.write(rng, Nanos(at), zone), cells=cells) for key, at in enumerate(wanted, 1)]
    instants = [clock.read(each.at, dataset) for each in ground.fill(clock, rows)]
    for number, elsewhere in enumerate(ZONES):
        with ExitStack() as ends:
            ends.enter_context(place.zoned(elsewhere))
            ends.enter_context(_process_in(elsewhere, monkeypatch))
            store = ends.enter_context(ground.opened(dataset))
            for border in borders[number :: len(ZONES)]:
                selection = border.select(dataset)
                codes = next(ground.codes(store, selection))
                near = [(key, at) for key, at in enumerate(instants, 1) if at and abs(at - border.at) < 60 * SECOND]
                for key, at in near:
                    verdict = selection.outcomes[codes[key]].verdict
                    if verdict is not border.verdict(at):
                        yield f"{border.name} at {border.at}, {clock.name}, {zone}, in {elsewhere}: {at} is {verdict}"


@pytest.mark.parametrize("zone", ZONES)
def test_every_border_is_where_arithmetic_puts_it_whatever_zones_are_set(
    place: Place, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cutoffs, floors, holds' windows, doubt: ±1 ns, µs and ms at changes of clocks, in four zones of data and host."""
    clocks = [clock for clock in place.ground.clocks if clock.name in place.clocks]

    wrong = [each for clock in clocks for each in _told(place, clock, zone, monkeypatch)]

    assert len(clocks) == len(place.clocks)
    assert wrong == []
