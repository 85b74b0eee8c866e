"""What a policy says now against what the last successful run followed: old rules that went on, and nobody knew."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from unattended_world import World
from unattended_world import world_fixture as world_fixture

from lapse import clock
from lapse.canonical import digest_of
from lapse.engine.drifting import drift
from lapse.engine.session import Session
from lapse.instant import DAY, Nanos, rfc3339
from lapse.model import drift as drift_model
from lapse.model.drift import Terms, rules_again
from lapse.model.ledger_entry import EntryKind
from lapse.model.status import Ended, Past, PastRun
from lapse.policyfile import load
from lapse.registry import database_schemes, target_schemes
from lapse.state.runs import LastRuns

_HEAD = """\
version: 1
archives:
  cold: {to: ./archive}
  other: {to: ./other}
guards: {ramp: off}
datasets:
  calls:
    store: sqlite:///calls.db
    table: cel
    time: at
    type: kind
    tenant: tenant
    archive: cold
"""
_KEEP = """\
    keep:
      - {type: LOGIN, for: 1 year}
      - {type: DEBUG, for: 90 days}
      - {for: 200 days}
"""
_AGES = (1, 40, 100, 300, 500)


@pytest.fixture(autouse=True)
def _records(world: World) -> None:
    """Records of three kinds, and a run that has removed what lapsed of them."""
    rows = [(rfc3339(Nanos(clock.real_now() - age * DAY)), kind) for kind in ("LOGIN", "DEBUG", "X") for age in _AGES]
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("DROP TABLE cel")
        connection.execute("CREATE TABLE cel (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT)")
        connection.executemany("INSERT INTO cel (at, kind) VALUES (?, ?)", rows)
    connection.close()
    world.write(_HEAD + _KEEP)
    assert world.call("run").exit_code == 0


def found(world: World, *options: str) -> Any:
    """What `lapse status` says has changed."""
    (calls,) = world.json("status", *options)["result"]["datasets"]
    return calls["drift"]


def changes(told: Mapping[str, Any]) -> list[tuple[str, str, str | None, str | None]]:
    """The changed rules, without counts."""
    return [(each["turn"], each["rule"], each["now"], each["was"]) for each in told["rules"]]


def test_nothing_has_changed_after_a_run(world: World) -> None:
    """Nor by what decides nothing: a schedule, another spelling, a guard."""
    assert found(world) is None
    world.write(_HEAD.replace("off}", "10000}") + _KEEP.replace("{for: 200 days}", "{ for: '200 days' }"))

    assert found(world) is None
    assert "changed since" not in world.call("status").stdout


def test_every_changed_rule_is_told_and_how(world: World) -> None:
    """Longer, shorter, added, removed, another archive; those that stayed are not named."""
    world.write(
        _HEAD
        + """\
    keep:
      - {type: LOGIN, for: 2 years}
      - {type: AUDIT, for: forever}
      - {for: 30 days, archive: [cold, other]}
