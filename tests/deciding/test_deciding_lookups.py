"""Rules that are looked up in side tables decide as the definition does, however few they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import random_policies
from judging_worlds import Ground, Size, check_that_much_was_tried, hold_against_the_definition
from test_deciding_postgresql import PostgresGround
from test_deciding_sqlite import SqliteGround

from lapse.sqlcore import lookups
from lapse.sqlcore.sidetables import Placed
from servers.postgres import PostgresServer

_SHORT, _FULL = Size(rounds=7, policies=6, rows=300), Size(rounds=13, policies=6, rows=300)
_SIZES = pytest.mark.parametrize("size", [_SHORT, pytest.param(_FULL, marks=pytest.mark.soak)], ids=["short", "full"])


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A single text is enough for a side table. The names of those that statements ask."""
    asked: list[str] = []
    look_up = Placed.look_up

    def noted(self: Placed, *arguments: object) -> object:
        asked.append(self.name)
        return look_up(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(lookups, "FEWEST", 1)
    monkeypatch.setattr(Placed, "look_up", noted)
    return asked


def _held(ground: Ground, looked_up: list[str], size: Size) -> None:
    ground.menu = replace(ground.menu, counts=(1, 6, 20, 60))
    done = hold_against_the_definition(ground, 7, size)

    check_that_much_was_tried(done, 20_000 * size.rounds // _FULL.rounds)
    assert len(set(looked_up)) > 20


def _held_by_two(ground: Ground, monkeypatch: pytest.MonkeyPatch, size: Size) -> None:
    """Rules that ask for texts of two fields, and for nothing else."""
    known, two = frozenset(ground.menu.texts), dict(list(ground.menu.texts.items())[:2])
    monkeypatch.setattr(ground, "has", known.__contains__)
    monkeypatch.setattr(random_policies, "FORMS", random_policies.FORMS[:1])
    monkeypatch.setattr(ground, "menu", replace(ground.menu, texts=two, counts=(20, 60)))
    hold_against_the_definition(ground, 8, size)


def test_sqlite_looks_rules_up_as_the_definition_finds_them(tmp_path: Path, looked_up: list[str]) -> None:
    """Policies of one rule and of many: what is looked up and what is tried together give the first that matches."""
    _held(SqliteGround(tmp_path), looked_up, _FULL)


def test_sqlite_tells_the_texts_of_two_fields_apart(
    tmp_path: Path, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each field has its own column, whichever comes first in the index."""
    _held_by_two(SqliteGround(tmp_path), monkeypatch, _FULL)
    assert looked_up


@pytest.fixture(scope="module")
def ground(postgres: PostgresServer) -> Iterator[PostgresGround]:
    """Tables in a database of their own, on each version in turn."""
    yield PostgresGround(postgres.create_database("looking_up"))
    postgres.drop_database("looking_up")


@_SIZES
def test_postgresql_looks_rules_up_as_the_definition_finds_them(
    ground: PostgresGround, looked_up: list[str], size: Size
) -> None:
    """The same, whatever collation a column has."""
    _held(ground, looked_up, size)


@_SIZES
def test_postgresql_tells_the_texts_of_two_fields_apart(
    ground: PostgresGround, looked_up: list[str], monkeypatch: pytest.MonkeyPatch, size: Size
) -> None:
    """Each field has its own column, whichever comes first in the index."""
    _held_by_two(ground, monkeypatch, size)
    assert looked_up
