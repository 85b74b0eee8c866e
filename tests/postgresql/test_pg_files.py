"""Files that belong to rows of PostgreSQL: they go after the commit that removes their rows, and not otherwise."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pg_looking import as_role
from pg_runs import PgWorld, other_session

from lapse.engine.checking import check
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, dry_run, run
from lapse.errors import ExitCode, PolicyError, StoreMissingError, UnsupportedError
from lapse.model.report import DatasetReport, Status
from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers
from servers.processes import await_condition
from worlds import NOW

_NUMBERS = itertools.count(1)
_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  calls:
    store: {store}
    table: {table}
    time: at
    tenant: tenant
    keep: 90 days
    archive: {archive}
    pace: {{rest: none}}
    files: {{column: {column}, under: {under}}}
holds:
  - {{matter: M-1, match: {{dataset: calls, tenant: held}}, reason: litigation}}
"""
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lapse' AND wait_event_type = 'Lock'"
_TABLES = """
CREATE TABLE call (id bigserial PRIMARY KEY, at timestamptz, tenant text, path text);
CREATE TABLE recording (id bigserial PRIMARY KEY, path varchar(200),
    call_id bigint NOT NULL REFERENCES call ON DELETE CASCADE);
CREATE INDEX ON recording (call_id);
"""


@dataclass(frozen=True)
class Calls(PgWorld):
    """Calls that name files in a spool, or have recordings that do."""

    @property
    def spool(self) -> Path:
        """The folder of the files."""
        return self.folder / "spool"

    def policy(
        self, *, column: str = "path", table: str = "call", archive: str = "cold", under: str = "spool", store: str = ""
    ) -> None:
        """Write the policy."""
        text = _POLICY.format(store=store or self.url, table=table, column=column, archive=archive, under=under)
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def file(self, name: str) -> Path:
        """A file in the spool."""
        path = self.spool / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
        return path

    def call(self, path: str | None, *, days: int = 100, tenant: str = "a") -> int:
        """A call of some days ago."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute(
                "INSERT INTO call (at, tenant, path) VALUES (%s, %s, %s) RETURNING id",
                (NOW - timedelta(days=days), tenant, path),
            ).fetchone()
        assert found is not None
        return int(found[0])

    def recording(self, path: str, *, days: int = 100, tenant: str = "a") -> None:
        """A call with a recording."""
        call = self.call(None, days=days, tenant=tenant)
        with psycopg.connect(self.url) as connection:
            connection.execute("INSERT INTO recording (path, call_id) VALUES (%s, %s)", (path, call))

    def calls(self) -> int:
        """How many calls are left that a test made."""
        return int(self.execute("SELECT count(*) FROM call WHERE tenant <> 'kept'")[0][0])

    def pending(self) -> list[str]:
        """The files that wait."""
        if self.execute("SELECT to_regclass('lapse_files') IS NULL")[0][0]:
            return []
        return [path for (path,) in self.execute("SELECT path FROM lapse_files ORDER BY path")]

    def purge(self, rows: int = 50) -> DatasetReport:
        """Run, and say what became of the calls."""
        (report,) = self.run(rows).datasets
        return report


def _world(folder: Path, url: str) -> Calls:
    world = Calls(folder, "postgresql", url)
    world.spool.mkdir(parents=True)
    world.execute(_TABLES)
    world.policy()
    world.call(None, days=1, tenant="kept")  # a dataset is not emptied unasked
    return world


@pytest.fixture
def world(postgres_pool: PostgresPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Calls in a database of the newest server."""
    server, name = postgres_pool.get(servers()[-1]), f"files_{os.getpid()}_{next(_NUMBERS)}"
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "world" / "state"))
    yield _world(tmp_path / "world", server.create_database(name))
    server.drop_database(name)


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_file_goes_with_its_row(pg_database: str, tmp_path: Path, archive: str) -> None:
    """Whether its path is absolute or relative, and whether the row is archived; the others stay. On every server."""
    world = _world(tmp_path / "world", pg_database)
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


def test_what_is_no_file_is_left_reported_and_tried_again(world: Calls) -> None:
    """A folder in its place: the run is incomplete and says why without the path; the next one succeeds."""
    (world.spool / "a.wav" / "inside").mkdir(parents=True)
    good = world.file("b.wav")
    world.call("a.wav")
    world.call("b.wav")

    first = world.purge()
    shutil.rmtree(world.spool / "a.wav")
    world.file("a.wav")
    second = world.purge()

    assert (first.status, first.records, first.files, first.files_left) == (Status.INCOMPLETE, 2, 1, 1)
    assert first.trouble is not None
    assert "1 files are still there, though their rows are gone: a folder (1)" in first.trouble.message
    assert "a.wav" not in first.trouble.message
    assert not good.exists()
    assert (second.status, second.records, second.files) == (Status.DONE, 0, 1)
    assert world.pending() == []


def test_nothing_beyond_the_folder_is_touched(world: Calls) -> None:
    """Whatever rows say, and whatever symbolic links lie below the folder; the reasons are counted."""
    outside = world.folder / "outside.wav"
    outside.write_text("precious")
    (world.spool / "linked").symlink_to(world.folder)
    (world.spool / "link.wav").symlink_to(outside)
    inside = world.file("inside.wav")
    for path in ("../outside.wav", str(outside), "linked/outside.wav", "link.wav", "inside.wav", f"{world.spool}/"):
        world.call(path)

    report = world.purge()

    assert (report.status, report.files, report.files_left) == (Status.INCOMPLETE, 1, 5)
    assert report.trouble is not None
    assert report.trouble.message.endswith(
        ": `..` in its path (1), a symbolic link (1), a symbolic link on its way (1), no path of a file (1), "
        "outside of the folder (1)"
    )
    assert len(world.pending()) == 5
    assert outside.exists()
    assert not inside.exists()


