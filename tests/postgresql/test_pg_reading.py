"""A purge reads about as many rows as it removes, and never meets the ones that it has removed before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pg_runs import PgWorld, make

from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers

ROWS = 60_000
_READ = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'log'"


@pytest.fixture
def server(request: pytest.FixtureRequest, postgres_pool: PostgresPool) -> PostgresServer:
    """The newest one, unless a test names others."""
    return postgres_pool.get(getattr(request, "param", servers()[-1]))


@pytest.fixture
def world(server: PostgresServer, tmp_path: Path) -> Iterator[PgWorld]:
    """A table that nobody vacuums."""
    world = make(tmp_path / "world", server.create_database("reading"), records=ROWS)
    world.execute("ALTER TABLE log SET (autovacuum_enabled = off)")
    yield world
    server.drop_database("reading")


def read(world: PgWorld) -> int:
    """Rows of the table that all sessions have read; what they did is known once they have ended."""
    world.alone()
    return int(world.execute(_READ)[0][0])


def purge(world: PgWorld) -> tuple[int, int]:
    """Rows read, those of the survey and of the last sample not counted, and rows removed."""
    before = read(world)
    assert world.lapse("run", "--dry-run").end().exit == 0
    survey = read(world) - before
    ended = world.lapse("run", "--json").end()
    assert ended.exit == 0, ended
    removed = ended.dataset["records"]
    # At the end the free space is measured by a sample of bounded size, which has all that is left here.
    sampled = ROWS - removed
    return read(world) - before - 2 * survey - sampled, removed


@pytest.mark.parametrize("server", servers(), indirect=True)
@pytest.mark.parametrize("index", [False, True], ids=["unindexed", "indexed"])
def test_a_table_in_the_order_of_time_is_read_where_rows_lapsed(world: PgWorld, index: bool) -> None:
    """At most 1.2 rows for each that is removed."""
    world.execute("DELETE FROM log WHERE kind = 'keep' OR tenant = 'held' OR at IS NULL")
    world.execute("VACUUM FULL ANALYZE log")
    if index:
        world.execute("CREATE INDEX ON log (at)")

    rows, removed = purge(world)

    assert removed > ROWS // 3
    assert rows <= 1.2 * removed, (rows, removed)


def test_a_shuffled_table_without_an_index_is_read_once(world: PgWorld) -> None:
    """One pass over all rows, whatever the number of slices."""
    world.execute("CREATE TABLE shuffled AS TABLE log")
    world.execute("TRUNCATE log")
    world.execute("INSERT INTO log SELECT * FROM shuffled ORDER BY hashint8(id)")
    world.execute("ANALYZE log")

    rows, removed = purge(world)

    assert removed > ROWS // 3
    assert rows <= 1.1 * ROWS, (rows, removed)


def test_a_shuffled_table_is_read_by_its_index(world: PgWorld) -> None:
    """At most 1.2 rows for each that is removed, as far as rules and holds let them go."""
    world.execute("DELETE FROM log WHERE kind = 'keep' OR tenant = 'held' OR at IS NULL")
    world.execute("CREATE TABLE shuffled AS TABLE log")
    world.execute("TRUNCATE log")
    world.execute("INSERT INTO log SELECT * FROM shuffled ORDER BY hashint8(id)")
    world.execute("CREATE INDEX ON log (at)")
    world.execute("ANALYZE log")

    rows, removed = purge(world)

    assert removed > ROWS // 3
    assert rows <= 1.2 * removed, (rows, removed)
