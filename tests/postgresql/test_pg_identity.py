"""What a PostgreSQL table is known by, and what stands against removing rows from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from pg_looking import CEL, as_role, connected, dataset, identity, run

from lapse import clock
from lapse.errors import GuardError, StoreError, StoreMissingError, UnsupportedError
from lapse.instant import SECOND, Nanos
from lapse.model.selection import SKEW
from lapse.stores.postgresql import PostgresStore, noticing
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.identifying import fingerprint, identify
from lapse.stores.postgresql.preflight import Action, circles, graph, reference_notes, references
from servers.postgres import PostgresServer


@pytest.fixture
def role(postgres: PostgresServer, pg_database: str) -> Iterator[str]:
    """A role of the test's own that may do nothing; gone afterwards."""
    name = f"reader_{os.getpid()}"
    postgres.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres.execute(f"DROP OWNED BY {name}", pg_database.rpartition("/")[2])
    postgres.execute(f"DROP ROLE {name}")


@pytest.fixture
def calls(pg_database: str) -> str:
    """A database with the table ``cel``."""
    run(pg_database, CEL, "INSERT INTO cel (eventtime, eventtype) VALUES ('2026-01-01Z', 'HANGUP'), (now(), 'ANSWER')")
    return pg_database


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


def test_a_role_that_may_not_read_is_told_the_grant(calls: str, role: str) -> None:
    """Without reading not even a plan can be made."""
    with pytest.raises(StoreError) as caught:
        identity(as_role(calls, role))

    assert caught.value.hint == f'GRANT SELECT ON cel TO "{role}";'


def test_a_role_that_may_not_delete_can_plan_and_is_told_the_grant(calls: str, role: str) -> None:
    """The plan says why a run would remove nothing."""
    run(calls, f"GRANT SELECT ON cel TO {role}")

    found = identity(as_role(calls, role))

    assert found.refusal == f'role {role} may not remove rows of cel: GRANT DELETE ON cel TO "{role}";'


def test_a_partition_that_may_not_be_deleted_from_is_named(calls: str, role: str) -> None:
    """Rows are removed from partitions themselves, so that rights on their parent are not enough."""
    run(
        calls,
        "CREATE TABLE log (LIKE cel) PARTITION BY LIST (id)",
        "CREATE TABLE log_1 PARTITION OF log DEFAULT",
        f"GRANT SELECT, DELETE ON log TO {role}",
        f"GRANT SELECT ON log_1 TO {role}",
    )

    assert "GRANT DELETE ON log_1" in (identity(as_role(calls, role), "log").refusal or "")


def test_rights_on_what_goes_along_are_asked_for(calls: str, role: str) -> None:
    """Children are locked, read and removed as well."""
    run(
        calls,
        "CREATE TABLE note (cel int REFERENCES cel ON DELETE CASCADE)",
        f"GRANT SELECT, DELETE ON cel TO {role}",
    )
    url = as_role(calls, role)

    assert "GRANT SELECT ON note" in (identity(url).refusal or "")
    run(calls, f"GRANT SELECT ON note TO {role}")
    assert "GRANT DELETE ON note" in (identity(url).refusal or "")
    run(calls, f"GRANT DELETE ON note TO {role}")
    assert "GRANT UPDATE ON cel, note" in (identity(url).refusal or "")
    run(calls, f"GRANT UPDATE (id) ON cel TO {role}", f"GRANT UPDATE ON note TO {role}")
    assert identity(url).refusal is None


def test_rows_that_a_policy_hides_stop_everything(calls: str, role: str) -> None:
    """What is not seen cannot be counted; whoever sees every row is let through."""
    run(
        calls,
        f"GRANT SELECT, DELETE ON cel TO {role}",
        "ALTER TABLE cel ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON cel USING (eventtype = 'HANGUP')",
    )

    with pytest.raises(UnsupportedError, match="row-level security may hide rows of cel"):
        identity(as_role(calls, role))
    assert identity(calls).refusal is None
    run(calls, f"ALTER ROLE {role} BYPASSRLS")
    assert identity(as_role(calls, role)).refusal is None


