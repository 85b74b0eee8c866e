"""A survey under very many rules, in columns, counts what one that tries each rule counts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Disposal, Waiver
from lapse.model.plan import Tally
from lapse.model.policy import Dataset
from lapse.model.selection import Destination, Selection, select
from lapse.ports import Budget, Slice
from lapse.sqlcore import lookups
from lapse.stores.sqlite import SqliteStore, columncounts, surveying
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.stores.sqlite.seeing import SliceReader
from lapse.stores.sqlite.slicing import Cell
from lapse.testing.flow import facts_of, rule
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


# What a survey remembers for slices


def _emptied(log: Dataset, selection: Selection, *, rows: int, surveyed: bool = True) -> list[Disposal]:
    """Remove what goes without a copy, slice by slice."""
    store, gone = SqliteStore(log, read_only=False), list[Disposal]()
    try:
        if surveyed:
            list(store.survey(selection))
        for piece in store.slices(selection, facts_of(selection), Budget(rows=rows)):
            if not piece.destination.archives:
                with store.take(piece) as taken:
                    gone.append(replace(taken.commit(Waiver(slice=piece.name)), at=NOW))
    finally:
        store.close()
    return gone


def _left(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT * FROM log ORDER BY 1").fetchall()


@pytest.mark.parametrize("rows", [7, 250, 1000, 100_000])
@pytest.mark.parametrize("room", [0, 700, 10**9])
def test_what_was_judged_once_goes_as_if_it_were_judged_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, room: int
) -> None:
    """The same rows in the same slices, counted alike: all of them remembered, some, or none."""
    log, selection = _selection(path)
    before = path.read_bytes()
    expected = _emptied(log, selection, rows=rows, surveyed=False), _left(path)
    path.write_bytes(before)
    monkeypatch.setattr(columncounts, "MOST_REMEMBERED", room)
    judged, count = list[object](), SliceReader._judged

    def noted(self: SliceReader, keys: KeyRange, **asked: Any) -> list[Any]:
        judged.append(keys)
        return count(self, keys, **asked)

    monkeypatch.setattr(SliceReader, "_judged", noted)
    found = _emptied(log, selection, rows=rows), _left(path)

    assert found[0] == expected[0]
    assert [each.shares for each in found[0]] == [each.shares for each in expected[0]]
    assert found[1] == expected[1]
    assert bool(judged) == (room < 10**9 or rows == 7)  # a stretch with more than a slice may have is cut by judging it


@pytest.mark.parametrize(
    "write",
    [
        "UPDATE log SET at = '2026-11-21T00:00:00Z' WHERE id % 2 = 0",
        "UPDATE log SET tenant = 'nobody' WHERE id % 2 = 0",
        "INSERT INTO log SELECT id + 1, '2026-11-21T00:00:00Z', tenant, kind FROM log",
        "DELETE FROM log WHERE id % 2 = 0",
    ],
)
@pytest.mark.parametrize("when", ["amid", "survey", "cut", "count"])
def test_what_is_remembered_is_not_relied_on_after_somebody_wrote(
    path: Path, monkeypatch: pytest.MonkeyPatch, write: str, when: str
) -> None:
    """Amid the survey, before the first slice is cut, before it is taken, or between its count and its commit."""
    log, selection = _selection(path)
    stretches = surveying.stretches

    def interrupted(walk: KeyWalk, end: Key | None) -> Iterator[KeyRange]:
        for number, keys in enumerate(stretches(walk, end)):
            if number == 2 and when == "amid":
                written()
            yield keys

    def written() -> None:
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(write)

    monkeypatch.setattr(surveying, "stretches", interrupted)
    store = SqliteStore(log, read_only=False)
    list(store.survey(selection))
    if when == "survey":
        written()
    (piece, *_) = store.slices(selection, facts_of(selection), Budget(rows=500))
    if when == "cut":
        written()
    with store.take(piece) as taken:
        taken.tallies()
        if when == "count":
            written()
        going = _going(path, log, selection, piece)
        disposal = taken.commit(Waiver(slice=piece.name))
    store.close()

    assert disposal.records == len(going) > 0
    assert not going & {key for key, *_ in _left(path)}


def _going(path: Path, log: Dataset, selection: Selection, piece: Slice) -> set[object]:
    """The keys of a slice that go, by the definition: each rule tried on each row."""
    (_, after, until), codes = piece.bounds, selection.lapsed_codes(piece.destination)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookups, "FEWEST", 10**9)
        store = SqliteStore(log, read_only=True)
        keys = [key for key, *_ in _left(path) if (after or -1) < key <= until]  # type: ignore[operator]
        found = {key: next(store.find(selection, str(key))).code for key in keys}
        store.close()
    return {key for key, code in found.items() if code in codes}


def test_a_trigger_that_changes_other_rows_is_heeded(path: Path) -> None:
    """Each removal makes the next row young: what was remembered of it is not so any more."""
    with closing(sqlite3.connect(path)) as file, file:
        young = "UPDATE log SET at = '2026-11-21T00:00:00Z' WHERE id > OLD.id + 899"
        file.execute(f"CREATE TRIGGER renewed AFTER DELETE ON log BEGIN {young}; END")
    log, selection = _selection(path)

    _emptied(log, selection, rows=300)

    left = _left(path)
    assert {key for key, *_ in left} >= {3 * number for number in range(700, _ROWS)}
    assert _ROWS - len(left) > 50
