"""Partitions of MariaDB that have lapsed as a whole are sealed and dropped, if they still are what was sealed."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matrix import in_child
from mysql_ground import BY_MONTH, COLUMNS, HOLD, Ground

from lapse.engine.asking import why
from lapse.model.report import Status
from lapse.stores.mysql import MysqlStore, aside, dropping, own
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dropping import PartitionTake
from servers.mariadb import MARIADB_USER, MariadbServer, mariadb, mariadb_database
from servers.processes import server_folder

__all__ = ["mariadb", "mariadb_database"]

LATE = "INSERT INTO log (id, at, tenant, body) VALUES ({}, '{}', '{}', 'late')"


TWO = (
    "PARTITION BY RANGE COLUMNS (at) (PARTITION p1 VALUES LESS THAN ('2025-05-01'), "
    "PARTITION new VALUES LESS THAN (MAXVALUE))"
)


@pytest.fixture
def ground(mariadb: MariadbServer, mariadb_database: str, tmp_path: Path) -> Ground:
    """A policy that keeps 90 days, on a table that is not there yet."""
    found = Ground(mariadb, mariadb_database, tmp_path)
    found.policy()
    return found


@pytest.fixture
def log(ground: Ground) -> Ground:
    """Four partitions of ten lapsed rows each, and one with a row that is kept."""
    ground.create()
    return ground


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tries for long."""
    monkeypatch.setattr(aside, "_TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying.TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying._FIRST_DELAY", 0.01)


Step = Callable[[], object]


@pytest.fixture
def before_commit(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right before the commits of whole partitions, once each."""
    steps: list[Step] = []
    commit = PartitionTake.commit

    def disturbed(self: PartitionTake, proof: Any) -> Any:
        if steps:
            steps.pop(0)()
        return commit(self, proof)

    monkeypatch.setattr(PartitionTake, "commit", disturbed)
    return steps


@pytest.fixture
def while_aside(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right after the rows of a partition left their table, once each."""
    steps: list[Step] = []
    exchange = aside.exchange

    def disturbed(*args: Any) -> None:
        exchange(*args)
        if steps:
            steps.pop(0)()

    monkeypatch.setattr(dropping, "exchange", disturbed)
    return steps


# What goes whole


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
    assert ground.archived("body") == sorted("x" * n for n in range(10) for _ in range(4))
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
    assert ground.archived("level") == [5] * 41 + [7]
    assert ground.archived("word") == ["as is"] * 40 + ["new", "other"]
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


# What never goes


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


# What changes meanwhile


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (LATE.format(999, "2025-02-03", "late"), []),
        (LATE.format(999, "2025-02-03", "held"), [999]),
        ("UPDATE log SET body = CONCAT(body, '!') WHERE id = 205", []),
        ("UPDATE log SET tenant = 'held' WHERE id = 205", [205]),
        ("UPDATE log SET at = '2025-04-30' WHERE id = 205", []),
        ("DELETE FROM log WHERE id = 205", None),
    ],
)
@pytest.mark.parametrize("moment", ["sealed", "late"])
def test_what_changes_before_the_drop_is_not_lost(
    log: Ground, before_commit: list[Step], monkeypatch: pytest.MonkeyPatch, moment: str,
    change: str, kept: list[int] | None,
) -> None:  # fmt: skip
    """A row that came, changed or went between seal and drop; with another one that comes while the rows are aside."""
    monkeypatch.setattr(aside, "_ROWS", 4)
    log.policy(top=HOLD)
    after: list[object] = []

    def disturb() -> None:
        log.execute(change)
        after.extend(log.rows())

    before_commit[:] = [lambda: None, disturb]
    if moment == "late":
        exchange = aside.exchange

        def exchanged(*args: Any) -> None:
            exchange(*args)
            if after and 998 not in after:
                log.execute(LATE.format(998, "2025-02-04", "acme"))
                after.append(998)

        monkeypatch.setattr(dropping, "exchange", exchanged)

    report = log.run()

    assert report.status is Status.DONE
    assert log.rows() == sorted([*(kept or []), 1000])
    assert "p2" in log.partitions()
    assert len(log.rows()) + len(log.archived()) - 10 == len(after)  # ten went before
    assert len(set(log.archived())) == len(log.archived())
    if "!" in change:
        assert any(body.endswith("!") for body in log.archived("body"))
    log.check()


