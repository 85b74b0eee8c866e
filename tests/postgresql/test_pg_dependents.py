"""Rows of other tables that foreign keys tie to lapsed ones: archived and removed with them, or keeping them."""

from __future__ import annotations

import pytest
from pg_family import LOG, NOTE, NOTES, ROWS, ground, problems, writing
from pg_ground import Ground

from lapse.engine import archiving
from lapse.engine.archiving import Wanted
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, run
from lapse.errors import UnsupportedError
from lapse.model.report import Status
from servers.postgres import PostgresServer

__all__ = ["ground"]


def answers(ground: Ground, sql: str) -> list[tuple[object, ...]]:
    """Rows of a question to the archive."""
    with archiving.query(ground.session(), sql) as answer:
        return list(answer.rows)


def test_children_are_archived_and_removed_with_their_parents(ground: Ground) -> None:
    """The disposal counts the dataset's own rows; each table has segments of its own, which verify and answer."""
    ground.execute(NOTE.format("CASCADE"), NOTES)
    before, children, planned = ground.everything(), ground.everything("note"), ground.notes()

    report = ground.run()

    assert (report.status, report.records, report.segments) == (Status.DONE, 20, 2)
    assert ground.everything() == before
    assert ground.everything("note") == children
    assert len(ground.archived("note")) == 40
    assert "40 rows of note go along with their parents (foreign key note_log_fkey, ON DELETE CASCADE)" in planned
    assert "foreign key note_log_fkey of table note has no index on log" in planned
    assert problems(ground) == []
    assert answers(ground, "SELECT count(*) FROM log") == [(20,)]
    assert answers(ground, 'SELECT count(*), min(log) FROM "log.note"') == [(40, 1)]
    ground.check()


def test_parents_and_children_come_back_in_order_and_once(ground: Ground) -> None:
    """A restore writes each table's rows into that table, what is referred to first; a second one writes nothing."""
    ground.execute(
        NOTE.format("CASCADE"),
        NOTES,
        'CREATE SCHEMA "far off"',
        'CREATE TABLE "far off".mark (note bigint REFERENCES note ON DELETE CASCADE, log bigint REFERENCES log '
        "ON DELETE CASCADE, n int)",
        'INSERT INTO "far off".mark SELECT id, NULL, 1 FROM note UNION ALL SELECT NULL, id, 2 FROM log',
    )
    everything = "SELECT 'l', log::text FROM log UNION ALL SELECT 'n', note::text FROM note"
    everything += " UNION ALL SELECT 'm', mark::text FROM \"far off\".mark ORDER BY 1, 2"
    before = ground.execute(everything)
    ground.run(slice_rows=7)
    assert ground.keys("note")[0] == 2101
    assert problems(ground) == []

    first = archiving.restore(ground.session(), Wanted())
    again = archiving.restore(ground.session(), Wanted())

    assert ground.execute(everything) == before
    assert (first.records, first.present) == (20 + 40 + 40 + 20, 0)
    assert (again.records, again.present) == (0, 120)


@pytest.mark.parametrize("made", [(LOG, NOTE.format("CASCADE")), ()], ids=["there", "new"])
def test_a_table_and_its_children_are_restored_into_another_database(
    ground: Ground, postgres: PostgresServer, made: tuple[str, ...]
) -> None:
    """Into tables that are there, empty; or into new ones, without keys."""
    ground.execute(NOTE.format("CASCADE"), NOTES)
    ground.run()
    other = Ground(ground.folder, postgres.create_database("elsewhere"))
    try:
        other.execute(*made)
        archiving.restore(ground.session(), Wanted(), to=other.url)
        assert len(other.keys()) == 20
        assert len(other.keys("note")) == 40
    finally:
        postgres.drop_database("elsewhere")


