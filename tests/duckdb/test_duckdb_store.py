"""What is particular to DuckDB: the file's lock, its catalogue, its collations, and a look around."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from duckdb_tools import DuckdbFile, selection_of

from lapse.errors import PolicyError, StoreError, StoreMissingError, UnsupportedError
from lapse.instant import parse_rfc3339
from lapse.model.disposal import Waiver
from lapse.model.policy import Dataset, TimeFormat
from lapse.ports import Budget, Inspectable, Restorable
from lapse.stores.duckdb import STORE, DuckdbStore
from lapse.testing.flow import cut, rule, run

_TABLE = 'CREATE TABLE "log" ("id" BIGINT PRIMARY KEY, "at" TIMESTAMP, "kind" VARCHAR)'
_ROWS = "INSERT INTO \"log\" SELECT i, TIMESTAMP '2020-01-01' + INTERVAL (i) MINUTE, 'call' FROM range(100) AS r(i)"


@pytest.fixture
def file(tmp_path: Path) -> DuckdbFile:
    """A file with a hundred lapsed rows."""
    made = DuckdbFile(tmp_path)
    made.run(_TABLE, _ROWS)
    return made


def _waive(file: DuckdbFile, **overrides: object) -> Dataset:
    return file.dataset(rules=(rule("1 day", ()),), **overrides)


def test_the_module_offers_its_store() -> None:
    """The registry finds it under its scheme, with the optional ports."""
    assert STORE is DuckdbStore
    assert STORE.scheme == "duckdb"
    assert issubclass(STORE, Restorable)
    assert issubclass(STORE, Inspectable)


def test_a_missing_file_is_reported_and_not_made(tmp_path: Path) -> None:
    """DuckDB would make an empty one."""
    file = DuckdbFile(tmp_path)

    for read_only in (True, False):
        with pytest.raises(StoreMissingError, match="there is no DuckDB file"):
            file.store(read_only=read_only).identity()

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    """The message is one line, without the driver's own class."""
    file = DuckdbFile(tmp_path)
    file.path.write_bytes(b"no database" * 1000)

    with pytest.raises(StoreError, match="cannot open") as error:
        file.store().identity()

    assert error.value.hint == "Check `store:` in the policy."
    assert file.path.read_bytes() == b"no database" * 1000


@pytest.mark.parametrize(
    ("table", "hint"), [("logs", "Did you mean log?"), ("Lo g", "log"), ("log; DROP TABLE log", "log")]
)
def test_a_missing_table_is_reported_with_the_nearest(file: DuckdbFile, table: str, hint: str) -> None:
    """Nothing of the name reaches SQL."""
    with pytest.raises(StoreMissingError) as error:
        file.store(table=table).identity()

    assert hint in str(error.value.hint)


def test_a_missing_column_is_reported_with_the_nearest(file: DuckdbFile) -> None:
    """Whichever key of the policy names it."""
    for dataset in (file.dataset(time="att"), file.dataset(type="kin"), file.dataset(tenant="kynd")):
        with pytest.raises(StoreMissingError, match="has no column"):
            DuckdbStore(dataset, read_only=True).identity()


def test_a_file_that_another_process_writes_is_left_alone(file: DuckdbFile) -> None:
    """Both ways of opening say which process, and what to do."""
    script = f"import duckdb\nc = duckdb.connect({str(file.path)!r})\nprint('open', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        for read_only in (True, False):
            with pytest.raises(StoreError, match="lock") as error:
                file.store(read_only=read_only).identity()
            assert error.value.hint == "DuckDB lets one process write. Stop the other one first."
        writer.communicate("\n")


def test_another_connection_of_this_process_is_kept_out(file: DuckdbFile) -> None:
    """An update beside an open delete would be lost without a word, so there is no beside."""
    store = file.store()
    store.identity()
    with pytest.raises(duckdb.ConnectionException):
        duckdb.connect(str(file.path))
    store.close()

    with duckdb.connect(str(file.path)), pytest.raises(StoreError, match="cannot open") as error:
        file.store().identity()

    assert "Close its connection first" in str(error.value.hint)


