"""Side tables: made by sessions that only read, seen by nobody else, and done without where the server makes none."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from pg_looking import as_role, connected, run

from lapse.errors import StoreError
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.sidetables import SideTable, place
from lapse.stores.postgresql.besides import SideSession
from servers.postgres import PostgresServer

_ODD = ["", "a", "A", "a ", "tab\there", "line\nfeed\r", "back\\slash \\N \\.", "é", "e\u0301", "𝄞", "'", "%s"]
TABLE = SideTable({"k0": str, "k1": int}, ("found",), [(text, number, number) for number, text in enumerate(_ODD)])


def test_texts_are_found_to_the_byte_by_a_session_that_only_reads(pg_database: str) -> None:
    """Case, blanks, escapes and other ways to write a letter tell texts apart."""
    with connected(pg_database, read_only=True) as connection:
        sides = SideSession(connection)
        placed = place(sides, TABLE)
        assert placed is not None
        asked = [Fragment("%s::text", (text,)) for text in _ODD]
        answers = [
            connection.query("SELECT " + placed.look_up("found", [text, Fragment(str(number))]))[0][0]
            for number, text in enumerate(asked)
        ]

        assert answers == list(range(len(_ODD)))
        assert sides.place(TABLE) == placed.name
        with pytest.raises(StoreError, match="read-only"):
            connection.run("CREATE TABLE spoilt (id int)")


def test_a_text_that_no_text_of_the_server_can_be_is_left_out(pg_database: str) -> None:
    """It equals nothing there, and stands in nobody's way."""
    table = SideTable({"k0": str}, ("found",), [("a\0b", 1), ("\ud800", 2), ("b", 3)])
    with connected(pg_database) as connection:
        placed = place(SideSession(connection), table)

        assert placed is not None
        assert connection.rows(f"SELECT k0, found FROM {placed.name}") == [("b", 3)]


def test_another_session_sees_nothing_of_it(pg_database: str) -> None:
    """And nothing is left once the session has ended."""
    with connected(pg_database) as connection, connected(pg_database) as other:
        place(SideSession(connection), TABLE)

        assert other.value("SELECT to_regclass(%s)", (f"pg_temp.{TABLE.name}",)) is None
    with psycopg.connect(pg_database) as after:
        left = after.execute("SELECT count(*) FROM pg_class WHERE relname = %s", (TABLE.name,)).fetchone()
    assert left == (0,)


@pytest.fixture
def reader(postgres: PostgresServer, pg_database: str) -> Iterator[str]:
    """The database for a role that may make no temporary tables."""
    name = pg_database.rpartition("/")[2]
    postgres.execute("CREATE ROLE sideless LOGIN")
    run(pg_database, f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    yield as_role(pg_database, "sideless")
    run(pg_database, f'GRANT TEMPORARY ON DATABASE "{name}" TO PUBLIC')
    postgres.execute("DROP ROLE sideless")


def test_a_role_that_may_make_none_does_without(reader: str) -> None:
    """The session goes on; the question is not put again."""
    with connected(reader, read_only=True) as connection:
        sides = SideSession(connection)

        assert place(sides, TABLE) is None
        assert sides.place(TABLE) is None
        assert connection.value("SELECT 1") == 1


def test_none_is_made_within_a_transaction(pg_database: str) -> None:
    """Whatever undoes that would undo the table, too."""
    with connected(pg_database) as connection:
        sides = SideSession(connection)
        connection.run("BEGIN")

        assert place(sides, TABLE) is None
        connection.roll_back()
        assert place(sides, TABLE) is not None
