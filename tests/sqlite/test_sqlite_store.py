"""What is particular to SQLite: its locks, journals, rowids, triggers and loose times."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_worlds import connected

from lapse.errors import (
    ChangedError,
    CommitUnknownError,
    PolicyError,
    StoreError,
    StoreMissingError,
    UnsupportedError,
)
from lapse.instant import SECOND, Nanos, to_datetime
from lapse.model.disposal import Waiver
from lapse.model.match import Condition, Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Rule, TimeFormat
from lapse.model.selection import Selection, select
from lapse.ports import Budget, Slice
from lapse.stores.sqlite import SqliteStore
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.slicing import Pace
from lapse.testing.flow import drain, facts_of, keys_of, prove
from lapse.testing.harness import NOW

OLD, NEW = "2020-01-01 00:00:00", to_datetime(Nanos(NOW - SECOND)).strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture(autouse=True)
def _stores_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also those that a test expects to fail: a connection that is merely forgotten warns in a later test."""
    made: list[SqliteStore] = []
    begin = SqliteStore.__init__

    def noted(self: SqliteStore, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(SqliteStore, "__init__", noted)
    yield
    for store in made:
        store.close()


def dataset(path: Path, *, archived: bool = True, **more: Any) -> Dataset:
    """All rows older than ten days."""
    archives = ("cold",) if archived else ()
    rule = Rule(index=0, match=Match(), keep=parse_period("10 days"), archives=archives, waived=not archived)
    settings_ = {"table": "log", "time": "at", "rules": (rule,), **more}
    return Dataset(name="log", store=f"sqlite:///{path}", shown="log.db", **settings_)


def judged(found: Dataset) -> Selection:
    """The dataset at `NOW`."""
    return select(found, floors=(), holds=(), now=NOW, real_now=NOW)


def slices(store: SqliteStore, selection: Selection, rows: int = 50_000) -> list[Slice]:
    """All slices."""
    return list(store.slices(selection, facts_of(selection), Budget(rows=rows)))


def fill(path: Path, rows: list[tuple[object, ...]], definition: str = "id INTEGER PRIMARY KEY, at, body") -> None:
    """A table with these rows."""
    with connected(path) as connection:
        connection.execute(f"CREATE TABLE log ({definition})")
        connection.execute("BEGIN")
        marks = ", ".join("?" * len(rows[0])) if rows else ""
        if rows:
            connection.executemany(f"INSERT INTO log VALUES ({marks})", rows)
        connection.execute("COMMIT")


def ids(path: Path) -> list[int]:
    """Keys that are left."""
    with connected(path) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM log ORDER BY id")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "log.db"


# Opening


def test_a_missing_file_is_said_and_not_made(path: Path) -> None:
    """Looking at a path that leads nowhere leaves nothing there."""
    with pytest.raises(StoreMissingError, match="no such file"):
        SqliteStore(dataset(path), read_only=False).identity()

    assert not path.exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"not a database, but long enough to be looked at" * 40), "no SQLite database"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path), "not a regular file"),
    ],
)
def test_what_is_no_database_is_said(path: Path, spoil: Callable[[Path], None], message: str) -> None:
    """A text file, a folder and a pipe each get their own sentence."""
    spoil(path)

    with pytest.raises(StoreError, match=message):
        SqliteStore(dataset(path), read_only=False).identity()


def test_a_file_with_two_names_is_refused(path: Path) -> None:
    """SQLite's journal goes by the name, and so do Lapse's lease and SQLite's own locks."""
    fill(path, [(1, OLD, "x")])
    path.with_name("other.db").hardlink_to(path)

    with pytest.raises(UnsupportedError, match="2 names"):
        SqliteStore(dataset(path), read_only=False).identity()


def test_a_damaged_file_is_said(path: Path) -> None:
    """A page of garbage in the middle is an error with advice, and nothing goes."""
    fill(path, [(n, OLD, "x" * 500) for n in range(2000)])
    data = bytearray(path.read_bytes())
    data[40_960:200_000] = b"\xff" * (200_000 - 40_960)
    path.write_bytes(bytes(data))
    store = SqliteStore(dataset(path), read_only=False)

    with pytest.raises(StoreError, match="damaged") as caught:
        list(store.survey(judged(dataset(path))))

    assert "integrity_check" in (caught.value.hint or "")
    store.close()


