"""SQL over segments: rows and lines as views, reading only, errors of one line."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archive_world import ArchiveWorld, lines

from lapse.archive.catalog import segments
from lapse.archive.querying import query
from lapse.errors import UsageError
from lapse.targets.file import FileTarget


@pytest.fixture
def world(tmp_path: Path) -> ArchiveWorld:
    """An archive without any segment."""
    return ArchiveWorld(FileTarget(str(tmp_path / "archive")))


def ask(world: ArchiveWorld, sql: str) -> list[tuple[Any, ...]]:
    """All rows of the answer over every committed segment."""
    with query(segments(world.target, archive_name="cold"), sql) as result:
        return list(result.rows)


def columns(world: ArchiveWorld, sql: str) -> tuple[str, ...]:
    """Names of the answer's columns."""
    with query(segments(world.target, archive_name="cold"), sql) as result:
        return result.columns


def test_the_segments_of_a_dataset_are_one_view(world: ArchiveWorld) -> None:
    """Segments are read together; a column that came later is null in the earlier ones."""
    world.add(pa.record_batch([pa.array([1, 2])], ["n"]))
    world.add(pa.record_batch([pa.array([3]), pa.array(["new"])], ["n", "t"]))
    world.add(pa.record_batch([pa.array([9])], ["n"]), committed=False)

    assert ask(world, "SELECT n, t FROM calls ORDER BY n") == [(1, None), (2, None), (3, "new")]


def test_datasets_can_be_joined(world: ArchiveWorld) -> None:
    """Rows and lines in one statement, whatever their names."""
    world.add(pa.record_batch([pa.array([1, 2])], ["id"]), dataset="call-events")
    world.add(lines('{"id": 2, "who": "ann"}'), dataset='tool "audit"')

    answer = ask(world, 'SELECT e.id, a.who FROM "call-events" e JOIN "tool ""audit""" a USING (id)')

    assert answer == [(2, "ann")]


def test_cells_that_fit_no_column_stay_out_of_the_view(world: ArchiveWorld) -> None:
    """The odd column is Lapse's own form; the rest of the row is there."""
    world.add(
        pa.record_batch([pa.array([1]), pa.array([b"\x81"], pa.binary())], ["n", "_lapse_odd"]), odd_column="_lapse_odd"
    )
    world.add(pa.record_batch([pa.array([2])], ["n"]))

    assert columns(world, "SELECT * FROM calls") == ("n",)
    assert ask(world, "SELECT * FROM calls ORDER BY n") == [(1,), (2,)]


def test_a_column_of_mixed_kinds_is_text(world: ArchiveWorld) -> None:
    """Numbers and text in one column of a loosely typed store: text, rather than no answer or a lost value."""
    world.add(pa.record_batch([pa.array([2**60 + 1]), pa.array([1])], ["mixed", "numbers"]))
    world.add(pa.record_batch([pa.array(["x"]), pa.array([1.5])], ["mixed", "numbers"]))
    world.add(pa.record_batch([pa.array([b"\xff"]), pa.nulls(1)], ["mixed", "numbers"]))

    assert ask(world, "SELECT mixed, numbers FROM calls ORDER BY numbers") == [
        ("1152921504606846977", 1.0),
        ("x", 1.5),
        ("\\xFF", None),
    ]


def test_values_come_as_python_has_them(world: ArchiveWorld) -> None:
    """Aware times, exact decimals, bytes; nanoseconds as text, since Python has none."""
    batch = pa.record_batch(
        [
            pa.array([1_000_001], pa.timestamp("us", "UTC")),
            pa.array([1_000_001], pa.timestamp("us")),
            pa.array([1], pa.timestamp("ns")),
            pa.array([1], pa.timestamp("ns", "UTC")),
            pa.array([Decimal("1.10")]),
            pa.array([b"\xff"]),
            pa.array([2**64 - 1], pa.uint64()),
        ],
        ["aware", "naive", "nanos", "aware_nanos", "money", "raw", "big"],
    )
    world.add(batch)

    assert ask(world, "SELECT * FROM calls") == [
        (
            datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC),
            datetime(1970, 1, 1, 0, 0, 1, 1),  # noqa: DTZ001, what is stored has no zone
            "1970-01-01 00:00:00.000000001",
            "1970-01-01 00:00:00.000000001Z",
            Decimal("1.10"),
            b"\xff",
            2**64 - 1,
        )
    ]


