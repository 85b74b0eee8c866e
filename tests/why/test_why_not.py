"""`lapse why --not`: every cause produced for real, neighbours beside it, and what cannot be read told as a cause."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from why_world import POLICY, WhyWorld, fresh, old, world

from lapse.engine.hindering import why_not
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, dry_run
from lapse.engine.units.stamping import stamped
from lapse.errors import LapseError
from lapse.instant import SECOND, Nanos
from lapse.model.causes import CauseKind, Weight
from lapse.model.selection import Verdict
from other_runs import another_run
from worlds import make

__all__ = ["world"]


def _kinds(world: WhyWorld, *weights: Weight) -> list[CauseKind]:
    """The kinds found, in their order; those of some weights, or all."""
    return [cause.kind for cause in world.why_not().causes if not weights or cause.weight in weights]


def _image(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder, with its content and the time of its last change."""
    return {
        str(path): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(folder.rglob("*"))
    }


# What stands when nothing is wrong


def test_nothing_stands_in_the_way(world: WhyWorld) -> None:
    """The next run removes just what is told, and then there is nothing to remove; looking writes nothing."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    before = _image(world.folder)

    shown = world.done("why", "--not", "calls")

    assert _image(world.folder) == before
    assert "Nothing stands in the way: the next run removes 3 records." in shown
    assert "9 records, 3 lapsed" in shown
    assert _kinds(world, Weight.BLOCKS) == []
    assert "3 records removed" in world.done("run")
    assert "The next run has nothing to remove." in world.done("why", "--not", "calls")


def test_the_json_form_has_every_cause(world: WhyWorld) -> None:
    """With counts, ranked, and whether the next run is stopped."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    (world.state).mkdir()
    (world.state / "stop").touch()

    found = world.json("why", "--not", "calls")

    assert (found["records"], found["lapsed"], found["blocked"]) == (9, 3, True)
    assert found["causes"][0] == {
        "kind": "stop file", "weight": "blocks", "records": None, "fix": f"rm {world.state / 'stop'}",
        "message": f"the stop file {world.state / 'stop'} is there: every run ends before it removes anything",
    }  # fmt: skip
    counted = {each["kind"]: each["records"] for each in found["causes"]}
    assert counted["not lapsed yet"] == 6


def test_an_empty_store_is_no_riddle(world: WhyWorld) -> None:
    """There is nothing that could go."""
    world.rows([])

    assert CauseKind.EMPTY in world.causes()
    assert CauseKind.NOT_YET not in world.causes()


# What keeps records


def test_what_keeps_most_is_told_first(world: WhyWorld) -> None:
    """Holds, floors, rules, doubts and no rule at all, each with its count and the reason that somebody gave."""
    world.policy(
        POLICY.replace("{for: 90 days}", "{type: [CALL, KEEP], tenant: glob:a*, for: 90 days}").replace(
            "{type: BILLED, for: 1 year}", "{type: KEEP, for: forever}\n      - {type: BILLED, for: 1 day}"
        )
        + "floors:\n  - {match: {dataset: calls, type: BILLED}, at least: 6 years, because: tax law}\n"
        "holds:\n  - {matter: M-1, match: {tenant: ah}, reason: litigation}\n"
    )
    world.rows([
        *old(1, 7, tenant="ah"), *old(10, 14, kind="BILLED"), *old(20, 23, kind="KEEP"), *fresh(30, 35),
        *old(40, 42, tenant="zz"), (50, None, "CALL", "a"), (51, "never", "CALL", "a"), (52, "2999-01-01", "CALL", "a"),
        *old(60, 68),
    ])  # fmt: skip

    found = world.why_not()
    keeping = [(cause.kind, cause.records) for cause in found.causes if cause.weight is Weight.KEEPS]
    messages = {cause.kind: cause.message for cause in found.causes}

    assert (found.records, found.lapsed) == (37, 9)
    assert keeping == [
        (CauseKind.HOLD, 7), (CauseKind.NOT_YET, 6), (CauseKind.FLOOR, 5), (CauseKind.FOREVER, 4),
        (CauseKind.UNMATCHED, 3), (CauseKind.DOUBT, 2), (CauseKind.DOUBT, 1),
    ]  # fmt: skip
    assert "litigation" in messages[CauseKind.HOLD]
    assert "tax law" in messages[CauseKind.FLOOR]
    assert "rule 1 (type KEEP: forever)" in messages[CauseKind.FOREVER]
    assert "the first lapses after 2026-08-28T00:00:00Z" in messages[CauseKind.NOT_YET]


