"""Foreign keys: children go first, beside their parents, or keep them, or lose their reference; nothing vanishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
from mysql_worlds import MysqlWorld, NoReturningWorld

from lapse.errors import ChangedError, UnsupportedError
from lapse.model.disposal import Waiver
from lapse.model.policy import Hold
from lapse.model.selection import Selection
from lapse.stores.mysql import MysqlStore
from lapse.stores.mysql.dependents import Dependents
from lapse.testing.flow import cut, days_ago, judged, matching, remove, rule
from lapse.testing.harness import Record
from servers.mariadb import MariadbServer

CASCADE = "ON DELETE CASCADE"
LAPSED = rule("30 days")


@pytest.fixture(params=[MysqlWorld, NoReturningWorld])
def world(request: pytest.FixtureRequest, mariadb: MariadbServer, mariadb_database: str) -> MysqlWorld:
    """Rows 1 to 5, which are 5, 15, 25, 35 and 45 days old."""
    world: MysqlWorld = request.param(mariadb, mariadb_database)
    world.create([Record(key=key, at=days_ago(key * 10 - 5)) for key in range(1, 6)])
    return world


def statements(world: MysqlWorld, *lines: str) -> None:
    """Run statements in the world's database."""
    for line in lines:
        world.server.execute(line, database=world.database)


def child(world: MysqlWorld, name: str, parent: str = "log", tail: str = CASCADE, *, rows: str) -> None:
    """A table whose rows refer to *parent*; *rows* are ``(id, parent, tenant)``."""
    statements(
        world,
        f"CREATE TABLE {name} (id INT PRIMARY KEY, parent BIGINT, tenant VARCHAR(40), body TEXT, "
        f"CONSTRAINT {name}_of FOREIGN KEY (parent) REFERENCES {parent} (id) {tail})",
        f"INSERT INTO {name} (id, parent, tenant) VALUES {rows}",
    )


def ids(world: MysqlWorld, table: str) -> list[int]:
    """The keys of what is left."""
    return [key for (key,) in world.server.execute(f"SELECT id FROM {table} ORDER BY id", database=world.database)]


@contextmanager
def opened(world: MysqlWorld, **overrides: Any) -> Iterator[MysqlStore]:
    """The world's store."""
    store = world.store_class(world.dataset(**overrides), read_only=False)
    assert isinstance(store, MysqlStore)
    try:
        yield store
    finally:
        store.close()


def purged(world: MysqlWorld, selection: Selection, **overrides: Any) -> dict[str, list[int]]:
    """What went, by table, in the order of the parts."""
    found: dict[str, list[int]] = {}
    with opened(world, **overrides) as store:
        assert store.identity().refusal is None
        for piece in cut(store, selection):
            removal = remove(store, piece)
            for part in removal.drained if removal else ():
                found.setdefault(part.part.table, []).extend(part.keys)
    return {table: sorted(keys) for table, keys in found.items()}


def test_children_that_would_vanish_go_first_and_are_archived(world: MysqlWorld) -> None:
    """Two levels deep, each table a part of its own; children of what stays, and of nothing, stay."""
    child(world, "note", rows="(1, 1, 'a'), (40, 4, 'a'), (41, 4, 'b'), (50, 5, 'a'), (99, NULL, 'a')")
    statements(world, "ALTER TABLE note MODIFY id BIGINT")
    child(world, "mark", "note", rows="(7, 41, 'x'), (8, 1, 'x')")

    went = purged(world, judged(world, LAPSED))

    assert went == {"mark": [7], "note": [40, 41, 50], "log": [4, 5]}
    assert list(went) == ["mark", "note", "log"]
    assert (ids(world, "log"), ids(world, "note"), ids(world, "mark")) == ([1, 2, 3], [1, 99], [8])


