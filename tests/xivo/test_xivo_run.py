"""A purge from beginning to end: log lines, tables that fail, the ledger, what is kept and told."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest
from xivo_world import FULL, PROGRAM, PURGED, XivoWorld
from xivo_world import world_fixture as world_fixture

from lapse.state.folders import StateFolders
from other_runs import another_run

_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[(\d+)\] \((INFO|WARNING|ERROR)\) \(wazo_purge_db\.cli\): (.*)"
)


def messages(text: str) -> list[str]:
    """The messages of log lines, each of which has the form of the original."""
    found = [_LINE.fullmatch(line) for line in text.splitlines()]
    assert all(found), text
    return [each[3] for each in found if each is not None]


def test_the_log_has_the_lines_of_the_original_in_its_order(world: XivoWorld) -> None:
    """One for each table before its delete, in the log file and on stdout; then rows, the end and the ledger."""
    result = world.call()

    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == world.log.read_text()
    said = messages(result.stdout)
    names = ["cel", "queue-log", "stat-agent", "stat-call-on", "stat-queue", "stat-switchboard"]
    assert [text for text in said if "deleting" in text] == [
        f"{name} purger: deleting entries older than 365 days" for name in names
    ]
    deleted = [text for text in said if "purger: deleted" in text]
    assert [text.partition(" in ")[0] for text in deleted] == [f"{name} purger: deleted 3 entries" for name in names]
    head = world.ledger.head()
    assert head is not None
    assert said[-1].startswith("purge ended: 18 entries deleted in ")
    assert said[-1].endswith(f"; ledger entry {head.n + 1}, head {head.hash}")
    assert world.counts() == PURGED


def test_the_number_in_the_log_line_is_the_purger_s_own(world: XivoWorld) -> None:
    """The per-plug-in value, which the command line does not override."""
    world.config("days_to_keep_per_plugin: {cel: 500}\n")

    said = messages(world.call("-d", "300").stdout)

    assert "cel purger: deleting entries older than 500 days" in said
    assert "queue-log purger: deleting entries older than 300 days" in said
    assert world.counts() == {**PURGED, "cel": 5}


def test_the_log_file_is_added_to(world: XivoWorld) -> None:
    """A second run keeps the lines of the first; a new file is not for everybody."""
    world.call()
    first = world.log.read_text()
    world.call()

    assert world.log.read_text().startswith(first)
    assert world.log.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_a_purger_that_is_switched_off_leaves_its_table_alone(world: XivoWorld) -> None:
    """The others run."""
    world.config("enabled_plugins: {purgers: {cel: false}}\n")

    assert world.call().exit_code == 0
    assert world.counts() == {**PURGED, "cel": 5}


def test_a_table_that_fails_is_named_and_the_others_finish(world: XivoWorld) -> None:
    """In the original one bad table kept all of them from being purged."""
    world.execute("DROP TABLE queue_log")
    world.execute("CREATE VIEW queue_log AS SELECT id, eventtime AS time FROM cel")
    world.execute("DROP TABLE stat_agent_periodic")

    result = world.call()

    assert result.exit_code == 1
    assert "queue-log purger: failed: " in result.stderr
    assert "stat-agent purger: failed: " in result.stderr
    assert "purge ended, not complete (queue-log, stat-agent): 12 entries deleted" in result.stderr
    assert world.counts() == {name: 2 for name in PURGED if name not in ("queue_log", "stat_agent_periodic")}


def test_what_cannot_be_judged_is_kept_and_told(world: XivoWorld) -> None:
    """No time, an empty or unreadable one, a date before 1990: kept, counted, and the rest goes."""
    world.execute("INSERT INTO queue_log (time) VALUES (NULL), (''), ('yesterday'), ('1970-01-01 00:00:00')")

    result = world.call()

    assert result.exit_code == 0
    assert world.counts() == {**PURGED, "queue_log": 6}
    said = messages(result.stdout)
    assert "queue-log purger: 3 entries are kept: no readable time" in said
    assert "queue-log purger: 1 entry is kept: time is before 1990-01-01T00:00:00Z" in said


def test_a_dry_run_changes_nothing_and_counts(world: XivoWorld) -> None:
    """No file of its own either: no log, no pid file, no ledger."""
    before = world.database.read_bytes()

    result = world.call("--dry-run")

    assert result.exit_code == 0
    assert "cel purger: older than 365 days: 3 entries" in messages(result.stdout)
    assert messages(result.stdout)[-1] == "dry run: nothing was changed; 18 entries would be deleted"
    assert world.database.read_bytes() == before
    assert not world.log.exists()
    assert not (world.folder / "state").exists()
    assert world.json("--dry-run")["result"]["run"]["dry"] is True


def test_another_run_keeps_the_purge_from_beginning(world: XivoWorld) -> None:
    """Exit 1 in the codes of the original, nothing touched."""
    with another_run(world.store, table="cel", time="eventtime"):
        result = world.call()

    assert result.exit_code == 1
    assert "another run" in result.stderr
    assert world.counts() == FULL


def test_a_pid_file_of_a_living_process_keeps_the_purge_from_beginning(world: XivoWorld) -> None:
    """It may be the original, which knows no lease; the file stays as it is."""
    living = str(os.getppid())
    world.pid_file.write_text(f"{living}\n")

    result = world.call()

    assert result.exit_code == 1
    assert f"the number of process {living}, which is alive" in result.stderr
    assert world.pid_file.read_text() == f"{living}\n"
    assert world.counts() == FULL


@pytest.mark.parametrize("text", ["4194305\n", "", "not a number\n", "99999999999999999999\n"])
def test_a_pid_file_of_nobody_is_taken_over(world: XivoWorld, text: str) -> None:
    """And it is gone afterwards."""
    world.pid_file.write_text(text)

    assert world.call().exit_code == 0
    assert not world.pid_file.exists()


def test_a_number_that_somebody_else_has_by_now_is_taken_over(world: XivoWorld) -> None:
    """A purge that was killed left its file, and a process that began later got its number: it is no purge."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            world.pid_file.write_text(f"{stranger.pid}\n")
            long_ago = world.pid_file.stat().st_mtime - 3600
            os.utime(world.pid_file, (long_ago, long_ago))

            assert world.call().exit_code == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert not world.pid_file.exists()


