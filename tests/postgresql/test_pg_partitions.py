"""Partitions of PostgreSQL that have lapsed as a whole are sealed and dropped; what keeps one from it is told."""

from __future__ import annotations

import pytest
from pg_ground import Ground, months
from pg_partitions import FRESH, LOG, NEW, TRIGGER, ground, log, tables

from lapse.model.report import Status

__all__ = ["ground", "log"]


@pytest.mark.parametrize(
    ("kind", "zone"),
    [("timestamptz", ""), ("timestamp", ""), ("timestamp", "time zone: America/New_York"), ("date", "")],
)
def test_what_has_lapsed_as_a_whole_is_dropped(ground: Ground, kind: str, zone: str) -> None:
    """Whatever the type of the time; the plan has said so before, and the archive has every row."""
    ground.policy(dataset=zone)
    ground.execute(LOG.format(kind), *months(1, 4), NEW, FRESH)
    before, planned = ground.everything(), ground.notes()

    report = ground.run()

    assert (report.status, report.records, report.slices) == (Status.DONE, 40, 4)
    assert tables(ground) == ["log_new"]
    assert ground.methods() == {"partition drop": 40}
    assert ground.everything() == before
    assert "dropped as a whole, with 40 rows: public.log_2025_01 … public.log_2025_04 (4 partitions);" in planned
    ground.check()


@pytest.mark.parametrize(
    ("kind", "zone", "end", "dropped"),
    [
        ("timestamptz", "", "2026-08-03 00:00:00Z", True),
        ("timestamptz", "", "2026-08-03 00:00:00.000001Z", False),
        ("timestamp", "", "2026-08-02 00:00:00", True),
        ("timestamp", "time zone: America/New_York", "2026-08-02 23:00:00", False),
        ("date", "", "2026-08-03", False),
        ("date", "", "2026-08-02", True),
    ],
)
def test_the_range_must_have_passed_as_a_whole(ground: Ground, kind: str, zone: str, end: str, dropped: bool) -> None:
    """The cutoff is 2026-08-03; a range that may still get a row that is kept goes row by row."""
    ground.policy(dataset=zone)
    ground.execute(
        LOG.format(kind),
        f"CREATE TABLE old PARTITION OF log FOR VALUES FROM ('2026-07-01') TO ('{end}')",
        "INSERT INTO log VALUES (1, '2026-07-01 12:00', 'a', 'b')",
    )

    ground.run()

    assert ground.archived() == [1]
    assert tables(ground) == ([] if dropped else ["old"])


def test_a_range_without_an_end_is_emptied(ground: Ground) -> None:
    """A partition up to MAXVALUE or infinity may get new rows any time."""
    ground.execute(
        LOG.format("timestamptz"),
        "CREATE TABLE old PARTITION OF log FOR VALUES FROM (MINVALUE) TO ('2025-01-01')",
        "CREATE TABLE rest PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('infinity')",
        "INSERT INTO log VALUES (1, '2024-01-01', 'a', 'b'), (2, '2025-02-01', 'a', 'b')",
    )

    ground.run()

    assert tables(ground) == ["rest"]
    assert ground.archived() == [1, 2]


def test_other_partitions_are_emptied_row_by_row_and_the_plan_says_why(ground: Ground) -> None:
    """The DEFAULT partition, and what is partitioned further; a DEFAULT partition does not hinder a drop."""
    ground.execute(
        LOG.format("timestamptz"),
        *months(1, 1),
        "CREATE TABLE rest PARTITION OF log DEFAULT",
        "CREATE TABLE sub PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id)",
        "CREATE TABLE sub_0 PARTITION OF sub FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "INSERT INTO log VALUES (1, '2020-01-01', 'a', 'b'), (2, '2024-02-01', 'a', 'b'), (3, '2026-10-30', 'a', 'c')",
    )
    before, planned = ground.everything(), ground.notes()

    ground.run()

    assert ground.methods() == {"partition drop": 10, "row delete": 2}
    assert ground.everything() == before
    assert tables(ground) == ["rest", "sub"]
    assert "since the DEFAULT partition is never dropped: public.rest" in planned
    assert "DEFAULT partition, public.rest, is locked for a moment, too" in planned
    assert "since it lies in a partition that is partitioned further: public.sub_0" in planned


