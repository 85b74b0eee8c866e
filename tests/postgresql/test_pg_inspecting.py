"""Looking at a PostgreSQL database to propose a policy."""

from __future__ import annotations

import traceback
from pathlib import Path

import psycopg
import pytest
from pg_looking import CEL, as_role, connected, run

from lapse.engine.inspecting import propose, write_proposal
from lapse.engine.planning import plan
from lapse.engine.session import open_session
from lapse.errors import PolicyError
from lapse.instant import parse_rfc3339, rfc3339
from lapse.model.policy import TimeFormat
from lapse.model.selection import Verdict
from lapse.ports import Sketch
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.inspecting import sketches, without_secrets
from servers.postgres import PostgresServer

FILL = """
INSERT INTO cel (eventtime, eventtype, tenant_uuid, cid_num)
SELECT timestamptz '2026-01-01Z' + i * interval '1 minute', (ARRAY['HANGUP', 'ANSWER', 'ANSWER', 'ANSWER'])[1 + i % 4],
    '11111111-1111-1111-1111-111111111111', '100' FROM generate_series(0, {last}) i
"""


def look(url: str, address: str | None = None) -> dict[str, Sketch]:
    """What a session for reading finds, by table, the likeliest log first."""
    with connected(url, read_only=True) as connection:
        return {sketch.table or "": sketch for sketch in sketches(connection, address or url)}


def test_a_call_log_is_found_with_its_roles(pg_database: str) -> None:
    """Time, type, tenant and actor; exact figures, since it is small; and its fingerprint."""
    run(pg_database, CEL, FILL.format(last=999), "CREATE INDEX ON cel (eventtime)")

    found = look(pg_database)["cel"]

    assert (found.time, found.type, found.tenant, found.actor) == ("eventtime", "eventtype", "tenant_uuid", "cid_num")
    assert found.records == 1000
    assert found.types == (("ANSWER", 0.75), ("HANGUP", 0.25))
    assert rfc3339(found.oldest or parse_rfc3339("2000-01-01T00:00:00Z")) == "2026-01-01T00:00:00Z"
    assert rfc3339(found.newest or parse_rfc3339("2000-01-01T00:00:00Z")) == "2026-01-01T16:39:00Z"
    assert "index cel_eventtime_idx finds rows by eventtime" in found.notes
    assert (found.fingerprint or "").split(":")[2] == f"{pg_database.rpartition('/')[2]}.cel"


def test_logs_come_first_and_lapses_own_table_not_at_all(pg_database: str) -> None:
    """Tables without a time come last; those whose rows change come after those that only grow."""
    run(
        pg_database,
        "CREATE TABLE aaa (id int PRIMARY KEY, name text)",
        "CREATE TABLE lapse_disposals (ledger text)",
        "CREATE TABLE users (id serial PRIMARY KEY, created_at timestamptz, type text, tenant_id int, username text)",
        "INSERT INTO users (created_at) SELECT now() - i * interval '1 min' FROM generate_series(1, 50) i",
        CEL,
        FILL.format(last=9),
    )
    with psycopg.connect(pg_database, autocommit=True) as connection:
        for _ in range(3):
            connection.execute("UPDATE users SET username = 'x'")
    flushed(pg_database, "users")

    found = look(pg_database)

    assert list(found) == ["cel", "users", "aaa"]
    assert found["aaa"].time is None
    assert any("150 updates for 50 inserts" in note for note in found["users"].notes)


