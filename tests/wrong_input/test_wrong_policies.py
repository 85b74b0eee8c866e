"""Wrong policies through the command line: message, file, line and column, exit code, hint, nothing touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_world import POLICY, Refusal, make

UNIT = "Write it with its unit"
TWICE = "Keep one of the two."
TEXTS = [
    # At every level: a key twice, a key that is none.
    ("version: 1\n", "version: 1\nversion: 1\n", Refusal(2, "duplicate key `version`", "2:1", TWICE)),
    ("  cold: {to: ./archive}", "  cold: {to: ./a, to: ./b}", Refusal(2, "duplicate key `to`", "3:19", TWICE)),
    ("  tools:", "  calls:", Refusal(2, "duplicate key `calls`", "16:3", TWICE)),
    ("    time: at", "    time: at\n    time: id", Refusal(2, "duplicate key `time`", "9:5", TWICE)),
    ("{type: BILLED,", "{type: BILLED, type: X,", Refusal(2, "duplicate key `type`", "13:24", TWICE)),
    ("datasets:", "datsets:", Refusal(2, "unknown key `datsets`", "4:1", "`datasets`")),
    ("{to: ./archive}", "{two: ./archive}", Refusal(2, "unknown key `two`", "3:10", "`to`")),
    ("    tenant: tenant", "    tennant: tenant", Refusal(2, "unknown key `tennant`", "10:5", "`tenant`")),
    ("{type: BILLED, for", "{type: BILLED, fro", Refusal(2, "`for` is missing", "13:9", "`for`")),
    # Tenants, and floors that contradict rules.
    (
        "    key: id",
        '    tenants: {"glob:a*": {keep: 1 day}}',
        Refusal(2, "`glob:a*` cannot name a tenant", "11:15", "exact name"),
    ),
    (
        "    key: id",
        "    tenants: {acme: {keep: [{tenant: b, for: 1 day}]}}",
        Refusal(2, "`tenant` means nothing here", "11:30", "move the rule to `keep`"),
    ),
    ("    key: id", "    tenants: {acme: {keep: null}}", Refusal(2, "nothing is written", "11:22", "never means all")),
    ("    key: id", "    tenants: {acme: {keep: 0 days}}", Refusal(2, "zero and negative", "11:28", UNIT)),
    (
        "version: 1\n",
        "version: 1\nfloors: [{match: {dataset: tools}, at least: forever, because: law}]\n",
        Refusal(2, "lets none of these records go, ever", "21:11", "narrow the floor"),
    ),
    # Periods.
    ("keep: 90 days", "keep: 90", Refusal(2, "90 is not a retention period: a bare number", "20:11", UNIT)),
    ("keep: 90 days", "keep: 0", Refusal(2, "0 is not a retention period", "20:11", UNIT)),
    ("keep: 90 days", "keep: -1", Refusal(2, "-1 is not a retention period", "20:11", UNIT)),
    ("keep: 90 days", "keep: 0 days", Refusal(2, "zero and negative", "20:11", UNIT)),
    ("keep: 90 days", "keep: -5 days", Refusal(2, "zero and negative", "20:11", UNIT)),
    ("keep: 90 days", "keep: 1.5 days", Refusal(2, "'1.5 days' is not", "20:11", UNIT)),
    ("keep: 90 days", "keep: 90 dyas", Refusal(2, "'90 dyas' is not", "20:11", UNIT)),
    ("keep: 90 days", 'keep: ""', Refusal(2, "it is empty", "20:11", UNIT)),
    ("keep: 90 days", "keep:", Refusal(2, "nothing is written here, or null", "20:5", "null never means all")),
    ("keep: 90 days", "keep: null", Refusal(2, "nothing is written here, or null", "20:5", "null never means all")),
    ("keep: 90 days", "keep: []", Refusal(2, "the list is empty", "20:11", "leave the key out")),
    (
        "keep: 90 days",
        "keep: {for: 1 day}",
        Refusal(2, "must be a retention period, not a mapping", "20:11", "forever"),
    ),
    ("keep: 90 days", "keep: no time", Refusal(2, "records of any age", "20:11", "allow: [no time]")),
    ("for: 1 year", "for: 365", Refusal(2, "`for`: 365 is not a retention period", "13:29", UNIT)),
    # Scopes: null is never "all".
    ("{type: BILLED,", "{type: null,", Refusal(2, "`type`: nothing is written", "13:10", "null never means all")),
    ("{type: BILLED,", "{type: [],", Refusal(2, "`type`: the list is empty", "13:16")),
    # Ranges, `not` and sets.
    ("{type: BILLED,", "{type: {nott: BILLED},", Refusal(2, "unknown key `nott`", "13:17", "`not`")),
    ("{type: BILLED,", "{type: {not: {not: X}},", Refusal(2, "in another `not`", "13:22", "around the whole list")),
    ("{type: BILLED,", "{type: {from: 9, to: 1},", Refusal(2, "no number is from 9 to 1", "13:16", "from 1 to 9")),
    ("{type: BILLED,", "{type: set:vip,", Refusal(2, "there is no set `vip`", "13:16", "`sets:`")),
    ("version: 1\n", "version: 1\nsets: {vip: []}\n", Refusal(2, "`vip`: the list is empty", "2:13")),
    ("version: 1\n", "version: 1\nsets: {vip: [set:x]}\n", Refusal(2, "no other set like `set:x`", "2:14")),
    # Wrong types and words.
    ("version: 1", "version: 2", Refusal(2, "`version`: must be 1, not 2", "1:10", "version 1")),
    ("    table: cel", "    table: [cel]", Refusal(2, "`table`: ", "7:12")),
    ("    table: cel\n", "", Refusal(2, "`table` is missing in `calls`", "5:3", "Add `table:`")),
    ("    time: at\n", "", Refusal(2, "`time` is missing", "5:3", "Add `time:`")),
    ("datasets:\n  calls:", "datasets: []\nx:\n  calls:", Refusal(2, "`datasets`: must be a mapping", "4:11")),
    ("    key: id", "    time zone: Mars/X", Refusal(2, "`Mars/X` is not a time zone", "11:16", "IANA")),
    ("    key: id", "    time format: unix hours", Refusal(2, "cannot be `unix hours`", "11:18", "unix seconds")),
    ("    key: id", "    doubt before: soon", Refusal(2, "`soon` is not a date", "11:19", "2026-10-01")),
    ("    key: id", "    expect: ''", Refusal(2, "`expect`: is empty", "11:13")),
    ("    archive: cold", "    archive: old", Refusal(2, "there is no archive `old`", "15:14", "`cold`")),
    ("version: 1\n", "version: 1\nguards: {share: 0.9}\n", Refusal(2, "must be a share", "2:17", "90%")),
    ("version: 1\n", "version: 1\nguards: {share: 110%}\n", Refusal(2, "must be a share", "2:17", "at most 100%")),
    ("version: 1\n", "version: 1\nguards: {rows: 0}\n", Refusal(2, "1 or more, not 0", "2:16")),
    ("keep: 90 days", "keep: !!python/object:os.system x", Refusal(2, "the tag", "20:11", "plain text")),
    ("    key: id", "    key: id\n   x: y", Refusal(2, "this is not valid YAML", "12:4")),
    # Addresses.
    ("sqlite:///db/calls.db", "sqlite://db/calls.db", Refusal(2, "has no file in it", "6:12", "sqlite:///relative.db")),
    ("sqlite:///db/calls.db", "oracle://h/d", Refusal(2, "`oracle://h/d` has an unknown scheme", "6:12", "`sqlite`")),
    ("sqlite:///db/calls.db", "oracle://h/d", Refusal(2, "`oracle://h/d` has an unknown scheme", "6:12", "`sqlite`")),
    ("./archive", "s3://bucket/x", Refusal(2, "`s3://bucket/x` has an unknown scheme", "3:14", "`file`")),
    ("./archive", "./logs", Refusal(2, "is the folder of the store of `tools`", "3:14", "outside")),
    ("./archive", "./logs/../logs/x/..", Refusal(2, "is the folder of the store of `tools`", "3:14", "outside")),
    ("./archive", "./linked", Refusal(2, "is the folder of the store of `tools`", "3:14", "outside")),
    ("./archive", "./db", Refusal(2, "is the folder of the store of `calls`", "3:14", "outside")),
    ("./archive", "./db/calls.db", Refusal(2, "is the store of `calls`", "3:14", "outside")),
    ("version: 1\n", "version: 1\nledger: ./logs\n", Refusal(2, "`ledger`: ./logs is the folder", "2:9", "outside")),
]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("old", "new", "refusal"), TEXTS, ids=[f"{new.strip()[:40]}" for _, new, _ in TEXTS])
def test_a_wrong_policy_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, refusal: Refusal, command: str
) -> None:
    """What, where to the column, what next, exit 2; neither store nor state is touched."""
    world = make(tmp_path)
    (tmp_path / "linked").symlink_to("logs")
    world.policy(old, new)

    refusal.check(world, command)


FILES = [
    (b"", Refusal(2, "this file is empty", "1:1", "Fill it in")),
    (b"\n# nothing\n", Refusal(2, "this file is empty", "1:1", "Fill it in")),
    (b"null\n", Refusal(2, "this file is empty", "1:1", "Fill it in")),
    (b"- version: 1\n", Refusal(2, "must be a mapping of keys, not a list", "1:1")),
    (b"version: 1\n# \xff\n", Refusal(2, "not UTF-8 text: byte 0xff", "2:3", "UTF-8")),
    (b"version: 1\n\x00\n", Refusal(2, "may not stand here", "2:1")),
]


@pytest.mark.parametrize(("data", "refusal"), FILES)
def test_a_file_that_is_no_policy_is_told_as_what_it_is(tmp_path: Path, data: bytes, refusal: Refusal) -> None:
    """Empty, a list, not UTF-8: the first place that shows it."""
    world = make(tmp_path)
    (tmp_path / "lapse.yaml").write_bytes(data)

    for command in ("check", "plan", "run", "status"):
        refusal.check(world, command)


PLACES = [
    ("missing.yaml", Refusal(2, "missing.yaml is not there", None, "lapse init")),
    ("logs", Refusal(2, "logs is a folder, not a file", None, "Name the file in it")),
    ("logs/audit.jsonl/x.yaml", Refusal(2, "cannot be read: Not a directory")),
]


@pytest.mark.parametrize(("file", "refusal"), PLACES)
def test_a_policy_that_is_no_file_is_told(tmp_path: Path, file: str, refusal: Refusal) -> None:
    """Not there, a folder, below a file: exit 2."""
    refusal.check(make(tmp_path), "run", "-p", file)


CALLS = "    table: cel\n    time: at\n"
TOOLS = "    time: timestamp\n"
OVERLAPS = [
    ("sqlite:///db/calls.db", CALLS, "keep: 1 day", "26:11"),
    ("sqlite:///./db/../db/calls.db", CALLS.replace("cel", "CEL"), "keep: [{kind: CALL, for: 1 day}]", "26:12"),
    ("logs/*.jsonl", TOOLS, "keep: 1 day", "25:11"),
    ("linked/audit.jsonl", TOOLS, "keep: 1 day", "25:11"),
    ("logs/**/audit*", TOOLS, "keep: 1 day", "25:11"),
]


@pytest.mark.parametrize(("store", "more", "keep", "where"), OVERLAPS, ids=[each[0] for each in OVERLAPS])
def test_two_datasets_cannot_decide_about_the_same_records(
    tmp_path: Path, store: str, more: str, keep: str, where: str
) -> None:
    """However the store is spelled: other path, other case, a link, a wider glob."""
    world = make(tmp_path)
    (tmp_path / "linked").symlink_to("logs")
    world.write(f"{POLICY}  second:\n    store: '{store}'\n{more}    {keep}\n    archive: cold\n")

    Refusal(2, "could decide about the same records of", where, "Make one dataset").check(world, "run")


DISJOINT = [
    "  second: {store: 'sqlite:///db/calls.db', table: other, time: at, keep: 1 day, archive: cold}\n",
    "  second: {store: 'sqlite:///db/other.db', table: cel, time: at, keep: 1 day, archive: cold}\n",
    "  second: {store: logs/other*.jsonl, time: timestamp, keep: 1 day, archive: cold}\n",
]


@pytest.mark.parametrize("second", DISJOINT)
def test_datasets_with_other_records_may_stand_side_by_side(tmp_path: Path, second: str) -> None:
    """Another table, another file, a glob that meets no other."""
    world = make(tmp_path)
    world.write(POLICY + second)

    assert world.call("check").exit_code == 0


def test_rules_that_match_different_values_may_share_a_table(tmp_path: Path) -> None:
    """Each takes its own, and only that."""
    world = make(tmp_path)
    world.execute("UPDATE cel SET kind = 'BILLED' WHERE id < 10")
    one = "store: 'sqlite:///db/calls.db', table: cel, time: at, type: kind, archive: cold"
    world.write(
        "version: 1\narchives:\n  cold: {to: ./archive}\ndatasets:\n"
        f"  calls: {{{one}, keep: [{{type: CALL, for: 90 days}}]}}\n"
        f"  billed: {{{one}, keep: [{{type: BILLED, for: 10 years}}]}}\n"
    )

    told = world.json("run")["result"]

    assert [each["records"] for each in told["datasets"]] == [30, 0]
    assert world.rows() == {*range(10), *range(40, 60)}
