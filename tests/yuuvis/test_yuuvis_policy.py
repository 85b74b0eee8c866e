"""The configuration as a lapse.yaml that means the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from yuuvis_world import NOW, Entry, World, days, fill, left
from yuuvis_world import either_fixture as either_fixture
from yuuvis_world import world_fixture as world_fixture

from lapse import policyfile
from lapse.cli.main import app
from lapse.dialects.yuuvis.configuration import read_configuration
from lapse.dialects.yuuvis.mapping import meaning_of
from lapse.dialects.yuuvis.stores import find_trails


def test_the_rules_are_those_of_the_configuration(world: World) -> None:
    """Days are days, a negative number is for ever; what an action is stands above."""
    text = world.call("policy", "--store", "postgresql://a@db/x").stdout

    assert "  100 is OBJECT_CREATED" in text.replace("#", " ")
    assert '- {type: "100", for: forever}\n      - {type: "400", for: "1 day"}\n      - {for: "10 days"}\n' in text
    assert "allow:" not in text


def test_zero_is_a_rule_that_must_be_allowed(world: World) -> None:
    """Nobody reads past it."""
    world.configure({"audit": {"actions": [{"action": 400, "cleanupAfterDays": 0}]}})

    text = world.call("policy", "--store", "postgresql://a@db/x").stdout

    assert "allow: [no time]" in text
    assert '- {type: "400", for: no time}\n' in text
    assert text.count("for:") == 1


def test_without_a_configuration_there_is_no_rule(world: World) -> None:
    """So that everything is kept."""
    world.file.unlink()

    result = world.call("policy", "--store", "postgresql://a@db/x")

    assert "keep:" not in result.stdout
    assert "there is no" in result.stderr


CONFIGURATIONS = [
    {"defaultCleanupAfterDays": 10, "actions": [{"action": 400, "cleanupAfterDays": 1}]},
    {"defaultCleanupAfterDays": 0, "actions": [{"action": 100, "cleanupAfterDays": -1}]},
    {"defaultCleanupAfterDays": -5, "actions": [{"action": 400, "cleanupAfterDays": 0}]},
    {"actions": [{"action": 400, "cleanupAfterDays": 10**12}, {"action": 300, "cleanupAfterDays": 3}]},
    {"defaultCleanupAfterDays": 1, "actions": [{"action": 999, "cleanupAfterDays": 1}]},
    {"defaultCleanupAfterDays": 1},
]


@pytest.mark.parametrize("audit", CONFIGURATIONS, ids=json.dumps)
def test_a_run_with_the_policy_does_what_the_cleanup_does(either: World, audit: object) -> None:
    """The same entries go; doubtful ones and other tenants included."""
    either.configure({"audit": audit})
    entries = [Entry(days(age), code) for age in (0.5, 2, 20) for code in (100, 300, 400, 998, 999)]
    fill(either.trail, *entries, Entry(tenant=None), Entry(action=None), Entry(date=""), Entry(tenant="b"))
    rows = either.trail.query("SELECT * FROM auditentry")
    policy = either.folder / "lapse.yaml"
    policy.write_text(either.call("policy", "--store", either.trail.url, "--ledger", "proof").stdout)
    environment = {"LAPSE_STATE_DIR": str(either.state / "other"), "LAPSE_NOW": NOW.isoformat()}

    result = CliRunner().invoke(app, ["run", "--allow-empty", "--policy", str(policy)], env=environment)

    assert result.exit_code == 0, result.output
    native = left(either.trail)
    either.trail.query("DELETE FROM auditentry")
    for row in rows:
        either.trail.query(f"INSERT INTO auditentry VALUES ({', '.join('?' * len(row))})", row)
    either.deleted()
    assert left(either.trail) == native


def test_the_rules_that_run_are_the_rules_that_are_printed(world: World) -> None:
    """But for a line of its own for each known action, by which the cleanup counts."""
    configuration = read_configuration(world.folder)
    trails = find_trails(["postgresql://a@db/x"], world.folder, {}).found

    meaning = meaning_of(configuration, trails)

    (dataset,) = meaning.policy.datasets.values()
    periods = {action: rule.keep.text for action, rule in zip(meaning.actions, dataset.rules, strict=True)}
    expected: dict[int | None, str] = dict.fromkeys([*configuration.catalogue.names, None], "10 days")
    assert periods == expected | {100: "forever", 400: "1 day"}
    assert meaning.actions[-1] is None


def test_each_password_has_a_variable_of_its_own(world: World) -> None:
    """Where several databases have one; the policy holds none."""
    stores = ("--store", "postgresql://u:eins@db/x", "--store", "postgresql://u:zwei@db/y")

    result = world.call("policy", *stores, "--json")

    found = json.loads(result.stdout)
    assert sorted(found["variables"]) == ["LAPSE_YUUVIS_PASSWORD", "LAPSE_YUUVIS_PASSWORD_2"]
    assert "eins" not in result.output
    assert "zwei" not in result.output


def test_a_policy_with_an_archive_loads(world: World, tmp_path: Path) -> None:
    """And means it."""
    path = world.folder / "lapse.yaml"
    path.write_text(world.call("policy", "--store", "sqlite:///a.db", "--archive", str(tmp_path / "cold")).stdout)

    policy = policyfile.load(str(path))

    (dataset,) = policy.datasets.values()
    assert {rule.archives for rule in dataset.rules} == {("archive",)}
    assert (dataset.zone_required, dataset.require) == (True, ("tenant", "action"))
