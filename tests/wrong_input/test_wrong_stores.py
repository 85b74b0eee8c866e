"""Stores that are not what the policy says: missing, wrong, unreadable, changed, in use, or not to be followed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from wrong_world import POLICY, Refusal, World, make

NAMES = [
    ("time: at", "time: att", Refusal(2, "table cel has no column 'att'", "8:5", "at")),
    ("type: kind", "type: kinds", Refusal(2, "table cel has no column 'kinds'", "9:5", "kind")),
    ("tenant: tenant", "tenant: tenants", Refusal(2, "table cel has no column 'tenants'", "10:5", "tenant")),
    ("key: id", "key: uid", Refusal(2, "table cel has no column 'uid'", "11:5", "id")),
    ("key: id", "require: [color]", Refusal(2, "table cel has no column 'color'", "11:5", "There is")),
    ("{type: BILLED", "{color: BILLED", Refusal(2, "table cel has no column 'color'", "13:9", "There is")),
    ("{type: BILLED", "{$.doc.x: BILLED", Refusal(2, "table cel has no column 'doc'", "13:9", "There is")),
    ("table: cel", "table: cell", Refusal(2, "sqlite:///db/calls.db has no table 'cell'", "7:5", "cel")),
    ("calls.db", "nope.db", Refusal(2, "there is no such file", "6:5", "relative ones start")),
    ("db/calls.db", "db", Refusal(2, "not a regular file", "6:5")),
    ("db/calls.db", "lapse.yaml", Refusal(1, "is no SQLite database", "6:5", "Check the path")),
    ("logs/audit*", "logs/nope*", Refusal(2, "matches no file", "17:5", "does not cross folders")),
    ("logs/audit*.jsonl", "logs/x.jsonl", Refusal(2, "there is no such file", "17:5", "Check `store:`")),
    ("logs/audit*.jsonl", "nowhere/*", Refusal(2, "there is no folder", "17:5")),
    ("logs/audit*.jsonl", "logs", Refusal(2, "is a folder", "17:5", "*.jsonl")),
]


@pytest.mark.parametrize(("old", "new", "refusal"), NAMES, ids=[new for _, new, _ in NAMES])
def test_a_wrong_name_is_told_at_the_key_that_has_it(tmp_path: Path, old: str, new: str, refusal: Refusal) -> None:
    """Table, column or file, found only by the store, at its place in the policy; nothing is touched."""
    world = make(tmp_path)
    world.policy(old, new)

    for command in (["plan"], ["run"], ["run", "--dry-run"], ["plan", "-o", "plan.json"]):
        refusal.check(world, *command)


def test_an_unknown_dataset_is_told_with_those_there_are(tmp_path: Path) -> None:
    """In every command that takes one."""
    world = make(tmp_path)
    refusal = Refusal(2, "lapse.yaml has no dataset 'nope'", hint="It has: calls, tools.")

    for command in (["plan", "nope"], ["run", "calls", "nope"], ["why", "nope", "1"], ["trust", "nope"]):
        refusal.check(world, *command)
    refusal.check(world, "hold", "add", "--matter", "m", "--reason", "r", "--dataset", "nope")


DAMAGE = [
    (b"", Refusal(2, "has no table 'cel'", "7:5")),
    (b"id,at\n1,2024-01-01\n" * 200, Refusal(1, "is no SQLite database", "6:5")),
    (None, Refusal(1, "is damaged", "6:5", "integrity_check")),
]


@pytest.mark.parametrize(("data", "refusal"), DAMAGE, ids=["empty", "text", "corrupted"])
def test_a_file_that_is_no_sound_database_is_told(tmp_path: Path, data: bytes | None, refusal: Refusal) -> None:
    """Zero bytes, a text file, pages that were overwritten: nothing is removed and nothing remembered."""
    world = make(tmp_path)
    sound = world.database.read_bytes()
    world.database.write_bytes(sound[:4096] + b"\xaa" * (len(sound) - 4096) if data is None else data)

    refusal.check(world, "plan")
    refusal.check(world, "run")


TABLES = [
    ("CREATE VIEW v AS SELECT * FROM cel", "v", Refusal(2, "view v has no key", "6:5", "ordinary tables only")),
    (
        "CREATE TABLE child (id INTEGER PRIMARY KEY, c REFERENCES cel (id) ON DELETE CASCADE)",
        "cel",
        Refusal(2, "ON DELETE CASCADE", "7:5", "removes nothing there"),
    ),
]


@pytest.mark.parametrize(("sql", "table", "refusal"), TABLES, ids=["view", "cascade"])
def test_a_table_that_cannot_be_removed_from_safely_is_refused(
    tmp_path: Path, sql: str, table: str, refusal: Refusal
) -> None:
    """A view, and a table whose rows take others with them."""
    world = make(tmp_path)
    world.execute(sql)
    world.policy("table: cel", f"table: {table}")

    refusal.check(world, "run")
    refusal.check(world, "run", "--dry-run")


def test_a_policy_for_another_store_is_refused(tmp_path: Path) -> None:
    """`expect:` names what it was written for; exit 3 and what differs."""
    world = make(tmp_path)
    for other, differs in (("sqlite:abc:cel", "the store differs"), ("postgresql:7:x.cel", "another kind of store")):
        world.policy("    key: id", f"    expect: {other}")
        Refusal(3, differs, "11:5", "written for another store").check(world, "run")
        Refusal(3, differs, "11:5", "written for another store").check(world, "plan")


def test_a_store_that_changed_after_the_first_run_is_refused_until_it_is_trusted(tmp_path: Path) -> None:
    """Another file in its place is exit 3; `lapse trust` accepts it."""
    world = make(tmp_path)
    assert world.call("run").exit_code == 0
    other = make(_folder(tmp_path / "other"))
    other.execute("ALTER TABLE cel RENAME TO old", "CREATE TABLE cel (id INTEGER PRIMARY KEY, at INT, kind, tenant)")
    world.database.write_bytes(other.database.read_bytes())

    Refusal(3, "the first run saw sqlite:", "6:5", "lapse trust calls").check(world, "run")
    assert world.call("trust", "calls").exit_code == 0
    assert world.call("run").exit_code == 0


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_lease_that_another_process_holds_ends_with_4(tmp_path: Path) -> None:
    """Nothing is touched, in the datasets that are free neither."""
    world = make(tmp_path)
    with (world.database.parent / "calls.db.lapse-lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Refusal(4, "another run holds the lease", "6:5", "Wait until it is done").check(world, "run")
    with (world.log.parent / ".lapse.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Refusal(4, "another run holds the lease", "17:5", "Wait until it is done").check(world, "run", "tools")
    assert world.call("run").exit_code == 0


GUARDS = [
    ("share: 50%", Refusal(3, "40 of 60 records would go, 66.7%; the policy allows 50%", hint="guards: share")),
    ("rows: 39", Refusal(3, "40 records would go; the policy allows 39", hint="guards: rows")),
]


@pytest.mark.parametrize(("guard", "refusal"), GUARDS)
def test_a_guard_refuses_before_the_first_removal(tmp_path: Path, guard: str, refusal: Refusal) -> None:
    """Exit 3 with the figure and the limit."""
    world = make(tmp_path)
    world.policy("version: 1\n", f"version: 1\nguards: {{{guard}}}\n")

    refusal.check(world, "run")


def test_emptying_a_dataset_needs_to_be_allowed(tmp_path: Path) -> None:
    """One dataset that would be emptied stops the others too; --allow-empty lets it happen."""
    world = make(tmp_path)
    world.execute("DELETE FROM cel WHERE id >= 40")

    Refusal(3, "calls: all 40 records have lapsed", hint="--allow-empty").check(world, "run")
    assert world.call("run", "--allow-empty").exit_code == 0
    assert world.rows() == set()


NOWS = [
    ("2999-01-01T00:00:00Z", Refusal(2, "is later than the real time", hint="cannot bring deadlines forward")),
    *((text, Refusal(2, "is not an RFC 3339 instant", hint="2026-11-22")) for text in ("", "soon", "2025-06-01", "1")),
]


@pytest.mark.parametrize(("now", "refusal"), NOWS)
def test_a_wrong_lapse_now_is_refused(tmp_path: Path, now: str, refusal: Refusal) -> None:
    """Later than the real time, or no instant."""
    for command in ("run", "plan", "status"):
        refusal.check(make(_folder(tmp_path / command)), command, LAPSE_NOW=now)


def only_tools(world: World, store: str) -> None:
    """A policy for the text logs alone."""
    text = POLICY[: POLICY.index("  calls:")] + POLICY[POLICY.index("  tools:") :]
    world.write(text.replace("logs/audit*.jsonl", store))


def test_a_link_that_a_glob_finds_is_not_followed(tmp_path: Path) -> None:
    """Exit 2; the same link, named exactly, was given by the user and is followed."""
    world = make(tmp_path)
    real = world.log.rename(tmp_path / "elsewhere.txt")
    world.log.symlink_to(real)
    only_tools(world, "logs/audit*.jsonl")
    Refusal(2, "is a symbolic link, and a glob follows none", "6:5", "name the file itself").check(world, "run")

    only_tools(world, "logs/audit.jsonl")

    assert world.call("run").exit_code == 0
    assert world.log.is_symlink()
    assert len(real.read_bytes().splitlines()) == 3


def test_hard_links_and_pipes_among_the_logs_are_refused(tmp_path: Path) -> None:
    """A rewrite would leave the other name as it is; a pipe would hang."""
    world = make(tmp_path)
    only_tools(world, "logs/*")
    other = tmp_path / "logs" / "other"
    other.hardlink_to(world.log)
    Refusal(2, "has 2 hard links", "6:5", "find -inum").check(world, "run")
    other.unlink()
    os.mkfifo(other)

    Refusal(2, "is no regular file", "6:5", "Narrow the glob").check(world, "run")


def sealed(world: World) -> str:
    """Seal a plan; the name of its file."""
    assert world.call("plan", "-o", "plan.json").exit_code == 0
    return "plan.json"


def test_a_sealed_plan_for_another_policy_or_store_is_refused(tmp_path: Path) -> None:
    """Exit 3: a changed policy, an edited plan, records that are gone, a dataset that it does not have."""
    world = make(tmp_path)
    plan = tmp_path / sealed(world)
    Refusal(3, "nope is not in the plan", hint="The plan has").check(world, "run", "--plan", "plan.json", "nope")
    world.policy("90 days", "91 days")
    Refusal(3, "was made for another policy", hint="Make a new plan").check(world, "run", "--plan", "plan.json")
    world.policy()
    plan.write_text(plan.read_text().replace('"records": 40', '"records": 41'))
    Refusal(3, "its digest does not match", hint="lapse plan -o").check(world, "run", "--plan", "plan.json")
    sealed(world)
    world.execute("DELETE FROM cel WHERE id = 1")

    Refusal(3, "39 records would go where 40 were planned", hint="Make a new plan").check(
        world, "run", "--plan", "plan.json"
    )


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "{", '{"a": 1', "\x00"])
def test_a_file_that_is_no_plan_is_told(tmp_path: Path, text: str) -> None:
    """Whatever is in it."""
    world = make(tmp_path)
    (tmp_path / "plan.json").write_text(text)

    Refusal(2, "plan.json", hint="lapse plan -o FILE").check(world, "run", "--plan", "plan.json")


def test_a_plan_can_be_sealed_into_a_file_only(tmp_path: Path) -> None:
    """A folder, or a file in a folder that is not there, is a slip: exit 2."""
    world = make(tmp_path)
    for place in (".", "logs", "nowhere/plan.json"):
        Refusal(2, "cannot become the plan's file", hint="a folder that is there").check(world, "plan", "-o", place)
