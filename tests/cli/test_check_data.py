"""lapse check: rules of tenants in words, what has no effect, and with --data what selects no record now."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_world import CliWorld, build

POLICY = """\
version: 1
archives:
  cold: {to: ./archive, keep: 30 days}
datasets:
  calls:
    store: sqlite:///calls.db
    table: cel
    time: at
    type: kind
    tenant: tenant
    archive: cold
    tenants:
      acme: {keep: [{type: BILLED, for: 1 year}, {for: 5 days}], archive: none}
      held: {keep: 2 years}
    keep:
      - {type: CALL, for: 90 days}
      - {for: forever}
"""
FLOOR = "floors:\n  - {match: {dataset: calls, type: BILLED}, at least: 2 years, because: contract 7.2}\n"
HOLD = "holds:\n  - {matter: M-1, match: {tenant: held}}\n"


@pytest.fixture
def world(tmp_path: Path) -> CliWorld:
    """A call log of tenants `acme`, `held` and one more."""
    made = build(tmp_path)
    made.write(POLICY)
    return made


def test_the_rules_of_each_tenant_stand_under_its_name(world: CliWorld) -> None:
    """Then those of all others; each list is numbered from 1, as reasons number them."""
    text = world.call("check").stdout
    assert text.index("Tenant acme:") < text.index("Tenant held:") < text.index("All others")
    assert "  1. type BILLED: kept 1 year, then removed without a copy" in text
    assert "  1. everything: kept 2 years, then archived in cold and removed" in text
    assert "  1. type CALL: kept 90 days, then archived in cold and removed" in text
    assert "  2. everything: kept for ever" in text


def test_programs_get_each_rules_tenant_and_place(world: CliWorld) -> None:
    """Null for the rules of all."""
    (calls,) = world.json("check")["result"]["datasets"]
    assert [(rule["tenant"], rule["match"]) for rule in calls["rules"]] == [
        ("acme", "tenant acme and type BILLED"), ("acme", "tenant acme"), ("held", "tenant held"),
        (None, "type CALL"), (None, "everything"),
    ]  # fmt: skip
    assert calls["rules"][2]["where"].endswith("lapse.yaml:14:20")


def test_reasons_say_whose_rule_it_was(world: CliWorld) -> None:
    """In the plan, and in what is said of one record."""
    plan = world.call("plan").stdout
    assert "tenant acme, rule 2 (everything: 5 days)" in plan
    assert "Tenant acme, rule 2 keeps from 2025-05-27T00:00:00Z on, by at." in plan
    assert "Rule 2 keeps for ever." in plan
    assert "tenant acme, rule 2 (everything: 5 days)" in world.call("why", "calls", "1").stdout


def test_a_run_follows_each_tenants_rules(world: CliWorld) -> None:
    """One tenant's records go after 5 days without a copy, another's stay 2 years, and the rest goes by the default."""
    assert world.rows() == list(range(1, 13))
    result = world.call("run", "--allow-empty")
    assert result.exit_code == 0, result.output
    assert world.rows() == [7, 8, 10, 11, 12]  # held ones, the one without a time, and what is newer than 5 days
    assert "tenant acme, rule 1 (type BILLED: 1 year)" in world.call("ledger", "show", "--json").stdout


def test_what_has_no_effect_is_named_with_what_has(world: CliWorld) -> None:
    """A floor that outlasts a rule and a hold on a tenant are no mistakes; a too short archive deserves a look."""
    world.write(POLICY + FLOOR + HOLD)
    result = world.call("check")
    assert result.exit_code == 0
    file = world.folder / "lapse.yaml"
    shown = world.json("check")
    acme = f"tenant acme, rule 1 (type BILLED: 1 year) at {file}:13:21"
    held = f"tenant held, rule 1 (everything: 2 years) at {file}:14:20"
    effect = "that has effect, and the shorter period has none."
    notes = [
        f"The floor at {file}:19:5, because of contract 7.2, keeps all records of {acme} for 2 years: {effect}",
        f"While hold M-1 at {file}:21:5 is in force, it keeps all records of {held}.",
    ]
    assert shown["result"]["datasets"][0]["notes"] == notes
    assert all(note in result.stdout for note in notes)
    (warning,) = shown["warnings"]
    assert warning.startswith(f"{file}:3:3: calls: archive cold keeps segments 30 days")


def test_a_hold_that_is_narrowed_or_over_does_not_keep_all(world: CliWorld) -> None:
    """By time, or because it is not in force: the rules have their effect."""
    for hold in ("match: {tenant: held}, records before: 2020-01-01", "match: {tenant: held}, until: 2025-01-01"):
        world.write(POLICY + f"holds:\n  - {{matter: M-1, {hold}}}\n")
        assert "While hold" not in world.call("check").stdout


def test_with_its_data_a_sound_policy_is_sound(world: CliWorld) -> None:
    """Exit 0; how many records each dataset has; the idle rule is a warning."""
    result = world.call("check", "--data")
    assert result.exit_code == 0
    assert "calls: 12 records now, 1 record without a time that can be read" in result.stdout
    assert "should keep" not in result.stdout
    found = world.json("check", "--data")["result"]
    assert found["records"] == [{"dataset": "calls", "records": 12, "undated": 1}]
    assert found["idle"] == []
    assert world.json("check")["result"]["idle"] is None


def test_a_slip_in_what_should_keep_is_an_error(world: CliWorld) -> None:
    """Exit 2, with the place and the name that was likely meant; whatever removes too little is a warning."""
    slip = POLICY.replace("acme: {keep:", "acne: {keep:").replace(
        "type: CALL, for: 90 days", "type: CLAL, for: forever"
    )
    world.write(slip + HOLD.replace("held", "heldd"))
    assert world.call("check").exit_code == 0
    result = world.call("check", "--data")
    assert result.exit_code == 2
    file = world.folder / "lapse.yaml"
    assert "2 selectors that should keep records select none:" in result.stdout
    assert f"{file}:16:9: calls: rule 1 (type CLAL: forever): it decides about no record now" in result.stdout
    assert "hold M-1 (tenant heldd): it matches no record now; did you mean `held`?" in result.stdout
    assert "calls: tenant acne: no record has this tenant now; did you mean `acme`?" in result.stderr
    idle = world.json("check", "--data")["result"]["idle"]
    assert [(each["selector"], each["keeps"], each["meant"]) for each in idle] == [
        ("tenant", False, "acme"), ("rule", True, None), ("hold", True, "held"),
    ]  # fmt: skip


def test_a_contradiction_is_refused_by_every_command(world: CliWorld) -> None:
    """`check` is no stricter than a run: both end with 2 and cite both places, and nothing is touched."""
    world.write(POLICY + FLOOR.replace("2 years", "forever"))
    before = world.rows()
    for command in ("check", "plan", "run"):
        result = world.call(command)
        assert result.exit_code == 2
        assert "lapse.yaml:13:21: tenant acme, rule 1 (type BILLED: 1 year) at " in result.stderr
        assert "lapse.yaml:19:5, because of contract 7.2, lets none of these records go, ever" in result.stderr
    assert world.rows() == before


def test_a_hold_file_that_can_hold_nothing_is_refused(world: CliWorld) -> None:
    """As one in the policy is, at its own place."""
    (world.folder / "holds").mkdir()
    file = world.folder / "holds" / "m.yaml"
    file.write_text("matter: M-2\nmatch: {dataset: calls, type: CALL, kind: BILLED}\n", encoding="utf-8")
    result = world.call("check")
    assert result.exit_code == 2
    assert f"{file}:1:1: no record can match all that is asked for here: type CALL and kind BILLED" in result.stderr


def test_a_store_that_cannot_be_read_is_told(world: CliWorld) -> None:
    """With --data only: the policy alone needs no store."""
    (world.folder / "calls.db").unlink()
    assert world.call("check").exit_code == 0
    result = world.call("check", "--data")
    assert result.exit_code == 2
    assert "calls.db" in result.stderr


def test_only_tenants_have_rules(world: CliWorld) -> None:
    """Everybody else's records are kept, which is worth a word."""
    world.write(POLICY.partition("    keep:\n")[0])
    assert "only single tenants have rules: the records of all others are kept" in world.call("check").stderr