def test_the_pid_file_has_the_number_of_the_process(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the purge is at work."""
    from plugin_tools import install

    code = "import pathlib\ndef show(config):\n    print(pathlib.Path(config['pid_file']).read_text())"
    install(world.folder, monkeypatch, code=code, points={"wazo_purge_db.archives": {"show": "show"}})
    world.config("enabled_plugins: {archives: [show]}\n")

    assert f"(INFO) (show): {os.getpid()}" in world.call().stdout


def test_a_clock_behind_the_ledger_stops_the_purge(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock, lease and fingerprint are guarded in the drop-in, too."""
    from lapse import clock
    from lapse.instant import DAY, Nanos

    world.call()
    real = clock.real_now
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(real() - DAY))
    monkeypatch.setattr(clock, "run_now", lambda: Nanos(real() - DAY))
    result = world.call("-d", "0")

    assert result.exit_code == 1
    assert "the clock says" in result.stderr
    assert world.counts() == PURGED


def test_a_purge_may_take_longer_than_clocks_may_differ(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger grows while it lasts; one `now` decides for all tables all the same."""
    from lapse import clock
    from lapse.instant import DAY, Nanos

    real, ticks = clock.real_now, iter(range(1_000_000))
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(real() + next(ticks) * DAY // 200))

    result = world.call()

    assert result.exit_code == 0, result.output
    assert world.counts() == PURGED
    assert len({each["now"] for each in world.entries("disposal")}) == 1


def test_a_table_that_is_another_one_now_is_refused_until_it_is_trusted(world: XivoWorld) -> None:
    """Its fingerprint was pinned by the first run; the others are purged; the remedy is the drop-in's."""
    world.call()
    world.execute("ALTER TABLE cel RENAME TO was", "CREATE TABLE cel (id INTEGER PRIMARY KEY, eventtime BLOB)")

    result = world.call("-d", "0")

    assert result.exit_code == 1
    assert "cel purger: failed: cel: the first run saw" in result.stderr
    assert "accept it with: lapse as xivo-purge-db trust cel\n" in result.stderr
    assert world.counts() == {**dict.fromkeys(PURGED, 0), "was": 2}

    assert world.call("trust", "cell").exit_code == 2
    assert world.call("trust", "cel").stdout.startswith("cel is trusted as sqlite:")
    assert world.entries("trust")[-1]["dataset"] == "cel"
    assert world.call("-d", "0").exit_code == 0


def test_an_archive_of_lapse_s_own_takes_what_goes(world: XivoWorld) -> None:
    """Sealed and read back before the delete; the ledger lies where the configuration says."""
    world.config(f"lapse: {{archive: {world.folder}/archive, ledger: {world.folder}/book}}\n")

    result = world.call()

    assert result.exit_code == 0, result.output
    assert len(list((world.folder / "archive").rglob("*.parquet"))) == 6
    assert (world.folder / "book" / "ledger.jsonl").exists()
    assert not StateFolders(world.folder / "state").ledger.exists()
    assert world.counts() == PURGED


def test_the_ledger_says_which_rule_let_the_rows_go_without_a_copy(world: XivoWorld) -> None:
    """Without an archive of its own, as in the original; one disposal a table."""
    world.call()

    disposals = world.entries("disposal")

    assert [each["dataset"] for each in disposals] == [
        "cel", "queue-log", "stat-agent", "stat-call-on", "stat-queue", "stat-switchboard",
    ]  # fmt: skip
    assert {each["records"] for each in disposals} == {3}
    assert "365 calendar days in Europe/Paris" in str(disposals[0])


def test_a_hold_beside_the_configuration_is_kept(world: XivoWorld) -> None:
    """Legal holds have the last word in the drop-in, too."""
    holds = world.conf / "holds"
    holds.mkdir()
    (holds / "case.yaml").write_text("matter: 2026-17\nmatch: {dataset: cel}\nreason: litigation\n")

    result = world.call()

    assert result.exit_code == 0, result.output
    assert world.counts() == {**PURGED, "cel": 5}
    assert "cel purger: 5 entries are kept: hold 2026-17" in result.stdout


def test_debug_logs_more(world: XivoWorld) -> None:
    """As the key of the original says."""
    world.config("debug: true\n")

    assert "(DEBUG)" in world.call().stdout


def test_a_stop_file_ends_the_purge_without_a_fault(world: XivoWorld) -> None:
    """As in any run: exit 0, and what is left is told."""
    (world.folder / "state").mkdir()
    (world.folder / "state" / "stop").touch()

    result = world.call()

    assert result.exit_code == 0, result.output
    assert "cel purger: ended early, with 3 entries left: " in result.stdout
    assert world.counts() == FULL


def test_sigterm_ends_the_purge_cleanly(world: XivoWorld) -> None:
    """After the slice under way; what is left is told, exit 1."""
    world.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
        " INSERT INTO cel (eventtime) SELECT '2020-01-01T00:00:00Z' FROM n"
    )
    process = subprocess.Popen(
        PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **world.env()}
    )
    assert process.stdout is not None
    assert "deleting" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "asked to stop" in errors
    assert not world.pid_file.exists()
    assert world.counts()["stat_switchboard_queue"] == 5
