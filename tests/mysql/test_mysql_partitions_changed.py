"""A partition of MariaDB that changes between its seal and its drop: nothing is lost, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_ground import COLUMNS, HOLD, Ground
from mysql_partitions import LATE, Step, before_commit, ground, log, while_aside

from lapse.model.report import Status
from lapse.stores.mysql import MysqlStore, aside, dropping
from lapse.stores.mysql.connection import Connection

__all__ = ["before_commit", "ground", "log", "while_aside"]


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
        assert any(body.endswith("!") for body in log.archived(column="body"))
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
    assert "other" in log.archived(column="body")
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
