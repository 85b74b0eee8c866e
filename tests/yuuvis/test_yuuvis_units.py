"""Tenants as units: one look at the table for all of them, and one that fails leaves the others done."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from yuuvis_world import DDL, Entry, PostgresTrail, SqliteTrail, World, fill, left
from yuuvis_world import either_fixture as either_fixture
from yuuvis_world import world_fixture as world_fixture

from lapse.dialects.yuuvis import units
from lapse.dialects.yuuvis.cleanup import Order, cleanup
from lapse.engine import retrying
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session
from lapse.errors import TargetError
from lapse.model.report import RunReport
from lapse.targets.file import FileTarget
from other_runs import another_run

TENANTS = [f"t{number}" for number in range(9)]


def protect(world: World, *tenants: str) -> None:
    """Let the database refuse to remove entries of some tenants."""
    names = ", ".join(f"'{name}'" for name in tenants)
    if isinstance(world.trail, SqliteTrail):
        world.trail.query(
            f"CREATE TRIGGER protect BEFORE DELETE ON auditentry WHEN old.tenant IN ({names}) "
            "BEGIN SELECT RAISE(ABORT, 'protected'); END"
        )
        return
    world.trail.query(
        "CREATE FUNCTION protect() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF old.tenant IN ({names}) THEN RAISE EXCEPTION 'protected'; END IF; RETURN old; END $$"
    )
    world.trail.query("CREATE TRIGGER protect AFTER DELETE ON auditentry FOR EACH ROW EXECUTE FUNCTION protect()")


@pytest.mark.parametrize("protected", [("t4",), ("t0", "t8"), tuple(TENANTS)], ids=len)
def test_a_tenant_that_fails_leaves_the_others_done(either: World, protected: tuple[str, ...]) -> None:
    """Exit 1; those that failed are named, each by itself, and what went is counted exactly."""
    fill(either.trail, *(Entry(tenant=name, action=action) for name in TENANTS for action in (400, 300)))
    protect(either, *protected)

    result = either.clean("--json")

    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [each["tenants"] for each in found["incomplete"]] == [[name] for name in protected]
    others = {name: {"300": 1, "400": 1} for name in TENANTS if name not in protected}
    assert found["deleted"] == {"total": 2 * len(others), "by_tenant_and_action": others}
    assert {name for (name,) in either.trail.query("SELECT DISTINCT tenant FROM auditentry")} == set(protected)
    for name in protected:
        assert f"Error: tenant {name} in " in result.stderr


def test_a_tenant_whose_entries_are_locked_leaves_the_others_done(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody works on an entry for longer than a cleanup waits; it is that tenant alone that waits for the next."""
    if not isinstance(either.trail, PostgresTrail):
        return  # SQLite locks the whole file
    monkeypatch.setattr(retrying, "TRIES", 1)
    fill(either.trail, *(Entry(tenant=name) for name in TENANTS))
    with psycopg.connect(either.trail.url) as another:
        another.execute("SELECT FROM auditentry WHERE tenant = 't4' FOR UPDATE")

        result = either.clean("--json")

    assert result.exit_code == 1
    assert [each["tenants"] for each in json.loads(result.stdout)["incomplete"]] == [["t4"]]
    assert left(either.trail) == [5]


def test_what_was_left_goes_with_the_next_cleanup(either: World) -> None:
    """Once the cause is removed."""
    fill(either.trail, *(Entry(tenant=name) for name in TENANTS))
    protect(either, "t4")
    assert either.clean().exit_code == 1
    table = "" if isinstance(either.trail, SqliteTrail) else " ON auditentry"
    either.trail.query(f"DROP TRIGGER protect{table}")

    assert either.deleted() == {"t4": {"300": 1}}


def test_a_tenant_that_fails_in_one_database_is_done_in_the_other(either: World) -> None:
    """The units are those of each database."""
    second = SqliteTrail(either.folder.parent / "second.db")
    second.query(DDL.format(time="varchar(40)"))
    fill(either.trail, Entry(), Entry(tenant="b"))
    fill(second, Entry())
    protect(either, "acme")

    result = either.clean("--store", second.url)

    assert result.exit_code == 1
    assert (left(either.trail), left(second)) == ([1], [])


