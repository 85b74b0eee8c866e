"""`lapse status`: what the last runs did, what is overdue, and what someone must look at."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from unattended_world import POLICY, World, program
from unattended_world import world_fixture as world_fixture

from lapse import clock
from lapse.cli.page import lines
from lapse.cli.views.statuses import StatusView
from lapse.engine.running import Wishes, run
from lapse.engine.status import status
from lapse.errors import ExitCode
from lapse.instant import DAY, SECOND, Nanos, parse_rfc3339, rfc3339
from lapse.model.growth import Growth
from lapse.model.status import DatasetStatus, Ended, Past, PastRun, Problem, ProblemKind, StatusReport
from lapse.registry import open_store
from lapse.state.runs import LastRuns

_STUCK = """\
import pathlib, sys, time
from lapse import slicework
from lapse.cli.main import app

def stuck(*_, **__):
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(600)

slicework.verify = stuck
app(["run"])
"""


def past_run(began: Nanos, ended: Ended = Ended.DONE) -> PastRun:
    """A run that began then."""
    return PastRun(run="R", began=began, at=Nanos(began + SECOND), ended=ended)


def remembered(world: World, *runs: PastRun) -> None:
    """Let the state folder remember these runs on the calls, in order."""
    for each in runs:
        LastRuns(world.state).add({world.session().state_name("calls"): each})


def ago(days: float) -> Nanos:
    """An instant so many days before now."""
    return Nanos(clock.real_now() - round(days * DAY))


def test_before_and_after_a_run(world: World) -> None:
    """Never run; then what it removed, when it succeeded, and that nothing is past its deadline."""
    before = world.call("status")
    world.call("run")
    (found,) = world.status()["datasets"]

    assert before.exit_code == 0, before.output
    assert "never" in before.stdout
    assert "none yet" in before.stdout
    assert found["last"]["status"] == found["success"]["status"] == "done"
    assert (found["last"]["records"], found["total_records"], found["pending"]) == (10, 10, 0)
    assert found["measured"]["records"] == 5
    assert [(each["deadline"], each["seconds"], each["records"]) for each in found["measured"]["overdue"]] == [
        (None, 0, 0)
    ]
    assert world.call("status").exit_code == 0


def test_the_ledger_its_anchor_and_the_next_run_are_named(world: World) -> None:
    """Head and entries as in the ledger, the checkpoint of each archive, and when the schedule wants a run."""
    world.call("run")
    found, entries = world.status(), world.json("ledger", "show")["result"]["entries"]

    assert found["ledger_entries"] == len(entries) == found["archives"]["cold"]
    assert found["head"] == entries[-1]["hash"]
    assert parse_rfc3339(found["next_run"]) > clock.real_now()


def test_a_run_that_was_due_and_did_not_succeed_is_missed(world: World) -> None:
    """Every due time since the last success counts, once its slack is over."""
    remembered(world, past_run(ago(3.0)))
    found = world.status()

    assert len(found["datasets"][0]["missed"]) in (2, 3)
    assert "due since" in world.problems()["missed"]
    assert world.call("status").exit_code == 1


def test_a_run_is_not_missed_before_its_slack_is_over(world: World) -> None:
    """Until then it may still be at work."""
    world.policy("schedule: {every: 1 minute, slack: 2 hours}\n")
    remembered(world, past_run(ago(1 / 24)))

    assert world.problems() == {}


def test_a_failed_run_does_not_count_as_one_that_was_due(world: World) -> None:
    """The success before it does: failing every night is missing every night."""
    remembered(world, past_run(ago(3.0)), past_run(ago(0.1), Ended.FAILED))

    assert {"missed", "failed"} <= set(world.problems())


def test_a_dataset_that_never_ran_is_missed_once_its_policy_is_old_enough(world: World) -> None:
    """A policy that was written just now has missed nothing yet."""
    young = world.problems()
    long_ago = ago(5.0) / SECOND
    os.utime(world.policy_file, (long_ago, long_ago))

    assert young == {}
    assert "missed" in world.problems()


def test_without_a_schedule_nothing_is_missed(world: World) -> None:
    """Nobody has said when."""
    world.policy()
    remembered(world, past_run(ago(300.0)))

    assert world.problems() == {}
    assert world.status()["next_run"] is None


def test_a_run_that_a_guard_refused_is_remembered(world: World) -> None:
    """With its reason, with what was found, and beside the last success."""
    world.call("run")
    world.policy("guards: {rows: 1}\n")
    world.calls(rfc3339(ago(days)) for days in (200, 201))
    refused = world.call("run")
    (found,) = world.status()["datasets"]

    assert refused.exit_code == 3
    assert (found["last"]["status"], found["last"]["exit"]) == ("refused", 3)
    assert found["last"]["trouble"] in world.problems()["failed"]
    assert found["success"]["status"] == "done"
    assert found["measured"]["overdue"][0]["records"] == 2


def test_a_run_that_fails_before_it_looks_is_remembered(world: World) -> None:
    """A store that is gone, say."""
    (world.folder / "calls.db").unlink()
    failed = world.call("run")
    (found,) = world.status()["datasets"]

    assert failed.exit_code == 2
    assert (found["last"]["status"], found["last"]["exit"], found["success"], found["measured"]) == (
        "failed",
        2,
        None,
        None,
    )


def test_a_run_that_meets_another_one_is_not_remembered(world: World) -> None:
    """The other one is the last run."""
    store = open_store(world.session().policy.datasets["calls"], read_only=False)
    with closing(store), store.lease():
        child = world.start("run")
        _, said = child.communicate(timeout=60)

    assert child.returncode == 4, said
    assert LastRuns(world.state).all() == {}


def test_records_past_their_deadline_are_named_by_rule(world: World) -> None:
    """Those that a run left, with how long they are late: 20 and 19 days, since 90 of 110 and 109 are granted."""
    world.policy()
    world.call("run", "--rows", "1")
    result = world.call("status")
    (overdue,) = world.status()["datasets"][0]["measured"]["overdue"]

    assert overdue["records"] == 9
    assert 18 * 86_400 < overdue["seconds"] < 21 * 86_400
    assert result.exit_code == 1
    assert "past the deadline of rule 1 (everything: 90 days)" in result.stdout
    assert result.stdout.rstrip().endswith("Look: lapse run calls")


def test_a_rule_whose_records_all_went_is_not_overdue(world: World) -> None:
    """Though the run ended early, and left records of another rule."""
    world.write(POLICY.replace("keep: 90 days", "keep: [{type: a, for: 50 days}, {for: 90 days}]\n    type: kind"))
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("ALTER TABLE cel ADD COLUMN kind TEXT")
        connection.execute("UPDATE cel SET kind = CASE WHEN id > 7 THEN 'a' ELSE 'b' END")
    connection.close()
    world.call("run", "--rows", "8")
    told = world.status()["datasets"][0]["measured"]

    assert told["remaining"] == sum(each["records"] for each in told["overdue"])
    assert all((each["seconds"] > 0) == (each["records"] > 0) for each in told["overdue"])
    assert 0 in [each["records"] for each in told["overdue"]]


def test_a_survey_looks_at_the_stores_now(world: World) -> None:
    """What came since the last run is found, and nothing is written."""
    world.policy()
    world.call("run")
    world.calls([rfc3339(ago(100.0))])
    told, looked = world.status(), world.json("status", "--survey")["result"]

    assert told["datasets"][0]["measured"]["remaining"] == 0
    assert looked["datasets"][0]["measured"]["remaining"] == 1
    assert told["problems"] == []
    assert [each["kind"] for each in looked["problems"]] == ["overdue"]


def test_a_floor_on_everything_moves_the_deadline(world: World) -> None:
    """Records are not late by the rule while a floor that matches all of them keeps them."""
    world.policy("floors: [{match: all, at least: 95 days, because: law}]\n")
    world.call("run", "--rows", "1")
    (overdue,) = world.status()["datasets"][0]["measured"]["overdue"]

    assert 13 * 86_400 < overdue["seconds"] < 15 * 86_400 + 3600


def test_a_run_at_work_is_no_problem_and_a_killed_one_is(world: World) -> None:
    """Its open slices are its own until its process is gone; then they wait for the next run."""
    ready = world.folder / "ready"
    child = subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(ready)], env={**os.environ, **world.env()}, stderr=subprocess.DEVNULL
    )
    try:
        while not ready.exists():
            assert child.poll() is None
            clock.sleep(0.02)
        during = world.status()
    finally:
        child.kill()
        child.wait()
    after = world.status()

    assert (during["problems"], len(during["working"]), during["datasets"][0]["pending"]) == ([], 1, 0)
    assert (after["working"], after["datasets"][0]["pending"]) == ([], 1)
    assert [each["kind"] for each in after["problems"]] == ["unsettled"]
    written = world.policy_file.read_text(encoding="utf-8")
    world.policy_file.write_text(written.replace("calls.db", "others.db"), encoding="utf-8")
    assert world.status()["datasets"][0]["pending"] == 0  # a dataset of the same name in another store
    world.policy_file.write_text(written, encoding="utf-8")
    assert world.call("run").exit_code == 0
    assert world.status()["problems"] == []


def test_what_is_remembered_is_private(world: World) -> None:
    """0600, in a folder of 0700."""
    world.call("run")

    assert (world.state / "runs" / "last.json").stat().st_mode & 0o777 == 0o600
    assert (world.state / "runs").stat().st_mode & 0o777 == 0o700


def test_the_last_run_of_each_dataset_is_kept_beside_its_last_success(tmp_path: Path) -> None:
    """Failures do not hide when it last worked; what was measured last stays known."""
    runs = LastRuns(tmp_path)
    good, bad = past_run(Nanos(1)), past_run(Nanos(2), Ended.REFUSED)
    runs.add({"a": good, "b": good})
    runs.add({"a": bad})

    assert runs.all() == {"a": Past(last=bad, success=good), "b": Past(last=good, success=good)}


def test_processes_do_not_lose_each_others_runs(tmp_path: Path) -> None:
    """Each remembers another dataset, at the same time."""
    script = """if True:
        import sys
        from pathlib import Path
        from lapse.instant import Nanos
        from lapse.model.status import Ended, PastRun
        from lapse.state.runs import LastRuns
        for n in range(10):
            run = PastRun(run=str(n), began=Nanos(n), at=Nanos(n), ended=Ended.DONE)
            LastRuns(Path(sys.argv[1])).add({sys.argv[2]: run})
    """
    names = ("calls", "audit", "tools")
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in names]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]

    found = LastRuns(tmp_path).all()
    assert {name: past.last.run for name, past in found.items() if past.last} == dict.fromkeys(names, "9")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 3}', b'{"a": {"last": {"run": 1}}}'])
def test_a_memory_that_something_else_wrote_is_told(world: World, content: bytes) -> None:
    """The message names the file and says what to do."""
    (world.state / "runs").mkdir(parents=True, mode=0o700)
    (world.state / "runs" / "last.json").write_bytes(content)
    result = world.call("status")

    assert result.exit_code == 1
    assert "last.json" in result.stderr
    assert "Remove this file" in result.stderr


def test_problems_come_last_each_with_the_command_to_look_with() -> None:
    """One line each, behind everything else."""
    cut = Problem(kind=ProblemKind.LEDGER, dataset=None, message="the tail was cut", fix="lapse ledger verify")
    report = StatusReport(
        policy="/p", now=Nanos(0), datasets=(), next_run=None, working=("R1",), holds=(), ledger="L",
        ledger_entries=1, head="ab" * 32, archives={"cold": None, "warm": 1}, problems=(cut,),
        warnings=("w",),
    )  # fmt: skip
    view = StatusView(report)
    shown = [line.text for block in view.page() for line in lines(block, None)]

    assert shown[-2:] == ["1 problem:", "  the tail was cut. Look: lapse ledger verify"]
    assert {"At work now: R1", "Archive cold: no checkpoint yet, or out of reach"} <= set(shown)
    assert (view.exit_code, view.warnings) == (ExitCode.INCOMPLETE, ("w",))


def test_a_hold_that_is_gone_without_a_release_is_a_problem(world: World) -> None:
    """The next run would refuse: its file was taken away, the ledger still knows it."""
    assert world.call("hold", "add", "--matter", "2026-17", "--reason", "litigation", "--all").exit_code == 0
    assert world.problems() == {}
    for file in (world.folder / "holds").iterdir():
        file.unlink()

    assert "2026-17" in world.problems()["holds"]


def test_a_cut_tail_is_a_problem(world: World) -> None:
    """The checkpoint in the archive knows of more entries than the ledger has."""
    world.call("run")
    ledger = next((world.state / "ledger").glob("ledger.jsonl"))
    ledger.write_text("".join(ledger.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")

    assert "the tail was cut" in world.problems()["ledger"]


def test_a_drop_in_that_runs_datasets_apart_is_remembered_too(world: World) -> None:
    """Whoever uses the engine: the memory is the engine's."""
    from lapse.engine.apart import run_apart

    session = world.session()
    list(run_apart(session, Wishes(allow_empty=True), before_run=lambda: None))

    (past,) = LastRuns(world.state).all().values()
    assert past.last is not None
    assert past.last.records == 10
    assert status(session).datasets[0].past == past
    assert run(world.session(), Wishes()).exit_code == 0