def test_a_table_that_can_be_reached_in_two_ways_goes_once(world: MysqlWorld) -> None:
    """A row that refers to a parent and to a grandparent is yielded once, before both."""
    child(world, "note", rows="(40, 4, 'a'), (50, 5, 'a'), (10, 1, 'a')")
    statements(
        world,
        "ALTER TABLE note MODIFY id BIGINT",
        "CREATE TABLE both_of (id INT PRIMARY KEY, log BIGINT, note BIGINT, "
        f"FOREIGN KEY (log) REFERENCES log (id) {CASCADE}, FOREIGN KEY (note) REFERENCES note (id) {CASCADE})",
        "INSERT INTO both_of VALUES (1, 4, 40), (2, 1, 50), (3, 5, 10), (4, 1, 10)",
    )

    assert purged(world, judged(world, LAPSED)) == {"both_of": [1, 2, 3], "note": [40, 50], "log": [4, 5]}
    assert ids(world, "both_of") == [4]


@pytest.mark.parametrize("tail", ["", "ON DELETE RESTRICT", "ON DELETE NO ACTION"])
def test_children_that_forbid_it_keep_their_parents(world: MysqlWorld, tail: str) -> None:
    """Only they: the other rows go; and the plan counts the children."""
    child(world, "note", tail=tail, rows="(1, 1, 'a'), (40, 4, 'a'), (41, 4, 'a')")
    selection = judged(world, LAPSED)
    with opened(world) as store:
        (remark,) = store.remarks(selection)

    assert remark.startswith("2 rows of note keep the rows they refer to")
    assert purged(world, selection) == {"log": [5]}
    assert ids(world, "log") == [1, 2, 3, 4]


def test_a_grandchild_that_forbids_it_keeps_the_whole_line(world: MysqlWorld) -> None:
    """The child that it refers to would go with its parent, so the parent stays."""
    child(world, "note", rows="(40, 4, 'a'), (50, 5, 'a')")
    statements(world, "ALTER TABLE note MODIFY id BIGINT")
    child(world, "mark", "note", "ON DELETE RESTRICT", rows="(1, 40, 'x')")

    assert purged(world, judged(world, LAPSED)) == {"note": [50], "log": [5]}
    assert (ids(world, "log"), ids(world, "note")) == ([1, 2, 3, 4], [40])


def test_children_that_lose_their_reference_stay_and_are_counted(world: MysqlWorld) -> None:
    """ON DELETE SET NULL is said in the plan, with how many rows it touches."""
    child(world, "note", tail="ON DELETE SET NULL", rows="(1, 1, 'a'), (40, 4, 'a')")
    selection = judged(world, LAPSED)
    with opened(world) as store:
        (remark,) = store.remarks(selection)

    assert remark.startswith("1 rows of note stay and lose their reference")
    assert purged(world, selection) == {"log": [4, 5]}
    assert ids(world, "note") == [1, 40]


def test_a_held_child_keeps_its_parent(world: MysqlWorld) -> None:
    """A hold on a tenant holds the child of that tenant, and with it what it belongs to."""
    child(world, "note", rows="(40, 4, 'held'), (50, 5, 'free')")
    selection = judged(world, LAPSED, holds=[Hold(matter="m", match=matching(tenant="held"))])

    assert purged(world, selection) == {"note": [50], "log": [5]}
    assert (ids(world, "log"), ids(world, "note")) == ([1, 2, 3, 4], [40])


def test_rows_of_a_table_with_rules_of_its_own_keep_what_they_belong_to(world: MysqlWorld) -> None:
    """A child that is a dataset itself goes by its own rules, not by its parent's."""
    child(world, "note", rows="(40, 4, 'a')")

    assert purged(world, judged(world, LAPSED, apart=("note",)), apart=("note",)) == {"log": [5]}
    assert ids(world, "note") == [40]


def test_without_archive_children_go_with_their_parents(world: MysqlWorld) -> None:
    """A waiver removes them in the same transaction."""
    child(world, "note", rows="(40, 4, 'a'), (10, 1, 'a')")

    with opened(world) as store:
        (piece,) = cut(store, judged(world, rule("30 days", ())))
        with store.take(piece) as taken:
            assert taken.commit(Waiver(slice=piece.name, rules=("rule 1",))).records == 2

    assert (ids(world, "log"), ids(world, "note")) == ([1, 2, 3], [10])