def test_lines_have_their_text_and_their_keys(world: ArchiveWorld) -> None:
    """Keys become typed columns over all segments; a line that lacks one has null there."""
    world.add(lines('{"a": 1, "b": "x", "deep": {"y": [1]}}', '{"a": 2.5}'), dataset="tools")
    world.add(lines('{"ok": true, "a": null}'), dataset="tools")

    assert columns(world, "FROM tools") == ("line", "a", "b", "deep", "ok")
    assert ask(world, "SELECT a, b, deep, ok FROM tools ORDER BY line DESC") == [
        (None, None, None, True),
        (2.5, None, None, None),
        (1.0, "x", '{"y":[1]}', None),
    ]


def test_malformed_lines_are_there_and_break_nothing(world: ArchiveWorld) -> None:
    """Broken JSON, no JSON, NUL, bytes that are no UTF-8, an empty line, no line end."""
    broken = [b'{"a": 1', b"plain text", b"\x00\x01", b"\xff\xfe", b"", b"[1,2]", b'{"a": 7}\r', b"null"]
    world.add(lines(*broken), dataset="tools")

    answer = ask(world, "SELECT line, a FROM tools")

    assert answer == [
        ('{"a": 1', None),
        ("plain text", None),
        ("\x00\x01", None),
        ("\ufffd\ufffd", None),
        ("", None),
        ("[1,2]", None),
        ('{"a": 7}', 7),
        ("null", None),
    ]