def test_a_row_that_comes_while_the_others_are_aside_stays(log: Ground, while_aside: list[Step]) -> None:
    """It lies in the emptied partition, which is not dropped; the next run removes it."""
    while_aside[:] = [lambda: None, lambda: log.execute(LATE.format(999, "2025-02-03", "acme"))]

    report = log.run()

    assert (report.status, report.records) == (Status.DONE, 40)
    assert log.methods() == {"partition drop": 40}
    assert (log.partitions(), log.rows()) == (["p2", "new"], [999, 1000])
    log.check()
    assert log.run().records == 1
    assert log.partitions() == ["new"]


def test_a_waived_partition_that_got_a_held_row_is_put_back(log: Ground, before_commit: list[Step]) -> None:
    """Rows are counted where nobody writes; one that lapsed and came late is counted, one that is kept keeps all."""
    log.policy(archive="none", top=HOLD)
    before_commit[:] = [
        lambda: log.execute(LATE.format(998, "2025-01-03", "late")),
        lambda: log.execute(LATE.format(999, "2025-02-03", "held")),
    ]

    report = log.run()

    assert (report.status, report.waived) == (Status.DONE, 41)
    assert log.rows() == [999, 1000]
    assert log.methods() == {"partition drop": 31, "row delete": 10}
    assert log.partitions() == ["p2", "new"]
    log.check()