def test_a_link_that_the_user_gave_is_followed(path: Path) -> None:
    """The fingerprint and the lease are those of the file itself."""
    fill(path, [(1, OLD, "a")])
    link = path.with_name("link.db")
    link.symlink_to(path)
    one, other = SqliteStore(dataset(path), read_only=True), SqliteStore(dataset(link), read_only=True)

    assert one.identity().fingerprint == other.identity().fingerprint
    with other.lease():
        assert (path.parent / "log.db.lapse-lock").exists()
    one.close()
    other.close()


def test_a_wrong_table_or_column_names_the_nearest(path: Path) -> None:
    """A typo in the policy is answered with what there is."""
    fill(path, [(1, OLD, "a")])
    wrongs: list[tuple[dict[str, Any], str]] = [({"table": "lgo"}, "log"), ({"time": "att"}, "at")]
    for wrong, hint in [*wrongs, ({"tenant": "boddy"}, "body")]:
        with pytest.raises(StoreMissingError) as caught:
            SqliteStore(dataset(path, **wrong), read_only=True).identity()
        assert hint in (caught.value.hint or "")


def test_a_table_of_another_case_is_the_same_table(path: Path) -> None:
    """SQL does not tell LOG from log, and neither does the fingerprint."""
    fill(path, [(1, OLD, "a")])
    plain, loud = dataset(path), dataset(path, table="LOG", time="AT")

    assert (
        SqliteStore(plain, read_only=True).identity().fingerprint
        == SqliteStore(loud, read_only=True).identity().fingerprint
    )


def test_reading_only_is_enforced_by_sqlite(path: Path) -> None:
    """Not even a statement of ours can write."""
    fill(path, [(1, OLD, "a")])
    database = Database(f"sqlite:///{path}", shown="log.db", read_only=True)

    for statement in ("DELETE FROM log", "PRAGMA user_version = 7", "CREATE TABLE x (y)"):
        with pytest.raises(StoreError):
            database.rows(statement)

    database.close()
    assert ids(path) == [1]


def test_a_locked_file_is_an_error_and_nothing_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program holds the write lock for longer than we wait."""
    monkeypatch.setattr("lapse.stores.sqlite.database._WAIT", 0.05)
    fill(path, [(1, OLD, "a")])
    found = dataset(path)
    store = SqliteStore(found, read_only=False)
    (piece,) = slices(store, judged(found))
    with connected(path) as other, store.take(piece) as taken:
        drained = drain(taken.parts())
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            taken.commit(prove(piece, drained))
        other.execute("ROLLBACK")

    assert not isinstance(caught.value, CommitUnknownError)
    assert ids(path) == [1]
    store.close()


def test_a_commit_that_readers_block_is_rolled_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In rollback mode a reader can keep a commit out; then nothing was removed, and it is known."""
    monkeypatch.setattr("lapse.stores.sqlite.database._WAIT", 0.05)
    fill(path, [(n, OLD, "a") for n in range(10)])
    found = dataset(path)
    store = SqliteStore(found, read_only=False)
    (piece,) = slices(store, judged(found))
    with connected(path) as reader, store.take(piece) as taken:
        drained = drain(taken.parts())
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM log").fetchone()
        with pytest.raises(StoreError, match="locked") as caught:
            taken.commit(prove(piece, drained))
        assert not isinstance(caught.value, CommitUnknownError)
        reader.execute("ROLLBACK")

    assert ids(path) == list(range(10))
    assert list(store.recover(lambda _: True)) == []
    store.close()


