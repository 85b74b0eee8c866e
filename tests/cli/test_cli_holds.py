"""``lapse hold`` from the command line: by key, by time, and where a hold is found."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from cli_world import POLICY, CliWorld

ADD = ("hold", "add", "--matter", "M1", "--reason", "inquiry")


def test_a_hold_by_keys_keeps_these_records(world: CliWorld) -> None:
    """Of the option, repeated, and of a file with one a line; the plan counts them."""
    Path("keys.txt").write_text("3\r\n\n5\n3\n", encoding="utf-8")

    added = world.json(*ADD, "--dataset", "calls", "--key", "1", "--key", "2", "--keys-from", "keys.txt")
    plan = world.json("plan", "calls")["result"]["datasets"][0]
    world.call("run", "calls")

    assert added["result"]["hold"]["keys"] == ["1", "2", "3", "5"]
    assert [row["records"] for row in plan["groups"] if row["reason"] == "hold M1"] == [4]
    assert world.rows() == [1, 2, 3, 5, 7, 8, 9, 10, 11, 12]


def test_a_hold_by_time_keeps_the_records_of_that_time(world: CliWorld) -> None:
    """From an instant on, before another one; a date is its first instant in UTC."""
    window = ("--records-from", "2024-02-01", "--records-before", "2024-04-01T00:00:00Z")
    added = world.json(*ADD, *window)

    world.call("run", "calls")

    hold = added["result"]["hold"]
    assert (hold["records_from"], hold["records_before"]) == ("2024-02-01T00:00:00Z", "2024-04-01T00:00:00Z")
    assert world.rows() == [2, 3, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("first", "end", "said"),
    [
        ("2024-02-01", "2024-04-01", "from 2024-02-01 on, before 2024-04-01"),
        ("2024-02-01T08:00:00Z", "2024-02-01T09:00:00Z", "from 2024-02-01T08:00:00Z on, before 2024-02-01T09:00:00Z"),
        ("2024-02-01T08:00:00Z", "2024-02-01T08:00:00.000000001Z", "on, up to 2024-02-01T08:00:00Z."),
    ],
)
def test_a_window_is_said_as_finely_as_it_is(world: CliWorld, first: str, end: str, said: str) -> None:
    """Days where days are meant, so that no hold looks empty; what a restore holds ends with its newest record."""
    shown = world.call(*ADD, "--records-from", first, "--records-before", end)

    assert shown.exit_code == 0
    assert said in " ".join(shown.stdout.split())


def test_why_names_the_hold_on_a_key(world: CliWorld) -> None:
    """And no hold for its neighbour."""
    world.call(*ADD, "--dataset", "calls", "--key", "1")

    decided = [
        [layer["name"] for layer in record["layers"] if layer["decided"]]
        for key in ("1", "2")
        for record in world.json("why", "calls", key)["result"]["records"]
    ]
    assert decided[0] == ["hold M1"]
    assert decided[1] != ["hold M1"]


def test_the_list_says_what_is_held_and_where(world: CliWorld) -> None:
    """Few keys are named, many are counted."""
    world.call(*ADD, "--dataset", "calls", "--key", "1", "--key", "2")
    world.call("hold", "add", "--matter", "M2", "--reason", "r", "--dataset", "calls", "--keys-from", _numbers(500))

    shown = world.call("hold", "list")
    told = world.json("hold", "list")["result"]

    assert shown.exit_code == 0
    words = " ".join(shown.stdout.split())
    assert "dataset calls, keys 1, 2" in words
    assert "500 keys" in words
    assert told["complete"] is True
    assert [(hold["matter"], len(hold["keys"]), hold["posted"]) for hold in told["holds"]] == [
        ("2026-17", 0, []),
        ("M1", 2, []),
        ("M2", 500, []),
    ]


def _numbers(count: int) -> str:
    Path("numbers.txt").write_text("\n".join(map(str, range(count))), encoding="utf-8")
    return "numbers.txt"


@pytest.mark.parametrize(
    ("matter", "said"), [("2026-17", "2026-17"), ("ACME v. Beta", "'ACME v. Beta'"), ("-x;y", "-- '-x;y'")]
)
def test_the_command_that_ends_a_hold_can_be_typed_as_it_is_said(world: CliWorld, matter: str, said: str) -> None:
    """A matter is a text for people; a shell takes it in quotes."""
    add = ("hold", "add", f"--matter={matter}", "--reason", "r", "--tenant", "acme", "--dataset", "calls")
    (world.folder / "lapse.yaml").write_text(POLICY.partition("holds:")[0], encoding="utf-8")

    added = world.call(*add)

    assert " ".join(added.stdout.split()).endswith(f"End it with: lapse hold release {said}")
    assert world.call(*shlex.split(f"hold release {said}")).exit_code == 0


def test_the_list_names_a_hold_that_has_vanished(world: CliWorld) -> None:
    """The ledger knows it and runs stop for it, so "there is no hold" would be the wrong answer."""
    world.call(*ADD, "--tenant", "acme")
    (world.folder / "holds" / "M1.yaml").unlink()

    shown = world.call("hold", "list")

    assert shown.exit_code == 1
    assert "1 hold, 1 in force." in shown.stdout
    assert "hold M1 is in the ledger and was not released" in " ".join(shown.stderr.split())
    assert "lapse hold release M1" in shown.stderr


def test_the_same_hold_may_be_added_again(world: CliWorld) -> None:
    """It is how an interrupted command is completed; the order of keys does not matter."""
    first = world.call(*ADD, "--dataset", "calls", "--key", "1", "--key", "2")
    again = world.call(*ADD, "--dataset", "calls", "--key", "2", "--key", "1")
    other = world.call(*ADD, "--dataset", "calls", "--key", "3")

    assert (first.exit_code, again.exit_code, other.exit_code) == (0, 0, 2)
    assert "there is a hold M1 already" in other.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--key", "1"), "keys name records of one dataset"),
        (("--tenant", "acme", "--key", "1"), "keys name records of one dataset"),
        (("--all", "--key", "1"), "keys name records of one dataset"),
        (("--dataset", "calls", "--key", ""), "an empty key names no record"),
        (("--dataset", "calls", "--key", " "), "an empty key names no record"),
        (("--dataset", "calls", "--keys-from", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("--dataset", "calls", "--keys-from", "."), "cannot be read"),
        (("--dataset", "calls", "--keys-from", "empty.txt"), "there is no key in empty.txt"),
        (("--dataset", "calls", "--keys-from", "bytes.txt"), "bytes.txt is not UTF-8 text"),
        (("--dataset", "tools", "--key", "1"), "a line of a text log is named by its place, which changes"),
        (("--dataset", "call", "--key", "1"), "has no dataset 'call'"),
        (("--records-from", "yesterday"), "--records-from 'yesterday' is no date and no instant"),
        (("--records-from", "2026-02-01", "--records-before", "2026-02-01"), "covers nothing: `records before` is"),
        (("--all", "--records-from", "2026-02-01"), "--all and a scope say two things"),
    ],
)
def test_wrong_input_is_said_and_nothing_is_written(world: CliWorld, options: tuple[str, ...], said: str) -> None:
    """Exit code 2, with the text that is wrong; there is no hold."""
    Path("empty.txt").write_text("\n\n", encoding="utf-8")
    Path("bytes.txt").write_bytes(b"\xff\xfe")

    result = world.call(*ADD, *options)

    assert result.exit_code == 2, result.stderr
    assert said in " ".join(result.stderr.split())
    assert not (world.folder / "holds").exists()


def test_a_database_that_cannot_be_reached_is_named(world: CliWorld) -> None:
    """The hold is in force on this host; the command fails until the other hosts see it, or are said not to be."""
    away = "postgresql://nobody@127.0.0.1:1/none"
    world.write(POLICY.replace("sqlite:///calls.db", away))

    added = world.call(*ADD, "--dataset", "calls", "--tenant", "acme")
    listed = world.call("hold", "list")
    alone = world.call(*ADD, "--dataset", "calls", "--tenant", "acme", "--here-only")

    assert added.exit_code == 1
    said = " ".join(added.stderr.split())
    assert "hold M1 is in force for runs of this host, but other hosts do not see it: dataset calls" in said
    assert "--here-only" in said
    assert listed.exit_code == 1
    assert "there may be more holds: dataset calls" in " ".join(listed.stderr.split())
    assert "M1" in listed.stdout
    assert alone.exit_code == 0
    assert "runs of other hosts do not see it" in " ".join(alone.stderr.split())