def test_the_first_day_counts_a_floor_that_all_records_have(world: WhyWorld) -> None:
    """The rule alone would say 28 August."""
    world.policy(POLICY + "floors:\n  - {match: {dataset: calls}, at least: 120 days, because: contract}\n")
    world.rows(fresh(1, 3))

    assert "the first lapses after 2026-09-27T00:00:00Z" in world.causes()[CauseKind.NOT_YET].message


def test_a_dataset_without_rules_keeps_everything(world: WhyWorld) -> None:
    """And says that it has none."""
    world.policy(POLICY.split("    keep:")[0])
    world.rows(old(1, 3))

    found = world.causes()[CauseKind.UNMATCHED]

    assert (found.records, found.fix) == (3, "lapse check --effective")
    assert "the dataset has none" in found.message


def test_the_newest_of_a_group_are_a_cause(world: WhyWorld) -> None:
    """Old enough to go, and kept all the same."""
    world.policy(POLICY.replace("{for: 90 days}", "{for: 90 days, keep last: 2 per tenant}"))
    world.rows([*old(1, 5), *old(6, 9, tenant="beta")])

    assert world.causes()[CauseKind.NEWEST].records == 4


def test_the_counts_are_those_of_the_plan(world: WhyWorld) -> None:
    """Every record has lapsed, or is kept by just one cause."""
    world.policy(POLICY + "holds:\n  - {matter: M-1, match: {tenant: held}, reason: x}\n")
    world.rows([*old(1, 7), *old(8, 9, tenant="held"), *fresh(10, 12), (13, None, "CALL", "acme")])

    found = world.why_not()
    kept = sum(cause.records or 0 for cause in found.causes if cause.weight is Weight.KEEPS)
    (planned,) = plan(world.session()).datasets

    assert found.lapsed == planned.records(Verdict.LAPSED) == 7
    assert kept + found.lapsed == found.records == planned.records() == 13


# What stops the next run


def _guarded(world: WhyWorld) -> None:
    world.policy(POLICY + "guards: {share: 10%}\n")


def _emptied(world: WhyWorld) -> None:
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("DELETE FROM cel WHERE id > 3")
    connection.close()


def _another_store(world: WhyWorld) -> None:
    world.policy(POLICY.replace("    table: cel\n", "    table: cel\n    expect: sqlite:0123456789abcdef\n"))


def _changed_column(world: WhyWorld) -> None:
    world.done("run")
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("ALTER TABLE cel RENAME TO was")
        connection.execute("CREATE TABLE cel (id INTEGER PRIMARY KEY, at BLOB, kind TEXT, tenant TEXT)")
    connection.close()


def _lost_store(world: WhyWorld) -> None:
    (world.folder / "calls.db").unlink()


def _lost_column(world: WhyWorld) -> None:
    world.policy(POLICY.replace("time: at", "time: when"))


def _unreadable_hold(world: WhyWorld) -> None:
    (world.folder / "holds").mkdir()
    (world.folder / "holds" / "a.yaml").write_text("{")


def _vanished_hold(world: WhyWorld) -> None:
    world.done("hold", "add", "--matter", "M-9", "--tenant", "acme", "--reason", "x")
    shutil.rmtree(world.folder / "holds")


def _damaged_ledger(world: WhyWorld) -> None:
    world.done("run")
    ledger = next(world.state.rglob("ledger.jsonl"))
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join([lines[0], "{}\n", *lines[2:]]))


def _cut_ledger(world: WhyWorld) -> None:
    world.done("run")
    ledger = next(world.state.rglob("ledger.jsonl"))
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:-1]))


def _lost_ledger(world: WhyWorld) -> None:
    world.done("run")
    shutil.rmtree(world.state / "ledger")


def _query_that_cannot_be_asked(world: WhyWorld) -> None:
    world.policy(POLICY.replace("    time: at\n", "    time: at\n    pace: {pause while: SELECT 1}\n"))