def test_a_folder_that_is_away_says_nothing_of_its_files(world: Calls) -> None:
    """Where a disk is not mounted no file is taken for gone."""
    world.file("a.wav")
    world.call("a.wav")
    world.spool.rename(world.folder / "away")

    first = world.purge()
    (world.folder / "away").rename(world.spool)
    second = world.purge()

    assert first.status is Status.INCOMPLETE
    assert first.trouble is not None
    assert "cannot be opened" in first.trouble.message
    assert (second.status, second.files) == (Status.DONE, 1)


@pytest.mark.parametrize("spelling", ["a/x.wav", "./a/x.wav", "a//x.wav", "{spool}/a/x.wav", "{spool}//a/./x.wav"])
def test_a_file_that_a_row_still_names_stays(world: Calls, spelling: str) -> None:
    """However that row spells it; it goes with the last one."""
    file = world.file("a/x.wav")
    world.call("a/x.wav")
    last = world.call(spelling.format(spool=world.spool), days=1)

    first = world.purge()
    there = file.exists()
    world.execute(f"UPDATE call SET at = '2026-01-01Z' WHERE id = {last}")
    second = world.purge()

    assert (first.status, first.records, first.files) == (Status.DONE, 1, 0)
    assert there
    assert (second.records, second.files) == (1, 1)
    assert not file.exists()


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


def test_files_of_another_folder_are_not_looked_for_in_this_one(world: Calls) -> None:
    """A relative path means the folder of the policy that noted it; the plan says that it waits."""
    (world.spool / "a.wav").mkdir()
    world.call("a.wav")
    assert world.purge().files_left == 1
    twin = world.folder / "other" / "a.wav"
    twin.parent.mkdir()
    twin.write_text("precious")
    world.policy(under="other")

    report = world.purge()

    assert report.plan is not None
    assert f"1 files of rows that are gone wait for a dataset whose files lie `under` {world.spool}" in (
        report.plan.identity.notes
    )
    assert twin.exists()
    assert world.pending() == ["a.wav"]


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


@pytest.fixture
def stranger(postgres_pool: PostgresPool, world: Calls) -> Iterator[Calls]:
    """The same calls, for a role with the rights of the documentation and no more."""
    server: PostgresServer = postgres_pool.get(servers()[-1])
    server.execute("CREATE ROLE files_stranger LOGIN")
    world.execute(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT SELECT, DELETE ON call, recording TO files_stranger"
    )
    world.policy(store=as_role(world.url, "files_stranger"))
    yield world
    world.execute("DROP OWNED BY files_stranger")
    server.execute("DROP ROLE files_stranger")


def test_a_role_that_may_not_note_files_is_told_how(stranger: Calls) -> None:
    """Statement by statement, until the run goes through with exactly those rights."""
    stranger.execute("GRANT UPDATE ON recording TO files_stranger")
    file = stranger.file("a.wav")
    stranger.call("a.wav")
    said: list[str] = []

    for _ in range(4):
        try:
            report = stranger.purge()
            break
        except UnsupportedError as error:
            said.append(error.message)
            assert file.exists()
            statements = error.message.partition(": ")[2].partition(": ")[2]
            stranger.execute(statements)

    assert len(said) == 2, said
    assert "CREATE TABLE lapse_files" in said[1]
    assert "GRANT UPDATE ON call TO" in said[0]
    assert (report.status, report.files) == (Status.DONE, 1)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("pahts", "has no column 'pahts'"),
        ("recording.pahts", "has no column 'pahts'"),
        ("nothing.path", "`files`: nothing is no table whose rows go along with those of call"),
        ("id", "`files`: column id of call is bigint, which holds no path"),
    ],
)
def test_a_column_that_names_no_files_is_refused(world: Calls, column: str, message: str) -> None:
    """With its place in the policy, before anything is removed."""
    world.policy(column=column)
    world.call("a.wav")

    with pytest.raises((StoreMissingError, UnsupportedError)) as caught:
        world.purge()

    assert message in caught.value.message
    assert caught.value.origin is not None
    assert caught.value.origin.line == 13
    assert world.calls() == 1


@pytest.mark.parametrize("store", ["sqlite:///calls.db", "duckdb:///calls.duckdb", "mysql://db.invalid/calls"])
def test_other_stores_refuse_files(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is opened: they could not note which files go in the transaction that removes the rows."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    world = Calls(tmp_path, "other", "")
    world.policy(store=store)
    session = world.session()

    for look in (check, plan, lambda session: run(session, Wishes()), lambda session: dry_run(session, Wishes())):
        with pytest.raises(UnsupportedError, match="cannot keep account of files") as caught:
            look(session)

        assert caught.value.exit_code == ExitCode.USAGE
        assert caught.value.origin is not None
        assert caught.value.origin.line == 13


def test_a_folder_with_lapses_own_files_is_refused(world: Calls) -> None:
    """A row could name the ledger."""
    world.policy(under="state/spool")

    with pytest.raises(PolicyError, match="a row could name a file of Lapse's own"):
        world.purge()
