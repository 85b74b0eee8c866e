"""Commands about a policy, on a real world: it is checked, proposed, or named with the place where it is wrong."""

from __future__ import annotations

import json

import pytest
from cli_world import POLICY, CliWorld

from lapse.policyfile import load


def test_check_says_the_policy_in_words(world: CliWorld) -> None:
    """Datasets, rules, floors, holds and archives, each with its words."""
    result = world.call("check")

    assert result.exit_code == 0
    for text in ("2. everything: kept 90 days, then archived in cold and removed", "contract 7.2", "Hold 2026-17"):
        assert text in result.stdout
    assert result.stderr == ""
    assert [each["dataset"] for each in world.json("check")["result"]["datasets"]] == ["calls", "tools"]


def test_check_warns_of_what_is_shaky(world: CliWorld) -> None:
    """Warnings go to stderr, with their place; the policy is still right."""
    world.write(POLICY.replace("keep: 90 days", "keep: 3 hours"))

    result = world.call("check")

    assert result.exit_code == 0
    assert "less than a day" in result.stderr
    assert world.json("check")["warnings"]


def test_check_prints_its_schema_and_values(world: CliWorld) -> None:
    """The schema is JSON by itself; every value says where it comes from."""
    assert json.loads(world.call("check", "--schema").stdout)["title"] == "Lapse policy"
    assert "lapse.yaml:17:" in world.call("check", "--effective").stdout
    assert world.json("check", "--schema")["result"]["schema"]["title"] == "Lapse policy"
    assert any(each["where"] is None for each in world.json("check", "--effective")["result"]["values"])


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("keep: 90 days", "keep: 90", ":20:11"),
        ("keep: 90 days", "keep: 0 days", ":20:11"),
        ("keep: 90 days", "keep: -3 days", ":20:11"),
        ("keep: 90 days", "keep: ", ":20:"),
        ("keep: 90 days", "kep: 90 days", ":20:5"),
        ("time: timestamp", "time: timestamp\n    time: other", ":19:5"),
        ("archive: cold\nfloors", "archive: cool\nfloors", ":21:14"),
        ("store: logs/audit*.jsonl", "store: [1]", ":17:12"),
    ],
)
def test_a_wrong_policy_is_answered_with_its_place(world: CliWorld, old: str, new: str, place: str) -> None:
    """Exit code 2 with file, line and column, and nothing was touched, whatever the command."""
    world.write(POLICY.replace(old, new))
    before = world.rows()

    for command in ("check", "plan", "run"):
        result = world.call(command)
        assert result.exit_code == 2
        assert f"lapse.yaml{place}" in result.stderr
        assert "Traceback" not in result.output
    assert world.json("run")["error"]["complaints"]
    assert world.rows() == before
    assert not world.state.exists()


@pytest.mark.parametrize("command", ["check", "plan", "run", "status", "hold list", "ledger show", "archive list"])
def test_a_missing_policy_is_a_usage_error(world: CliWorld, command: str) -> None:
    """Exit code 2, and what to do next."""
    result = world.call(*command.split(), "-p", "nowhere.yaml")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: nowhere.yaml")
    assert "Hint: " in result.stderr


def test_the_policy_may_be_named_before_or_after_the_command(world: CliWorld) -> None:
    """What stands after the command wins; both win over the environment."""
    (world.folder / "other.yaml").write_text(POLICY, encoding="utf-8")

    assert "other.yaml can be followed" in world.call("-p", "other.yaml", "check").stdout
    assert "other.yaml can be followed" in world.call("-p", "nowhere.yaml", "check", "-p", "other.yaml").stdout


def test_init_proposes_a_policy_that_keeps_everything(world: CliWorld) -> None:
    """What was found, a file that checks, and no overwriting without --force."""
    result = world.call("init", "calls.db", "-p", "new.yaml")

    assert result.exit_code == 0, result.stderr
    assert "keeps everything" in result.stdout
    assert load(world.folder / "new.yaml").datasets["cel"].time == "at"
    assert world.json("plan", "-p", "new.yaml")["result"]["lapsed"] == 0
    assert world.call("init", "calls.db", "-p", "new.yaml").exit_code == 2
    assert world.json("init", "logs", "-p", "new.yaml", "--force")["result"]["datasets"][0]["time"] == "timestamp"
    assert world.call("init", "nowhere.db", "-p", "x.yaml").exit_code == 2