def _odd_pins(world: WhyWorld) -> None:
    world.state.mkdir()
    (world.state / "pins.json").write_text("[")


def _odd_pace(world: WhyWorld) -> None:
    world.state.mkdir()
    (world.state / "pace.json").write_text("[")


REFUSED = [
    (_guarded, CauseKind.GUARD), (_emptied, CauseKind.GUARD), (_another_store, CauseKind.CHANGED),
    (_changed_column, CauseKind.CHANGED), (_lost_store, CauseKind.STORE), (_lost_column, CauseKind.STORE),
    (_unreadable_hold, CauseKind.HOLDS), (_vanished_hold, CauseKind.HOLDS), (_damaged_ledger, CauseKind.LEDGER),
    (_cut_ledger, CauseKind.LEDGER), (_lost_ledger, CauseKind.LEDGER),
    (_odd_pins, CauseKind.STATE),
    (_query_that_cannot_be_asked, CauseKind.REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "kind"), REFUSED, ids=[harm.__name__.strip("_") for harm, _ in REFUSED])
def test_what_refuses_a_run_is_a_cause_and_no_crash(
    world: WhyWorld, harm: Callable[[WhyWorld], None], kind: CauseKind
) -> None:
    """It comes first, in the words in which a run tells it; and a run is indeed refused."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    harm(world)

    found = world.why_not()
    with pytest.raises(LapseError) as refused:
        dry_run(world.session(), Wishes())

    assert found.blocked
    assert _kinds(world, Weight.BLOCKS) == [kind]
    said = str(refused.value).removeprefix("calls: ")
    assert said in found.causes[0].message or "hold M-9" in said
    assert "As things stand" in world.done("why", "--not", "calls") or found.records is None


def test_without_any_harm_no_run_is_refused(world: WhyWorld) -> None:
    """The neighbour of all of them."""
    world.rows([*old(1, 3), *fresh(4, 9)])

    dry_run(world.session(), Wishes())

    assert _kinds(world, Weight.BLOCKS) == []


def test_an_archive_that_is_no_folder_is_a_cause(world: WhyWorld) -> None:
    """Nothing goes without a copy; an archive that no rule uses is no matter."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    (world.folder / "archive").write_text("no folder")

    found = world.causes()
    run = world.call("run")
    world.policy(POLICY.replace("archive: cold", "archive: none"))

    assert found[CauseKind.ARCHIVE].weight is Weight.BLOCKS
    assert str(world.folder / "archive") in found[CauseKind.ARCHIVE].message
    assert run.exit_code == 1
    assert CauseKind.ARCHIVE not in world.causes()


def test_a_clock_behind_the_ledger_is_a_cause(world: WhyWorld) -> None:
    """No run believes such a clock."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")
    session = world.session()

    late = why_not(replace(session, real_now=Nanos(session.real_now - 3600 * SECOND)), "calls")

    assert [cause.kind for cause in late.causes if cause.weight is Weight.BLOCKS] == [CauseKind.CLOCK]


def test_a_lease_that_another_process_holds_is_a_cause(world: WhyWorld) -> None:
    """As long as it lives; its process is named, and it is not disturbed."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    address = f"sqlite:///{world.folder / 'calls.db'}"

    with another_run(address, table="cel", time="at"):
        held = world.causes()
        refused = world.call("run")
    free = world.causes()

    assert "pid " in held[CauseKind.LEASE].message
    assert refused.exit_code == 4
    assert CauseKind.LEASE not in free


def test_a_lock_file_that_a_killed_run_left_is_no_lease(world: WhyWorld) -> None:
    """The kernel has let go of its lock, whatever process has its number now."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    (world.folder / "calls.db.lapse-lock").write_text('{"pid": 4194304, "what": "dataset calls"}')

    assert CauseKind.LEASE not in world.causes()


@pytest.mark.parametrize(("pid", "held"), [(os.getpid(), True), (4_194_304, False)], ids=["alive", "gone"])
def test_where_the_kernel_lists_no_locks_the_named_process_counts(
    world: WhyWorld, monkeypatch: pytest.MonkeyPatch, pid: int, held: bool
) -> None:
    """As long as it lives."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    monkeypatch.setattr("lapse.state.lease._LOCKS", world.folder / "none")
    (world.folder / "calls.db.lapse-lock").write_text(f'{{"pid": {pid}, "what": "dataset calls"}}')

    assert (CauseKind.LEASE in world.causes()) == held