def test_without_trouble_each_database_has_one_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one for each tenant or action."""
    runs = []

    def counted(session: Session, wishes: Wishes) -> RunReport:
        runs.append(wishes.names)
        return run(session, wishes)

    monkeypatch.setattr(units, "run", counted)
    fill(world.trail, *(Entry(tenant=name, action=action) for name in TENANTS for action in (100, 300, 400)))

    world.deleted()

    assert len(runs) == 1


def test_trouble_that_is_not_of_entries_is_not_looked_for_among_tenants(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the archive is full, each further try would only fill it more; the store is named as a whole."""
    fill(world.trail, *(Entry(tenant=name) for name in TENANTS))

    def full(*_: object) -> None:
        raise TargetError("no space left")

    monkeypatch.setattr(FileTarget, "publish", full)

    result = world.clean("--archive", "cold", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["incomplete"] == [
        {"store": world.trail.url, "tenants": [], "error": "no space left"}
    ]
    assert left(world.trail) == list(range(1, 10))


def test_another_cleanup_at_work_stops_this_one_alone(world: World) -> None:
    """Exit 1, and the database is named; the others are done."""
    second = SqliteTrail(world.folder.parent / "second.db")
    second.query(DDL.format(time="varchar(40)"))
    fill(world.trail, Entry())
    fill(second, Entry())

    with another_run(second.url, table="auditentry", time="creationdate"):
        result = world.clean("--store", second.url)

    assert result.exit_code == 1
    assert f"Error: {second.url} did not complete: " in result.stderr
    assert (left(world.trail), left(second)) == ([], [1])


def test_a_cleanup_that_is_asked_to_stop_says_what_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1; it is no matter of tenants, and nothing is tried again."""
    fill(world.trail, *(Entry(tenant=name) for name in TENANTS))
    monkeypatch.setenv("LAPSE_STATE_DIR", str(world.state))

    done = cleanup(Order(stores=(world.trail.url,), stopping=lambda: True))

    assert done.exit_code == 1
    assert [each.tenants for each in done.unfinished] == [()]
    assert left(world.trail) == list(range(1, 10))


def test_on_postgresql_two_hundred_tenants_are_no_more_reading_than_one(either: World) -> None:
    """The table is read for counting and for deleting, however many tenants and actions there are."""
    if not isinstance(either.trail, PostgresTrail):
        return
    read = {}
    for tenants in (1, 200):
        either.trail.query("TRUNCATE auditentry")
        either.trail.query(
            "INSERT INTO auditentry SELECT n, 'r', '2020-01-01'::timestamptz + n * interval '1 second', 'u',"
            f" 't' || n % {tenants}, (ARRAY[100, 300, 400, 401])[1 + n / 200 % 4], NULL, repeat('x', 60), 1, NULL"
            " FROM generate_series(1, 20000) n"
        )
        either.trail.query("ANALYZE auditentry")
        before = _read(either.trail)

        deleted = either.deleted()

        read[tenants] = _read(either.trail) - before
        assert (len(deleted), sum(sum(each.values()) for each in deleted.values())) == (tenants, 15_000)
    assert read[200] <= read[1] * 1.05
    assert read[200] <= 4 * 20_000


def _read(trail: PostgresTrail) -> int:
    """Rows that were read from the table by scans of any kind, so far."""
    ((read,),) = trail.query(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'auditentry'"
    )
    return int(read)


def test_the_names_in_messages_are_those_of_the_rows(world: World) -> None:
    """Quoted where they could be taken for something else."""
    fill(world.trail, Entry(tenant="a\nError: b"), Entry(tenant="b"))
    protect(world, "a\nError: b")

    result = world.clean()

    assert re.search(r"^Error: tenant 'a\\nError: b' in sqlite:", result.stderr, re.MULTILINE)
    assert left(world.trail) == [1]
