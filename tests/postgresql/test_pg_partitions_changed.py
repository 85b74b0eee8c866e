"""A partition of PostgreSQL that changes between its seal and its drop is not dropped; no row is lost."""

from __future__ import annotations

import os
import signal

import pytest
from pg_disturbed import DisturbedStore
from pg_ground import Ground
from pg_partitions import TRIGGER, disturbed, ground, log, tables

from lapse.model.report import Status
from servers.proxy import Cut, Proxy

__all__ = ["disturbed", "ground", "log"]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("INSERT INTO log VALUES (999, '2025-02-03', 'late', 'x')", []),
        ("INSERT INTO log VALUES (999, '2025-02-03', 'held', 'x')", [999]),
        ("UPDATE log SET body = body || '!' WHERE id = 205", []),
        ("UPDATE log SET tenant = 'held' WHERE id = 205", [205]),
        ("UPDATE log SET at = '2025-03-31' WHERE id = 205", []),
        ("DELETE FROM log WHERE id = 205", None),
    ],
)
def test_what_changes_before_the_drop_keeps_the_partition(
    disturbed: Ground, change: str, kept: list[int] | None
) -> None:
    """A row that came, changed or went between seal and drop; what has lapsed is removed in the same run, as it is."""
    disturbed.policy(
        dataset="tenant: tenant", top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n"
    )
    after: list[object] = []

    def disturb(_: object) -> None:
        disturbed.execute(change)
        after.extend(disturbed.execute("SELECT log::text FROM log ORDER BY 1"))

    DisturbedStore.before_commit[:] = [lambda _: None, disturb]

    report = disturbed.run()

    assert report.status is Status.DONE
    assert disturbed.keys() == [1, *(kept or [])]
    assert "log_2025_02" in tables(disturbed)
    left = disturbed.execute("SELECT log::text FROM log ORDER BY 1")
    assert len(left) + len(disturbed.archived()) - 10 == len(after)  # ten went before
    assert len(set(disturbed.archived())) == len(disturbed.archived())
    if "!" in change:
        assert any(body.endswith("!") for body in disturbed.archived("log", "body"))
    disturbed.check()


def test_what_is_tied_to_a_partition_before_the_drop_keeps_it(disturbed: Ground) -> None:
    """A trigger that came since the partition was sealed sees each of its rows go."""
    disturbed.execute(TRIGGER)
    DisturbedStore.before_commit[:] = [
        lambda _: disturbed.execute(
            "CREATE TRIGGER spy AFTER DELETE ON log_2025_01 FOR EACH ROW EXECUTE FUNCTION seen()"
        )
    ]

    disturbed.run()

    assert disturbed.methods() == {"partition drop": 30, "row delete": 10}
    assert tables(disturbed) == ["log_2025_01", "log_new"]
    disturbed.check()


def test_several_partitions_that_change_are_all_emptied_in_one_run(disturbed: Ground) -> None:
    """Each is emptied before the next one is tried, so that a run does not give up on many of them."""
    number = iter(range(1000, 1100))

    def disturb(piece: object) -> None:
        for month in range(1, 5):
            disturbed.execute(f"INSERT INTO log SELECT {next(number)}, '2025-0{month}-03', 'late', 'x' "
                              f"WHERE to_regclass('log_2025_0{month}') IS NOT NULL")  # fmt: skip

    DisturbedStore.before_commit[:] = [disturb] * 20

    report = disturbed.run()

    assert report.status is Status.DONE
    assert set(tables(disturbed)) == {"log_2025_01", "log_2025_02", "log_2025_03", "log_2025_04", "log_new"}
    assert set(disturbed.everything().values()) == {1}
    disturbed.check()


def test_a_waived_partition_is_counted_under_the_lock(disturbed: Ground) -> None:
    """Nothing is read; a row that came late is counted, and one that is kept keeps the partition."""
    disturbed.policy(archive="none", dataset="tenant: tenant",
                     top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n")  # fmt: skip
    DisturbedStore.before_commit[:] = [
        lambda _: disturbed.execute("INSERT INTO log VALUES (998, '2025-01-03', 'late', 'x')"),
        lambda _: disturbed.execute("INSERT INTO log VALUES (999, '2025-02-03', 'held', 'x')"),
    ]

    report = disturbed.run()

    assert (report.status, report.waived) == (Status.DONE, 41)
    assert disturbed.keys() == [1, 999]
    assert disturbed.methods() == {"partition drop": 31, "row delete": 10}
    assert tables(disturbed) == ["log_2025_02", "log_new"]
    disturbed.check()


def _killed(ground: Ground) -> int:
    """Run in a process of its own; how it ended."""
    child = os.fork()
    if child == 0:
        try:
            ground.run()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_kill_between_seal_and_drop_leaves_the_partition(disturbed: Ground) -> None:
    """What was sealed is cleared by the next run, which drops the partition."""
    before = disturbed.everything()
    DisturbedStore.before_commit[:] = [lambda _: None, lambda _: os.kill(os.getpid(), signal.SIGKILL)]

    assert _killed(disturbed) == -signal.SIGKILL
    assert tables(disturbed) == ["log_2025_02", "log_2025_03", "log_2025_04", "log_new"]
    assert disturbed.everything() == before
    DisturbedStore.before_commit.clear()
    report = disturbed.run()

    assert (report.status, report.records, report.cleared) == (Status.DONE, 30, 1)
    assert disturbed.everything() == before
    disturbed.check()


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "pledged"])
@pytest.mark.parametrize("moment", list(Cut))
def test_a_connection_lost_in_the_commit_is_found_out_about(log: Ground, moment: Cut, marked: bool) -> None:
    """Whether the drop came about is asked of the marker, or of the server where no marker may be left."""
    before = log.everything()
    if not marked:
        log.execute("CREATE ROLE mute LOGIN", "ALTER TABLE log OWNER TO mute",
                    *(f"ALTER TABLE {name} OWNER TO mute" for name in tables(log)),
                    "GRANT USAGE ON SCHEMA public TO mute")  # fmt: skip
    try:
        with Proxy(log.url if marked else log.url.replace("postgres@", "mute@")) as proxy:
            log.policy(store=proxy.url)
            proxy.cut(moment, since=b"DETACH PARTITION")
            lost = log.run()
            if moment is Cut.LATE:
                proxy.deliver()
            found = log.run()
        assert proxy.has_cut
        assert lost.status is Status.INCOMPLETE
        assert found.status is Status.DONE
        assert lost.records + found.records == (40 if moment is Cut.BEFORE else 30)
        assert found.recovered == (0 if moment is Cut.BEFORE else 1)
        assert log.everything() == before
        assert log.keys() == [1]
        log.check()
    finally:
        if not marked:
            log.execute("REASSIGN OWNED BY mute TO postgres", "DROP OWNED BY mute", "DROP ROLE mute")