"""
    )
    told = found(world)

    assert changes(told) == [
        ("longer", "rule 1 (type LOGIN)", "2 years, archive cold", "1 year, archive cold"),
        ("added", "rule 2 (type AUDIT)", "forever, archive cold", None),
        ("shorter", "rule 3 (everything)", "30 days, archive cold, other", "200 days, archive cold"),
        ("removed", "rule 2 (type DEBUG)", None, "90 days, archive cold"),
    ]
    assert (told["lapsed_now"], told["lapsed_then"]) == (None, None)
    assert told["policy_then"] != told["policy_now"]
    text = world.call("status").stdout
    assert "calls: changed since its last success, " in text
    assert "rule 3 (everything) keeps shorter: 30 days, archive cold, other, was 200 days, archive cold" in text


def test_a_survey_counts_what_the_change_comes_to(world: World) -> None:
    """Under each changed rule and in all, as of now: what lapses, and what would have lapsed by the rules then."""
    world.write(_HEAD + _KEEP.replace("200 days", "30 days").replace("90 days", "1 year"))
    told = found(world, "--survey")

    assert [(each["lapsed_now"], each["lapsed_then"]) for each in told["rules"]] == [(0, 0), (2, 0)]
    assert (told["lapsed_now"], told["lapsed_then"]) == (2, 0)
    text = world.call("status", "--survey").stdout
    assert "2 lapsed now, 0 by what decided then" in text
    assert "(2 lapsed now, 0 as it was)" in text


def test_what_the_rules_then_would_have_removed_is_counted(world: World) -> None:
    """A change that keeps more says how many records stay for it."""
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("INSERT INTO cel (at, kind) VALUES ('2020-01-01', 'LOGIN'), ('2021-01-01', 'X')")
    connection.close()
    world.write(_HEAD + _KEEP.replace("1 year", "forever"))
    told = found(world, "--survey")

    assert [(each["turn"], each["lapsed_now"], each["lapsed_then"]) for each in told["rules"]] == [("longer", 0, 1)]
    assert (told["lapsed_now"], told["lapsed_then"]) == (1, 2)


@pytest.mark.parametrize(
    ("change", "besides"),
    [
        (("{type: LOGIN, for: 1 year}\n      - {type: DEBUG, for: 90 days}",
          "{type: DEBUG, for: 90 days}\n      - {type: LOGIN, for: 1 year}"), "another order"),
        (("    keep:", "    doubt before: 2000-01-01\n    keep:"), "how its records are read has changed"),
        (("      - {for: 200 days}\n",
          "      - {for: 200 days}\nfloors: [{match: all, at least: 60 days, because: law}]\n"), "the floors"),
    ],
)  # fmt: skip
def test_what_else_decides_is_told_too(world: World, change: tuple[str, str], besides: str) -> None:
    """The same rules in another order, under other floors or of records that are read otherwise."""
    world.write((_HEAD + _KEEP).replace(*change))
    told = found(world, "--survey")

    assert told["rules"] == []
    assert besides in told["besides"][0]
    assert besides in world.call("status").stdout


def test_the_floors_then_count_as_they_were(world: World) -> None:
    """A floor that was taken out let records stay that the next run removes."""
    floors = "floors: [{match: {type: X}, at least: 2 years, because: law}]\n"
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        at = rfc3339(Nanos(clock.real_now() - 250 * DAY))
        connection.execute("INSERT INTO cel (at, kind) VALUES (?, 'X')", (at,))
    connection.close()
    world.write(_HEAD + _KEEP + floors)
    assert world.call("run").exit_code == 0
    world.write(_HEAD + _KEEP)
    told = found(world, "--survey")

    assert told["besides"] == ["the floors that can touch it have changed"]
    assert (told["lapsed_now"], told["lapsed_then"]) == (1, 0)


def test_rules_that_cannot_be_followed_any_more_are_not_counted(world: World) -> None:
    """A column that they named is gone; what has changed is told all the same."""
    world.write(_HEAD + _KEEP.replace("{type: DEBUG, for: 90 days}", "{level: low, for: 90 days}"))
    (calls,) = world.json("status")["result"]["datasets"]
    assert calls["drift"]["rules"][0]["turn"] == "added"
    world.write(_HEAD + _KEEP)
    session = world.session()
    kept = Terms.of(session.policy, session.policy.datasets["calls"])
    assert kept.rules is not None
    gone = kept.rules[0].match.replace('"kind"', '"level"')
    rules = (replace(kept.rules[0], match=gone), *kept.rules[1:])
    remember(session, replace(kept, digest="another", rules=rules))

    told = found(world, "--survey")

    assert [each["turn"] for each in told["rules"]] == ["added", "removed"]
    assert (told["lapsed_now"], told["lapsed_then"]) == (None, None)


def test_a_run_that_was_refused_followed_nothing(world: World) -> None:
    """Rules that no run has followed yet go on being new, until one is a success."""
    world.write(_HEAD.replace("ramp: off", "ramp: off, rows: 1") + _KEEP.replace("200 days", "30 days"))

    assert world.call("run").exit_code == 3
    assert [each["turn"] for each in found(world)["rules"]] == ["shorter"]
    assert world.call("run", "--allow", "rows").exit_code == 0
    assert found(world) is None


def test_why_nothing_is_removed_names_the_change(world: World) -> None:
    """Among what is good to know, with the command that counts it."""
    world.write(_HEAD + _KEEP.replace("200 days", "2 years"))
    causes = world.json("why", "--not", "calls")["result"]["causes"]
    (cause,) = [each for each in causes if each["kind"] == "rules changed"]

    assert cause["weight"] == "hints"
    assert "rule 3 (everything) keeps longer: 2 years, archive cold, was 200 days, archive cold" in cause["message"]
    assert cause["fix"] == "lapse status --survey"


def test_very_many_rules_are_not_told_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that they have changed: nobody reads a longer list."""
    monkeypatch.setattr(drift_model, "_MOST_RULES", 2)
    session = world.session()
    remember(session, Terms.of(session.policy, session.policy.datasets["calls"]))
    assert found(world) is None
    world.write(_HEAD + _KEEP.replace("200 days", "2 years"))

    session = world.session()
    told = drift(session, "calls", LastRuns(world.state).all()[session.state_name("calls")])

    assert told is not None
    assert told.texts == ("its rules have changed; they are too many to be told one by one",)