def test_schedule_is_no_part_of_what_the_policy_decides(world: World) -> None:
    """Its digest, which the ledger carries, stays the same."""
    with_schedule = world.session().policy.digest
    world.policy()

    assert world.session().policy.digest == with_schedule


def test_a_run_that_was_interrupted_is_remembered(world: World) -> None:
    """The second signal ends a run at once; who is to be told is told, and the morning after shows it."""
    ready = world.folder / "ready"
    program(world.folder, "note", f"cat > {world.folder}/told")
    world.policy("notify: {on failure: [./note]}\n")
    with subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(ready)],
        env={**os.environ, **world.env()}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        while not ready.exists():
            assert child.poll() is None
            clock.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        assert child.stderr.readline().startswith(b"Stopping")
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=60) == 1

    assert "interrupted" in world.problems()["failed"]
    assert json.loads((world.folder / "told").read_text(encoding="utf-8"))["error"]["message"] == "interrupted"


@pytest.mark.parametrize(
    ("days", "shown"), [(0.4, "0 days"), (12.0, "12 days"), (3650.0, "3,650 days"), (1e6, "more than 10 years")]
)
def test_a_disk_that_fills_up_in_ages_is_not_counted_down(days: float, shown: str) -> None:
    """A figure of many digits would be a guess that looks like knowledge."""
    grown = DatasetStatus(
        dataset="log", store="/log", past=Past(), missed=(), total_records=0, pending=0,
        growth=Growth(size=1, days_to_full=days),
    )  # fmt: skip
    report = StatusReport(
        policy="/p", now=Nanos(0), datasets=(grown,), next_run=None, working=(), holds=(), ledger=None,
        ledger_entries=0, head=None, archives={}, problems=(), warnings=(),
    )  # fmt: skip
    page = [line.text for block in StatusView(report).page() for line in lines(block, None)]

    assert f"  log: its files, 1 B, {shown} to a full disk" in page