def test_a_waived_partition_that_somebody_emptied_is_nobody_s_drop(
    log: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded for it."""
    log.policy(archive="none")
    make = aside.make

    def emptied(connection: Connection, part: Any, *args: Any) -> Any:
        if part.partition == "p2":
            log.execute("DELETE FROM log PARTITION (p2)")
        return make(connection, part, *args)

    monkeypatch.setattr(dropping, "make", emptied)

    report = log.run()

    assert (report.status, report.waived) == (Status.DONE, 30)
    assert log.methods() == {"partition drop": 30}
    assert log.partitions() == ["p2", "new"]
    log.check()


def test_rows_are_put_back_as_they_were(ground: Ground, before_commit: list[Step]) -> None:
    """Zero dates, a number 0, computed columns, values that a constraint would refuse today."""
    columns = COLUMNS + ", d DATE, b VARBINARY(9), f FLOAT, g INT AS (LENGTH(body)) PERSISTENT, n BIGINT CHECK (n <> 7)"
    ground.create(columns=columns)
    ground.policy(top=HOLD)
    ground.execute(
        "SET SESSION check_constraint_checks = 0",
        "INSERT INTO log (id, at, tenant, d, b, f, n) VALUES (0, '2025-02-05', 'held', '0000-00-00', 0x00ff, 0.1, 7), "
        "(999, '2025-02-06', 'late', '2025-02-31', '', -0.0, 1)",
    )
    everything = "id, at, tenant, body, CAST(d AS CHAR), b, f, g, n"
    before = ground.rows(everything)
    ground.policy(archive="none", top=HOLD.replace("held", "other"))
    before_commit[:] = [lambda: None, lambda: ground.execute(LATE.format(997, "2025-02-07", "other"))]
    found: list[Any] = []
    changed = MysqlStore._failed

    def looked(self: MysqlStore, *args: Any) -> None:
        found.extend(ground.rows(everything))
        changed(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MysqlStore, "_failed", looked)
        ground.run()

    assert [row for row in found if row[0] != 997] == [row for row in before if not 100 <= row[0] < 200]


def test_a_row_of_the_same_key_leaves_both(
    log: Ground, before_commit: list[Step], while_aside: list[Step]
) -> None:  # fmt: skip
    """Nothing is overwritten: the run ends, names the table, and goes on once somebody has decided."""
    before_commit[:] = [lambda: log.execute(LATE.format(999, "2025-01-03", "acme"))]
    while_aside[:] = [lambda: log.execute("INSERT INTO log (id, at, body) VALUES (105, '2025-01-15', 'other')")]

    report = log.run()

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    (left,) = [name for name in log.tables() if name != "log"]
    assert f"rows of partition p1 of log are set aside in table {left} and could not be put back" in str(report.trouble)
    assert log.execute(f"SELECT COUNT(*) FROM {left}") == [(11,)]
    log.execute(f"DELETE FROM {left} WHERE id = 105")
    log.alone()

    assert log.run().status is Status.DONE
    assert sorted(log.archived()) == sorted([*(100 * m + n for m in range(1, 5) for n in range(10)), 999])
    assert "other" in log.archived("body")
    log.check()


def test_a_trigger_that_came_meanwhile_sees_its_rows_go(log: Ground, before_commit: list[Step]) -> None:
    """What is tied to the table since the partition was sealed is looked for again."""
    spy = "CREATE TRIGGER spy AFTER DELETE ON log FOR EACH ROW SET @x = 1"
    before_commit[:] = [lambda: None, lambda: log.execute(spy)]

    report = log.run()

    assert report.status is Status.DONE
    assert log.methods() == {"partition drop": 10, "row delete": 30}
    assert log.partitions() == ["p2", "p3", "p4", "new"]
    log.check()


def test_several_partitions_that_change_are_all_emptied_in_one_run(log: Ground, before_commit: list[Step]) -> None:
    """Each is emptied before the next one is tried, so that a run does not give up on many of them."""
    number = iter(range(2000, 2100))

    def disturb() -> None:
        for month in range(1, 5):
            log.execute(LATE.format(next(number), f"2025-0{month}-03", "late"))

    log.execute(LATE.format(5000, "2026-10-21", "acme"))
    before_commit[:] = [disturb] * 20

    report = log.run()

    assert report.status is Status.DONE
    assert log.partitions() == ["p1", "p2", "p3", "p4", "new"]
    assert log.methods() == {"row delete": len(log.archived())}
    assert set(log.everything().values()) == {1}
    log.check()


def test_a_partition_that_somebody_dropped_is_left_out(log: Ground, before_commit: list[Step]) -> None:
    """The run begins anew with what is there."""
    before_commit[:] = [lambda: log.execute("ALTER TABLE log DROP PARTITION p1")]

    report = log.run()

    assert (report.status, report.records) == (Status.DONE, 30)
    assert log.partitions() == ["new"]
    log.check()


# Others at work


def test_a_reader_is_waited_for_and_nobody_waits_long(log: Ground, before_commit: list[Step]) -> None:
    """While an open transaction has read the table, a drop is tried, and others wait for a second at most."""
    longest, ended = [0.0], threading.Event()

    def others() -> None:
        with log.server.connect(log.database) as other, other.cursor() as cursor:
            while not ended.wait(0.01):
                began = time.monotonic()
                cursor.execute("SELECT COUNT(*) FROM log")
                longest[0] = max(longest[0], time.monotonic() - began)

    with ExitStack() as ends:
        readers: list[Any] = []

        def read() -> None:
            readers.append(ends.enter_context(log.holding("SELECT COUNT(*) FROM log")))
            threading.Timer(1.5, readers[0].rollback).start()

        before_commit[:] = [read]
        thread = threading.Thread(target=others)
        thread.start()
        try:
            report = log.run()
        finally:
            ended.set()
            thread.join()

    assert report.status is Status.DONE
    assert log.methods() == {"partition drop": 40}
    assert aside.PATIENCE * 0.7 < longest[0] < aside.PATIENCE + 2
    log.check()


@pytest.mark.usefixtures("hasty")
def test_a_table_in_use_is_not_sealed_in_vain(ground: Ground, before_commit: list[Step]) -> None:
    """Nothing is removed, and there is nothing to clear; afterwards the run goes on."""
    ground.create(partitions=TWO)
    before = ground.everything()
    before_commit[:] = [lambda: pytest.fail("it was sealed")]
    with ground.holding("SELECT COUNT(*) FROM log"):
        report = ground.run()

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    assert "a slice had to be skipped, 40 records remain" in report.trouble.message
    assert ground.everything() == before
    assert not list((ground.folder / "archive").rglob("*.parquet"))
    before_commit.clear()
    assert ground.run().records == 40
    ground.check()


@pytest.mark.usefixtures("hasty")
def test_a_reader_that_comes_before_the_exchange_keeps_the_rows_in_place(
    ground: Ground, before_commit: list[Step]
) -> None:
    """The slice is given back and cleared, and goes when the reader is done."""
    ground.create(partitions=TWO)
    with ExitStack() as ends:
        before_commit[:] = [lambda: ends.enter_context(ground.holding("SELECT COUNT(*) FROM log"))]
        report = ground.run()
        assert report.status is Status.INCOMPLETE
        assert ground.tables() == ["log"]
        assert len(ground.rows()) == 41
        assert not list((ground.folder / "archive").rglob("*.parquet"))

    assert ground.run().records == 40
    ground.check()


@pytest.mark.usefixtures("hasty")
def test_rows_that_somebody_reads_aside_are_dropped_later(log: Ground, while_aside: list[Step]) -> None:
    """The marker stays as long as they do; they are never put back, and counted once."""
    with ExitStack() as ends:

        def read() -> None:
            (name,) = [name for name in log.tables() if name != "log"]
            ends.enter_context(log.holding(f"SELECT COUNT(*) FROM {name}"))

        while_aside[:] = [read]
        report = log.run()

        assert (report.status, report.records) == (Status.DONE, 40)
        assert log.execute("SELECT COUNT(*) FROM lapse_disposals") == [(1,)]
        assert log.run().records == 0
        assert len(log.tables()) == 2

    log.run()
    assert log.methods() == {"partition drop": 40}
    assert log.rows() == [1000]
    log.check()


def test_a_run_that_lost_its_lease_puts_everything_back(log: Ground, while_aside: list[Step]) -> None:
    """Another run has begun: the number of the lease is not the one any more."""
    while_aside[:] = [lambda: log.execute("UPDATE lapse_leases SET token = token + 1")]

    report = log.run()

    assert report.status is Status.INCOMPLETE
    assert "another run has begun" in str(report.trouble)
    assert log.tables() == ["log"]
    assert len(log.rows()) == 41
    assert log.run().records == 40
    log.check()


def test_a_statement_of_a_lost_run_is_waited_for(log: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a connection may still set rows aside, nobody settles what is aside."""
    monkeypatch.setattr(aside, "_TAKEOVER", 0)
    _kill(log, after="EXCHANGE")
    other = Connection(MysqlStore(log.session().datasets(())[0], read_only=False)._address, shown="x", read_only=False)
    try:
        with aside.exclusively(other), pytest.raises(Exception, match="another run still drops a partition"):
            log.run()
        assert len(log.tables()) == 2
    finally:
        other.close()

    assert log.run().records == 40
    log.check()


# Crashes


class _Fuse:
    """Kills its own process around one of the statements of a commit."""

    def __init__(self, at: int | None, after: str | None = None) -> None:
        self.moments: list[str] = []
        self._at = at
        self._after = after
        self._armed = False
        run, commit, rows = Connection.run, Connection.commit, Connection.rows
        drop = PartitionTake.commit

        def counted(method: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(connection: Connection, sql: str, *args: Any) -> Any:
                self._tick(f"before {sql}")
                found = method(connection, sql, *args)
                self._tick(f"after {sql}")
                return found

            return wrapped

        def armed(take: PartitionTake, proof: Any) -> Any:
            self._armed = True
            try:
                return drop(take, proof)
            finally:
                self._armed = False

        patched: Any = Connection
        patched.run, patched.commit, patched.rows = counted(run), counted(commit), counted(rows)
        patched = PartitionTake
        patched.commit = armed

    def _tick(self, moment: str) -> None:
        if not self._armed or not re.search(r"ALTER|CREATE|DROP|INSERT|DELETE|LOCK|slice|put", moment):
            return
        self.moments.append(moment)
        is_it = len(self.moments) == self._at or (
            self._after is not None and moment.startswith("after") and self._after in moment
        )
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)


def _kill(ground: Ground, *, at: int | None = None, after: str | None = None, disturb: str | None = None) -> None:
    """Run in a process of its own until it is killed, with somebody else's statement before the first commit."""

    def work() -> None:
        _Fuse(at, after)
        _disturbed(ground, disturb)
        ground.run()

    assert in_child(work) == -signal.SIGKILL, (at, after)
    ground.alone()


def _disturbed(ground: Ground, statement: str | None) -> None:
    commit: Callable[..., Any] = PartitionTake.commit
    left = [statement]

    def disturbed(take: PartitionTake, proof: Any) -> Any:
        if left and (todo := left.pop()) is not None:
            ground.execute(todo)
        return commit(take, proof)

    patched: Any = PartitionTake
    patched.commit = disturbed


def _moments(ground: Ground, file: Path, disturb: str | None) -> list[str]:
    def work() -> None:
        fuse = _Fuse(None)
        _disturbed(ground, disturb)
        ground.run()
        file.write_text("\0".join(fuse.moments))

    assert in_child(work) == 0
    return file.read_text().split("\0")


def _fresh(ground: Ground, folder: Path) -> Ground:
    ground.server.drop_database(ground.database)
    ground.server.create_database(ground.database)
    folder.mkdir()
    found = Ground(ground.server, ground.database, folder)
    found.create(partitions=TWO)
    found.policy()
    return found


@pytest.mark.crash
@pytest.mark.parametrize("disturb", [None, LATE.format(999, "2025-02-03", "late")], ids=["away", "back"])
def test_a_run_that_is_killed_at_any_statement_of_a_drop_is_completed_by_the_next(
    ground: Ground, tmp_path: Path, disturb: str | None
) -> None:
    """Whether the rows were on their way out or back: everything is there once, and nothing is aside."""
    moments = _moments(_fresh(ground, tmp_path / "rehearsal"), tmp_path / "moments", disturb)
    assert any("EXCHANGE" in moment for moment in moments)
    assert any(("DROP PARTITION" if disturb is None else "put") in moment for moment in moments)

    for number, moment in enumerate(moments, start=1):
        found = _fresh(ground, tmp_path / f"case-{number}")
        before = found.everything()
        _kill(found, at=number, disturb=disturb)
        if disturb is not None:
            before[999] = 1
        report = found.run()
        assert report.status in (Status.DONE, Status.NOTHING), moment
        assert found.everything() == before, moment
        assert found.rows() == [1000], moment
        assert found.methods().total() == len(before) - 1, moment
        found.check()


@pytest.mark.crash
def test_rows_that_are_left_aside_are_seen_by_plan_and_why_and_a_new_hold(log: Ground) -> None:
    """They were not recorded as removed: they go back, and a hold that came meanwhile keeps them."""
    log.policy(dataset="tenant: tenant\nkey: id")
    log.execute("UPDATE log SET tenant = 'held' WHERE id = 105")
    _kill(log, after="EXCHANGE")
    assert len(log.rows()) == 31

    assert "10 rows of partition p1 are set aside in table lapse_aside_" in log.notes()
    (found,) = why(log.session(), "log", "105")
    assert found.verdict == "lapsed"
    log.policy(dataset="tenant: tenant\nkey: id", top=HOLD)
    report = log.run()

    assert (report.status, report.cleared) == (Status.DONE, 1)
    assert log.rows() == [105, 1000]
    assert log.methods() == {"row delete": 9, "partition drop": 30}
    log.check()


@pytest.mark.crash
def test_rows_whose_archive_was_lost_are_not_dropped_by_recovery(log: Ground) -> None:
    """The drop was recorded, but as long as they are aside there still is a copy."""
    _kill(log, after="slice")
    (segment,) = (log.folder / "archive").rglob("*.parquet")
    content = segment.read_bytes()
    segment.write_bytes(content[:-1])

    log.run()
    (left,) = [name for name in log.tables() if name != "log"]
    assert log.execute(f"SELECT COUNT(*) FROM {left}") == [(10,)]

    segment.write_bytes(content)
    log.run()
    assert log.rows() == [1000]
    assert log.methods() == {"partition drop": 40}
    log.check()


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_lost_in_the_commit_is_found_out_about(
    log: Ground, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """With the marker the rows are dropped, without it they are put back."""
    before, commit = log.everything(), Connection.commit

    def lost(self: Connection, what: str) -> None:
        if what.startswith("slice") and committed:
            commit(self, what)
        if what.startswith("slice"):
            ((number,),) = self.rows("SELECT CONNECTION_ID()")
            log.execute(f"KILL {number}")
        commit(self, what)

    monkeypatch.setattr(Connection, "commit", lost)
    report = log.run()
    assert report.status is Status.INCOMPLETE
    assert len(log.tables()) == 2
    log.alone()
    monkeypatch.setattr(Connection, "commit", commit)

    found = log.run()

    assert (found.status, found.recovered, found.records) == (Status.DONE, int(committed), 30 if committed else 40)
    assert log.everything() == before
    log.check()


@pytest.fixture
def own_server() -> Iterator[MariadbServer]:
    """A server that may be killed."""
    with server_folder(MARIADB_USER) as folder, MariadbServer.start(folder / "d", fsync=True) as server:
        yield server


@pytest.mark.crash
def test_a_server_that_is_killed_in_a_drop_is_completed_by_the_next_run(
    own_server: MariadbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies right after the rows were set aside, right after the marker, and right before the rows are dropped."""
    own_server.create_database("shop")
    for number, moment in enumerate(("EXCHANGE", "slice", "DROP PARTITION")):
        ground = _fresh(Ground(own_server, "shop", tmp_path), tmp_path / str(number))
        before = ground.everything()

        def work(moment: str = moment, ground: Ground = ground) -> None:
            def killed(pid: int, how: int) -> None:
                kill(own_server.pid if pid == os.getpid() else pid, how)

            kill = os.kill
            monkeypatch.setattr(os, "kill", killed)
            _Fuse(None, after=moment)
            assert ground.run().trouble is not None

        assert in_child(work) == 0, moment
        own_server.crash()

        assert ground.run().trouble is None
        assert ground.everything() == before, moment
        assert ground.rows() == [1000], moment
        ground.check()


def test_own_tables_are_no_log(log: Ground) -> None:
    """What is aside is not offered by `lapse init`, and a policy cannot name it."""
    _kill(log, after="EXCHANGE")
    (left,) = [name for name in log.tables() if name != "log"]

    sketches = list(MysqlStore.inspect(log.server.socket_url(log.database)))

    assert [sketch.table for sketch in sketches] == ["log"]
    assert own.LEASE not in [sketch.table for sketch in sketches]
    (dataset,) = log.session().datasets(())
    with closing(MysqlStore(replace(dataset, table=left), read_only=True)) as store:
        assert store.identity().refusal == f"{left} is Lapse's own table"