def flushed(url: str, table: str) -> None:
    """Wait until the server's statistics have what ended sessions did."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(1000):
            [(updates,)] = connection.execute(
                "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = %s", (table,)
            ).fetchall()
            if updates:
                return
            connection.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("the server's statistics did not come")


def test_a_partitioned_table_stands_for_its_partitions(pg_database: str) -> None:
    """How it is cut is said; sizes and counts are of all of them."""
    run(
        pg_database,
        "CREATE TABLE log (at timestamptz NOT NULL, action text) PARTITION BY RANGE (at)",
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z')",
        "CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z')",
        "CREATE TABLE log_d PARTITION OF log DEFAULT",
        "INSERT INTO log SELECT timestamptz '2026-01-01Z' + i * interval '1 hour', 'x' FROM generate_series(0, 999) i",
        "ANALYZE log",
    )

    found = look(pg_database)

    assert list(found) == ["log"]
    assert found["log"].records == 1000
    assert found["log"].size >= 8192
    assert found["log"].types == (("x", 1.0),)
    assert "partitioned by RANGE (at) into 3 partitions, one of them DEFAULT" in found["log"].notes


def test_a_large_table_is_not_read_whole(pg_database: str) -> None:
    """Its rows are estimated; its first and last time come from both ends of its key, or of an index."""
    run(pg_database, CEL, FILL.format(last=199_999), "ANALYZE cel")
    before = pages_read(pg_database)
    [by_key] = look(pg_database).values()
    read = pages_read(pg_database) - before
    run(pg_database, "ALTER TABLE cel DROP CONSTRAINT cel_pkey", "CREATE INDEX ON cel (eventtime)")
    [by_index] = look(pg_database).values()

    for found in (by_key, by_index):
        assert found.records == pytest.approx(200_000, rel=0.05)
        assert found.oldest == parse_rfc3339("2026-01-01T00:00:00Z")
        assert found.newest == parse_rfc3339("2026-05-19T21:19:00Z")
        assert dict(found.types)["HANGUP"] == pytest.approx(0.25, abs=0.05)
        assert "the number of records is the server's estimate; times are of its index or a sample" in found.notes
    assert 0 < read < 500


def pages_read(url: str) -> int:
    """Pages of ``cel`` that were read since the server began to count; it has some 1,500."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'lapse'").fetchall():
            connection.execute("SELECT pg_sleep(0.01)")  # a session writes its figures when it ends
        [(read,)] = connection.execute(
            "SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables WHERE relname = 'cel'"
        ).fetchall()
    return int(read)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("timestamp", "'2026-01-01 10:00:00.5'", TimeFormat.AUTO),
        ("date", "'2026-01-01'", TimeFormat.AUTO),
        ("bigint", "1767225600000", TimeFormat.MILLISECONDS),
        ("double precision", "1767225600.25", TimeFormat.SECONDS),
        ("text", "'2026-01-01T10:00:00Z'", TimeFormat.AUTO),
    ],
)
def test_times_are_found_however_they_are_written(pg_database: str, kind: str, value: str, form: TimeFormat) -> None:
    """The type says it, or the name and the values do."""
    run(pg_database, f"CREATE TABLE log (id int, created_at {kind})", f"INSERT INTO log VALUES (1, {value})")

    found = look(pg_database)["log"]

    assert (found.time, found.time_format) == ("created_at", form)
    assert rfc3339(found.oldest or parse_rfc3339("2000-01-01T00:00:00Z")).startswith("2026-01-01")


def test_what_is_no_time_is_not_taken_for_one(pg_database: str) -> None:
    """Numbers and texts need a name that speaks for it, and values that could be times; infinity is none."""
    run(
        pg_database,
        "CREATE TABLE stock (amount bigint, created_at text, time int, valid timestamptz)",
        "INSERT INTO stock VALUES (1767225600, 'soon', 5, 'infinity')",
    )

    assert look(pg_database)["stock"].time is None


def test_dependents_are_named_with_their_missing_indexes(pg_database: str) -> None:
    """Before a policy is written."""
    run(pg_database, CEL, "CREATE TABLE note (cel int REFERENCES cel ON DELETE CASCADE)")

    assert "table note refers to it (ON DELETE CASCADE), without an index on cel" in look(pg_database)["cel"].notes


