"""The newest of each group on PostgreSQL: what goes whole, what goes along, and who may make the table for them."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from pg_ground import Ground, months
from pg_looking import as_role

from lapse.errors import UnsupportedError
from lapse.model.report import Status

_LOG = "CREATE TABLE log (id bigint{}, at timestamptz NOT NULL, tenant text, body text) {}"


@pytest.fixture
def ground(pg_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days and the two newest of each tenant."""
    found = Ground(tmp_path, pg_database)
    found.policy(keep="[{for: 90 days, keep last: 2 per tenant}]")
    return found


def test_a_partition_with_one_of_the_newest_does_not_go_whole(ground: Ground) -> None:
    """Its other rows are removed one by one; partitions without are dropped."""
    ground.execute(
        _LOG.format("", "PARTITION BY RANGE (at)"),
        *months(1, 3),
        "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')",
        "INSERT INTO log SELECT n, '2026-10-20', 'acme', 'new' FROM generate_series(901, 902) n",
        "INSERT INTO log VALUES (990, '2025-02-03', 'silent', 'old'), (991, '2025-02-04', 'silent', 'old')",
    )
    before = ground.everything()

    report = ground.run()

    assert report.status is Status.DONE
    assert ground.keys() == [901, 902, 990, 991]
    assert ground.methods() == {"partition drop": 20, "row delete": 10}
    assert ground.everything() == before
    ground.check()


def test_the_rows_that_refer_to_one_of_the_newest_stay_with_it(ground: Ground) -> None:
    """They go along with what goes, and with nothing else."""
    ground.execute(
        _LOG.format(" PRIMARY KEY", ""),
        "INSERT INTO log SELECT n, '2025-01-01'::timestamptz + n * interval '1 hour', 'acme', 'x' "
        "FROM generate_series(1, 5) n",
        "CREATE TABLE note (id bigint PRIMARY KEY, log bigint REFERENCES log ON DELETE CASCADE)",
        "INSERT INTO note SELECT 100 + id, id FROM log",
    )

    report = ground.run()

    assert report.records == 3
    assert ground.keys() == [4, 5]
    assert ground.keys("note") == [104, 105]
    ground.check()


def test_long_texts_tell_groups_apart(ground: Ground) -> None:
    """Texts that no index takes, and that begin alike."""
    ground.execute(
        _LOG.format(" PRIMARY KEY", ""),
        "INSERT INTO log SELECT n, '2025-01-01'::timestamptz + n * interval '1 hour', "
        "repeat('x', 9000) || n % 2, 'x' FROM generate_series(1, 8) n",
    )

    ground.run()

    assert ground.keys() == [5, 6, 7, 8]


def test_who_may_make_no_temporary_table_is_refused_before_anything_goes(ground: Ground) -> None:
    """The newest cannot be told then, so nothing is removed, and it is said what is missing."""
    ground.execute(
        _LOG.format(" PRIMARY KEY", ""),
        "INSERT INTO log SELECT n, '2025-01-01', 'acme', 'x' FROM generate_series(1, 5) n",
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT, DELETE ON log TO reader",
    )
    with ground.connected() as connection:
        database = psycopg.sql.Identifier(connection.info.dbname)
        connection.execute(psycopg.sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    try:
        ground.policy(keep="[{for: 90 days, keep last: 2 per tenant}]", store=as_role(ground.url, "reader"))

        with pytest.raises(UnsupportedError, match="no temporary table"):
            ground.plan()
        assert len(ground.keys()) == 5
    finally:
        ground.execute("REVOKE ALL ON log FROM reader", "DROP ROLE reader")