def test_an_owner_who_is_bound_by_policies_is_no_exception(calls: str, role: str) -> None:
    """FORCE ROW LEVEL SECURITY hides rows from the owner too."""
    run(calls, f"ALTER TABLE cel OWNER TO {role}", "ALTER TABLE cel ENABLE ROW LEVEL SECURITY")
    assert identity(as_role(calls, role)).refusal is None

    run(calls, "ALTER TABLE cel FORCE ROW LEVEL SECURITY")
    with pytest.raises(UnsupportedError):
        identity(as_role(calls, role))
    run(calls, "ALTER TABLE cel OWNER TO postgres")


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_clock_that_is_off_is_refused(calls: str, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """More than five minutes between this machine and the server, either way."""
    real = clock.real_now
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(real() + seconds * SECOND))

    with pytest.raises(GuardError, match="the server's clock says"):
        identity(calls)


def test_a_clock_that_is_nearly_right_will_do(calls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes are the limit."""
    real = clock.real_now
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(real() + SKEW - 10 * SECOND))

    assert identity(calls).refusal is None


def test_naive_times_are_reported(calls: str) -> None:
    """Unless the policy says their zone."""
    run(calls, "ALTER TABLE cel ALTER eventtime TYPE timestamp")
    with connected(calls) as connection:
        zoned = replace(dataset(calls), zone="Europe/Paris")
        silent = identify(connection, find_table(connection, "cel"), zoned)

    said = "eventtime is timestamp without time zone and is read as UTC; set `time zone:` if it is not"
    assert said in identity(calls).notes
    assert said not in silent.notes


def test_triggers_and_subscribers_are_named(calls: str) -> None:
    """They do something with each removal, though they cannot stop it."""
    run(
        calls,
        "ALTER TABLE cel SET UNLOGGED",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER each AFTER DELETE ON cel FOR EACH ROW EXECUTE FUNCTION note()",
        "CREATE TRIGGER once BEFORE DELETE ON cel FOR EACH STATEMENT EXECUTE FUNCTION note()",
    )
    notes = identity(calls).notes
    run(calls, "ALTER TABLE cel SET LOGGED", "CREATE PUBLICATION feed FOR TABLE cel")
    run(calls, "CREATE PUBLICATION additions FOR TABLE cel WITH (publish = 'insert')")

    assert "trigger each runs for each row that is removed" in notes
    assert "trigger once runs for each statement that removes rows" in notes
    assert any(note.startswith("cel is unlogged") for note in notes)
    published = [note for note in identity(calls).notes if "publication" in note]
    assert published == ["publication feed sends removals to its subscribers: the rows go there too"]


@pytest.mark.parametrize(
    ("identity_of_rows", "refused"),
    [("DEFAULT", True), ("NOTHING", True), ("FULL", False), ("USING INDEX told_apart", False)],
)
def test_a_published_table_without_replica_identity_is_refused(
    calls: str, identity_of_rows: str, refused: bool
) -> None:
    """The server would refuse each removal, half-way into a run; the same without the publication is fine."""
    run(
        calls,
        "CREATE TABLE told (at timestamptz NOT NULL, note text)",
        "CREATE UNIQUE INDEX told_apart ON told (at)",
        f"ALTER TABLE told REPLICA IDENTITY {identity_of_rows}",
        "INSERT INTO told VALUES ('2020-01-01Z', 'old')",
    )
    wanted = replace(dataset(calls), table="told", time="at", type=None, tenant=None, key=None, rules=())
    with connected(calls) as connection:
        before = identify(connection, find_table(connection, "told"), wanted)
        run(calls, "CREATE PUBLICATION feed FOR TABLE told")
        found = identify(connection, find_table(connection, "told"), wanted)
    assert before.refusal is None
    assert ("REPLICA IDENTITY FULL" in (found.refusal or "")) is refused
    if refused:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            run(calls, "DELETE FROM told")
    else:
        run(calls, "DELETE FROM told")


class Pooled(Connection):
    """A session through a pooler, as libpq sees it: another process answers than logged in."""

    @property
    def pid(self) -> int:
        """The pooler's invention."""
        return super().pid + 1


def test_a_pooler_is_suspected_where_another_process_answers(calls: str) -> None:
    """Poolers make up the process number that they promise at the login."""
    connection = Pooled(calls, shown=calls, read_only=True)
    found = identify(connection, find_table(connection, "cel"), dataset(calls))
    connection.close()

    assert any(note.startswith("a pooler stands between") for note in found.notes)
    assert not any("pooler" in note for note in identity(calls).notes)


def test_a_session_that_forgets_its_settings_is_refused(calls: str) -> None:
    """As one does behind a pooler in transaction mode: then nothing says what a text means."""
    with connected(calls) as connection:
        connection.run("SET row_security = on")
        found = identify(connection, find_table(connection, "cel"), dataset(calls))

    assert "pooler in transaction mode" in (found.refusal or "")


def test_the_index_that_serves_the_cutoff_is_named_or_offered(calls: str) -> None:
    """It is offered as a statement, and never made; what a run reads is said either way."""
    (offered,) = (note for note in identity(calls).notes if "no index" in note)
    assert "reads the table once, 1 pages (0.0 MB)" in offered
    statement = offered.rpartition(": ")[2]
    assert statement == 'CREATE INDEX CONCURRENTLY ON "public"."cel" ("eventtime");'

    run(calls, statement)

    (named,) = (note for note in identity(calls).notes if "index" in note)
    assert named.startswith("index cel_eventtime_idx serves eventtime")


def test_a_veto_on_what_goes_along_is_a_veto(calls: str) -> None:
    """A cascade that a trigger of the child stops would leave the child behind without its parent."""
    run(
        calls,
        "CREATE TABLE note (cel int REFERENCES cel ON DELETE CASCADE)",
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER stop BEFORE DELETE ON note FOR EACH ROW EXECUTE FUNCTION no()",
    )

    assert identity(calls).refusal == "a trigger may veto the removal of a row: stop of note"


def test_a_publication_of_the_whole_is_named_for_a_partition(calls: str) -> None:
    """Though the partition is sent as rows of its table."""
    run(
        calls,
        "CREATE TABLE log (LIKE cel) PARTITION BY LIST (id)",
        "CREATE TABLE log_1 PARTITION OF log DEFAULT",
        "CREATE PUBLICATION feed FOR TABLE log WITH (publish_via_partition_root)",
    )

    for table in ("log", "log_1"):
        assert any(note.startswith("publication feed") for note in identity(calls, table).notes)


FAMILY = [
    "CREATE TABLE note (id int PRIMARY KEY, cel int, FOREIGN KEY (cel) REFERENCES cel ON DELETE CASCADE)",
    "CREATE TABLE word (note int REFERENCES note ON DELETE CASCADE, cel int REFERENCES cel ON DELETE SET NULL)",
    "CREATE INDEX ON word (cel) WHERE cel IS NOT NULL",
    "CREATE TABLE bill (cel int REFERENCES cel DEFERRABLE, day date) PARTITION BY RANGE (day)",
    "CREATE TABLE bill_1 PARTITION OF bill DEFAULT",
    "CREATE INDEX ON bill (cel, day)",
]


def test_every_foreign_key_is_found_once_with_what_it_does(calls: str) -> None:
    """Keys of partitions stand behind that of their table; an index of rows with a parent serves as well."""
    run(calls, *FAMILY)
    with connected(calls) as connection:
        keys = graph(connection, find_table(connection, "cel"))

    assert [(key.child.shown, key.parent.shown, key.action, key.indexed, key.deferrable) for key in keys] == [
        ("bill", "cel", Action.NO_ACTION, True, True),
        ("note", "cel", Action.CASCADE, False, False),
        ("word", "cel", Action.SET_NULL, True, False),
        ("word", "note", Action.CASCADE, False, False),
    ]
    assert [key.child.kind for key in keys] == ["p", "r", "r", "r"]
    assert (keys[1].child_columns, keys[1].parent_columns) == (("cel",), ("id",))


def test_an_index_on_other_columns_first_does_not_serve_a_foreign_key(pg_database: str) -> None:
    """All columns of the key must stand first, in any order, and no rows be left out."""
    run(
        pg_database,
        "CREATE TABLE p (a int, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE c (a int, b int, x int, FOREIGN KEY (a, b) REFERENCES p)",
        "CREATE INDEX ON c (a, x, b)",
        "CREATE INDEX ON c (a)",
        "CREATE INDEX ON c (a, b) WHERE x > 0",
    )
    with connected(pg_database) as connection:
        table = find_table(connection, "p")
        assert [key.indexed for key in references(connection, table)] == [False]
        run(pg_database, "CREATE INDEX ON c (b, a)")
        assert [key.indexed for key in references(connection, table)] == [True]


def test_foreign_keys_of_a_partitioned_parent_are_found_from_either(pg_database: str) -> None:
    """Whether the table or one partition of it is the dataset's, and the child's partitions count once."""
    run(
        pg_database,
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id)",
        "CREATE TABLE p_1 PARTITION OF p DEFAULT",
        "CREATE TABLE c (p int REFERENCES p) PARTITION BY LIST (p)",
        "CREATE TABLE c_1 PARTITION OF c DEFAULT",
    )
    with connected(pg_database) as connection:
        for name in ("p", "p_1"):
            found = references(connection, find_table(connection, name))
            assert [key.child.shown for key in found] == ["c"]