def test_names_are_names(pg_database: str) -> None:
    """Percent signs, quotes and capitals in them mean nothing."""
    run(
        pg_database,
        'CREATE SCHEMA "A%b"',
        'CREATE TABLE "A%b"."c\'d%s" ("Event%Time" timestamptz, "type" text)',
        'CREATE INDEX ON "A%b"."c\'d%s" ("Event%Time")',
        'INSERT INTO "A%b"."c\'d%s" VALUES (now(), \'x\')',
    )

    found = look(pg_database)["A%b.c'd%s"]

    assert (found.time, found.records) == ("Event%Time", 1)


def test_a_table_that_may_not_be_read_is_described_by_its_columns(postgres: PostgresServer, pg_database: str) -> None:
    """What is in it stays unknown; an administrator sees what to grant."""
    run(pg_database, CEL, FILL.format(last=9), "CREATE ROLE onlooker LOGIN")
    try:
        found = look(as_role(pg_database, "onlooker"))["cel"]
    finally:
        postgres.execute("DROP ROLE onlooker")

    assert (found.time, found.oldest, found.types) == ("eventtime", None, ())
    assert "this role may not read its rows; only its columns were looked at" in found.notes


def test_a_table_that_is_locked_is_passed_by(pg_database: str) -> None:
    """Looking waits half a second and says so; it never stands in a queue for long."""
    run(pg_database, CEL)
    with psycopg.connect(pg_database) as other:
        other.execute("LOCK TABLE cel IN ACCESS EXCLUSIVE MODE")
        found = look(pg_database)["cel"]

    assert found.time is None
    assert any(note.startswith("it could not be looked at") for note in found.notes)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:s3cret@db/x", "postgresql://u@db/x"),
        ("postgresql://u:p?ss@db:5433/x?sslmode=require", "postgresql://u@db:5433/x?sslmode=require"),
        ("postgresql://db/x?user=a@b", "postgresql://db/x?user=a@b"),
        ("postgresql:///x?host=/run&password=s&user=u", "postgresql:///x?host=/run&user=u"),
        ("postgresql://db/x?sslpassword=s", "postgresql://db/x"),
        ("postgresql://[::1]/x", "postgresql://[::1]/x"),
    ],
)
def test_a_password_goes_into_no_policy(address: str, shown: str) -> None:
    """Neither that of the user nor one among the options."""
    assert without_secrets(address) == shown


@pytest.mark.parametrize("address", ["postgresql://u:s3cret%zz@db/x", "postgresql://u:s3cret@[db/x"])
def test_an_address_that_cannot_be_read_is_told_without_its_password(address: str) -> None:
    """The library's own words would quote it."""
    with pytest.raises(PolicyError, match="cannot read this address") as raised:
        Connection(address, shown=without_secrets(address), read_only=True)

    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_an_option_that_is_none_is_named() -> None:
    """Where there is no password, the library's words help."""
    address = "postgresql://u@db/x?sslmood=require"
    with pytest.raises(PolicyError, match='"sslmood"'):
        Connection(address, shown=address, read_only=True)


def test_a_sketch_has_no_password_and_says_where_it_goes(pg_database: str) -> None:
    """The policy would be a file that many may read."""
    run(pg_database, CEL)

    found = look(pg_database, pg_database.replace("postgres@", "postgres:s3cret@"))["cel"]

    assert found.store == pg_database
    assert any("PGPASSWORD" in note for note in found.notes)
    assert "s3cret" not in repr(found)


def test_a_policy_is_proposed_that_can_be_followed(
    pg_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `lapse init` writes it: it loads, and the plan finds the store that it expects, and keeps everything."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    run(pg_database, CEL, FILL.format(last=99))
    file = tmp_path / "lapse.yaml"

    proposal = propose(pg_database.replace("postgres@", "postgres:s3cret@"), folder=tmp_path)
    write_proposal(file, proposal)
    [planned] = plan(open_session(str(file))).datasets

    assert "s3cret" not in proposal.text
    assert planned.records() == 100
    assert planned.records(Verdict.LAPSED) == 0
