"""What stands against removing rows, or should be known: clocks, triggers, subscribers, poolers, missing indexes."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from pg_looking import calls, connected, dataset, identity, run

from lapse import clock
from lapse.errors import GuardError
from lapse.instant import SECOND, Nanos
from lapse.model.selection import SKEW
from lapse.stores.postgresql import noticing
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.identifying import identify

__all__ = ["calls"]


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
    assert "reads the table once, 1 page (0.0 MB)" in offered
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
