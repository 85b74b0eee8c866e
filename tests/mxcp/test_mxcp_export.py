"""The export into DuckDB: every record, in the table that the original makes."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from mxcp_world import OLD, YOUNG, Site, record
from mxcp_world import site_fixture as site_fixture

COLUMNS = {
    "record_id": "VARCHAR", "timestamp": "VARCHAR", "caller_type": "VARCHAR", "operation_type": "VARCHAR",
    "operation_name": "VARCHAR", "duration_ms": "INTEGER", "user_id": "VARCHAR", "session_id": "VARCHAR",
    "trace_id": "VARCHAR", "operation_status": "VARCHAR", "error": "VARCHAR", "policy_decision": "VARCHAR",
    "policy_reason": "VARCHAR", "business_context": "JSON", "execution_events": "JSON", "schema_name": "VARCHAR",
    "schema_version": "INTEGER", "input_data": "JSON", "output_data": "JSON", "policies_evaluated": "JSON",
    "prev_hash": "VARCHAR", "record_hash": "VARCHAR", "signature": "VARCHAR",
}  # fmt: skip


def rows(path: Path, what: str = "*", rest: str = "") -> list[tuple[Any, ...]]:
    """Rows of the table."""
    with closing(duckdb.connect(str(path), read_only=True)) as database:
        return [tuple(row) for row in database.execute(f"SELECT {what} FROM audit_logs {rest}").fetchall()]


def types(path: Path) -> dict[str, str]:
    """Its columns."""
    with closing(duckdb.connect(str(path), read_only=True)) as database:
        return {name: kind for name, kind, *_ in database.execute("DESCRIBE audit_logs").fetchall()}


@pytest.fixture(name="full")
def full_fixture(site: Site) -> Site:
    """A log and a segment, out of order."""
    site.write(
        record(OLD, duration_ms=5, output_data=[{"id": 1}], policies_evaluated=[], business_context={"a": "é"}),
        record(50, error="x\ny", user_id="u"),
        "not json", "[]", "",
    )  # fmt: skip
    site.write(record(YOUNG, output_data=[1, 2.5]), record(20), to="logs-default-20260101T000000.jsonl")
    return site


def test_every_record_is_exported_newest_first(full: Site) -> None:
    """With the columns and types of the original; lines that are no records are left out."""
    result = full.call("log", "--export-duckdb", "out.duckdb")
    path = full.folder / "out.duckdb"

    assert (result.exit_code, result.stdout) == (0, "Exported 4 records to out.duckdb\n")
    assert types(path) == COLUMNS
    assert [name for (name,) in rows(path, "record_id")] == [f"r-{age}" for age in (YOUNG, 20, 50, OLD)]
    assert rows(path, "output_data, duration_ms, business_context, execution_events, input_data")[3] == (
        '[{"id": 1}]', 5, '{"a": "é"}', "[]", '{"region": "Zürich"}',
    )  # fmt: skip


def test_nothing_is_removed_or_written_beside_the_log(full: Site) -> None:
    """An export only reads."""
    before = {path: path.read_bytes() for path in full.log.parent.iterdir()}
    full.call("log", "--export-duckdb", "out.duckdb")

    assert {path: path.read_bytes() for path in full.log.parent.iterdir()} == before
    assert not full.state.exists()


def test_the_name_of_a_file_is_never_anything_else(full: Site) -> None:
    """DuckDB would take this one for a database that is gone with the process; and no name at all as well."""
    result = full.call("log", "--export-duckdb", ":memory:")
    nothing = full.call("log", "--export-duckdb", "")

    assert (result.exit_code, result.stdout) == (0, "Exported 4 records to :memory:\n")
    assert len(rows(full.folder / ":memory:", "record_id")) == 4
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "names no file" in nothing.stderr


@pytest.mark.parametrize(("span", "count"), [("30d", 2), ("21D", 2), ("100d", 3), ("720h", 2), ("5m", 0), ("9s", 0)])
def test_the_last_days_can_be_chosen(full: Site, span: str, count: int) -> None:
    """Seconds, minutes, hours and days; a record without a time is in no span."""
    with full.log.open("a", encoding="utf-8") as stream:
        stream.write('{"schema_name": "x", "timestamp": null}\n')
    result = full.call("log", "--export-duckdb", "out.duckdb", "--since", span, "--json")

    expected = {"exported": count, "format": "duckdb", "path": "out.duckdb"}
    assert json.loads(result.stdout) == {"status": "ok", "result": expected}
    assert len(rows(full.folder / "out.duckdb")) == count


def test_times_are_written_as_the_original_writes_them(full: Site) -> None:
    """ISO 8601 with an offset; a fraction where there is one."""
    full.write('{"timestamp": "2026-01-01T00:00:00Z"}', '{"timestamp": "2026-01-01T00:00:00.5+02:00"}')
    full.call("log", "--export-duckdb", "out.duckdb")

    found = [text for (text,) in rows(full.folder / "out.duckdb", "timestamp")]
    assert {"2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.500000+02:00"} <= {*found}
    assert all(datetime.fromisoformat(text).tzinfo for text in found)


def test_records_of_one_instant_are_all_there(site: Site) -> None:
    """The original skips some whose times tie where its pages end."""
    moment = "2026-01-01T00:00:00Z"
    site.write(*(json.dumps({"record_id": str(number), "timestamp": moment}) for number in range(12_000)))
    site.call("log", "--export-duckdb", "out.duckdb")

    (count,) = rows(site.folder / "out.duckdb", "count(DISTINCT record_id)")
    assert count == (12_000,)


@pytest.mark.parametrize(
    ("newest", "kind", "values"),
    [
        ('{"a": 1}', "JSON", ['{"a": 1}', '"text"', "5", None]),
        ('"text"', "VARCHAR", ["text", "text", "5", None]),
        ("null", "VARCHAR", [None, "text", "5", None]),
        ("7", "VARCHAR", ["7", "text", "5", None]),
    ],
)
def test_answers_of_any_kind_fit_into_their_column(site: Site, newest: str, kind: str, values: list[Any]) -> None:
    """Its type follows the newest record, as in the original; others are converted instead of failing."""
    answers = [newest, '"text"', "5", "null"]
    site.write(
        *(
            f'{{"timestamp": "2026-01-0{9 - number}T00:00:00Z", "output_data": {each}}}'
            for number, each in enumerate(answers)
        )
    )
    site.call("log", "--export-duckdb", "out.duckdb")

    assert types(site.folder / "out.duckdb")["output_data"] == kind
    assert [value for (value,) in rows(site.folder / "out.duckdb", "output_data")] == values


def test_odd_values_are_exported_as_well_as_can_be(site: Site) -> None:
    """Not a number, half a character, a number that is too large, a wrong kind: the record is there."""
    site.write(
        '{"record_id": "\\ud800", "input_data": {"x": NaN}, "duration_ms": 99999999999}',
        '{"record_id": 5, "error": {"a": 1}, "schema_version": "two", "timestamp": 7}',
    )
    assert site.call("log", "--export-duckdb", "out.duckdb").exit_code == 0

    found = rows(site.folder / "out.duckdb", "record_id, input_data, duration_ms, error, schema_version", "ORDER BY 1")
    assert found == [("5", None, None, '{"a": 1}', None), ("?", '{"x": null}', None, None, None)]


def test_a_second_export_adds_to_the_table(full: Site) -> None:
    """As in the original; one that fails leaves the file as it was."""
    for _ in range(2):
        assert full.call("log", "--export-duckdb", "out.duckdb").exit_code == 0
    assert len(rows(full.folder / "out.duckdb")) == 8

    (full.folder / "text.duckdb").write_text("no database" * 999, encoding="utf-8")
    result = full.call("log", "--export-duckdb", "text.duckdb")
    assert result.exit_code == 1
    assert "Error: text.duckdb: " in result.stderr


@pytest.mark.parametrize("content", [b'{"a": 1}\n' * 9, b"a,b\n1,2\n", b"", b"SQLite format 3\x00" * 9])
def test_a_file_that_is_no_database_is_refused(full: Site, content: bytes) -> None:
    """DuckDB opens some of them, so that an export into the log itself was a success that wrote nothing."""
    file = full.folder / "notes.jsonl"
    file.write_bytes(content)
    result = full.call("log", "--export-duckdb", str(file))

    assert result.exit_code == 1
    assert "is no DuckDB file" in result.stderr
    assert file.read_bytes() == content


def test_an_audit_trail_that_is_off_cannot_be_exported(full: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1, as in the original; without a log the table is empty."""
    monkeypatch.setenv("MXCP_AUDIT_ENABLED", "false")
    result = full.call("log", "--export-duckdb", "out.duckdb")
    assert result.exit_code == 1
    assert "Error: Audit logging is not enabled for profile 'default'. Enable it in mxcp-site.yml" in result.stderr
    assert not (full.folder / "out.duckdb").exists()

    monkeypatch.delenv("MXCP_AUDIT_ENABLED")
    for path in full.log.parent.glob("logs-default*.jsonl"):
        path.unlink()
    assert full.call("log", "--export-duckdb", "out.duckdb").stdout == "Exported 0 records to out.duckdb\n"
    assert rows(full.folder / "out.duckdb") == []
