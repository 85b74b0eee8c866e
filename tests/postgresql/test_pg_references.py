"""Foreign keys to a PostgreSQL table: each is found once, and what is missing for them is told."""

from __future__ import annotations

from pg_looking import calls, connected, dataset, run

from lapse.stores.postgresql import PostgresStore
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.preflight import Action, circles, graph, reference_notes, references

__all__ = ["calls"]

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
