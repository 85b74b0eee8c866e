"""What a PostgreSQL table is known by, and what is no table to remove rows from."""

from __future__ import annotations

import psycopg
import pytest
from pg_looking import as_role, calls, connected, dataset, identity, role, run

from lapse.errors import StoreMissingError
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.identifying import fingerprint, identify

__all__ = ["calls", "role"]


def test_the_fingerprint_names_server_database_table_and_columns(calls: str) -> None:
    """The server by its own number, so that a policy is not followed on another one of the same name."""
    with psycopg.connect(calls) as connection:
        [(number,)] = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchall()

    found = identity(calls).fingerprint

    assert found.text.startswith(f"postgresql:{number}:{calls.rpartition('/')[2]}.cel:")
    assert found.text == ":".join(["postgresql", *found.parts])


def test_the_fingerprint_changes_with_a_type_of_a_used_column_only(calls: str) -> None:
    """Rows and other columns come and go; what the policy uses must mean what it meant."""
    before = identity(calls).fingerprint

    run(calls, "ALTER TABLE cel ADD COLUMN other int", "INSERT INTO cel (eventtime, eventtype) VALUES (now(), 'X')")
    assert identity(calls).fingerprint == before

    run(calls, "ALTER TABLE cel ALTER eventtime TYPE timestamp")
    after = identity(calls).fingerprint
    assert after.parts[:2] == before.parts[:2]
    assert after.parts[2] != before.parts[2]


def test_names_cannot_imitate_another_table(pg_database: str) -> None:
    """The signs that part a fingerprint are written differently inside a name."""
    run(pg_database, "CREATE SCHEMA a", "CREATE TABLE a.b (t timestamptz)", 'CREATE TABLE "a.b" (t timestamptz)')

    with connected(pg_database) as connection:
        one = fingerprint(connection, find_table(connection, "a.b"), ("t",))
        run(pg_database, 'DROP TABLE "a.b"')
        other = fingerprint(connection, find_table(connection, "a.b"), ("t",))

    assert {one.parts[1].partition(".")[2], other.parts[1].partition(".")[2]} == {"a.b", "a%2Eb"}


def test_a_server_that_hides_its_number_is_known_by_the_databases(calls: str, role: str) -> None:
    """Where the right to ask was revoked, the fingerprint says so."""
    run(
        calls,
        f"GRANT SELECT ON cel TO {role}",
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
    )

    found = identity(as_role(calls, role)).fingerprint

    assert found.parts[0].startswith("database-")


def test_a_column_that_is_not_there_is_named(calls: str) -> None:
    """With the nearest name that is."""
    with pytest.raises(StoreMissingError) as caught:
        identity(calls, time="event_time")

    assert caught.value.hint == "Did you mean eventtime or eventtype?"


def test_the_mark_is_the_highest_key(calls: str) -> None:
    """What comes later is no part of a plan."""
    mark = identity(calls).mark

    assert mark is not None
    assert (mark.kind, mark.values) == ("key", {"id": (2,)})


@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (id, t)", ", PRIMARY KEY (name)"])
def test_a_table_without_an_integer_key_has_no_mark(pg_database: str, key: str) -> None:
    """And the plan says why."""
    run(pg_database, f"CREATE TABLE log (id int, name text, t timestamptz{key})")

    found = identity(pg_database, "log", time="t")

    assert found.mark is None
    assert found.unmarked == "table log has no single integer column as its primary key"


OTHERWISE = {
    "view": (["CREATE VIEW log AS SELECT * FROM cel"], "log is a view"),
    "materialized view": (["CREATE MATERIALIZED VIEW log AS SELECT * FROM cel"], "log is a materialized view"),
    "foreign table": (
        [
            "CREATE FOREIGN DATA WRAPPER w",
            "CREATE SERVER s FOREIGN DATA WRAPPER w",
            "CREATE FOREIGN TABLE log (id int, eventtime timestamptz) SERVER s",
        ],
        "log is a foreign table",
    ),
    "foreign partition": (
        [
            "CREATE FOREIGN DATA WRAPPER w",
            "CREATE SERVER s FOREIGN DATA WRAPPER w",
            "CREATE TABLE log (id int, eventtime timestamptz) PARTITION BY LIST (id)",
            "CREATE FOREIGN TABLE far PARTITION OF log DEFAULT SERVER s",
        ],
        "partitions of log are foreign tables: far",
    ),
    "markers": (["CREATE TABLE lapse_disposals (eventtime timestamptz)"], "not a table of records"),
    "rule": (
        ["CREATE TABLE log (LIKE cel)", "CREATE RULE keep AS ON DELETE TO log DO INSTEAD NOTHING"],
        "a rule rewrites what is removed: keep of log",
    ),
    "veto": (
        [
            "CREATE TABLE log (LIKE cel)",
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER stop BEFORE DELETE ON log FOR EACH ROW EXECUTE FUNCTION no()",
        ],
        "a trigger may veto the removal of a row: stop of log",
    ),
    "veto on a partition": (
        [
            "CREATE TABLE log (LIKE cel) PARTITION BY LIST (id)",
            "CREATE TABLE log_1 PARTITION OF log DEFAULT",
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER stop BEFORE DELETE OR UPDATE ON log_1 FOR EACH ROW EXECUTE FUNCTION no()",
        ],
        "a trigger may veto the removal of a row: stop of log_1",
    ),
    "inheritance": (
        ["CREATE TABLE log (LIKE cel)", "CREATE TABLE log_old () INHERITS (log)"],
        "tables inherit from log without being partitions: log_old",
    ),
}


@pytest.mark.parametrize(("statements", "reason"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_is_no_ordinary_table_is_refused(calls: str, statements: list[str], reason: str) -> None:
    """The identity has the reason; nothing is removed there."""
    run(calls, *statements)

    name = "lapse_disposals" if "lapse_disposals" in statements[0] else "log"
    assert reason in (identity(calls, name).refusal or "")


def test_what_is_ordinary_is_not_refused(calls: str) -> None:
    """Partitions, disabled vetoes and triggers on other events stand against nothing."""
    run(
        calls,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER stop BEFORE DELETE ON cel FOR EACH ROW EXECUTE FUNCTION no()",
        "ALTER TABLE cel DISABLE TRIGGER stop",
        "CREATE TRIGGER look BEFORE INSERT ON cel FOR EACH ROW EXECUTE FUNCTION no()",
        "CREATE TABLE log (LIKE cel) PARTITION BY LIST (id)",
        "CREATE TABLE log_1 PARTITION OF log DEFAULT",
    )

    assert identity(calls).refusal is None
    assert identity(calls, "log").refusal is None


def test_system_catalogues_are_refused(calls: str) -> None:
    """However they are named."""
    found = identity(calls, "pg_catalog.pg_stat_activity", time="query_start")

    assert found.refusal == "pg_stat_activity is not a table of records"


def test_temporary_tables_are_refused(calls: str) -> None:
    """They end with the session that sees them."""
    with connected(calls) as connection:
        connection.run("CREATE TEMPORARY TABLE passing (eventtime timestamptz)")
        found = identify(connection, find_table(connection, "passing"), dataset(calls, "passing"))

    assert found.refusal == "passing is a temporary table"