def test_a_full_disk_rolls_the_slice_back(path: Path) -> None:
    """A process that may not write larger files: the rows stay, and the error says which kind it is."""
    fill(path, [(n, OLD, "x" * 2000) for n in range(3000)])
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_sqlite_store import *\n"
        "found = dataset(Path(sys.argv[1]), archived=False)\n"
        "store = SqliteStore(found, read_only=False)\n"
        "piece = slices(store, judged(found))[0]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with store.take(piece) as taken: taken.commit(Waiver(slice=piece.name, rules=()))\n"
        "except StoreError as error: print(type(error).__name__)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path), str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() in ("StoreError", "CommitUnknownError")
    assert len(ids(path)) == 3000
    with connected(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_no_journal_is_left_when_a_store_is_closed(path: Path) -> None:
    """The journal that is kept between commits goes at the end."""
    fill(path, [(n, OLD, "a") for n in range(10)])
    found = dataset(path, archived=False)
    store = SqliteStore(found, read_only=False)
    for piece in slices(store, judged(found)):
        with store.take(piece) as taken:
            taken.commit(Waiver(slice=piece.name, rules=()))
    store.close()

    assert [file.name for file in path.parent.iterdir()] == ["log.db"]
    assert ids(path) == []


# Who it is

_PLAIN = "CREATE TABLE log (id INTEGER PRIMARY KEY, at)"


@pytest.mark.parametrize(
    ("definition", "table", "reason"),
    [
        ("CREATE VIEW log AS SELECT 1 AS id, '' AS at", "log", "view"),
        ("CREATE VIRTUAL TABLE log USING fts5(id, at)", "log", "virtual"),
        (f"{_PLAIN}; CREATE TABLE c (l REFERENCES log ON DELETE CASCADE)", "log", "CASCADE"),
        (f"{_PLAIN}; CREATE TABLE c (l REFERENCES LOG(id) ON DELETE SET NULL)", "log", "SET NULL"),
        ("CREATE TABLE log (id INTEGER PRIMARY KEY, at, up REFERENCES log ON DELETE CASCADE)", "log", "CASCADE"),
        ("CREATE TABLE log (rowid, oid, _rowid_, at)", "log", "rowid"),
        ("CREATE TABLE lapse_disposals (at)", "lapse_disposals", "not a table of records"),
    ],
)  # fmt: skip
def test_what_cannot_be_removed_safely_is_refused(path: Path, definition: str, table: str, reason: str) -> None:
    """Views, virtual tables, cascades and rows without a name each have their reason."""
    with connected(path) as connection:
        connection.executescript(definition)

    refusal = SqliteStore(dataset(path, table=table), read_only=True).identity().refusal

    assert refusal is not None
    assert reason in refusal


def test_triggers_and_references_are_reported(path: Path) -> None:
    """They do not stand against it, but people should know."""
    fill(path, [(1, OLD, "a")])
    with connected(path) as connection:
        connection.execute("CREATE TABLE child (log REFERENCES log)")
        connection.execute("CREATE TRIGGER gone AFTER DELETE ON log BEGIN SELECT 1; END")

    identity = SqliteStore(dataset(path), read_only=True).identity()

    assert identity.refusal is None
    assert any("child" in note for note in identity.notes)
    assert any("gone" in note for note in identity.notes)
    assert any("UTC" in note for note in identity.notes)


def test_a_row_that_is_referred_to_keeps_its_slice(path: Path) -> None:
    """Foreign keys hold for Lapse, whatever the application sets."""
    fill(path, [(1, OLD, "a"), (2, OLD, "b")])
    with connected(path) as connection:
        connection.execute("CREATE TABLE child (log REFERENCES log)")
        connection.execute("INSERT INTO child VALUES (2)")
    found = dataset(path, archived=False)
    store = SqliteStore(found, read_only=False)

    for piece in slices(store, judged(found)):
        with store.take(piece) as taken, pytest.raises(StoreError, match="constraint"):
            taken.commit(Waiver(slice=piece.name, rules=()))

    store.close()
    assert ids(path) == [1, 2]


def test_a_trigger_that_vetoes_a_delete_rolls_the_slice_back(path: Path) -> None:
    """What is not removed must not count as removed."""
    fill(path, [(n, OLD, "a") for n in range(5)])
    with connected(path) as connection:
        connection.execute("CREATE TRIGGER no BEFORE DELETE ON log WHEN old.id = 3 BEGIN SELECT RAISE(IGNORE); END")
    found = dataset(path)
    store = SqliteStore(found, read_only=False)
    (piece,) = slices(store, judged(found))

    with store.take(piece) as taken:
        drained = drain(taken.parts())
        with pytest.raises(StoreError, match="not 5"):
            taken.commit(prove(piece, drained))

    store.close()
    assert ids(path) == list(range(5))


def test_the_fingerprint_is_of_file_table_and_used_columns(path: Path) -> None:
    """New rows and unused columns change nothing; another type of a used one does."""
    fill(path, [(1, OLD, "a")])

    def text() -> str:
        store = SqliteStore(dataset(path, tenant="body"), read_only=True)
        found = store.identity().fingerprint.text
        store.close()
        return found

    first = text()
    with connected(path) as connection:
        connection.execute("INSERT INTO log VALUES (2, ?, 'b')", (NEW,))
        connection.execute("ALTER TABLE log ADD COLUMN more TEXT")
    assert text() == first
    with connected(path) as connection:
        connection.executescript("ALTER TABLE log DROP COLUMN body; ALTER TABLE log ADD COLUMN body INTEGER")
    assert text() != first


@pytest.mark.parametrize(
    ("definition", "marked"),
    [
        ("id INTEGER PRIMARY KEY, at, body", True),
        ("id INTEGER PRIMARY KEY DESC, at, body", False),
        ("id INT PRIMARY KEY, at, body", False),
        ("id, at, body", False),
    ],
)
def test_only_a_lasting_ascending_key_is_a_mark(path: Path, definition: str, marked: bool) -> None:
    """A rowid that VACUUM may renumber is none, and the reason says so."""
    fill(path, [(7, OLD, "a"), (9, OLD, "b")], definition)

    identity = SqliteStore(dataset(path), read_only=True).identity()

    assert (identity.mark is not None) is marked
    assert (identity.unmarked is None) is marked
    if identity.mark is not None:
        assert identity.mark.values == {"id": (9,)}


# Times


UNITS = {
    TimeFormat.SECONDS: 1_700_000_000,
    TimeFormat.MILLISECONDS: 1_700_000_000_123,
    TimeFormat.MICROSECONDS: 1_700_000_000_123_456,
    TimeFormat.NANOSECONDS: 1_700_000_000_123_456_789,
    TimeFormat.WEBKIT: 13_344_473_600_123_456,
}


@pytest.mark.parametrize("form", list(UNITS))
def test_the_unit_of_numbers_is_found(path: Path, form: TimeFormat) -> None:
    """One unit fits; a 0 and a number from nowhere are doubtful."""
    fill(path, [(1, UNITS[form], ""), (2, 0, ""), (3, 2**62, ""), (4, "2023-01-01 00:00:00", ""), (5, None, "")])
    found = dataset(path)
    store = SqliteStore(found, read_only=True)
    selection = judged(found)

    codes = [next(store.find(selection, str(key))) for key in range(1, 6)]

    assert [selection.outcomes[each.code].verdict.value for each in codes] == [
        "lapsed", "doubtful", "doubtful", "lapsed", "doubtful",
    ]  # fmt: skip
    expected = 1_700_000_000_000_000_000 + UNITS[form] % (SECOND // (form.unit or 1)) * (form.unit or 1)
    assert codes[0].instant == expected
    store.close()


def test_numbers_in_two_units_are_a_policy_error(path: Path) -> None:
    """No guess is made: the policy must say which one counts."""
    fill(path, [(1, 1_700_000_000, ""), (2, 1_700_000_000_000, "")])
    found = dataset(path)
    store = SqliteStore(found, read_only=True)

    with pytest.raises(PolicyError, match="several units") as caught:
        list(store.survey(judged(found)))

    assert "time format" in (caught.value.hint or "")
    named = replace(found, time_format=TimeFormat.SECONDS)
    assert [tally.records for tally in SqliteStore(named, read_only=True).survey(judged(named))] == [1, 1]
    store.close()


def test_reals_are_seconds_to_the_microsecond(path: Path) -> None:
    """As Python's time.time() writes them."""
    fill(path, [(1, 1_700_000_000.123456, "")], "id INTEGER PRIMARY KEY, at REAL, body")
    found = dataset(path)
    store = SqliteStore(found, read_only=True)

    assert next(store.find(judged(found), "1")).instant == 1_700_000_000_123_456_000
    store.close()


def test_texts_in_a_zone_are_read_in_it(path: Path) -> None:
    """A naive text of Paris is two hours later than it looks in summer."""
    fill(path, [(1, "2026-07-01 12:00:00", "")])
    found = dataset(path, zone="Europe/Paris")
    store = SqliteStore(found, read_only=True)

    assert to_datetime(next(store.find(judged(found), "1")).instant or Nanos(0)).hour == 10
    assert not [note for note in store.identity().notes if "UTC" in note]
    store.close()


def test_texts_that_are_no_utf_8_are_doubtful_times_and_no_harm(path: Path) -> None:
    """In the time, the tenant and elsewhere: counted, kept or archived, never in an error's text."""
    with connected(path) as connection:
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, tenant TEXT)")
        connection.execute("INSERT INTO log VALUES (1, CAST(? AS TEXT), 'a')", (b"2020-01-01\xff",))
        connection.execute("INSERT INTO log VALUES (2, ?, CAST(? AS TEXT))", (OLD, b"caf\xe9"))
    found = dataset(path, tenant="tenant")
    store, selection = SqliteStore(found, read_only=False), judged(found)

    tallies = {(tally.code, tally.tenant) for tally in store.survey(selection)}
    (piece,) = slices(store, selection)
    with store.take(piece) as taken:
        drained = drain(taken.parts())
        disposal = taken.commit(prove(piece, drained))

    store.close()
    assert tallies == {(0, "a"), (selection.lapsed_code(0), "caf\ufffd")}
    assert disposal.tenants == {"caf\ufffd": 1}
    assert ids(path) == [1]


# Slices


keys = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-30, 30), unique=True, max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=keys, old=st.integers(0, 2**40), rows=st.integers(1, 9), cell=st.integers(1, 7), surveyed=st.booleans())
def test_slices_visit_each_lapsed_row_once_and_are_bounded(
    tmp_path_factory: pytest.TempPathFactory, found: list[int], old: int, rows: int, cell: int, surveyed: bool
) -> None:
    """Gaps, negative and extreme rowids, sparse lapsed rows, with and without a survey before."""
    path = tmp_path_factory.mktemp("slices") / "log.db"
    fill(path, [(key, OLD if old >> place & 1 else NEW, "") for place, key in enumerate(found)])
    lapsed = sorted(key for place, key in enumerate(found) if old >> place & 1)
    definition = dataset(path)
    store, selection = SqliteStore(definition, read_only=False), judged(definition)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lapse.stores.sqlite.surveying._CELL", cell)
        if surveyed:
            list(store.survey(selection))
        seen = []
        for piece in store.slices(selection, facts_of(selection), Budget(rows=rows)):
            with store.take(piece) as taken:
                drained = drain(taken.parts())
                taken.commit(prove(piece, drained))
                seen.append(keys_of(drained))

    store.close()
    assert [key for part in seen for key in part] == lapsed
    assert all(1 <= len(part) <= rows for part in seen)
    assert ids(path) == sorted(set(found) - set(lapsed))