def test_every_way_down_is_taken(ground: Ground) -> None:
    """Composite keys, several levels, two ways to one table, partitioned and deferrable children."""
    ground.execute(
        "ALTER TABLE log ADD UNIQUE (tenant, id)",
        "CREATE TABLE a (id bigint, tenant text, log bigint, PRIMARY KEY (id, tenant), "
        "FOREIGN KEY (tenant, log) REFERENCES log (tenant, id) ON DELETE CASCADE)",
        "CREATE TABLE b (id bigint, a bigint, tenant text, log bigint REFERENCES log ON DELETE CASCADE "
        "DEFERRABLE INITIALLY DEFERRED, FOREIGN KEY (a, tenant) REFERENCES a ON DELETE CASCADE) "
        "PARTITION BY RANGE (id)",
        "CREATE TABLE b_low PARTITION OF b FOR VALUES FROM (0) TO (15)",
        "CREATE TABLE b_high PARTITION OF b FOR VALUES FROM (15) TO (1000)",
        "INSERT INTO a SELECT id, 'acme', id FROM log UNION ALL SELECT 100, 'acme', NULL",
        "INSERT INTO b SELECT id, id, 'acme', 31 - id FROM log",  # by one parent or the other
        "INSERT INTO b VALUES (200, NULL, 'acme', 1), (201, 1, NULL, NULL), (202, 30, 'acme', NULL)",
    )
    before = {table: ground.everything(table) for table in ("log", "a", "b")}

    report = ground.run(slice_rows=3)

    assert report.status is Status.DONE
    assert {table: ground.everything(table) for table in ("log", "a", "b")} == before
    assert ground.keys("a") == [*range(21, 31), 100]
    assert ground.keys("b") == [201, 202]
    assert problems(ground) == []


def test_a_child_that_restricts_keeps_its_parent_unless_it_goes_too(ground: Ground) -> None:
    """Comments that answer each other, and marks on them, all of one entry, go together in an order that works."""
    ground.execute(
        "CREATE TABLE comment (id bigint PRIMARY KEY, log bigint REFERENCES log ON DELETE CASCADE, "
        "answers bigint REFERENCES comment ON DELETE NO ACTION)",
        "CREATE TABLE mark (id bigint, log bigint REFERENCES log ON DELETE CASCADE, "
        "comment bigint REFERENCES comment ON DELETE RESTRICT)",
        "INSERT INTO comment SELECT id, id, NULL FROM log UNION ALL SELECT 100 + id, id, id FROM log",
        "INSERT INTO mark SELECT id, id, 100 + id FROM log",
        "INSERT INTO mark VALUES (99, 30, 105)",  # of a row that stays, on a comment of one that has lapsed
    )
    before = {table: ground.everything(table) for table in ("log", "comment", "mark")}
    planned = ground.notes()

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 19)
    assert ground.keys() == [5, *range(21, 31)]
    assert ground.keys("comment")[:2] == [5, 21]
    assert {table: ground.everything(table) for table in ("log", "comment", "mark")} == before
    assert "1 lapsed rows stay, since rows of mark refer to them (foreign key mark_comment_fkey" in planned


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"])
def test_who_restricts_keeps_and_the_plan_counts(ground: Ground, action: str) -> None:
    """Rows that others refer to stay, all others go."""
    ground.execute(NOTE.format(action), "INSERT INTO note VALUES (1, 3, 'a'), (2, 3, 'a'), (3, 25, 'a')")
    planned = ground.notes()

    report = ground.run()

    assert (report.status, report.records, report.remaining) == (Status.DONE, 19, 1)
    assert ground.keys() == [3, *range(21, 31)]
    assert "1 lapsed rows stay, since rows of note refer to them (foreign key note_log_fkey" in planned


@pytest.mark.parametrize(("action", "left"), [("SET NULL", None), ("SET DEFAULT", 30)])
def test_who_loses_a_reference_is_counted(ground: Ground, action: str, left: int | None) -> None:
    """Such children stay."""
    ground.execute(
        f"CREATE TABLE note (id bigint, log bigint DEFAULT 30 REFERENCES log ON DELETE {action})",
        "INSERT INTO note VALUES (1, 3), (2, 3), (3, 25)",
    )
    planned = ground.notes()

    assert ground.run().records == 20

    assert ground.execute("SELECT id, log FROM note ORDER BY id") == [(1, left), (2, left), (3, 25)]
    assert f"2 rows of note stay and lose their reference (foreign key note_log_fkey, ON DELETE {action})" in planned


