"""Partitions of MariaDB that have lapsed as a whole are sealed and dropped; what keeps one from it is told."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from mysql_ground import BY_MONTH, COLUMNS, HOLD, Ground
from mysql_partitions import LATE, Step, before_commit, ground, log

from lapse.model.report import Status
from lapse.stores.mysql import MysqlStore, dropping

__all__ = ["before_commit", "ground", "log"]

BY = [
    ("DATETIME(6)", BY_MONTH),
    ("DATE", BY_MONTH),
    ("DATETIME", re.sub(r"\('(.{10})'\)", r"(TO_DAYS('\1'))", BY_MONTH.replace("COLUMNS (at)", "(TO_DAYS(at))"))),
    ("TIMESTAMP", re.sub(r"\('(.{10})'\)", r"(UNIX_TIMESTAMP('\1'))",
                         BY_MONTH.replace("COLUMNS (at)", "(UNIX_TIMESTAMP(at))"))),
    ("DATETIME(6)",
     "PARTITION BY RANGE (id) (" + ", ".join(f"PARTITION p{n} VALUES LESS THAN ({n}00 + 100)" for n in range(1, 5))
     + ", PARTITION new VALUES LESS THAN (2000))"),
]  # fmt: skip


@pytest.mark.parametrize("returning", [True, False], ids=["mariadb", "mysql8"])
@pytest.mark.parametrize(("kind", "partitions"), BY, ids=["datetime", "date", "to_days", "unix_timestamp", "key"])
def test_what_has_lapsed_as_a_whole_is_dropped(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, kind: str, partitions: str, returning: bool
) -> None:
    """Whatever the bounds say; the plan has said so before, and the archive has every row."""
    monkeypatch.setattr(MysqlStore, "use_returning", returning)
    monkeypatch.setattr(dropping, "_ROWS", 4)
    ground.create(kind=kind, partitions=partitions)
    before, planned = ground.everything(), ground.notes()

    report = ground.run()

    assert (report.status, report.records, report.slices) == (Status.DONE, 40, 4)
    assert ground.partitions() == ["new"]
    assert ground.methods() == {"partition drop": 40}
    assert ground.everything() == before
    assert ground.archived(column="body") == sorted("x" * n for n in range(10) for _ in range(4))
    assert "dropped as a whole, with 40 rows: p1 … p4 (4 partitions); each drop locks the table" in planned
    ground.check()


def test_a_table_whose_columns_were_changed_without_rewriting_it_is_read_as_it_was(
    ground: Ground, before_commit: list[Step]
) -> None:
    """Its old rows lie in their file as they were written; aside they are the same, and go back the same."""
    ground.create()
    ground.execute(
        "ALTER TABLE log ADD COLUMN level INT NOT NULL DEFAULT 5 FIRST, ALGORITHM=INSTANT",
        "ALTER TABLE log ADD COLUMN word VARCHAR(9) DEFAULT 'as is' AFTER at, ALGORITHM=INSTANT",
        "ALTER TABLE log DROP COLUMN body, ALGORITHM=INSTANT",
        "INSERT INTO log (id, at, tenant, level, word) VALUES (250, '2025-02-03', 'acme', 7, 'new')",
        "ALTER TABLE log ALTER COLUMN word SET DEFAULT 'other'",
    )
    before_commit[:] = [
        lambda: None,
        lambda: ground.execute("INSERT INTO log (id, at, tenant) VALUES (251, '2025-02-03', 'acme')"),
    ]

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 42)
    assert ground.archived(column="level") == [5] * 41 + [7]
    assert ground.archived(column="word") == ["as is"] * 40 + ["new", "other"]
    assert ground.methods() == {"partition drop": 30, "row delete": 12}
    ground.check()


def test_names_that_need_care_are_taken_as_they_are(ground: Ground) -> None:
    """Of partitions and columns, with placeholders, quotation marks and blanks."""
    odd = '`a "%s" b`'
    ground.create(
        columns=COLUMNS.replace("body TEXT", '`%d "b"` INT, body TEXT'),
        partitions=BY_MONTH.replace("PARTITION p2", f"PARTITION {odd}"),
    )

    assert ground.run().records == 40

    assert ground.partitions() == ["new"]
    assert ground.methods() == {"partition drop": 40}
    ground.check()


def test_a_waived_partition_is_counted_and_dropped(log: Ground) -> None:
    """Nothing is archived; the ledger has the counts by rule."""
    log.policy(archive="none")

    report = log.run()

    assert (report.status, report.records, report.waived) == (Status.DONE, 40, 40)
    assert list(report.rules.values()) == [40]
    assert (log.partitions(), log.rows()) == (["new"], [1000])
    assert log.methods() == {"partition drop": 40}
    log.check()


def test_space_is_free_at_once_and_numbers_are_not_given_out_again(log: Ground) -> None:
    """What was dropped is no file any more; the next row gets the next number."""
    with closing(MysqlStore(log.session().datasets(())[0], read_only=True)) as store:
        before = store.allocated()

    report = log.run()

    assert report.space is not None
    assert 0 < report.space.allocated < before / 2
    assert log.execute("INSERT INTO log (at) VALUES ('2026-10-30') RETURNING id") == [(1001,)]


def test_one_row_that_is_held_or_doubtful_keeps_its_partition(log: Ground) -> None:
    """The others of it go row by row, and the plan says so."""
    log.policy(dataset="tenant: tenant\nrequire: [tenant]", top=HOLD)
    log.execute(LATE.format(250, "2025-02-20", "held"), "INSERT INTO log (id, at) VALUES (350, '2025-03-20')")
    planned = log.notes()

    report = log.run()

    assert (report.status, report.records) == (Status.DONE, 40)
    assert log.partitions() == ["p2", "p3", "new"]
    assert log.methods() == {"partition drop": 20, "row delete": 20}
    assert log.rows() == [250, 350, 1000]
    assert "one by one, since not everything in it has lapsed, or not for the same archives: p2, p3" in planned
    log.check()


def test_a_partition_of_two_destinations_goes_row_by_row(log: Ground) -> None:
    """A slice goes to the archives of one rule."""
    log.policy(dataset="type: body", keep="[{type: x, for: 90 days, archive: none}, {for: 90 days}]")

    report = log.run()

    assert (report.records, report.waived) == (40, 4)
    assert log.methods() == {"row delete": 40}
    assert log.rows() == [1000]


def test_a_budget_of_rows_drops_nothing(log: Ground) -> None:
    """A run that may remove so many rows and no more removes them one by one."""
    assert log.run(rows=15).records == 15

    assert log.methods() == {"row delete": 15}
    assert len(log.partitions()) == 5


def test_the_partition_with_the_newest_rows_stays_where_it_is(ground: Ground) -> None:
    """The last one, be it up to MAXVALUE or not, takes new rows; it is emptied row by row."""
    ground.create(partitions=BY_MONTH.replace(", PARTITION new VALUES LESS THAN (MAXVALUE)",
                                              ", PARTITION new VALUES LESS THAN ('2027-01-01')"))  # fmt: skip
    ground.execute("UPDATE log SET at = '2025-05-05' WHERE id = 1000", "DELETE FROM log PARTITION (p4)")
    planned = ground.notes()

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 31)
    assert ground.methods() == {"partition drop": 30, "row delete": 1}
    assert ground.partitions() == ["p4", "new"]
    assert "since no later partition has rows, so new ones may still come: new" in planned
    ground.check()


def test_a_table_of_one_partition_keeps_it(ground: Ground) -> None:
    """The server would not drop the only one."""
    ground.create(partitions="PARTITION BY RANGE COLUMNS (at) (PARTITION new VALUES LESS THAN (MAXVALUE))")
    ground.execute("DELETE FROM log WHERE id = 1000")

    assert ground.run().records == 40

    assert (ground.partitions(), ground.rows()) == (["new"], [])
    assert ground.methods() == {"row delete": 40}


def test_a_partition_of_a_list_is_emptied_whole_and_stays(ground: Ground) -> None:
    """Without it the table would refuse rows of its values."""
    ground.create(
        columns=COLUMNS.replace("tenant VARCHAR(40)", "tenant VARCHAR(40) NOT NULL").replace("at)", "at, tenant)"),
        partitions="PARTITION BY LIST COLUMNS (tenant) (PARTITION a VALUES IN ('acme'), PARTITION b VALUES IN ('b'))",
    )
    ground.execute("UPDATE log SET tenant = 'b' WHERE id = 1000")

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 40)
    assert ground.methods() == {"partition drop": 40}
    assert ground.partitions() == ["a", "b"]
    ground.execute(LATE.format(2000, "2026-10-30", "acme"))
    ground.check()


def test_the_highest_number_is_not_dropped(ground: Ground) -> None:
    """The server counts on from the highest number that is there; so its partition is emptied row by row."""
    ground.create()
    ground.execute("INSERT INTO log (id, at, tenant) VALUES (5000, '2025-02-02', 'acme')")
    planned = ground.notes()

    ground.run()
    ground.execute("FLUSH TABLES log")

    assert ground.execute("INSERT INTO log (at) VALUES ('2026-10-30') RETURNING id") == [(5001,)]
    assert ground.partitions() == ["p2", "new"]
    assert "since it has the highest number of the table, which would be given out again: p2" in planned


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TRIGGER spy AFTER DELETE ON log FOR EACH ROW SET @x = 1", "trigger spy watches each row that is rem"),
        ("CREATE TRIGGER spy AFTER INSERT ON log FOR EACH ROW SET @x = 1", "trigger spy watches each row that is wri"),
        ("ALTER TABLE log PARTITION BY HASH (id) PARTITIONS 3", "the table is partitioned by hash"),
        (
            (
                "ALTER TABLE log PARTITION BY RANGE (TO_DAYS(at)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 "
                "(PARTITION p1 VALUES LESS THAN (TO_DAYS('2025-06-01')), PARTITION new VALUES LESS THAN (MAXVALUE))"
            ),
            "its partitions are partitioned further",
        ),
    ],
)
def test_what_a_drop_would_pass_by_keeps_the_partition(log: Ground, statement: str, reason: str) -> None:
    """Then its rows are removed one by one, and the plan says why."""
    log.execute(statement)
    before, parts, planned = log.everything(), log.partitions(), log.notes()

    report = log.run()

    assert report.status is Status.DONE
    assert log.methods() == {"row delete": 40}
    assert log.partitions() == parts
    assert f"no partition is dropped: {reason}" in planned
    assert log.everything() == before


def test_a_user_without_the_rights_removes_rows(log: Ground) -> None:
    """It may not drop; the plan says what it lacks. With them it drops, be they granted to a role."""
    database = log.database
    grants = [
        f"CREATE USER clerk_{database}@localhost",
        f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON {database}.* TO clerk_{database}@localhost",
        f"CREATE ROLE dropper_{database}",
        f"GRANT ALTER, DROP, LOCK TABLES ON `{database}`.* TO dropper_{database}",
        f"GRANT dropper_{database} TO clerk_{database}@localhost",
    ]
    log.execute(*grants)
    try:
        log.policy(user=f"clerk_{database}")
        assert "this user has no right to ALTER, DROP, LOCK TABLES on the database" in log.notes()
        assert log.run(rows=5).records == 5
        log.execute(f"SET DEFAULT ROLE dropper_{database} FOR clerk_{database}@localhost")
        assert log.run().records == 35
        assert log.methods() == {"row delete": 5, "partition drop": 35}
        log.check()
    finally:
        log.execute(f"DROP USER clerk_{database}@localhost", f"DROP ROLE dropper_{database}")