def test_paused_and_throttled_runs_are_causes(world: WhyWorld) -> None:
    """A pause stops, a throttle slows; both can be taken back by the command that is told."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("pace", "--pause", "--rows-per-second", "5")
    found = world.causes()
    world.done(*found[CauseKind.PAUSED].fix.split()[1:])
    resumed = world.causes()
    world.done("pace", "--reset")

    assert found[CauseKind.PAUSED].weight is Weight.BLOCKS
    assert "5 records a second" in resumed[CauseKind.THROTTLE].message
    assert CauseKind.PAUSED not in resumed
    assert not {CauseKind.PAUSED, CauseKind.THROTTLE} & set(world.causes())


def test_a_pace_that_cannot_be_read_is_a_cause(world: WhyWorld) -> None:
    """A run would fail on it."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    _odd_pace(world)

    assert _kinds(world, Weight.BLOCKS) == [CauseKind.STATE]


def test_several_causes_are_all_told(world: WhyWorld) -> None:
    """What stops runs before what keeps records, whatever their numbers."""
    _guarded(world)
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.state.mkdir()
    (world.state / "stop").touch()

    found = _kinds(world)

    assert found[:2] == [CauseKind.GUARD, CauseKind.STOP_FILE]
    assert found.index(CauseKind.NOT_YET) > found.index(CauseKind.STOP_FILE)


# How runs went


def test_a_run_that_failed_is_told_with_its_error(world: WhyWorld) -> None:
    """Until one succeeds; what has lapsed since then waits for it."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    (world.folder / "archive").write_text("no folder")
    failed = world.call("run")
    (world.folder / "archive").unlink()

    found = world.causes()
    world.done("run")

    assert failed.exit_code == 1
    assert found[CauseKind.FAILED].weight is Weight.STOPPED
    assert found[CauseKind.FAILED].records == 3
    assert str(world.folder / "archive") in found[CauseKind.FAILED].message
    assert CauseKind.FAILED not in world.causes()


def test_a_run_that_another_dataset_refused_is_told(world: WhyWorld) -> None:
    """One guard stops the run of all; this dataset is innocent, and says who is not."""
    world.policy(POLICY + "  tools: {store: ./a.jsonl, time: at, keep: 90 days, archive: cold}\n")
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.lines("a.jsonl", [{"at": "2026-01-01T00:00:00Z"}])
    refused = world.call("run")

    assert refused.exit_code == 3
    assert "tools: its only record has lapsed" in world.causes()[CauseKind.FAILED].message


def test_budgets_that_are_used_up_are_counted(world: WhyWorld) -> None:
    """Run after run; one that gets through ends it."""
    world.rows([*old(1, 9), *fresh(10, 12)])
    world.done("run", "--rows", "2")
    once = world.causes()[CauseKind.BUDGET].message
    world.done("run", "--rows", "2")
    twice = world.causes()[CauseKind.BUDGET]
    world.done("run")

    assert once.startswith("the last run ended before everything was done")
    assert twice.message.startswith("the last 2 runs ended before everything was done")
    assert "left 5 records" in twice.message
    assert twice.records == 5
    assert CauseKind.BUDGET not in world.causes()


def test_a_dataset_that_no_run_has_come_to(world: WhyWorld) -> None:
    """Nothing starts one either; with nothing lapsed that only explains."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    found = world.causes()
    world.done("run")
    afterwards = world.causes()

    assert found[CauseKind.NEVER_RUN].fix == "lapse run calls"
    assert found[CauseKind.UNSCHEDULED].fix == "lapse schedule systemd --install"
    assert found[CauseKind.UNSCHEDULED].weight is Weight.STOPPED
    assert not {CauseKind.NEVER_RUN, CauseKind.UNSCHEDULED} & set(afterwards)


@pytest.mark.parametrize(("policy", "known"), [("lapse.yaml", True), ("other.yaml", False)])
def test_a_timer_of_this_policy_counts_as_a_schedule(world: WhyWorld, policy: str, known: bool) -> None:
    """One of another policy does not."""
    world.rows(old(1, 3))
    units = world.folder / "config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "lapse.timer").write_text(stamped("[Timer]\n", str(world.folder / policy)))

    assert (CauseKind.UNSCHEDULED not in world.causes()) == known