def test_what_refers_to_a_row_that_stays_is_of_no_interest(pg_database: str) -> None:
    """Only what goes along with its parent takes others along."""
    run(
        pg_database,
        "CREATE TABLE a (id int PRIMARY KEY)",
        "CREATE TABLE b (id int PRIMARY KEY REFERENCES a ON DELETE SET NULL)",
        "CREATE TABLE c (b int REFERENCES b ON DELETE CASCADE)",
    )
    with connected(pg_database) as connection:
        assert [key.child.shown for key in graph(connection, find_table(connection, "a"))] == ["b"]


def test_a_missing_index_of_a_foreign_key_is_told_once_in_the_plan(calls: str) -> None:
    """Before the run that would suffer from it."""
    run(calls, *FAMILY)

    store = PostgresStore(dataset(calls), read_only=True)
    notes = store.identity().notes
    store.close()

    named = [note.split(":")[0] for note in notes if note.startswith("foreign key ")]
    assert named == [
        "foreign key note_cel_fkey of table note has no index on cel",
        "foreign key word_note_fkey of table word has no index on note",
    ]


def test_missing_indexes_and_circles_are_told(pg_database: str) -> None:
    """Each with the statement that makes the index, and what the lack of it costs."""
    run(
        pg_database,
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE",
    )
    with connected(pg_database) as connection:
        keys = graph(connection, find_table(connection, "a"))
        said = list(reference_notes(connection, keys))

    assert circles(keys) == (("a", "b", "a"),)
    assert any(
        "has no index on a: for each row removed from a the server reads all of b, 0 pages" in note for note in said
    )
    assert 'CREATE INDEX CONCURRENTLY ON "public"."b" ("a");' in said[0]
    assert said[-1] == "foreign keys refer to each other in a circle: a → b → a"


def test_an_old_transaction_is_named(calls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it sees cannot be given back; a young one is of no interest."""
    with psycopg.connect(calls) as other, connected(calls) as connection:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        young = identify(connection, find_table(connection, "cel"), dataset(calls)).notes
        monkeypatch.setattr(noticing, "OLD", "0 seconds")
        old = identify(connection, find_table(connection, "cel"), dataset(calls)).notes

        said = f"session {other.info.backend_pid} of postgres, idle in transaction, has been open for 0 minutes"
        assert not any("VACUUM" in note for note in young)
        assert any(note.startswith(said) for note in old)