def test_rows_that_belong_to_rows_of_their_own_table_are_judged_themselves(ground: Ground) -> None:
    """A row goes with all that belongs to it within the table, however far; what is kept of that keeps it."""
    ground.execute(
        "ALTER TABLE log ADD parent bigint REFERENCES log ON DELETE CASCADE",
        NOTE.format("CASCADE"),
        NOTES,
        "UPDATE log SET parent = id - 1 WHERE id IN (2, 3, 4)",  # a chain that goes
        "UPDATE log SET parent = 9 WHERE id = 8",  # the parent comes later
        "UPDATE log SET parent = 11 WHERE id = 12; UPDATE log SET parent = 12 WHERE id = 25",  # kept
        "UPDATE log SET parent = 13 WHERE id = 13",
        "UPDATE log SET parent = 30 WHERE id = 14",
    )
    before, children, planned = ground.everything(), ground.everything("note"), ground.notes()

    report = ground.run(slice_rows=2)

    assert (report.status, report.records) == (Status.DONE, 18)
    assert ground.keys() == [11, 12, *range(21, 31)]
    assert ground.everything() == before
    assert ground.everything("note") == children
    assert "2 lapsed rows stay, since rows of log belong to them that do not lapse" in planned
    assert problems(ground) == []
    ground.check()


def test_a_child_table_that_refers_to_itself_goes_as_deep_as_it_is(ground: Ground) -> None:
    """Answers to answers, though they name no entry themselves; with what belongs to them."""
    ground.execute(
        "CREATE TABLE comment (id bigint PRIMARY KEY, log bigint REFERENCES log ON DELETE CASCADE, "
        "answers bigint REFERENCES comment ON DELETE CASCADE, tenant text)",
        "CREATE TABLE mark (id bigint, comment bigint REFERENCES comment ON DELETE CASCADE)",
        "CREATE TABLE pin (id bigint, comment bigint REFERENCES comment ON DELETE RESTRICT)",
        "INSERT INTO comment SELECT id, id, NULL, 'acme' FROM log",
        "INSERT INTO comment SELECT 100 + id, NULL, id, 'acme' FROM log",
        "INSERT INTO comment SELECT 200 + id, NULL, 100 + id, CASE id WHEN 7 THEN 'held' ELSE 'acme' END FROM log",
        "INSERT INTO mark SELECT id, 200 + id FROM log",
        "INSERT INTO pin VALUES (1, 209)",
    )
    ground.policy(
        dataset="tenant: tenant", top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n"
    )
    before = {table: ground.everything(table) for table in ("log", "comment", "mark")}
    planned = ground.notes()

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 18)
    assert ground.keys() == [7, 9, *range(21, 31)]
    assert ground.keys("comment")[:2] == [7, 9]
    assert {table: ground.everything(table) for table in ("log", "comment", "mark")} == before
    assert "1 lapsed rows stay, since rows of comment that belong to them are held" in planned
    assert "1 lapsed rows stay, since rows of pin refer to them" in planned


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_held_child_keeps_its_parent(ground: Ground, archive: str) -> None:
    """Where the child has the columns that a hold names; with and without an archive."""
    ground.execute(NOTE.format("CASCADE"), NOTES, "UPDATE note SET tenant = 'held' WHERE id = 402")
    ground.policy(
        archive=archive,
        dataset="tenant: tenant",
        top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n",
    )
    planned = ground.notes()

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 19)
    assert ground.keys() == [4, *range(21, 31)]
    assert ground.keys("note")[:3] == [401, 402, 2101]
    assert "1 lapsed rows stay, since rows of note that belong to them are held" in planned


OTHER = """\
  notes:
    store: "{url}"
    table: note
    time: at
    keep: forever
    archive: cold
"""


