"""`why`, `status` and `hold` on a real world: what they print, their exit codes and their JSON."""

from __future__ import annotations

from cli_world import CliWorld


def test_why_marks_the_layer_that_decided(world: CliWorld) -> None:
    """The record's fields, every layer, and the day it lapses."""
    result = world.call("why", "calls", "12")

    assert result.exit_code == 0, result.stderr
    (decided,) = [line for line in result.stdout.splitlines() if line.startswith("=>")]
    assert "rule 2 (everything: 90 days)" in decided
    assert "2025-08-29" in result.stdout
    assert "zoë [bold]" in result.stdout
    (record,) = world.json("why", "calls", "7")["result"]["records"]
    assert [layer["name"] for layer in record["layers"] if layer["decided"]] == ["hold 2026-17"]


def test_why_of_nothing_is_a_usage_error(world: CliWorld) -> None:
    """With the hint that it may be archived."""
    result = world.call("why", "calls", "4711")

    assert result.exit_code == 2
    assert "archive query" in result.stderr


def test_status_before_and_after_a_run(world: CliWorld) -> None:
    """Never run, then done; holds, ledger and archives are named."""
    before = world.call("status")
    world.call("run")
    after = world.call("status")

    assert before.exit_code == after.exit_code == 0, before.stderr
    assert "never" in before.stdout
    assert "none yet" in before.stdout
    assert "Active holds: 2026-17" in after.stdout
    assert "done" in after.stdout
    assert world.json("status")["result"]["datasets"][0]["total_records"] == 6


def test_a_hold_may_be_on_a_range_or_on_all_but_some(world: CliWorld) -> None:
    """The command, the file, the list and the plan all mean the same."""
    scope = ("--dataset", "calls", "--match", "id=1..3", "--match", "tenant!=held", "--match", "tenant!=glob:x*")
    added = world.call("hold", "add", "--matter", "M1", "--reason", "inquiry", *scope)

    assert added.exit_code == 0, added.stderr
    assert "in force: dataset calls, id 1 to 3 and tenant not held, glob:x*" in added.stdout
    (hold,) = (each for each in world.json("hold", "list")["result"]["holds"] if each["matter"] == "M1")
    assert hold["match"] == [
        {"field": "id", "values": [], "globs": [], "ranges": [{"first": 1, "last": 3}], "negated": False},
        {"field": "tenant", "values": ["held"], "globs": ["x*"], "ranges": [], "negated": True},
    ]
    assert world.json("plan", "calls")["result"]["lapsed"] == 3


def test_a_hold_keeps_and_its_release_lets_go(world: CliWorld) -> None:
    """Added, it is listed and covers; twice is an error; released, the rules count again."""
    added = world.call("hold", "add", "--matter", "M1", "--reason", "inquiry", "--dataset", "calls", "--tenant", "acme")

    assert added.exit_code == 0, added.stderr
    assert "in force: dataset calls, tenant acme" in added.stdout
    assert world.json("plan", "calls")["result"]["lapsed"] == 0
    holds = {hold["matter"]: hold for hold in world.json("hold", "list")["result"]["holds"]}
    only_acme = {"field": "tenant", "values": ["acme"], "globs": [], "ranges": [], "negated": False}
    assert holds["M1"]["match"] == [only_acme]
    assert world.call("hold", "add", "--matter", "M1", "--reason", "x", "--all").exit_code == 2
    assert world.json("hold", "release", "M1")["result"] == {"matter": "M1"}
    assert world.json("plan", "calls")["result"]["lapsed"] == 6
    assert "M1" not in world.call("hold", "list").stdout


def test_a_hold_without_a_scope_is_refused(world: CliWorld) -> None:
    """Never everything by omission."""
    result = world.call("hold", "add", "--matter", "M1", "--reason", "inquiry")

    assert result.exit_code == 2
    assert "--all" in result.stderr
    assert world.json("hold", "add", "--matter", "M1", "--reason", "r", "--all")["result"]["hold"]["match"] == []
