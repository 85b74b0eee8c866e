"""State, ledger, holds and archive that somebody changed by hand: each is named, and nothing is removed on top."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from wrong_world import Refusal, World, make

Lines = list[bytes]


@pytest.fixture
def ran(tmp_path: Path) -> World:
    """A world after a run on its audit file, with its call log still to do."""
    world = make(tmp_path)
    assert world.call("run", "tools").exit_code == 0
    return world


def ledger(world: World, change: Callable[[Lines], Lines]) -> None:
    """Change the ledger's lines."""
    file = world.state / "ledger" / "ledger.jsonl"
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))


TAMPERED: list[tuple[str, Callable[[Lines], Lines]]] = [
    ("edited", lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]]),
    ("removed", lambda lines: [*lines[:1], *lines[2:]]),
    ("reordered", lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
    ("inserted", lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    ("cut tail", lambda lines: lines[:-1]),
    ("cut tail", lambda lines: [*lines[:-1], lines[-1][:40]]),
    ("cut tail", lambda lines: [*lines[:-1], bytes(100)]),
    ("unreadable", lambda lines: [*lines, b"\xff\n"]),
    ("unreadable", lambda lines: [*lines[:-1], lines[-1].replace(b"{", b'{"more":1,', 1)]),
    ("unreadable", lambda lines: [*lines[:-1], b"[]\n"]),
    ("whole ledger gone", lambda _: []),
]


@pytest.mark.parametrize(("name", "change"), TAMPERED, ids=[f"{n}-{i}" for i, (n, _) in enumerate(TAMPERED)])
def test_a_ledger_changed_by_hand_is_named_as_what_it_is(
    ran: World, name: str, change: Callable[[Lines], Lines]
) -> None:
    """`ledger verify` ends with 1 and the kind; nothing in what it says comes from Python."""
    ledger(ran, change)

    found = ran.json("ledger", "verify")

    assert found["exit"] == 1
    assert name in {problem["kind"] for problem in found["result"]["problems"]}
    assert "__init__" not in json.dumps(found)


@pytest.mark.parametrize("change", [TAMPERED[4][1], TAMPERED[10][1]], ids=["cut", "gone"])
def test_no_command_begins_or_goes_on_with_a_lost_ledger(ran: World, change: Callable[[Lines], Lines]) -> None:
    """Run, restore, holds and trust alike: exit 3. Else one of them would quietly cover the loss."""
    ledger(ran, change)
    refusal = Refusal(3, "", hint="")

    refusal.check(ran, "run")
    refusal.check(ran, "run", "--dry-run")
    refusal.check(ran, "archive", "restore", "--all")
    refusal.check(ran, "hold", "add", "--matter", "m", "--reason", "r", "--all")
    refusal.check(ran, "trust", "calls")


def test_a_spoilt_checkpoint_is_a_finding_and_no_mere_silence(ran: World) -> None:
    """It could hide a cut tail: verify ends with 1 and names it, and no run goes on."""
    (checkpoint,) = (ran.folder / "archive").glob("*/checkpoints/*.json")
    checkpoint.write_text("{}")

    found = ran.json("ledger", "verify")

    assert found["exit"] == 1
    assert checkpoint.name in found["result"]["problems"][0]["message"]
    Refusal(1, "is not the checkpoint that Lapse wrote", hint="Compare it").check(ran, "run")


def test_a_changed_count_by_tenant_is_found(ran: World) -> None:
    """The sidecar must be the one that the entry vouches for, and must be there."""
    (sidecar,) = (ran.state / "ledger" / "tenants").glob("*/*")
    sidecar.write_bytes(sidecar.read_bytes() + b" ")
    assert ran.json("ledger", "verify")["result"]["problems"][0]["kind"] == "sidecar changed"
    sidecar.unlink()

    assert ran.json("ledger", "verify")["result"]["problems"][0]["kind"] == "sidecar missing"


SPOILT = [
    ("pins.json", Refusal(1, "pins.json is not readable as JSON", hint="from a backup")),
    ("keys/signing.pem", Refusal(1, "signing.pem", hint="")),
    ("journal/20250101T000000000000Z-abcdef.jsonl", Refusal(1, "not a line of a journal", hint="from a backup")),
]


@pytest.mark.parametrize(("name", "refusal"), SPOILT, ids=[name for name, _ in SPOILT])
def test_spoilt_state_stops_the_run(ran: World, name: str, refusal: Refusal) -> None:
    """Each file by its name; the call log stays as it is."""
    (ran.state / name).write_text("garbage\nmore\n")

    refusal.check(ran, "run")


HOLDS = [
    ("matter: m\nmach: all\n", 2, "holds/m.yaml:2:1: unknown key `mach`"),
    ("matter: m\nmatch: {tenat: acme}\nsince: soon\n", 2, "holds/m.yaml:3:8: `since`"),
    ("matter: m\nmatch: null\n", 2, "holds/m.yaml:2:1: `match`: nothing is written"),
    ("matter: m\nmatch: {dataset: nope}\n", 2, "holds/m.yaml:2:18: "),
    ("", 2, "holds/m.yaml:1:1: this file is empty"),
    (": : :\n", 2, "holds/m.yaml:1:1: "),
]


@pytest.mark.parametrize(("text", "code", "says"), HOLDS, ids=[says for *_, says in HOLDS])
def test_a_hold_file_with_a_slip_stops_every_run(ran: World, text: str, code: int, says: str) -> None:
    """With the place in the hold file."""
    (ran.folder / "holds").mkdir()
    (ran.folder / "holds" / "m.yaml").write_text(text)
    before = ran.snapshot()

    for command in ("run", "plan", "check"):
        told = ran.call(command)
        assert (told.exit_code, told.stdout) == (code, "")
        assert says in told.stderr
    assert ran.snapshot() == before


def test_a_hold_file_that_would_not_be_read_stops_every_run(ran: World) -> None:
    """A `.yml` file is no hold, but its author meant one."""
    (ran.folder / "holds").mkdir()
    (ran.folder / "holds" / "m.yml").write_text("matter: m\nmatch: all\n")

    Refusal(1, "m.yml would not be read", hint="rename it").check(ran, "run")


def test_a_hold_that_vanished_stops_every_run(ran: World) -> None:
    """With its file or with the whole folder."""
    assert ran.call("hold", "add", "--matter", "m", "--reason", "r", "--tenant", "other").exit_code == 0
    (ran.folder / "holds" / "m.yaml").unlink()
    Refusal(1, "hold m is in the ledger and was not released", hint="lapse hold release m").check(ran, "run")
    (ran.folder / "holds").rmdir()

    Refusal(1, "hold m is in the ledger and was not released", hint="lapse hold release m").check(ran, "run")


NONSENSE = [
    ([], "a hold needs a scope"),
    (["--all", "--tenant", "x"], "say two things"),
    (["--tenant", ""], "an empty value for tenant"),
    (["--match", "x"], "is not FIELD=VALUE"),
    (["--match", "=1"], "is not FIELD=VALUE"),
    (["--all", "--since", "soon"], "is no date and no instant"),
    (["--all", "--since", "2026-01-01", "--until", "2025-01-01"], "`until` is 2025-01-01"),
    (["--dataset", "nope"], "has no dataset 'nope'"),
    (["--all", "--matter", ""], "cannot be said in a file"),
]


@pytest.mark.parametrize(("options", "says"), NONSENSE, ids=[says for _, says in NONSENSE])
def test_a_hold_that_makes_no_sense_is_refused(ran: World, options: list[str], says: str) -> None:
    """Exit 2, and no file, no entry."""
    Refusal(2, says).check(ran, "hold", "add", "--matter", "m", "--reason", "r", *options)


@pytest.mark.parametrize("matter", ["../../x", "a\nb", "${HOME}", "ünï", "x" * 300, "-x", "null", "'\"", "m: {", "."])
def test_any_text_can_name_a_hold(ran: World, matter: str) -> None:
    """It is found again, stays in its folder, and is released by the same text."""
    assert ran.call("hold", "add", f"--matter={matter}", "--reason", "r", "--all").exit_code == 0

    assert [hold["matter"] for hold in ran.json("hold", "list")["result"]["holds"]] == [matter]
    assert len(list((ran.folder / "holds").iterdir())) == 1
    assert ran.json("run")["result"]["records"] == 0
    assert ran.call("hold", "release", "--", matter).exit_code == 0
    assert list((ran.folder / "holds").iterdir()) == []


def segment(world: World, suffix: str) -> Path:
    """The file with that suffix beside the one segment."""
    (found,) = (world.folder / "archive").rglob(f"*.jsonl.zst{suffix}")
    return found


@pytest.mark.parametrize("suffix", ["", ".manifest.json", ".entry.json"])
@pytest.mark.parametrize("how", ["removed", "emptied", "cut", "changed", "linked"])
def test_a_segment_changed_by_hand_is_found_and_not_restored(ran: World, suffix: str, how: str) -> None:
    """Segment, manifest and entry alike: verify ends with 1, restore brings nothing back, the log is untouched."""
    file = segment(ran, suffix)
    data = file.read_bytes()
    file.unlink()
    if how == "linked":
        (ran.folder / "moved").write_bytes(data)
        file.symlink_to(ran.folder / "moved")
    elif how != "removed":
        place = data.find(b'"records":3') + 10 if suffix else len(data) // 2
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        file.write_bytes({"emptied": b"", "cut": data[:-5], "changed": changed}[how])
    log = ran.log.read_bytes()

    verified = ran.json("archive", "verify")
    restored = ran.json("archive", "restore", "--all", "--no-hold")
    asked = ran.json("archive", "query", "SELECT count(*) FROM tools")

    assert verified["exit"] == 1
    assert any(each["problems"] for each in verified["result"]["segments"])
    assert (restored["exit"] in (1, 2), restored["result"]) == (True, None)
    assert ran.log.read_bytes() == log
    if suffix == "" or (suffix == ".manifest.json" and how != "changed"):
        assert asked["exit"] == 1
        assert asked["error"]["hint"] == "Run `lapse archive verify` to see which copies are intact."


def test_a_path_or_run_that_no_segment_has_cannot_be_verified(ran: World) -> None:
    """Else a slip would read as an intact archive."""
    Refusal(2, "no segment is meant", hint="archive list").check(ran, "archive", "verify", "nope")
    Refusal(2, "no segment is meant", hint="archive list").check(ran, "archive", "verify", "--run", "nope")


RESTORES = [
    ([], "nothing was chosen"),
    (["nope"], "no committed segment is meant"),
    (["--all", "--to", ""], "--to: the address is empty"),
    (["--all", "--to", "oracle://x"], "has an unknown scheme"),
    (["--all", "--to", "sqlite:///new.db", "--table", "t"], "lines cannot be restored into a table"),
    (["--all", "--archive", "warm"], "has no archive 'warm'"),
]


@pytest.mark.parametrize(("options", "says"), RESTORES, ids=[says for _, says in RESTORES])
def test_a_restore_that_makes_no_sense_is_refused(ran: World, options: list[str], says: str) -> None:
    """Exit 2 before a store, a hold or an entry is made."""
    Refusal(2, says).check(ran, "archive", "restore", *options)


def test_restoring_twice_restores_nothing_twice(ran: World) -> None:
    """The second finds all of it there."""
    counts = [ran.json("archive", "restore", "--all")["result"] for _ in range(2)]

    assert [(each["restored"], each["present"]) for each in counts] == [(3, 0), (0, 3)]
    assert sum(len(file.read_bytes().splitlines()) for file in ran.log.parent.iterdir()) == 6


QUERIES = [
    "INSERT INTO tools VALUES (1)",
    "COPY tools TO 'out.csv'",
    "COPY (SELECT 1) TO 'out.csv'",
    "ATTACH 'db/calls.db' AS x",
    "EXPORT DATABASE 'out'",
    "CREATE TABLE x AS SELECT 1",
    "DROP VIEW tools",
    "SET memory_limit = '1TB'",
    "INSTALL httpfs",
    "SELECT 1; SELECT 2",
    "SELECT 1 --\n; DROP VIEW tools",
    "",
    ";",
    "SELEC",
    "SELECT * FROM nope",
    "SELECT * FROM 'lapse.yaml'",
    "SELECT * FROM read_csv('lapse.yaml')",
    "SELECT * FROM read_text('lapse.yaml')",
    "SELECT * FROM glob('*')",
    "SELECT 'a'::INT",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_that_does_more_than_read_segments_is_refused(ran: World, sql: str) -> None:
    """Exit 2; nothing is written, no other file is read."""
    Refusal(2, "query").check(ran, "archive", "query", sql)
