"""Texts that are hard to read as times, or are none: every store makes of them what the definition does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clocks import NO_TIMES, ODD_TIMES
from judging_worlds import Clock, Ground, Row, check_take, clamped
from test_deciding_duckdb import DuckdbGround
from test_deciding_jsonl import JsonlGround
from test_deciding_mysql import MariadbGround
from test_deciding_postgresql import PostgresGround
from test_deciding_sqlite import SqliteGround

from lapse.instant import Nanos, parse_rfc3339
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Hold, Rule
from lapse.model.selection import select
from servers.fixtures import PostgresPool
from servers.mariadb import mariadb

__all__ = ["mariadb"]

NOW = parse_rfc3339("2026-11-22T10:00:00Z")
_TEXTS = (*NO_TIMES, *ODD_TIMES, "9998-12-31", "9999-12-30 23:00:00", "0001-01-02 00:00:00", "2300-04-12", "1600-09-20")


@pytest.fixture(params=["sqlite", "duckdb", "jsonl", "postgresql15", "postgresql18", "mariadb"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Each store in turn."""
    files: dict[str, Callable[[Path], Ground]] = {"sqlite": SqliteGround, "duckdb": DuckdbGround, "jsonl": JsonlGround}
    if request.param in files:
        yield files[request.param](tmp_path)
    elif request.param == "mariadb":
        on_mariadb = MariadbGround(request.getfixturevalue("mariadb"))
        yield on_mariadb
        on_mariadb.drop()
    else:
        pool: PostgresPool = request.getfixturevalue("postgres_pool")
        server = pool.get(request.param.removeprefix("postgresql"))
        yield PostgresGround(server.create_database("odd_times"))
        server.drop_database("odd_times")


@pytest.mark.parametrize("zone", [None, "America/New_York", "Europe/Berlin"])
def test_a_text_is_the_time_that_the_definition_makes_of_it(ground: Ground, zone: str | None) -> None:
    """As a hold from each of those times on shows, and one that ends there; and none of them stops a removal."""
    clock: Clock = next(each for each in ground.clocks if each.name == "mixed")
    dataset = replace(ground.dataset(clock), zone=zone, doubt_before=None)
    cells = {name: values[0] for name, values in ground.columns.items()}
    seen = ground.fill(clock, [Row(key=key, at=text, cells=cells) for key, text in enumerate(_TEXTS, 1)])
    read = [clock.read(each.at, dataset) for each in seen]
    instants = [clamped(at) if ground.clamps and at is not None else at for at in read]

    rule = Rule(index=0, match=Match(), keep=parse_period("1 day"), waived=True)
    with ground.opened(dataset) as store:
        going = select(replace(dataset, rules=(rule,)), floors=(), holds=(), now=NOW, real_now=NOW)
        decided = {
            key: going.decide(at, each.fields.get) for key, (at, each) in enumerate(zip(instants, seen, strict=True), 1)
        }
        check_take(store, going, decided, "odd times")
        for border in sorted({at for at in instants if at is not None and at <= NOW}):
            holds = [
                Hold(matter="from", records_from=border),
                Hold(matter="before", records_before=Nanos(border + 1), records_from=Nanos(border - 1)),
            ]
            selection = select(dataset, floors=(), holds=holds, now=NOW, real_now=NOW)
            codes = next(ground.codes(store, selection))
            expected = [selection.decide(at, each.fields.get) for at, each in zip(instants, seen, strict=True)]
            assert [codes[key] for key in range(1, len(_TEXTS) + 1)] == expected, border
