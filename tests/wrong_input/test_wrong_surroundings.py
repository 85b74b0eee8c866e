"""Odd surroundings: streams that take nothing, text that is no UTF-8, names that look like code."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from wrong_world import POLICY, Refusal, World, make

_LAPSE = f'"{sys.executable}" -m lapse'


def shell(world: World, line: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which ``lapse`` is the program."""
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("lapse", _LAPSE, 1)],
        cwd=world.folder, env={**os.environ, **world.env()}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("options", ["", "--json"])
def test_an_answer_that_cannot_be_written_is_told(tmp_path: Path, options: str) -> None:
    """A report on a full disk: exit 1 and why, no traceback; the run itself is done."""
    world = make(tmp_path)

    ended = shell(world, f"lapse run {options} > /dev/full")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == "Error: the answer cannot be written: No space left on device"
    assert "Traceback" not in ended.stderr
    assert world.complete()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(tmp_path: Path, closed: str) -> None:
    """And no file of the run gets the number of one, where a message would go into it."""
    world = make(tmp_path)

    ended = shell(world, f"lapse run {closed}")

    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert world.complete()


ARGUMENTS = [
    ["why", "calls", "\udcff"],
    ["hold", "add", "--matter", "\udcff", "--reason", "r", "--all"],
    ["hold", "add", "--matter", "m", "--reason", "r", "--tenant", "\udcff"],
    ["archive", "query", "SELECT '\udcff'"],
    ["check", "-p", "\udcff.yaml"],
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=[str(number) for number in range(len(ARGUMENTS))])
def test_an_argument_that_is_no_text_is_told(tmp_path: Path, arguments: list[str]) -> None:
    """Exit 2: no ledger and no answer could hold it."""
    Refusal(2, "is not UTF-8 text", hint="Write it in UTF-8").check(make(tmp_path), *arguments)


def test_a_folder_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    """The ledger names the policy file, so it must have a name that JSON can hold."""
    folder = tmp_path / "\udcff"
    folder.mkdir()

    Refusal(2, "is not UTF-8 text", hint="Rename the folder").check(make(folder), "run")


NAMES = ['se"lect; drop', "a b", "order", "été", "x'; --", "100%", "[x]", "`", "A.B", "a\nb", "-", "sqlitex"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_table_and_column_is_only_a_name(tmp_path: Path, name: str) -> None:
    """Init finds it, and plan, run, why, query and restore work on it; nothing of it is read as SQL."""
    table = name.replace('"', '""')
    connection = sqlite3.connect(tmp_path / "odd.db")
    with connection:
        connection.execute(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, "{table} time" TEXT, "{table}" TEXT)')
        connection.executemany(
            f'INSERT INTO "{table}" VALUES (?, ?, ?)',
            [(1, "2024-01-01T00:00:00Z", "a"), (2, "2024-01-02T00:00:00Z", name), (3, "2025-05-30T00:00:00Z", name)],
        )
    connection.close()
    world = World(tmp_path)
    lines = {"table": name, "time": f"{name} time", "type": name}
    world.write(
        "version: 1\narchives:\n  cold: {to: ./archive}\ndatasets:\n  odd:\n    store: sqlite:///odd.db\n"
        + "".join(f"    {key}: {json.dumps(value)}\n" for key, value in lines.items())
        + f"    keep: [{{type: {json.dumps(name)}, for: 90 days}}]\n    archive: cold\n"
    )

    assert world.json("init", "odd.db", "-p", "made.yaml")["result"]["datasets"][0]["time"] == f"{name} time"
    assert world.json("run")["result"]["records"] == 1
    assert world.json("why", "odd", "3")["result"]["records"][0]["values"][name] == name
    assert world.json("archive", "query", "SELECT id FROM odd")["result"]["rows"] == [[2]]
    assert world.json("archive", "restore", "--all")["result"]["restored"] == 1


@pytest.mark.parametrize("tenant", ["a\nb", "\x1b[31mred", "a' OR '1'='1", "%", "_", "", "ü" * 500, "null", "*"])
def test_any_tenant_is_only_itself(tmp_path: Path, tenant: str) -> None:
    """A hold on it holds its records alone, and no control character reaches the terminal."""
    world = make(tmp_path)
    connection = sqlite3.connect(world.database)
    with connection:
        connection.execute("UPDATE cel SET tenant = ? WHERE id < 10", (tenant,))
    connection.close()
    held = f"holds:\n  - {{matter: m, match: {{dataset: calls, tenant: {json.dumps(tenant)}}}}}\n"
    world.write(POLICY + (held if tenant else ""))

    ended = world.call("run", "calls")

    assert "\x1b" not in world.call("plan").output + ended.output
    assert len(world.rows()) == (30 if tenant else 20)


def test_init_on_what_is_no_log_says_so(tmp_path: Path) -> None:
    """Nothing is written, whatever is named."""
    world = make(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "zero.db").touch()
    os.mkfifo(tmp_path / "pipe")
    no_time = "no column or key that holds a time"
    cases = [
        ("empty", Refusal(2, "empty has no log files with a time", hint="Name another folder")),
        ("noise", Refusal(2, no_time, hint="Name another")),
        ("zero.db", Refusal(2, no_time, hint="Name another")),
        ("pipe", Refusal(2, "pipe is no regular file", hint="log files only")),
        ("nowhere", Refusal(2, "there is no nowhere", hint="Give a file, a folder, a glob")),
        ("x*.jsonl", Refusal(2, "matches no file", hint="does not cross folders")),
        ("", Refusal(2, "the address is empty")),
        ("oracle://h/x", Refusal(2, "`oracle://h/x` has an unknown scheme", hint="Known: ")),
        ("sqlite:///noise", Refusal(1, "is no SQLite database", hint="Check the path")),
    ]
    for address, refusal in cases:
        refusal.check(world, "init", address, "-p", "made.yaml")
    Refusal(2, "is there already", hint="--force").check(world, "init", "db/calls.db")
    Refusal(2, "is a folder, not a file", hint="--policy FILE").check(world, "init", "db/calls.db", "-p", ".")


def test_init_takes_a_file_as_itself_even_if_its_name_looks_like_a_glob(tmp_path: Path) -> None:
    """What it writes is a policy that means this file."""
    world = make(tmp_path)
    world.log.rename(tmp_path / "logs" / "a [1]*.jsonl")

    assert world.call("init", "logs/a [1]*.jsonl", "-p", "made.yaml").exit_code == 0

    assert world.json("plan", "-p", "made.yaml")["result"]["datasets"][0]["records"] == 6


ODD_KEYS = ["999", "", "1.0", " 1", "1\n", "1' OR '1'='1", "audit.jsonl:0", "audit.jsonl:99", "nope.jsonl:1", ":1"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_that_no_record_has_is_told(tmp_path: Path, key: str) -> None:
    """Exit 2, with where else it may be; a key is a text and nothing else."""
    world = make(tmp_path)

    for dataset in ("calls", "tools"):
        Refusal(2, f"{dataset} has no record", hint="lapse archive query").check(world, "why", dataset, key)


@pytest.mark.parametrize("place", ["audit.jsonl:2", "logs/audit.jsonl:2", "./logs/../logs/audit.jsonl:2"])
def test_a_line_is_found_by_any_spelling_of_its_file(tmp_path: Path, place: str) -> None:
    """By its name alone, or by a path from where one stands."""
    found = make(tmp_path).json("why", "tools", place)["result"]["records"]

    assert [each["values"]["timestamp"] for each in found] == ["2025-02-01T00:00:00Z"]