def remember(session: Session, terms: Terms) -> None:
    """Let the state folder say that a run has followed these."""
    now = clock.real_now()
    past = PastRun(run="R", began=now, at=now, ended=Ended.DONE, terms=terms)
    LastRuns(session.folders.root).add({session.state_name("calls"): past})


def test_a_run_without_a_memory_of_its_rules_tells_nothing(world: World) -> None:
    """As of versions that did not remember them, and before the first run."""
    now = clock.real_now()
    ran = PastRun(run="R", began=now, at=now, ended=Ended.DONE)

    assert drift(world.session(), "calls", Past(last=ran, success=ran)) is None
    assert drift(world.session(), "calls", Past()) is None


def test_remembered_rules_decide_as_those_of_the_policy(world: World) -> None:
    """Every kind of condition and period comes back with the same hash."""
    world.write(
        _HEAD
        + """\
    keep:
      - {type: [A, 'glob:B*'], tenant: {not: acme}, for: 90 whole days, keep last: 3 per tenant}
      - {id: {from: 1, to: 99}, for: 30 calendar days in Europe/Paris, archive: none}
      - {for: P1Y6M, keep last: 2}
    tenants:
      acme: {keep: [{type: A, for: forever}, {for: 1 day}]}
"""
    )
    policy = load(str(world.policy_file), schemes=database_schemes(), target_schemes=target_schemes())
    dataset = policy.datasets["calls"]
    terms = Terms.of(policy, dataset)

    assert terms.rules is not None
    again = rules_again(terms.rules)
    assert digest_of([rule.facts() for rule in again]) == terms.digest
    assert [rule.waived for rule in again if rule.keep.text != "forever"] == [
        rule.waived for rule in dataset.rules if rule.keep.text != "forever"
    ]


def test_the_ledger_names_the_rules_of_every_run(world: World) -> None:
    """Also of one that found nothing: which rules were followed when can be proven."""
    world.call("run")
    session = world.session()
    digest = Terms.of(session.policy, session.policy.datasets["calls"]).digest
    runs = [entry.body for entry in session.ledger.entries() if entry.kind is EntryKind.RUN]

    assert [run["datasets"]["calls"]["status"] for run in runs] == ["done", "nothing to do"]  # type: ignore[call-overload, index]
    assert {run["datasets"]["calls"]["rules_digest"] for run in runs} == {digest}  # type: ignore[call-overload, index]