@pytest.mark.parametrize("archived", [False, True])
def test_a_survey_is_not_trusted_after_somebody_wrote(path: Path, archived: bool) -> None:
    """A range that lapsed as a whole, and then got a younger row and an update: those rows stay."""
    fill(path, [(n * 10, OLD, "") for n in range(20)])
    found = dataset(path, archived=archived)
    store, selection = SqliteStore(found, read_only=False), judged(found)
    list(store.survey(selection))
    (piece,) = slices(store, selection)
    with connected(path) as other:
        other.execute("INSERT INTO log VALUES (55, ?, '')", (NEW,))
        other.execute("UPDATE log SET at = ? WHERE id = 70", (NEW,))

    with store.take(piece) as taken:
        drained = drain(taken.parts()) if archived else ()
        disposal = taken.commit(prove(piece, drained))

    store.close()
    assert disposal.records == 19
    assert ids(path) == [55, 70]


def test_a_writer_between_count_and_commit_of_a_waiver_is_seen(path: Path) -> None:
    """Rows that got younger stay, under the write lock they are counted again."""
    fill(path, [(n, OLD, "") for n in range(20)])
    found = dataset(path, archived=False)
    store, selection = SqliteStore(found, read_only=False), judged(found)
    list(store.survey(selection))
    (piece,) = slices(store, selection)

    with store.take(piece) as taken:
        assert sum(tally.records for tally in taken.tallies()) == 20
        with connected(path) as other:
            other.execute("UPDATE log SET at = ? WHERE id < 5", (NEW,))
        disposal = taken.commit(Waiver(slice=piece.name, rules=()))

    store.close()
    assert disposal.records == 15
    assert ids(path) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log SET body = 'after' WHERE id = 3",
        "UPDATE log SET body = 1.0 WHERE id = 3",
        "UPDATE log SET body = x'31' WHERE id = 3",
        "DELETE FROM log WHERE id = 3",
        "UPDATE log SET body = CAST(x'ff' AS TEXT) WHERE id = 3",
    ],
)
def test_any_change_between_read_and_commit_rolls_back(path: Path, mode: str, change: str) -> None:
    """Another value, another type of the same value, a missing row: nothing is removed, no marker is left."""
    with connected(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    fill(path, [(n, OLD, 1) for n in range(10)])
    found = dataset(path)
    store, selection = SqliteStore(found, read_only=False), judged(found)
    (piece,) = slices(store, selection)

    with store.take(piece) as taken:
        drained = drain(taken.parts())
        with connected(path) as other:
            other.execute(change)
        left = ids(path)
        with pytest.raises(ChangedError):
            taken.commit(prove(piece, drained))

    assert ids(path) == left
    assert list(store.recover(lambda _: True)) == []
    store.close()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_unrelated_writer_does_not_stop_a_slice(path: Path, mode: str) -> None:
    """New rows and other tables make the slice look again, and it goes through."""
    with connected(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    fill(path, [(n, OLD, None if n % 2 else n) for n in range(100)])
    found = dataset(path)
    store, selection = SqliteStore(found, read_only=False), judged(found)

    for piece in store.slices(selection, facts_of(selection), Budget(rows=30)):
        with store.take(piece) as taken:
            drained = drain(taken.parts())
            with connected(path) as other:
                other.execute("INSERT INTO log (at) VALUES (?)", (NEW,))
                other.execute("CREATE TABLE IF NOT EXISTS other (x)")
            taken.commit(prove(piece, drained))

    store.close()
    assert len(ids(path)) == 4
    assert min(ids(path)) == 100


_TEXT_KEY = 'CREATE TABLE log (id INTEGER, "the key" TEXT COLLATE NOCASE, at, body, PRIMARY KEY ("the key" DESC, id))'


def _meanwhile(path: Path, write: str) -> None:
    """Twenty rows under a composite key are read, somebody writes, and they are committed."""
    with connected(path) as connection:
        connection.execute(f"{_TEXT_KEY} WITHOUT ROWID")
        for n in range(20):
            connection.execute("INSERT INTO log VALUES (?, ?, ?, CAST(x'ff' AS TEXT))", (n, f"K{n % 3}", OLD))
    found = dataset(path)
    store, selection = SqliteStore(found, read_only=False), judged(found)
    (piece,) = slices(store, selection)
    try:
        with store.take(piece) as taken:
            drained = drain(taken.parts())
            with connected(path) as other:
                other.execute(write)
            taken.commit(prove(piece, drained))
    finally:
        store.close()


def test_what_is_removed_beside_a_writer_is_compared_in_the_order_of_a_longer_key(path: Path) -> None:
    """A row that came into the range stays, text that is no UTF-8 is compared like any other."""
    _meanwhile(path, f"INSERT INTO log VALUES (70, 'K1', '{NEW}', ''), (99, 'K2', '{OLD}', '')")

    assert sorted(ids(path)) == [70, 99]


def test_a_key_that_was_spelled_otherwise_meanwhile_is_a_change(path: Path) -> None:
    """A collation finds the row all the same; it is not what was sealed, so everything stays."""
    with pytest.raises(ChangedError):
        _meanwhile(path, "UPDATE log SET \"the key\" = 'k1' WHERE id = 4")

    assert len(ids(path)) == 20


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_busy_application_and_a_run_get_along(path: Path, mode: str) -> None:
    """A thread inserts all the time: none of its rows is lost, every old row goes."""
    with connected(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    fill(path, [(n, OLD, "x" * 50) for n in range(3000)])
    stop, written = threading.Event(), list[int | None]()

    def application() -> None:
        with connected(path) as other:
            other.execute("PRAGMA busy_timeout = 10000")
            while not stop.is_set():
                written.append(other.execute("INSERT INTO log (at) VALUES (?)", (NEW,)).lastrowid)
                time.sleep(0.002)

    writer = threading.Thread(target=application)
    writer.start()
    found = dataset(path)
    store, selection = SqliteStore(found, read_only=False), judged(found)
    try:
        for piece in store.slices(selection, facts_of(selection), Budget(rows=500)):
            with store.take(piece) as taken:
                drained = drain(taken.parts())
                taken.commit(prove(piece, drained))
    finally:
        stop.set()
        writer.join()
        store.close()

    assert ids(path) == sorted(key or 0 for key in written)


def test_no_transaction_is_open_while_a_part_is_sealed(path: Path) -> None:
    """Another program can write, and even rebuild the file, between two batches."""
    fill(path, [(n, OLD, "") for n in range(25_000)])
    found = dataset(path)
    store, selection = SqliteStore(found, read_only=False), judged(found)
    piece = slices(store, selection)[0]

    with store.take(piece) as taken:
        for part in taken.parts():
            for _ in part.batches:
                with connected(path) as other:
                    other.execute("PRAGMA busy_timeout = 0")
                    other.execute("BEGIN EXCLUSIVE")
                    other.execute("ROLLBACK")
    store.close()


def test_a_row_may_be_found_by_another_column(path: Path) -> None:
    """`key:` names it; numbers and texts are told apart by nothing but their text."""
    fill(path, [(1, OLD, "7"), (2, OLD, 7), (3, NEW, "07"), (4, OLD, 7.0)])
    found = dataset(path, key="body")
    store = SqliteStore(found, read_only=True)

    assert [each.key for each in store.find(judged(found), "7")] == ["7", "7"]
    assert [each.key for each in store.find(judged(found), "07")] == ["07"]
    assert list(store.find(judged(found), "9" * 30)) == []
    store.close()


def test_a_rule_looks_into_json(path: Path) -> None:
    """A path into a text column decides, and the record says so."""
    fill(path, [(1, OLD, '{"user": {"role": "admin"}}'), (2, OLD, '{"user": {"role": "guest"}}'), (3, OLD, "no JSON")])
    match = Match((Condition("$.body.user.role", ("guest",)),))
    rule = Rule(index=0, match=match, keep=parse_period("10 days"), waived=True)
    found = dataset(path, rules=(rule,))
    store, selection = SqliteStore(found, read_only=True), judged(found)

    verdicts = [selection.outcomes[next(store.find(selection, key)).code].verdict.value for key in "123"]
    store.close()

    assert verdicts == ["unmatched", "lapsed", "unmatched"]
    assert next(store.find(selection, "1")).values["$.body.user.role"] == "admin"
    store.close()


def test_restoring_under_a_wrong_address_says_so(tmp_path: Path) -> None:
    """Addresses that name no file are policy errors."""
    for address in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        with pytest.raises(PolicyError, match="names no SQLite file"):
            SqliteStore(replace(dataset(tmp_path), store=address), read_only=True)


def test_a_dataset_needs_a_table(path: Path) -> None:
    """Without one the store cannot know what is meant."""
    fill(path, [(1, OLD, "")])
    with pytest.raises(UnsupportedError, match="names no table"):
        SqliteStore(dataset(path, table=None), read_only=True).identity()


def test_the_pace_follows_the_time_that_the_lock_was_held() -> None:
    """Slow commits make slices smaller at once, quick ones larger little by little, never beyond the budget."""
    pace = Pace()
    pace.learn(10_000, 1.0)
    assert pace.limit(50_000) < 3_000
    for _ in range(20):
        pace.learn(pace.limit(50_000), 0.01)
    assert pace.limit(50_000) == 50_000


def test_a_lock_of_ours_survives_everything_that_looks_at_the_file(path: Path) -> None:
    """Had we opened and closed the file ourselves, the system would have dropped SQLite's locks on it."""
    fill(path, [(1, OLD, "")])
    found = dataset(path)
    store = SqliteStore(found, read_only=False)
    store.identity()
    with store._database.writing():
        with store.lease():
            store.identity()
        assert _elsewhere(path) == "database is locked"
    assert _elsewhere(path) == ""
    store.close()


def _elsewhere(path: Path) -> str:
    """What a process of its own gets that asks for the write lock."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try: connection.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError as error: print(error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()