def test_a_table_with_rules_of_its_own_never_goes_along(ground: Ground) -> None:
    """Another dataset's rows go by its rules and holds only; no cascade reaches them, not even late ones."""
    ground.execute(
        NOTE.format("CASCADE"),
        "ALTER TABLE note ADD at timestamptz DEFAULT now()",
        "INSERT INTO note VALUES (1, 3, 'a')",
    )
    ground.policy(top=OTHER.format(url=ground.url))
    session = ground.session()
    planned = "\n".join(plan(session, ["log"]).datasets[0].identity.notes)
    with writing(ground, "INSERT INTO note VALUES (9999, 5, 'late')"):
        (report,) = run(session, Wishes(names=("log",))).datasets

    assert (report.status, report.records) == (Status.DONE, 18)
    assert ground.keys() == [3, 5, *range(21, 31)]
    assert ground.keys("note") == [1, 9999]
    assert "1 lapsed rows stay until rows of note that refer to them have gone by themselves" in planned


def test_rows_of_a_partitioned_table_that_belong_to_each_other_go_one_after_the_other(ground: Ground) -> None:
    """What belongs to a row keeps it until it has gone itself, in this run or the next."""
    ground.execute(
        "DROP TABLE log",
        "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz, tenant text, body text, "
        "parent bigint REFERENCES log ON DELETE CASCADE) PARTITION BY RANGE (id)",
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (11)",
        "CREATE TABLE log_2 PARTITION OF log DEFAULT",
        ROWS,
        "UPDATE log SET parent = 2 WHERE id IN (1, 15); UPDATE log SET parent = 3 WHERE id = 25",
    )
    before = ground.everything()

    assert ground.run().records == 18
    assert ground.keys() == [2, 3, *range(21, 31)]
    assert ground.run().records == 1
    assert ground.keys() == [3, *range(21, 31)]
    assert ground.everything() == before


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (
            ["CREATE TABLE a (id bigint PRIMARY KEY, log bigint REFERENCES log ON DELETE CASCADE, b bigint)",
             "CREATE TABLE b (id bigint PRIMARY KEY, a bigint REFERENCES a ON DELETE CASCADE)",
             "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE"],
            "foreign keys delete rows in a circle: a → b → a",
        ),
        (
            ["CREATE TABLE a (id int PRIMARY KEY, log int REFERENCES log ON DELETE CASCADE) PARTITION BY RANGE (id)",
             "CREATE TABLE a_1 PARTITION OF a FOR VALUES FROM (0) TO (100)",
             "CREATE TABLE b (id int, a int REFERENCES a_1 ON DELETE CASCADE)"],
            "foreign key b_a_fkey of b points at partition a_1 instead of a",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(ground: Ground, statements: list[str], reason: str) -> None:
    """Nothing is removed."""
    ground.execute(*statements)

    assert ground.plan().identity.refusal == reason
    with pytest.raises(UnsupportedError, match="foreign key"):
        ground.run()


def test_a_partitioned_table_may_have_children(ground: Ground) -> None:
    """Its partitions are emptied row by row with what belongs to the rows."""
    ground.execute(
        "DROP TABLE log",
        "CREATE TABLE log (id bigint, at timestamptz, tenant text, body text, PRIMARY KEY (id, at)) "
        "PARTITION BY RANGE (at)",
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "CREATE TABLE log_2 PARTITION OF log DEFAULT",
        ROWS,
        "CREATE TABLE note (id bigint, log bigint, at timestamptz, FOREIGN KEY (log, at) REFERENCES log "
        "ON DELETE CASCADE)",
        "INSERT INTO note SELECT id, id, at FROM log",
    )
    before = ground.everything("note")

    assert ground.run().records == 20

    assert ground.everything("note") == before
    assert ground.keys("note") == list(range(21, 31))
    assert ground.methods() == {"row delete": 20}


def test_rows_of_a_table_that_inherits_from_a_child_stay(ground: Ground) -> None:
    """A foreign key is not inherited, so nothing there depends on the rows."""
    ground.execute(
        NOTE.format("CASCADE"),
        NOTES,
        "CREATE TABLE special () INHERITS (note)",
        "INSERT INTO special VALUES (1, 1, 'x')",
    )

    assert ground.run().records == 20
    assert ground.keys("special") == [1]
