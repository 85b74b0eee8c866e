"""What names a row of a SQLite table for people: the key that was declared, whatever orders the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_worlds import connected

from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Hold, Rule
from lapse.model.selection import Selection, Verdict, select
from lapse.stores.sqlite import SqliteStore
from lapse.testing.harness import NOW

OLD = "2020-01-01 00:00:00"


@contextmanager
def opened(
    path: Path, definition: str, rows: Sequence[tuple[object, ...]], *, holds: Sequence[Hold] = ()
) -> Iterator[tuple[SqliteStore, Selection]]:
    """A store with a table of that definition, and what decides about its rows: all have lapsed that no hold keeps."""
    with connected(path) as connection:
        connection.execute(f"CREATE TABLE log ({definition}")
        connection.executemany(f"INSERT INTO log VALUES ({', '.join('?' * len(rows[0]))})", rows)
    rule = Rule(index=0, match=Match(), keep=parse_period("10 days"), waived=True)
    dataset = Dataset(name="log", store=f"sqlite:///{path}", shown="log.db", table="log", time="at", rules=(rule,))
    store = SqliteStore(dataset, read_only=True)
    try:
        yield store, select(dataset, floors=(), holds=holds, now=NOW, real_now=NOW)
    finally:
        store.close()


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    """Where the database will be."""
    return tmp_path / "log.db"


@pytest.mark.parametrize("ending", [")", ") WITHOUT ROWID"])
def test_a_key_of_several_columns_names_a_row(path: Path, ending: str) -> None:
    """Its texts with commas between, wherever commas stand within them; what is shown can be asked for."""
    keys = [("a", 1), ("a,b", 2), ("o'x", 3), ("", 4), ("A", 1), ("," * 80, 5)]
    with opened(path, f"host TEXT, at, id INTEGER, PRIMARY KEY (host, id){ending}", [
        (host, OLD, number) for host, number in keys
    ]) as (store, selection):  # fmt: skip
        for host, number in keys:
            key = f"{host},{number}"
            assert [each.key for each in store.find(selection, key)] == [key]
        for wrong in ("a", "a,1,1", "a,b", "1", "", "a,01"):
            assert list(store.find(selection, wrong)) == []
        assert store.key_fields() == ("host", "id")


def test_a_text_that_is_the_key_names_a_row_exactly(path: Path) -> None:
    """Letter case included, whatever the column's collation; NULL, which SQLite lets stand in a key, names nothing."""
    rows = [("K1", OLD), ("5", OLD), (None, OLD)]
    with opened(path, "id TEXT PRIMARY KEY COLLATE NOCASE, at)", rows) as (store, selection):
        found = {key: len(list(store.find(selection, key))) for key in ("K1", "k1", "5", "1", "")}

    assert found == {"K1": 1, "k1": 0, "5": 1, "1": 0, "": 0}


def test_rows_are_held_by_the_key_that_was_declared(path: Path) -> None:
    """A declared key lasts, though it is not the rowid; of a table without one, no row can be held by key."""
    hold = Hold(matter="M-1", dataset="log", keys=("a,b,2", "a,1"))
    rows = [("a", 1, OLD), ("a,b", 2, OLD), ("a", 3, OLD), (None, 1, OLD)]
    with opened(path, "host TEXT, id INTEGER, at, PRIMARY KEY (host, id))", rows, holds=[hold]) as (store, selection):
        counts = {selection.outcomes[tally.code].verdict: tally.records for tally in store.survey(selection)}
        unnamed = store.unnamed()

    assert counts == {Verdict.HELD: 2, Verdict.LAPSED: 2}
    assert unnamed is None


def test_rows_without_a_declared_key_have_no_name_that_lasts(path: Path) -> None:
    """Their rowids may change: `why` takes them, `hold` does not."""
    with opened(path, "host TEXT, at)", [("a", OLD)]) as (store, selection):
        assert [each.key for each in store.find(selection, "1")] == ["1"]
        assert store.unnamed() == "table log has no primary key, and VACUUM may renumber its rows"
