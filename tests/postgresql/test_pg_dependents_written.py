"""Rows that are written while those they refer to go: none is lost, and none is left without its parent."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from pg_disturbed import DisturbedStore
from pg_family import NOTE, NOTES, disturbed, ground, problems, writing
from pg_ground import Ground

from lapse.model.report import Status
from lapse.ports import RowBatch
from lapse.stores.postgresql import dependents
from lapse.stores.postgresql.taking import PostgresTake
from servers.processes import await_condition
from servers.proxy import Cut, Proxy

__all__ = ["disturbed", "ground"]

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'late' AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("moment", list(Cut))
def test_a_connection_lost_in_the_commit_loses_no_child(ground: Ground, moment: Cut) -> None:
    """The next run finds out, for every part of the slice."""
    ground.execute(NOTE.format("CASCADE"), NOTES)
    before, children = ground.everything(), ground.everything("note")
    with Proxy(ground.url) as proxy:
        ground.policy(store=proxy.url)
        proxy.cut(moment, since=b"DELETE FROM ONLY")
        lost = ground.run()
        if moment is Cut.LATE:
            proxy.deliver()
        found = ground.run()

    assert proxy.has_cut
    assert (lost.status, found.status) == (Status.INCOMPLETE, Status.DONE)
    assert found.recovered == (0 if moment is Cut.BEFORE else 1)
    assert ground.everything() == before
    assert ground.everything("note") == children
    assert problems(ground) == []
    ground.check()


def _insert(url: str, outcome: list[str], statement: str) -> threading.Thread:
    """Insert in a session of its own, which may have to wait; what came of it stands in *outcome*."""

    def work() -> None:
        with psycopg.connect(url, autocommit=True, application_name="late") as connection:
            try:
                connection.execute(statement.encode())
                outcome.append("written")
            except psycopg.errors.ForeignKeyViolation:
                outcome.append("refused")

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("deferred", ["", " DEFERRABLE INITIALLY DEFERRED"])
def test_a_child_that_comes_while_its_parent_goes_waits_and_is_refused(disturbed: Ground, deferred: str) -> None:
    """It is never taken by the cascade unseen: its writer waits for the commit, and is told then."""
    disturbed.execute(NOTE.format("CASCADE" + deferred), NOTES)
    outcome: list[str] = []
    threads: list[threading.Thread] = []

    def insert(_: object) -> None:
        threads.append(_insert(disturbed.url, outcome, "INSERT INTO note VALUES (9999, 3, 'late')"))
        await_condition(lambda: bool(disturbed.execute(WAITS)[0][0]), "the writer's wait")

    DisturbedStore.before_commit[:] = [insert]
    report = disturbed.run()
    threads[0].join()

    assert (report.status, report.records) == (Status.DONE, 20)
    assert outcome == ["refused"]
    assert len(disturbed.archived("note")) == 40


@pytest.mark.parametrize("action", ["CASCADE", "RESTRICT"])
def test_a_child_whose_writer_was_first_is_waited_for(ground: Ground, action: str) -> None:
    """The take waits for the writer's lock on the parent, and then takes the child along, or leaves its parent."""
    ground.execute(NOTE.format(action))
    if action == "CASCADE":
        ground.execute(NOTES)
    with writing(ground, "INSERT INTO note VALUES (9999, 3, 'late')"):
        report = ground.run()

    assert report.status is Status.DONE
    assert ground.everything("note")[9999] == 1
    assert (3 in ground.keys("log")) == (action == "RESTRICT")
    assert (9999 in ground.keys("note")) == (action == "RESTRICT")
    ground.check()


def test_children_of_rows_that_were_back_dated_meanwhile_are_not_lost(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that lapses after the children of the others were removed stays for now, with its own."""
    ground.execute(NOTE.format("CASCADE"), NOTES)
    before, children = ground.everything(), ground.everything("note")
    removing = PostgresTake._batches

    def back_dated(self: PostgresTake) -> Iterator[RowBatch]:
        ground.execute("UPDATE log SET at = '2025-01-01' WHERE id = 25", "INSERT INTO note VALUES (9999, 25, 'late')")
        return removing(self)

    monkeypatch.setattr(PostgresTake, "_batches", back_dated)

    assert ground.run().records == 20
    assert ground.everything() == before
    assert ground.everything("note") == children + type(children)([9999])
    assert 25 in ground.keys("log")


def test_many_children_make_small_slices(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes along counts; a slice that has more than it may is halved, one row with too many goes alone."""
    monkeypatch.setattr(dependents, "MOST_ALONG", 50)
    monkeypatch.setattr("lapse.engine.retrying._FIRST_DELAY", 0.001)
    ground.execute(
        NOTE.format("CASCADE"),
        "INSERT INTO note SELECT 1000 * l.id + n, l.id, 'a' FROM log l, LATERAL generate_series(1, CASE id WHEN 11 "
        "THEN 400 ELSE 10 END) n",
        "CREATE INDEX ON note (log)",
    )
    children = ground.everything("note")

    report = ground.run()

    assert (report.status, report.records) == (Status.DONE, 20)
    assert report.slices >= 5
    assert ground.everything("note") == children
    ground.check()
