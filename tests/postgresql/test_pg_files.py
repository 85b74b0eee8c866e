"""Files that belong to rows of PostgreSQL: they go after the commit that removes their rows, and not otherwise."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pg_calls import Calls, calls_in, stranger, world
from pg_runs import other_session

from lapse.engine.running import Wishes, dry_run, run
from lapse.model.report import Status
from servers.processes import await_condition

__all__ = ["stranger", "world"]

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lapse' AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_file_goes_with_its_row(pg_database: str, tmp_path: Path, archive: str) -> None:
    """Whether its path is absolute or relative, and whether the row is archived; the others stay. On every server."""
    world = calls_in(tmp_path / "world", pg_database)
    world.policy(archive=archive)
    old, older = world.file("a/old.wav"), world.file("a/older.wav")
    young, stranger = world.file("a/young.wav"), world.file("a/stranger.wav")
    world.call("a/old.wav")
    world.call(str(older), days=200)
    world.call("a/young.wav", days=1)
    world.call(None)
    world.call("")

    report = world.purge()

    assert (report.status, report.records, report.files, report.files_left) == (Status.DONE, 4, 2, 0)
    assert [old.exists(), older.exists(), young.exists(), stranger.exists()] == [False, False, True, True]
    assert world.pending() == []


def test_a_file_of_a_row_under_hold_stays(world: Calls) -> None:
    """Its row stays, so nothing is said of it."""
    held, other = world.file("held.wav"), world.file("other.wav")
    world.call("held.wav", tenant="held")
    world.call("other.wav")

    report = world.purge()

    assert (report.records, report.files) == (1, 1)
    assert held.exists()
    assert not other.exists()


def test_a_file_of_a_dependent_goes_with_its_parent(world: Calls) -> None:
    """The path stands in a table whose rows go along; one of a call that stays is left alone."""
    world.policy(column="recording.path")
    old, young = world.file("old.wav"), world.file("young.wav")
    world.recording("old.wav")
    world.recording("young.wav", days=1)

    report = world.purge()

    assert (report.records, report.files) == (1, 1)
    assert not old.exists()
    assert young.exists()


def test_a_file_of_a_dropped_partition_goes(world: Calls) -> None:
    """The rows leave all at once, and are noted all the same."""
    world.execute(
        "DROP TABLE recording, call;"
        "CREATE TABLE call (id bigserial, at timestamptz NOT NULL, tenant text, path text) PARTITION BY RANGE (at);"
        "CREATE TABLE call_old PARTITION OF call FOR VALUES FROM ('2020-01-01Z') TO ('2026-08-01Z');"
        "CREATE TABLE call_new PARTITION OF call DEFAULT;"
    )
    files = [world.file(f"{number}.wav") for number in range(30)]
    for number in range(30):
        world.call(f"{number}.wav", days=200)
    world.call(None, days=1)
    world.execute("ANALYZE call")

    report = world.purge(rows=10)

    assert (report.records, report.files) == (30, 30)
    assert world.execute("SELECT to_regclass('call_old') IS NULL") == [(True,)]
    assert not any(file.exists() for file in files)


def test_a_missing_file_is_gone(world: Calls) -> None:
    """Neither an error nor counted; nor is one whose folder is missing."""
    world.call("never/was.wav")
    world.call("nor/this.wav")

    report = world.purge()

    assert (report.status, report.files, report.files_left) == (Status.DONE, 0, 0), report.trouble
    assert world.pending() == []


def test_a_rollback_keeps_rows_and_files(world: Calls) -> None:
    """An archive that cannot be written undoes the removal, the notes with it."""
    world.purge()  # begins the ledger, so that it is known where segments go
    (world.archive / str(world.session().ledger.ledger_id) / "calls").write_text("not a folder")
    file = world.file("a.wav")
    world.call("a.wav")

    report = world.purge()

    assert report.status is Status.INCOMPLETE
    assert world.calls() == 1
    assert file.exists()
    assert world.pending() == []


def test_a_run_killed_after_its_commit_leaves_the_files_to_the_next(world: Calls) -> None:
    """The notes came with the commit, so nothing is forgotten; and nothing is removed before it."""
    files = [world.file(f"{number}.wav") for number in range(8)]
    for number in range(8):
        world.call(f"{number}.wav", days=100 + number)
    kill = (
        "import os, signal, lapse.engine.filing as f; f.unlink = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)"
    )

    ended = world.start(3, before=kill).end()
    left = [file.exists() for file in files]
    waiting = len(world.pending())
    world.alone()
    report = world.purge()

    assert ended.exit == -signal.SIGKILL, ended.said
    assert all(left)
    assert waiting == 8
    assert (report.status, report.files) == (Status.DONE, 8)
    assert not any(file.exists() for file in files)
    assert world.pending() == []


def test_a_run_killed_before_its_commit_leaves_no_note(world: Calls) -> None:
    """What was noted in a transaction that nobody committed was never noted."""
    world.file("a.wav")
    world.call("a.wav")
    kill = (
        "import os, signal; from lapse.stores.postgresql.marking import Marking\n"
        "Marking.add = lambda self, disposal: os.kill(os.getpid(), signal.SIGKILL)"
    )

    ended = world.start(before=kill).end()
    world.alone()

    assert ended.exit == -signal.SIGKILL, ended.said
    assert (world.calls(), world.pending()) == (1, [])
    assert (world.purge().files, world.pending()) == (1, [])


def test_two_rows_that_go_with_one_file_remove_it_once(world: Calls) -> None:
    """In one slice or in two."""
    file = world.file("x.wav")
    for days in (100, 101, 102):
        world.call("x.wav", days=days)

    report = world.purge(rows=1)

    assert (report.status, report.records, report.files) == (Status.DONE, 3, 1)
    assert not file.exists()


def test_a_row_whose_path_changes_while_it_goes_takes_its_file_along(world: Calls) -> None:
    """Rows are locked before their paths are noted, also where nothing depends on them: what is noted is what went."""
    world.execute("DROP TABLE recording")
    world.file("old.wav")
    new = world.file("new.wav")
    call = world.call("old.wav")
    with other_session(world) as other:
        other.execute("UPDATE call SET path = 'new.wav' WHERE id = %s", (call,))
        running = world.start()
        await_condition(lambda: world.execute(_WAITING)[0][0] > 0, "a run that waits for the row")
        other.commit()
        ended = running.end()

    assert ended.exit == 0, ended.said
    assert not new.exists()
    assert world.pending() == []


def test_a_plan_counts_the_files_and_a_dry_run_keeps_them(world: Calls) -> None:
    """Nothing is made or removed, not even the table of notes."""
    world.policy(column="recording.path")
    file = world.file("a.wav")
    world.recording("a.wav")
    world.recording("b.wav", days=1)

    (report,) = dry_run(world.session(), Wishes()).datasets

    assert report.plan is not None
    note = f"1 rows that go name files below {world.spool}, removed without a copy"
    assert note in report.plan.identity.notes
    assert file.exists()
    assert world.execute("SELECT to_regclass('lapse_files') IS NULL") == [(True,)]


def test_a_stop_leaves_the_files_to_the_next_run(world: Calls) -> None:
    """A signal after the commit: the rows are gone, and the run says that files wait."""
    file = world.file("a.wav")
    world.call("a.wav")

    (report,) = run(world.session(), Wishes(stopping=lambda: world.calls() == 0)).datasets

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    assert "files are still there, though their rows are gone: the run was asked to stop" in report.trouble.message
    assert file.exists()
    assert world.purge().files == 1
