"""Every value that SQLite can hold goes through Arrow and back unchanged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_worlds import connected

from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Rule
from lapse.model.selection import Selection, select
from lapse.ports import Budget
from lapse.stores.sqlite import SqliteStore
from lapse.testing.flow import Drained, drain, facts_of, prove
from lapse.testing.harness import NOW

OLD = "2020-01-01 00:00:00"
AWKWARD = [
    None, 0, -1, 2**63 - 1, -(2**63), 2**53 + 1, 0.0, -0.0, 1.5, 2.0, float("inf"), float("-inf"), 5e-324, 1e308,
    "", "text", "nul \0 inside", "é 𝄞 \u202e", "12", "1.0", b"", b"\x00\xff", b"text", "x" * 70_000,
]  # fmt: skip
INVALID = [b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80", b"ok \xc3", b"nul \x00 \xff"]


def dataset(path: Path, *, archives: tuple[str, ...] = ("cold",), table: str = "log") -> Dataset:
    """All rows older than ten days."""
    rule = Rule(index=0, match=Match(), keep=parse_period("10 days"), archives=archives, waived=not archives)
    return Dataset(name="log", store=f"sqlite:///{path}", shown="log.db", table=table, time="at", rules=(rule,))


def selection_of(found: Dataset) -> Selection:
    """The dataset at `NOW`."""
    return select(found, floors=(), holds=(), now=NOW, real_now=NOW)


def remove_all(path: Path, table: str = "log") -> list[Drained]:
    """Archive and remove every row, and give what was archived."""
    found = dataset(path, table=table)
    store, selection = SqliteStore(found, read_only=False), selection_of(found)
    parts: list[Drained] = []
    for piece in store.slices(selection, facts_of(selection), Budget()):
        with store.take(piece) as taken:
            drained = drain(taken.parts())
            taken.commit(prove(piece, drained))
            parts += drained
    store.close()
    return parts


def restore_all(path: Path, parts: list[Drained], table: str = "log") -> list[tuple[int, int]]:
    """Restore everything; restored and present of each part."""
    store = SqliteStore(dataset(path, table=table), read_only=False)
    counts = [store.restore(part.again()) for part in parts]
    store.close()
    return [(count.restored, count.present) for count in counts]


def content(path: Path, table: str = "log") -> list[tuple[object, ...]]:
    """Every row to the byte, with the types of its cells."""
    with connected(path) as connection:
        connection.text_factory = bytes
        names = [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]
        cells = ", ".join(f'typeof("{name}"), quote(CAST("{name}" AS BLOB)), "{name}"' for name in names)
        return sorted(connection.execute(f"SELECT {cells} FROM {table}").fetchall(), key=repr)


def make(path: Path, definition: str, rows: list[tuple[object, ...]], invalid: list[bytes] | None = None) -> None:
    """A table with a time and two more columns."""
    path.unlink(missing_ok=True)
    with connected(path) as connection:
        connection.execute(f"CREATE TABLE log (at TEXT, {definition})")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO log VALUES (?, ?, ?)", [(OLD, *row) for row in rows])
        for number, data in enumerate(invalid or []):
            connection.execute("INSERT INTO log VALUES (?, ?, CAST(? AS TEXT))", (OLD, 1000 + number, data))
        connection.execute("COMMIT")


@pytest.mark.parametrize("declared", ["", "TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "DECIMAL(10, 2)", "DATETIME"])
@pytest.mark.parametrize("key", ["id INTEGER PRIMARY KEY", "id INT"])
def test_every_value_comes_back_as_it_was(tmp_path: Path, declared: str, key: str) -> None:
    """Mixed types, extremes, NULs and texts that are no UTF-8, in a column of each affinity."""
    path = tmp_path / "log.db"
    make(path, f"{key}, value {declared}", list(enumerate(AWKWARD)), INVALID)
    before = content(path)

    parts = remove_all(path)

    assert content(path) == []
    assert restore_all(path, parts) == [(len(before), 0)]
    assert content(path) == before
    assert restore_all(path, parts) == [(0, len(before))]
    assert content(path) == before


def test_a_table_that_is_gone_is_made_again(tmp_path: Path) -> None:
    """With the declared types; even the file may be missing."""
    path, other = tmp_path / "log.db", tmp_path / "new.db"
    make(path, "id INTEGER PRIMARY KEY, value NUMERIC", list(enumerate(AWKWARD)), INVALID)
    before = content(path)

    parts = remove_all(path)

    assert restore_all(other, parts) == [(len(before), 0)]
    assert content(other) == before
    assert restore_all(other, parts) == [(0, len(before))]


def test_equal_rows_without_a_key_come_back_as_often_as_they_were(tmp_path: Path) -> None:
    """Three equal rows are three; those that are there already count."""
    path = tmp_path / "log.db"
    make(path, "id INT, value", [(1, "a"), (1, "a"), (1, "a"), (2, "b")])
    before = content(path)
    parts = remove_all(path)
    with connected(path) as connection:
        connection.execute("INSERT INTO log VALUES (?, 1, 'a')", (OLD,))

    assert restore_all(path, parts) == [(3, 1)]
    assert content(path) == before


def test_a_column_of_lapses_own_name_and_odd_names_are_no_matter(tmp_path: Path) -> None:
    """The odd column gets another name; quotes and dots in names are letters."""
    path = tmp_path / "log.db"
    with connected(path) as connection:
        connection.execute('CREATE TABLE "l ""o.g" (at TEXT, "_lapse_odd" INT, "c0" TEXT, "a""b.c" INT, "select" INT)')
        connection.execute('INSERT INTO "l ""o.g" VALUES (?, 1, ?, ?, 3)', (OLD, b"blob", "text"))

    (part,) = remove_all(path, 'l "o.g')

    assert part.part.odd_column == "_lapse_odd_"
    assert restore_all(path, [part], 'l "o.g') == [(1, 0)]
    with connected(path) as connection:
        assert connection.execute('SELECT * FROM "l ""o.g"').fetchall() == [(OLD, 1, b"blob", "text", 3)]


def test_a_generated_column_is_archived_and_computed_again(tmp_path: Path) -> None:
    """It can be the time; a restore does not write it."""
    path = tmp_path / "log.db"
    with connected(path) as connection:
        connection.execute(
            "CREATE TABLE log (id INTEGER PRIMARY KEY, doc TEXT, "
            "at TEXT GENERATED ALWAYS AS (json_extract(doc, '$.at')))"
        )
        connection.execute("INSERT INTO log (doc) VALUES (?)", ('{"at": "2020-01-01 00:00:00"}',))
    before = content(path)

    (part,) = remove_all(path)

    assert part.batches[0].column("at").to_pylist() == [OLD]  # type: ignore[union-attr]
    assert restore_all(path, [part]) == [(1, 0)]
    assert content(path) == before


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that examples overwrite."""
    return tmp_path_factory.mktemp("cells") / "log.db"


value = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(st.tuples(value, value), max_size=12), declared=st.sampled_from(["", "TEXT", "INT", "NUMERIC"]))
def test_any_rows_survive_archive_and_restore(scratch: Path, rows: list[tuple[object, ...]], declared: str) -> None:
    """Whatever stands beside what."""
    rows = [row for row in rows if not any(isinstance(cell, str) and _surrogates(cell) for cell in row)]
    make(scratch, f"one {declared}, two", rows)
    before = content(scratch)

    parts = remove_all(scratch)
    restore_all(scratch, parts)

    assert content(scratch) == before


def _surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def test_a_utf_16_database_is_read_alike(tmp_path: Path) -> None:
    """Texts of another encoding match, are timed and come back."""
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE log (at TEXT, doc TEXT)")
        connection.executemany(
            "INSERT INTO log VALUES (?, ?)", [("2020-01-01T00:00:00,5+02", '{"who": "zoë"}'), (OLD, "𝄞")]
        )
    connection.close()
    before = content(path)

    parts = remove_all(path)

    assert content(path) == []
    restore_all(path, parts)
    assert content(path) == before