def test_duckdb_itself_would_lose_the_update(file: DuckdbFile) -> None:
    """The reason for working alone; when this fails, DuckDB has learnt to refuse it."""
    with duckdb.connect(str(file.path)) as one, one.cursor() as two:
        one.execute("BEGIN")
        one.execute('DELETE FROM "log" WHERE "id" = 7 RETURNING *').fetchall()
        two.execute('UPDATE "log" SET "kind" = \'changed\' WHERE "id" = 7')
        one.execute("COMMIT")

    assert file.rows('SELECT count(*) FROM "log" WHERE "id" = 7') == [(0,)]


def test_a_view_is_refused(file: DuckdbFile) -> None:
    """It can be surveyed, not taken from."""
    file.run('CREATE VIEW "seen" AS SELECT * FROM "log"')
    dataset = _waive(file, table="seen")
    store = DuckdbStore(dataset, read_only=False)

    assert store.identity().refusal == "seen is a view, not a table"
    store.close()


def test_a_table_that_foreign_keys_point_at_is_refused(file: DuckdbFile) -> None:
    """Before anything is removed, naming the child."""
    file.run('CREATE TABLE "child" ("id" BIGINT REFERENCES "log" ("id"))')
    dataset = _waive(file)
    store = DuckdbStore(dataset, read_only=False)
    (piece,) = cut(store, selection_of(dataset))

    assert store.identity().refusal == "foreign keys of child point at log"
    with pytest.raises(UnsupportedError, match="child"), store.take(piece):
        pass
    store.close()


def test_a_column_named_like_lapse_s_own_is_refused(tmp_path: Path) -> None:
    """A column called rowid hides the one that rows are removed by."""
    file = DuckdbFile(tmp_path)
    file.run('CREATE TABLE "log" ("rowid" BIGINT, "at" TIMESTAMP)')
    store = file.store()

    assert "rowid" in str(store.identity().refusal)
    store.close()


@pytest.mark.parametrize(
    ("key", "marked"),
    [
        ("BIGINT PRIMARY KEY", True),
        ("UINTEGER PRIMARY KEY", True),
        ("BIGINT UNIQUE", False),
        ("BIGINT", False),
        ("VARCHAR PRIMARY KEY", False),
        ("HUGEINT PRIMARY KEY", False),
    ],
)
def test_only_a_single_integer_primary_key_is_a_mark(tmp_path: Path, key: str, marked: bool) -> None:
    """Other tables say why they have none, and are cut by position; all of it goes all the same."""
    file = DuckdbFile(tmp_path)
    file.run(f'CREATE TABLE "log" ("id" {key}, "at" TIMESTAMP, "kind" VARCHAR)', _ROWS)
    dataset = _waive(file)
    store = DuckdbStore(dataset, read_only=False)

    identity = store.identity()
    disposals = [removal.disposal.records for removal in run(store, selection_of(dataset), Budget(rows=30))]
    store.close()

    assert (identity.mark is not None, identity.unmarked is None) == (marked, marked)
    assert disposals == [30, 30, 30, 10]


def test_a_key_of_two_columns_cuts_by_position(tmp_path: Path) -> None:
    """And restores by the key."""
    file = DuckdbFile(tmp_path)
    file.run('CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "kind" VARCHAR, PRIMARY KEY ("kind", "id"))', _ROWS)
    store = file.store()
    selection = selection_of(file.dataset())

    removals = run(store, selection, Budget(rows=60))
    restored = [store.restore(item.again()).restored for removal in removals for item in removal.drained]
    found = list(store.find(selection, "call,7"))
    store.close()

    assert restored == [60, 40]
    assert [item.key for item in found] == ["call,7"]


