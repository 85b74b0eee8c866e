"""`lapse why` on real servers: indexes, leases, replicas, foreign keys, and a server that is not there."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from why_world import WhyWorld, world

from lapse.engine.asking import why
from lapse.engine.causes.slowing import statement_in
from lapse.model.causes import CauseKind, Weight
from other_runs import another_run
from servers.mariadb import MariadbServer, mariadb, mariadb_database
from servers.postgres import PostgresServer

__all__ = ["mariadb", "mariadb_database", "world"]

POLICY = """\
version: 1
archives:
  cold: {{to: ./archive}}
datasets:
  calls:
    store: "{store}"
    table: cel
    time: at
    tenant: tenant
    keep: 90 days
    archive: cold
holds:
  - {{matter: M-1, match: {{tenant: held}}, reason: litigation}}
"""
TABLE = "CREATE TABLE cel (id INT PRIMARY KEY, at {time} NOT NULL, tenant VARCHAR(40))"
ROWS = (
    "INSERT INTO cel VALUES (1, '2026-01-01', 'acme'), (2, '2026-01-02', 'acme'), (3, '2026-01-03', 'held'), "
    "(4, '2026-05-30', 'acme'), (5, '2026-01-05', 'acme')"
)
CHILDREN = (
    "CREATE TABLE bill (id INT PRIMARY KEY, call_id INT, CONSTRAINT of_call FOREIGN KEY (call_id) REFERENCES cel (id))",
    "INSERT INTO bill VALUES (1, 1), (2, 4)",
    "CREATE TABLE note (id INT PRIMARY KEY, call_id INT, tenant VARCHAR(40))",
    "ALTER TABLE note ADD CONSTRAINT on_call FOREIGN KEY (call_id) REFERENCES cel (id) ON DELETE CASCADE",
    "INSERT INTO note VALUES (1, 2, 'held'), (2, 5, 'acme')",
)


@pytest.fixture
def pg(world: WhyWorld, pg_database: str) -> WhyWorld:
    """A table on a PostgreSQL server: three rows have lapsed, one is held, one is young."""
    execute(pg_database, TABLE.format(time="timestamptz"), ROWS)
    world.policy(POLICY.format(store=pg_database))
    return world


def execute(url: str, *statements: str) -> None:
    """Run statements, committed at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def layers(world: WhyWorld, key: str) -> dict[str, str]:
    """What `why` finds about a record, by layer; of several the last."""
    (found,) = why(world.session(), "calls", key)
    return {layer.name: layer.finding for layer in found.layers}


def test_an_index_that_is_missing_slows_and_can_be_made_as_told(pg: WhyWorld, pg_database: str) -> None:
    """The statement that is told makes it, and then it is no cause any more."""
    missing = pg.causes()[CauseKind.INDEX]
    execute(pg_database, *missing.fix.split("; "))

    assert missing.weight is Weight.SLOWS
    assert "no index serves at" in missing.message
    assert missing.fix.startswith("CREATE INDEX")
    assert CauseKind.INDEX not in pg.causes()


def test_a_lease_on_the_server_is_told_and_not_touched(pg: WhyWorld, pg_database: str) -> None:
    """By the session that holds it; whoever looks takes no lock."""
    with another_run(pg_database, table="cel", time="at"):
        held = pg.causes()[CauseKind.LEASE]
        refused = pg.call("run")

    assert "session " in held.message
    assert refused.exit_code == 4
    assert CauseKind.LEASE not in pg.causes()


def test_a_replica_that_is_away_makes_runs_wait(pg: WhyWorld, postgres: PostgresServer) -> None:
    """Nothing is removed as long as it is."""
    postgres.execute("SELECT pg_create_physical_replication_slot('why', true)")
    try:
        found = pg.why_not()
    finally:
        postgres.execute("SELECT pg_drop_replication_slot('why')")

    assert found.blocked
    assert {cause.kind for cause in found.causes if cause.weight is Weight.BLOCKS} == {CauseKind.WAITS}
    assert "slot why is not connected" in found.causes[0].message
    assert CauseKind.WAITS not in pg.causes()


