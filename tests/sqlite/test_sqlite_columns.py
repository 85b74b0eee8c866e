"""A survey under very many rules, in columns, counts what one that tries each rule counts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lapse.instant import Nanos, rfc3339
from lapse.model.plan import Tally
from lapse.model.policy import Dataset
from lapse.model.selection import Destination, Selection, select
from lapse.sqlcore import lookups
from lapse.stores.sqlite import SqliteStore, surveying
from lapse.stores.sqlite.slicing import Cell
from lapse.testing.flow import rule
from lapse.testing.harness import NOW

_DAY = 86_400 * 10**9
_ODD: list[object] = ["", "a,b", "it's", "two\nlines", "NULL", "A", "a", " a ", "é", None, 7, "7", b"blob", 1.5]
_ROWS = 3_000


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose rows have any tenant and time; stretches are short."""
    monkeypatch.setattr(surveying, "_CELL", 300)
    with closing(sqlite3.connect(tmp_path / "log.db")) as file, file:
        file.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, tenant, kind TEXT)")
        times = (
            None if n % 97 == 0 else "no time" if n % 89 == 0 else rfc3339(Nanos(NOW - (n * 7919 % 100) * _DAY))
            for n in range(_ROWS)
        )
        rows = ((n * 3, at, _ODD[n % len(_ODD)], f"k{n // 7 % 11}") for n, at in enumerate(times))
        file.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)
    return tmp_path / "log.db"


def _selection(path: Path, *, tenant: str | None = "tenant") -> tuple[Dataset, Selection]:
    """A rule for each tenant that is a text and each kind but the last; some archive."""
    rules = [
        rule(f"{10 + 20 * (t % 3)} days", ("cold",) if k == 1 else (), tenant=str(name), kind=f"k{k}")
        for t, name in enumerate(dict.fromkeys(map(str, _ODD)))
        for k in range(10)
    ]
    numbered = tuple(replace(each, index=index) for index, each in enumerate(rules))
    log = Dataset(
        name="log", store=f"sqlite:///{path}", shown="log", table="log", time="at", tenant=tenant, rules=numbered
    )  # fmt: skip
    return log, select(log, floors=(), holds=(), now=NOW, real_now=NOW)


def _surveyed(
    log: Dataset, selection: Selection, mark: dict[str, tuple[int, ...]] | None
) -> tuple[tuple[Tally, ...], list[Cell]]:
    store = SqliteStore(log, read_only=True)
    try:
        return tuple(store.survey(selection, mark)), list(store._cells(selection, mark))
    finally:
        store.close()


def _check(log: Dataset, selection: Selection, mark: dict[str, tuple[int, ...]] | None = None) -> tuple[Tally, ...]:
    tallies, cells = _surveyed(log, selection, mark)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookups, "FEWEST", 10**9)
        tried = _surveyed(log, selection, mark)

    assert (tallies, cells) == tried
    assert len(cells) >= 5
    return tallies


def test_tenants_of_any_value_and_none_are_told_apart(path: Path) -> None:
    """Records, sizes, extents, checksums, and where what lapsed lies."""
    log, selection = _selection(path)

    found = _check(log, selection)

    assert {tally.tenant for tally in found} == {each for each in _ODD if isinstance(each, str | None)}
    assert sum(tally.records for tally in found) == _ROWS


def test_bytes_that_are_no_text_are_replaced(path: Path) -> None:
    """Two that read the same are one tenant."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE log SET tenant = CAST(x'61ff' AS TEXT) WHERE id % 1500 = 0")
        file.execute("UPDATE log SET tenant = CAST(x'61fe' AS TEXT) WHERE id % 1500 = 3")
    log, selection = _selection(path)

    assert "a\ufffd" in {tally.tenant for tally in _check(log, selection)}


def test_what_came_after_a_sealed_plan_is_not_counted(path: Path) -> None:
    """Keys above its mark."""
    log, selection = _selection(path)

    assert sum(tally.records for tally in _check(log, selection, {"id": (6_000,)})) == 2_001


def test_a_dataset_without_tenants_is_counted(path: Path) -> None:
    """All of them have none."""
    log, selection = _selection(path, tenant=None)

    assert {tally.tenant for tally in _check(log, selection)} == {None}


def test_an_empty_table_has_no_tallies(path: Path) -> None:
    """And no cells."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM log")
    log, selection = _selection(path)

    assert _surveyed(log, selection, None) == ((), [])


def test_few_groups_of_a_stretch_are_remembered(path: Path) -> None:
    """So that what lapsed as a whole need not be looked at again."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE log SET tenant = 'a', kind = 'k' || (id % 4), at = '2000-01-01' WHERE id < 1800")
    log, selection = _selection(path)
    _check(log, selection)

    _, (first, *_, last) = _surveyed(log, selection, None)

    assert first.tallies is not None
    assert sum(tally.records for tally in first.tallies) == first.rows == 300
    assert first.lapsed == Counter({Destination(()): 225, Destination(("cold",)): 75})
    assert last.tallies is None