def test_rows_without_a_key_are_restored_as_often_as_they_were_there(tmp_path: Path) -> None:
    """Three equal rows come back as three; with one there already, as two more."""
    file = DuckdbFile(tmp_path)
    row = "INSERT INTO \"log\" VALUES (1, '2020-01-01', NULL)"
    file.run('CREATE TABLE "log" ("id" BIGINT, "at" TIMESTAMP, "kind" VARCHAR)', row, row, row)
    store = file.store()
    (removal,) = run(store, selection_of(file.dataset()))
    (drained,) = removal.drained
    store.close()
    file.run(row)
    store = file.store()

    counts = [store.restore(drained.again()) for _ in range(2)]
    store.close()

    assert [(count.restored, count.present) for count in counts] == [(2, 1), (0, 3)]
    assert file.rows('SELECT count(*) FROM "log"') == [(3,)]


def test_a_table_in_another_schema_is_named_with_it(file: DuckdbFile) -> None:
    """``audit.log`` is not ``main.log``."""
    file.run("CREATE SCHEMA audit", "CREATE TABLE audit.log AS SELECT * FROM main.log LIMIT 5")
    dataset = _waive(file, table="audit.log")
    store = DuckdbStore(dataset, read_only=False)

    run(store, selection_of(dataset))
    store.close()

    assert file.rows("SELECT (SELECT count(*) FROM audit.log), (SELECT count(*) FROM main.log)") == [(0, 100)]


def test_a_take_left_in_the_middle_of_a_batch_puts_everything_back(file: DuckdbFile) -> None:
    """An open result does not stand in the way of the rollback, nor of the next statement."""
    store = file.store()
    selection = selection_of(file.dataset())
    (piece,) = cut(store, selection)

    with store.take(piece) as taken:
        next(next(taken.parts()).batches)
    with store.take(piece) as taken:
        next(taken.parts())
    ((tally,), again) = list(store.survey(selection)), cut(store, selection)
    store.close()

    assert tally.records == 100
    assert again == [piece]


def test_a_waiver_after_reading_a_part_still_removes_all(file: DuckdbFile) -> None:
    """What was counted is what goes, read or not."""
    dataset = _waive(file)
    store = DuckdbStore(dataset, read_only=False)
    (piece,) = cut(store, selection_of(dataset))

    with store.take(piece) as taken:
        next(taken.parts())
        disposal = taken.commit(Waiver(slice=piece.name, rules=("rule 1",)))
    store.close()

    assert disposal.records == 100
    assert file.rows('SELECT count(*) FROM "log"') == [(0,)]


def _killed_in_a_take(file: DuckdbFile, last: str) -> None:
    """Take everything in a process of its own, which does *last* and dies."""
    script = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from duckdb_tools import DuckdbFile, selection_of\n"
        "from lapse.testing.flow import cut, drain, prove\n"
        f"file = DuckdbFile(Path({str(file.path.parent)!r}))\n"
        "store = file.store()\n"
        "(piece,) = cut(store, selection_of(file.dataset()))\n"
        "with store.take(piece) as taken:\n"
        f"    {last}\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False, capture_output=True)
    assert ended.returncode == -9, ended.stderr.decode()


def test_a_kill_in_the_middle_of_a_take_leaves_everything(file: DuckdbFile) -> None:
    """The transaction dies with its process; the next run finds all rows and no marker."""
    _killed_in_a_take(file, "drained = drain(taken.parts())")

    store = file.store()
    assert list(store.recover(lambda _: True)) == []
    store.close()
    assert file.rows('SELECT count(*) FROM "log"') == [(100,)]


def test_a_commit_outlives_a_kill_right_after_it(file: DuckdbFile) -> None:
    """The marker and the removal are both there for the next run."""
    _killed_in_a_take(file, "taken.commit(prove(piece, drain(taken.parts())))")

    store = file.store()
    (marker,) = store.recover(lambda _: True)
    store.close()
    assert marker.records == 100
    assert file.rows('SELECT count(*) FROM "log"') == [(0,)]