def test_rows_of_other_tables_that_keep_a_record_are_told(pg: WhyWorld, pg_database: str) -> None:
    """A bill refers to one, a held note belongs to another; a third has a note that goes along."""
    assert "dependents" not in layers(pg, "1")
    execute(pg_database, *CHILDREN)

    assert layers(pg, "1")["dependents"] == (
        "it stays for now: rows of bill refer to it (foreign key of_call, ON DELETE NO ACTION)"
    )
    assert layers(pg, "2")["dependents"] == (
        "it stays for now: held rows of note belong to it (foreign key on_call, ON DELETE CASCADE)"
    )
    assert "dependents" not in layers(pg, "5")
    assert [cause.records for cause in pg.why_not().causes if cause.kind is CauseKind.DEPENDENTS] == [1, 1]


def test_a_record_that_left_a_server_is_found_in_the_archive(pg: WhyWorld) -> None:
    """By the primary key of the table, which the policy need not name."""
    pg.done("run")

    (found,) = why(pg.session(), "calls", "5")

    assert (found.verdict, found.disposals[0].rules) == ("disposed", ("rule 1 (everything: 90 days)",))


def test_a_key_with_an_instant_in_it_is_found_in_the_archive(pg: WhyWorld, pg_database: str) -> None:
    """As it is written in the store: a table that is cut up by time has the time in its primary key."""
    execute(
        pg_database,
        "DROP TABLE cel",
        "CREATE TABLE cel (id INT, at TIMESTAMPTZ, day TIMESTAMP, mark BYTEA, tenant TEXT,"
        " PRIMARY KEY (id, at, day, mark))",
        "INSERT INTO cel VALUES (1, '2026-01-01 00:00:00.12Z', '2026-01-01', '\\x01ff', 'acme'),"
        " (2, '2026-05-30Z', '2026-05-30', '', 'acme')",
    )
    key = "1,2026-01-01 00:00:00.12+00,2026-01-01 00:00:00,\\x01ff"
    (before,) = why(pg.session(), "calls", key)
    pg.done("run")

    (found,) = why(pg.session(), "calls", key)

    assert (before.key, before.verdict, found.verdict) == (key, "lapsed", "disposed")


def test_a_server_that_is_not_there_is_a_cause(world: WhyWorld) -> None:
    """What can be told without it is told all the same."""
    world.policy(POLICY.format(store="postgresql://nobody@127.0.0.1:9/none"))

    found = world.why_not()

    assert (found.records, found.lapsed) == (None, None)
    assert found.causes[0].kind is CauseKind.STORE
    assert CauseKind.NEVER_RUN in world.causes()
    assert "could not be counted" in world.done("why", "--not", "calls")


@pytest.mark.parametrize(
    ("note", "statement"),
    [
        ("no index serves at: it is read once; to make one: CREATE INDEX CONCURRENTLY ON c (at);",
         "CREATE INDEX CONCURRENTLY ON c (at)"),
        ("no index begins with at: … An index would be: CREATE INDEX lapse_at ON c (at), which reads it once, too",
         "CREATE INDEX lapse_at ON c (at)"),
        ("no index begins with at", None),
    ],
)  # fmt: skip
def test_the_statement_is_all_that_is_told_to_run(note: str, statement: str | None) -> None:
    """Of a store's remark the rest is prose."""
    assert statement_in(note) == statement


def test_the_same_on_mariadb(world: WhyWorld, mariadb: MariadbServer, mariadb_database: str) -> None:
    """Lease and foreign keys of the other server."""
    for statement in (TABLE.format(time="DATETIME"), ROWS):
        mariadb.execute(statement, database=mariadb_database)
    address = mariadb.socket_url(mariadb_database, "root")
    world.policy(POLICY.format(store=address))
    plain = world.causes()
    for statement in CHILDREN:
        mariadb.execute(statement, database=mariadb_database)
    with another_run(address, table="cel", time="at"):
        held = world.causes()

    assert not {CauseKind.LEASE, CauseKind.DEPENDENTS, CauseKind.INDEX} & set(plain)
    assert "connection " in held[CauseKind.LEASE].message
    assert CauseKind.DEPENDENTS in held
    assert "rows of bill refer to it" in layers(world, "1")["dependents"]
    assert "held rows of note belong to it" in layers(world, "2")["dependents"]
    assert "dependents" not in layers(world, "5")
    assert Path(world.folder / "archive").exists() is False