@pytest.mark.parametrize(
    ("policy", "changed", "known"),
    [("lapse.yaml", "", True), ("lapse.yaml", "# by hand\n", True), ("other.yaml", "", False)],
)
def test_lines_in_the_crontab_count_as_a_schedule(
    world: WhyWorld, monkeypatch: pytest.MonkeyPatch, policy: str, changed: str, known: bool
) -> None:
    """Also where somebody has changed them since; those of another policy and other people's do not count."""
    world.rows(old(1, 3))
    program, table = world.folder / "bin" / "crontab", world.folder / "table"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat '{table}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    table.write_text("5 5 * * * true\n")
    before = world.causes()
    block = stamped("0 2 * * * lapse run\n", str(world.folder / policy)) + changed
    table.write_text(f"5 5 * * * true\n# BEGIN lapse schedule lapse\n{block}# END lapse schedule lapse\n")

    assert CauseKind.UNSCHEDULED in before
    assert (CauseKind.UNSCHEDULED not in world.causes()) == known


def test_missed_runs_are_counted(world: WhyWorld) -> None:
    """Since the policy was written, where none ever succeeded."""
    world.policy("schedule: {daily at: 02:00}\n" + POLICY)
    world.rows(old(1, 3))
    week_ago = (world.session().real_now - 7 * 86_400 * SECOND) // SECOND
    os.utime(world.folder / "lapse.yaml", (week_ago, week_ago))

    assert "runs were missed since" in world.causes()[CauseKind.MISSED].message


def test_history_that_cannot_be_read_is_told(world: WhyWorld) -> None:
    """A run does not need it."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    (world.state / "runs").mkdir(parents=True)
    (world.state / "runs" / "last.json").write_text("[")

    found = world.causes()

    assert found[CauseKind.STATE].weight is Weight.HINTS
    assert "last.json" in found[CauseKind.STATE].message
    assert not {CauseKind.NEVER_RUN, CauseKind.UNSCHEDULED} & set(found)


def test_now_that_somebody_has_set_is_told(world: WhyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lapsed after it is kept."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    assert "2026-06-01" in world.causes()[CauseKind.CLOCK].message

    monkeypatch.delenv("LAPSE_NOW")

    assert CauseKind.CLOCK not in world.causes()


@pytest.mark.crash
def test_slices_of_a_killed_run_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run settles them, and removes what is left."""
    from matrix import crash

    killed = make(tmp_path, "sqlite", 60)
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    monkeypatch.setenv("LAPSE_NOW", "")
    for fuse in range(1, 200):
        crash(killed, fuse, tmp_path / "calls.json")
        found = {cause.kind: cause for cause in why_not(killed.session(), "log").causes}
        if CauseKind.UNSETTLED in found:
            break
    killed.run()

    assert found[CauseKind.UNSETTLED].weight is Weight.HINTS
    assert CauseKind.UNSETTLED not in {cause.kind for cause in why_not(killed.session(), "log").causes}


def test_a_writer_that_lets_no_line_go_is_a_cause(world: WhyWorld) -> None:
    """Without O_APPEND its next line would lie where it lay before; the file is named."""
    world.policy(POLICY.split("datasets:")[0] + "datasets:\n  tools: {store: ./a.jsonl, time: at, keep: 90 days,"
                 " archive: cold}\n")  # fmt: skip
    world.lines("a.jsonl", [{"at": "2026-01-01T00:00:00Z"}, {"at": "2026-05-31T00:00:00Z"}])

    with (world.folder / "a.jsonl").open("r+b"):
        held = world.causes("tools")
    free = world.causes("tools")

    assert "a.jsonl" in held[CauseKind.WRITERS].message
    assert "its lines stay" in held[CauseKind.WRITERS].message
    assert CauseKind.WRITERS not in free


def test_an_unknown_dataset_is_a_usage_error(world: WhyWorld) -> None:
    """With the names that there are."""
    result = world.call("why", "--not", "cals")

    assert result.exit_code == 2
    assert "calls" in result.stderr