@pytest.mark.parametrize("by", ["HASH (id)", "LIST (tenant)", "RANGE (id)", "RANGE (at, id)"])
def test_tables_cut_by_something_else_go_row_by_row(ground: Ground, by: str) -> None:
    """What is not cut by the range of the time alone has no partition that lapses as a whole."""
    values = {
        "HASH (id)": "WITH (MODULUS 1, REMAINDER 0)",
        "LIST (tenant)": "IN ('a')",
        "RANGE (id)": "FROM (0) TO (9)",
        "RANGE (at, id)": "FROM (MINVALUE, MINVALUE) TO (MAXVALUE, MAXVALUE)",
    }
    ground.execute(
        "CREATE TABLE log (id bigint NOT NULL, at timestamptz NOT NULL, tenant text, body text) PARTITION BY " + by,
        f"CREATE TABLE part PARTITION OF log FOR VALUES {values[by]}",
        "INSERT INTO log VALUES (1, '2020-01-01', 'a', 'b')",
    )
    planned = ground.notes()

    ground.run()

    assert ground.methods() == {"row delete": 1}
    assert tables(ground) == ["part"]
    assert "no partition is dropped: the table is not partitioned by the range of at alone" in planned


KEY = "ALTER TABLE log ADD PRIMARY KEY (id, at)"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (
            [KEY,
             "CREATE TABLE note (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES log)"],
            "foreign key note_id_at_fkey of table note points at the table",
        ),
        (
            [TRIGGER, "CREATE TRIGGER spy AFTER DELETE ON log FOR EACH ROW EXECUTE FUNCTION seen()"],
            "trigger spy watches each row that is removed",
        ),
        (
            [TRIGGER, "CREATE TRIGGER spy AFTER DELETE ON log_2025_01 FOR EACH ROW EXECUTE FUNCTION seen()"],
            "trigger spy watches its removals",
        ),
        ([KEY, "CREATE PUBLICATION everything FOR ALL TABLES"], "publication everything tells its subscribers"),
        ([KEY, "CREATE PUBLICATION one FOR TABLE log_2025_01"], "publication one tells its subscribers"),
        (["CREATE VIEW january AS SELECT * FROM log_2025_01"], "view january depends on it"),
    ],
)  # fmt: skip
def test_what_a_drop_would_pass_by_keeps_the_partition(ground: Ground, statements: list[str], reason: str) -> None:
    """Then its rows are removed one by one, and the plan says why."""
    ground.execute(LOG.format("timestamptz"), *months(1, 1), NEW, FRESH, *statements)
    before, planned = ground.everything(), ground.notes()

    report = ground.run()

    assert report.status is Status.DONE
    assert ground.methods() == {"row delete": 10}
    assert tables(ground) == ["log_2025_01", "log_new"]
    assert reason in planned
    assert ground.everything() == before


def test_a_role_that_does_not_own_the_table_removes_rows(log: Ground) -> None:
    """It may not drop; the plan says so."""
    log.execute(
        "CREATE ROLE clerk LOGIN",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk",
        "GRANT CREATE, USAGE ON SCHEMA public TO clerk",
    )
    try:
        log.policy(store=log.url.replace("postgres@", "clerk@"))
        assert "no partition is dropped: this role does not own the table" in log.notes()
        assert log.run().records == 40
        assert log.methods() == {"row delete": 40}
    finally:
        log.execute("DROP OWNED BY clerk", "DROP ROLE clerk")


def test_what_the_server_does_not_let_go_is_emptied(log: Ground) -> None:
    """A function that depends on a partition is not looked for beforehand; it is found in time."""
    version = int(log.execute("SHOW server_version_num")[0][0])
    log.execute(f'CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."x%s" (y log_2025_02); SELECT {version}')

    report = log.run()

    assert (report.status, report.records) == (Status.DONE, 40)
    assert log.methods() == {"partition drop": 30, "row delete": 10}
    assert tables(log) == ["log_2025_02", "log_new"]
    log.check()