def test_a_look_around_finds_the_log_and_its_columns(tmp_path: Path) -> None:
    """The table with a time, type, tenant and actor comes first; lookup tables come last."""
    file = DuckdbFile(tmp_path)
    file.run(
        "CREATE TABLE events (id BIGINT PRIMARY KEY, created_at TIMESTAMP, expires_at TIMESTAMP, event_type VARCHAR, "
        "tenant_id BIGINT, user_name VARCHAR, payload JSON)",
        "INSERT INTO events SELECT i, TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR, TIMESTAMP '2025-01-01', "
        "CASE WHEN i % 4 = 0 THEN 'login' ELSE 'read' END, i % 3, 'u' || i, '{}' FROM range(1000) AS r(i)",
        "CREATE TABLE countries (code VARCHAR, name VARCHAR)",
        "CREATE TABLE numbers (ts BIGINT, level VARCHAR)",
        "INSERT INTO numbers VALUES (1700000000000, 'info'), (1700000001000, 'warn')",
    )

    first, second, third = STORE.inspect(f"duckdb:///{file.path}")

    assert (first.table, first.time, first.type, first.tenant, first.actor) == (
        "events", "created_at", "event_type", "tenant_id", "user_name",
    )  # fmt: skip
    assert first.types == (("read", 0.75), ("login", 0.25))
    assert first.oldest == parse_rfc3339("2024-01-01T00:00:00Z")
    assert first.records == 1000
    assert "other columns with times: expires_at" in first.notes
    assert (second.table, second.time, second.time_format, second.type) == (
        "numbers", "ts", TimeFormat.MILLISECONDS, "level",
    )  # fmt: skip
    assert (third.table, third.time) == ("countries", None)


def test_a_sketch_s_fingerprint_is_that_of_the_dataset_made_of_it(file: DuckdbFile) -> None:
    """What `init` writes to `expect:` is what the first run finds."""
    (sketch,) = STORE.inspect(f"duckdb:///{file.path}")
    store = file.store(time=sketch.time, type=sketch.type, tenant=sketch.tenant, rules=())

    assert store.identity().fingerprint.text == sketch.fingerprint
    store.close()


def test_the_fingerprint_names_what_differs(file: DuckdbFile, tmp_path: Path) -> None:
    """File, table and columns are three parts."""
    store = file.store()
    before = store.identity().fingerprint.parts
    store.close()
    file.run('ALTER TABLE "log" ALTER "at" TYPE TIMESTAMP_NS')
    store = file.store()
    after = store.identity().fingerprint.parts
    store.close()

    assert after[:2] == before[:2]
    assert after[2] != before[2]
    assert "log" in before


def test_views_and_defaults_of_the_file_reach_nothing_outside(file: DuckdbFile, tmp_path: Path) -> None:
    """A view over another file is not read, even when it is asked for by name."""
    secret = tmp_path / "secret.csv"
    secret.write_text("at\n2020-01-01\n")
    file.run(f"CREATE VIEW outside AS SELECT * FROM read_csv('{secret}')")
    store = file.store(table="outside", read_only=True)

    with pytest.raises((StoreError, PolicyError)):
        list(store.survey(selection_of(file.dataset(table="outside"))))
    store.close()


def test_the_file_is_readable_by_its_application_afterwards(file: DuckdbFile) -> None:
    """Rows that stay are as they were; Lapse's own table is the only addition, empty once pruned."""
    dataset = _waive(file)
    store = DuckdbStore(dataset, read_only=False)
    removals = run(store, selection_of(dataset))
    store.prune(removal.disposal for removal in removals)
    store.close()

    file.run("INSERT INTO \"log\" VALUES (1000, '2026-01-01', 'call')")
    assert file.rows('SELECT count(*) FROM "log"') == [(1,)]
    assert file.rows("SELECT count(*) FROM lapse_disposals") == [(0,)]