def test_any_key_becomes_a_column(world: ArchiveWorld) -> None:
    """Quotes, slashes, tildes, an empty key, keys that differ in case, and one called line."""
    world.add(
        lines('{"a\\"b": 1, "x/y": 2, "t~": 3, "": 4, "A": 5, "a": 6, "line": 7, "\'": 8, "0": 9, "b": 10, "B": 11}'),
        dataset="tools",
    )

    answer = ask(world, "SELECT * EXCLUDE (line) FROM tools")

    assert answer == [(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
    assert columns(world, "FROM tools") == ("line", 'a"b', "x/y", "t~", "_", "A", "a_2", "line_2", "'", "0", "b", "B_2")


def test_keys_of_mixed_kinds_are_text(world: ArchiveWorld) -> None:
    """A value is never lost to a type that the majority has; huge integers keep their digits."""
    world.add(lines('{"v": 1, "n": 123456789012345678901234567890}', '{"v": "one"}'), dataset="tools")

    assert ask(world, "SELECT v, n FROM tools") == [("1", "123456789012345678901234567890"), ("one", None)]


def test_copies_in_two_archives_are_counted_once(world: ArchiveWorld, tmp_path: Path) -> None:
    """Two archives hold the same segment; its records are there once."""
    import shutil

    world.add(pa.record_batch([pa.array([1])], ["n"]))
    shutil.copytree(world.root, tmp_path / "second")
    second = FileTarget(str(tmp_path / "second"))
    entries = [*segments(world.target, archive_name="cold"), *segments(second, archive_name="far")]

    with query(entries, "SELECT count(*) FROM calls") as result:
        assert list(result.rows) == [(1,)]


def test_a_target_that_is_not_local_is_read_through_a_copy(world: ArchiveWorld, tmp_path: Path) -> None:
    """DuckDB reads files; what lies elsewhere is fetched first, and removed afterwards."""

    class Elsewhere(FileTarget):
        def location(self) -> Any:
            return None

    world.add(pa.record_batch([pa.array([1])], ["n"]))
    target = Elsewhere(str(world.root))

    with query(segments(target, archive_name="far"), "SELECT n FROM calls") as result:
        assert list(result.rows) == [(1,)]


@pytest.mark.parametrize("name", ["arch[1]ve", "a*", "o'clock", "what?"])
def test_an_archive_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Wildcards and quotes in the folder's path stand for themselves."""
    world = ArchiveWorld(FileTarget(str(tmp_path / name)))
    world.add(pa.record_batch([pa.array([1])], ["n"]))

    assert ask(world, "SELECT n FROM calls") == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO calls VALUES (1)",
        "DELETE FROM calls",
        "CREATE TABLE x (a INT)",
        "COPY (SELECT 1) TO '{folder}/leak'",
        "COPY calls TO '{folder}/leak'",
        "EXPORT DATABASE '{folder}/leak'",
        "ATTACH '{folder}/leak'",
        "SET enable_external_access = true",
        "PRAGMA memory_limit = '1TB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW calls",
        "",
        "-- nothing",
    ],
)
def test_statements_that_do_more_than_read_are_refused(world: ArchiveWorld, tmp_path: Path, sql: str) -> None:
    """One statement, and one that only reads; nothing is written."""
    world.add(pa.record_batch([pa.array([1])], ["n"]))

    with pytest.raises(UsageError):
        ask(world, sql.replace("{folder}", str(tmp_path)))

    assert not (tmp_path / "leak").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_blob('{folder}/*')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT getenv('HOME')",
    ],
)
def test_a_query_reads_nothing_but_the_segments(world: ArchiveWorld, tmp_path: Path, sql: str) -> None:
    """Other files and the environment are out of reach."""
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nhunter2\n")
    world.add(pa.record_batch([pa.array([1])], ["n"]))

    with pytest.raises(UsageError):
        ask(world, sql.format(secret=secret, folder=tmp_path))


@pytest.mark.parametrize("sql", ["DESCRIBE calls", "SUMMARIZE calls", "SHOW TABLES", "EXPLAIN SELECT 1", "VALUES (1)"])
def test_looking_around_is_reading(world: ArchiveWorld, sql: str) -> None:
    """Statements that describe are answered."""
    world.add(pa.record_batch([pa.array([1])], ["n"]))

    assert len(ask(world, sql)) >= 1


def test_an_error_is_one_line_and_names_the_datasets(world: ArchiveWorld) -> None:
    """What DuckDB says, without its picture of the statement."""
    world.add(pa.record_batch([pa.array([1])], ["n"]))

    with pytest.raises(UsageError) as syntax:
        ask(world, "SELEC 1")
    with pytest.raises(UsageError) as unknown:
        ask(world, "SELECT *\nFROM cals")
    with pytest.raises(UsageError) as late:
        ask(world, "SELECT CAST('x' AS INT) FROM calls")

    assert syntax.value.message == 'query: Parser Error: syntax error at or near "SELEC"'
    assert unknown.value.hint == 'Datasets in the archive: "calls".'
    assert "\n" not in unknown.value.message + late.value.message


def test_an_archive_without_segments_says_so(world: ArchiveWorld) -> None:
    """A query over nothing is an error with a reason, unless it needs nothing."""
    assert ask(world, "SELECT 1") == [(1,)]
    with pytest.raises(UsageError) as caught:
        ask(world, "SELECT * FROM calls")
    assert caught.value.hint == "No segment was found to query."


def test_nothing_is_left_behind(world: ArchiveWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decompressed lines are private while the query runs and gone afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    world.add(lines('{"a": 1}'), dataset="tools")

    with query(segments(world.target, archive_name="cold"), "FROM tools") as result:
        (folder,) = tmp_path.glob("lapse-query-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        list(result.rows)

    assert list(tmp_path.glob("lapse-query-*")) == []