def test_a_partition_may_have_its_own_shape(ground: Ground) -> None:
    """Columns in another order, dropped ones, own indexes and constraints; a name that needs care."""
    ground.execute(
        LOG.format("timestamptz"),
        'CREATE TABLE "old %s ""x""" (gone int, body text, at timestamptz NOT NULL, tenant text, extra int, id bigint)',
        'ALTER TABLE "old %s ""x""" DROP COLUMN gone, DROP COLUMN extra, ADD CHECK (id > 0)',
        'CREATE UNIQUE INDEX ON "old %s ""x""" (body)',
        "INSERT INTO \"old %s \"\"x\"\"\" VALUES ('b', '2020-05-05', 't', 7)",
        'ALTER TABLE log ATTACH PARTITION "old %s ""x""" FOR VALUES FROM (\'2020-01-01\') TO (\'2021-01-01\')',
        NEW,
        FRESH,
    )

    ground.run()

    assert tables(ground) == ["log_new"]
    assert ground.archived("log", "id") == [7]
    assert ground.archived("log", "body") == ["b"]
    assert ground.archived("log", "tenant") == ["t"]


def test_partitions_that_come_from_a_template_are_dropped(ground: Ground) -> None:
    """As pg_partman makes them, with a key from a template; a table that they refer to stays as it is."""
    ground.execute(
        LOG.format("timestamptz"),
        "CREATE TABLE tenants (name text PRIMARY KEY); INSERT INTO tenants VALUES ('acme')",
        "ALTER TABLE log ADD FOREIGN KEY (tenant) REFERENCES tenants",
        "CREATE TABLE template (LIKE log, PRIMARY KEY (id))",
        "CREATE TABLE log_default PARTITION OF log DEFAULT",
        "CREATE TABLE log_p2025_01 (LIKE log INCLUDING DEFAULTS, PRIMARY KEY (id))",
        "ALTER TABLE log ATTACH PARTITION log_p2025_01 FOR VALUES FROM ('2025-01-01') TO ('2025-02-01')",
        "INSERT INTO log VALUES (1, '2025-01-02', 'acme', ''), (2, '2026-10-30', 'acme', '')",
    )

    assert ground.run().records == 1

    assert tables(ground) == ["log_default"]
    assert ground.execute("SELECT count(*) FROM tenants") == [(1,)]


def test_one_row_that_is_held_or_doubtful_keeps_its_partition(log: Ground) -> None:
    """The others of it go row by row."""
    log.policy(
        dataset="tenant: tenant\nrequire: [tenant]",
        top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n",
    )
    log.execute(
        "INSERT INTO log VALUES (201, '2025-02-20', 'held', 'x'), (301, '2025-03-20', NULL, 'x')",
    )
    planned = log.notes()

    log.run()

    assert tables(log) == ["log_2025_02", "log_2025_03", "log_new"]
    assert log.methods() == {"partition drop": 20, "row delete": 20}
    assert log.keys() == [1, 201, 301]
    assert "since not everything in it has lapsed: public.log_2025_02, public.log_2025_03" in planned


def test_a_budget_of_rows_drops_nothing(log: Ground) -> None:
    """A run that may remove so many rows and no more removes them one by one."""
    assert log.run(rows=15).records == 15

    assert log.methods() == {"row delete": 15}
    assert len(tables(log)) == 5


def test_a_partition_of_two_destinations_goes_when_only_one_is_left(log: Ground) -> None:
    """A segment goes to the archives of one rule only: the rows of the other rule go before."""
    log.policy(dataset="type: body", keep="[{type: x, for: 90 days, archive: none}, {for: 90 days}]")

    report = log.run()

    assert (report.records, report.waived) == (40, 4)
    assert log.methods() == {"row delete": 4, "partition drop": 36}