def test_a_child_cannot_come_while_its_parents_go(world: MysqlWorld) -> None:
    """Whoever would refer to a row of an open take waits; left without commit, everything is back."""
    child(world, "note", rows="(40, 4, 'a')")
    selection = judged(world, LAPSED)
    with opened(world) as store:
        (piece,) = cut(store, selection)
        with store.take(piece) as taken:
            first = next(taken.parts())
            assert first.table == "note"
            with world.connected() as cursor, pytest.raises(pymysql.OperationalError) as caught:
                cursor.execute("INSERT INTO note VALUES (41, 4, 'a', NULL)")
            assert caught.value.args[0] == 1205

    assert (ids(world, "log"), ids(world, "note")) == ([1, 2, 3, 4, 5], [40])


def test_a_parent_that_lapses_after_the_others_were_locked_is_not_removed_unseen(
    world: MysqlWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children were not all seen: the slice is given back, and goes whole the next time."""
    child(world, "note", rows="(40, 4, 'a')")
    selection = judged(world, LAPSED)
    lock = Dependents.lock

    def late(self: Dependents, *arguments: Any) -> int:
        locked = lock(self, *arguments)
        statements(
            world, "INSERT INTO log (id, at) VALUES (45, '2000-01-01')", "INSERT INTO note VALUES (45, 45, 'a', '')"
        )
        return locked

    with opened(world) as store:
        statements(world, "INSERT INTO log (id, at) SELECT 60, at FROM log WHERE id = 5")  # the slice ends there
        (piece,) = cut(store, selection)
        with monkeypatch.context() as patched:
            patched.setattr(Dependents, "lock", late)
            with pytest.raises(ChangedError):
                remove(store, piece)
        assert ids(world, "note") == [40, 45]
        removal = remove(store, piece)

    assert removal is not None
    assert [part.keys for part in removal.drained] == [[40, 45], [4, 5, 45, 60]]


CIRCLES = [
    ["ALTER TABLE log ADD parent BIGINT, ADD FOREIGN KEY (parent) REFERENCES log (id)"],
    ["ALTER TABLE log ADD parent BIGINT, ADD FOREIGN KEY (parent) REFERENCES log (id) ON DELETE CASCADE"],
    ["ALTER TABLE log ADD parent BIGINT, ADD FOREIGN KEY (parent) REFERENCES log (id) ON DELETE SET NULL"],
    [
        f"CREATE TABLE note (id BIGINT PRIMARY KEY, parent BIGINT, FOREIGN KEY (parent) REFERENCES log (id) {CASCADE})",
        "ALTER TABLE log ADD note BIGINT, ADD FOREIGN KEY (note) REFERENCES note (id) ON DELETE SET NULL",
    ],
]


@pytest.mark.parametrize("lines", CIRCLES)
def test_tables_that_refer_to_each_other_in_a_circle_are_refused(world: MysqlWorld, lines: list[str]) -> None:
    """No order of removal would leave each row as it was until it is archived."""
    statements(world, *lines)

    with opened(world) as store:
        assert "in a circle" in str(store.identity().refusal)
        (piece, *_) = cut(store, judged(world, LAPSED))
        with pytest.raises(UnsupportedError), store.take(piece):
            pass


def test_a_child_that_may_refuse_or_cannot_be_carried_is_a_refusal(world: MysqlWorld) -> None:
    """What holds for a table holds for those whose rows go along."""
    child(world, "note", rows="(40, 4, 'a')")
    statements(world, "CREATE TRIGGER veto BEFORE DELETE ON note FOR EACH ROW SET @x = 1")

    with opened(world) as store:
        assert "trigger veto runs before each delete from note" in str(store.identity().refusal)


def test_children_are_found_by_their_index(world: MysqlWorld) -> None:
    """A slice reads the children of its own rows, not the whole table."""
    child(world, "note", rows="(1, 4, 'a')")
    statements(world, "INSERT INTO note (id, parent) SELECT seq, 1 FROM seq_100_to_9000", "ANALYZE TABLE note")
    selection = judged(world, LAPSED)
    reads = _rows_read(world)

    assert purged(world, selection) == {"note": [1], "log": [4, 5]}
    assert _rows_read(world) - reads < 1000


def _rows_read(world: MysqlWorld) -> int:
    found = world.server.execute("SHOW GLOBAL STATUS LIKE 'Rows_read'")
    return int(found[0][1])
