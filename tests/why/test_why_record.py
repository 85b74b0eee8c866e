"""`lapse why` about records that are in their store: every layer, the clock, the deadline; and `--where`."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from why_world import POLICY, WhyWorld, decided, fresh, old, world

from lapse.engine.asking import why, why_matching
from lapse.errors import UnsupportedError, UsageError
from lapse.model.match import Condition, Match
from lapse.model.why import Explanation
from lapse.ports import Burden
from lapse.wrappers import ReadOnly

__all__ = ["world"]

HOLDS = """\
holds:
  - {matter: A-1, match: {dataset: calls, tenant: acme}, reason: litigation}
  - {matter: B-2, match: {dataset: calls, caller: '4711'}, reason: inquiry}
  - {matter: C-3, match: {dataset: calls, type: FAX}, reason: audit}
"""
FLOORS = """\
floors:
  - {match: {dataset: calls, type: BILLED}, at least: 6 years, because: tax law}
  - {match: {dataset: calls}, at least: 100 days, because: contract}
"""


def _why(world: WhyWorld, key: str) -> Explanation:
    (found,) = why(world.session(), "calls", key)
    return found


def _findings(explanation: Explanation) -> dict[str, str]:
    return {layer.name: layer.finding for layer in explanation.layers}


def test_every_hold_is_named_with_its_reason_also_behind_the_first(world: WhyWorld) -> None:
    """To release the one that decided is not enough where another one covers the record, too."""
    world.policy(POLICY + HOLDS)
    world.rows(old(1, 1))

    found = _why(world, "1")

    assert (found.verdict, decided(found)) == ("held", "hold A-1")
    findings = _findings(found)
    assert findings["hold A-1"] == "covers it: litigation"
    assert findings["hold B-2"] == "covers it: inquiry"  # the table has no column `caller`, so it covers all
    assert findings["hold C-3"] == "does not cover it: audit"


def test_a_held_record_has_the_day_it_would_lapse(world: WhyWorld) -> None:
    """By the rule and by every floor that matches, as if the hold were released."""
    world.policy(POLICY + HOLDS + FLOORS)
    world.rows([*old(1, 1), *old(2, 2, kind="BILLED")])

    assert world.json("why", "calls", "1")["records"][0]["lapses"] == "2026-04-12T00:00:00.000000001Z"
    assert world.json("why", "calls", "2")["records"][0]["lapses"] == "2032-01-03T00:00:00.000000001Z"


def test_no_instant_is_finer_than_somebody_can_read(world: WhyWorld) -> None:
    """Clock and deadlines are known to the nanosecond, and said so to programs only."""
    world.policy(POLICY)
    world.rows([*old(1, 1), (2, "2199-01-01T00:00:00Z", "CALL", "acme")])

    shown = [world.done("why", "calls", "1"), world.done("why", "calls", "2"), world.done("why", "--not", "calls")]

    assert not re.findall(r":\d\d\.\d+Z", "".join(shown))
    assert "lapses by it after 2026-" in shown[0]


def test_a_cutoff_is_exact_where_it_matters(world: WhyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that lies a hair's breadth beside it must not seem to be on the other side."""
    monkeypatch.setenv("LAPSE_NOW", "2026-06-01T00:00:00.500000001Z")
    world.policy(POLICY)
    world.rows([(1, "2026-03-03T00:00:00.2Z", "CALL", "acme"), *old(2, 2)])

    near, far = (_findings(_why(world, key)) for key in "12")

    assert "not before 2026-03-03T00:00:00.500000001Z" in near["rule 2 (everything: 90 days)"]
    assert "not before 2026-03-03T00:00:00Z" in far["rule 2 (everything: 90 days)"]


def test_floors_say_what_they_ask_for_and_which_of_them_keeps(world: WhyWorld) -> None:
    """The rule lets it go, the first floor that holds it back decides; others are told beside it."""
    world.policy(POLICY.replace("{type: BILLED, for: 1 year}", "{type: BILLED, for: 1 day}") + FLOORS)
    world.rows([*old(1, 1, kind="BILLED"), *fresh(2, 2), *old(3, 3)])

    billed, young, gone = (_why(world, key) for key in "123")

    assert (billed.verdict, decided(billed)) == ("kept", "floor 'tax law'")
    assert _findings(billed)["floor 'tax law'"].startswith("at least 6 years; lapses by it after 2032-01-02")
    assert decided(young) == "rule 2 (everything: 90 days)"
    assert _findings(young)["floor 'tax law'"] == "does not apply to it"
    assert (gone.verdict, decided(gone)) == ("lapsed", "cutoff")


@pytest.mark.parametrize(
    ("at", "reason"),
    [(None, "no readable time"), ("1980-01-01T00:00:00Z", "before"), ("2999-01-01T00:00:00Z", "later")],
)
def test_a_doubtful_record_says_what_is_in_doubt(world: WhyWorld, at: str | None, reason: str) -> None:
    """No other layer is asked, and there is no day on which it lapses."""
    world.rows([(1, at, "CALL", "acme")])

    found = _why(world, "1")

    assert (found.verdict, decided(found), len(found.layers), found.lapses) == ("doubtful", "doubt", 1, None)
    assert reason in found.reason


def test_without_a_rule_that_matches_it_is_kept_and_never_lapses(world: WhyWorld) -> None:
    """Every rule is listed as not matching."""
    world.policy(POLICY.replace("      - {for: 90 days}\n", ""))
    world.rows(old(1, 1))

    found = _why(world, "1")

    assert (found.verdict, decided(found), found.lapses) == ("unmatched", "rules", None)
    assert _findings(found)["rule 1 (type BILLED: 1 year)"] == "does not match"


def test_many_rules_that_do_not_match_are_counted(world: WhyWorld) -> None:
    """Nobody reads a thousand lines to find the one that counts."""
    rules = "".join(f"      - {{type: T{number}, for: 1 day}}\n" for number in range(1000))
    world.policy(POLICY.replace("      - {type: BILLED, for: 1 year}\n", rules))
    world.rows(old(1, 1))

    found = _why(world, "1")

    assert _findings(found)["the first 1,000 rules"] == "do not match"
    assert len(found.layers) < 12


def test_the_clock_names_column_zone_and_now(world: WhyWorld) -> None:
    """A time without an offset means another day in another zone."""
    world.policy(POLICY.replace("    time: at\n", "    time: at\n    time zone: Pacific/Kiritimati\n"))
    world.rows([(1, "2026-03-03 13:00:00", "CALL", "acme")])

    found = _why(world, "1")

    assert found.clock.field == "at"
    assert found.clock.reading == "times without an offset are read in Pacific/Kiritimati"
    assert world.json("why", "calls", "1")["records"][0]["clock"]["now"] == "2026-06-01T00:00:00Z"
    assert world.json("why", "calls", "1")["records"][0]["time"] == "2026-03-02T23:00:00Z"
    assert found.verdict == "lapsed"


def test_keep_last_is_a_layer_of_its_own(world: WhyWorld) -> None:
    """The newest of a group stay, however old; the layer says of how many."""
    world.policy(POLICY.replace("{for: 90 days}", "{for: 90 days, keep last: 2 per tenant}"))
    world.rows([*old(1, 3), *old(4, 4, tenant="beta")])

    oldest, newest = _why(world, "1"), _why(world, "3")

    assert (oldest.verdict, decided(oldest)) == ("lapsed", "cutoff")
    assert (newest.verdict, decided(newest)) == ("kept", "keep last")
    assert "2 newest per tenant" in _findings(newest)["keep last"]
    assert "2 newest per tenant" in _findings(oldest)["keep last"]


def test_a_lapsed_record_says_why_no_run_has_taken_it(world: WhyWorld) -> None:
    """What stops the next run stands below the decision, each with a command."""
    world.rows([*old(1, 1), *fresh(2, 9)])
    world.state.mkdir()
    (world.state / "stop").touch()

    shown = world.done("why", "calls", "1")

    assert "the stop file" in shown
    assert "no run has come to this dataset yet (lapse run calls)" in shown


def test_where_counts_by_verdict_and_explains_the_first(world: WhyWorld) -> None:
    """Roles stand for the dataset's columns, values of one field are alternatives, fields are all to match."""
    world.policy(POLICY + HOLDS.replace("tenant: acme", "tenant: held").replace("caller: '4711'", "type: X"))
    world.rows([*old(1, 30), *fresh(31, 40), *old(41, 45, tenant="held"), *old(46, 50, tenant="a' OR '1'='1")])

    found = world.json("why", "calls", "--where", "tenant=acme", "--where", "tenant=held", "--where", "type=CALL",
                       "--limit", "3")  # fmt: skip

    assert found["verdicts"] == {"lapsed": 30, "held": 5, "kept": 10}
    assert [record["key"] for record in found["records"]] == ["1", "2", "3"]
    assert "42 more" in world.done("why", "calls", "--where", "tenant=glob:*e*", "--limit", "3")
    odd = world.json("why", "calls", "--where", "tenant=a' OR '1'='1")
    assert odd["verdicts"] == {"lapsed": 5}


def test_where_takes_ranges_and_what_is_not(world: WhyWorld) -> None:
    """As `hold add --match` does: what has no value is not any value, and both may be asked of one field."""
    world.rows([*old(1, 9), (10, "2026-01-01T00:00:00Z", "404", None), (11, "2026-01-01T00:00:00Z", "500", "beta")])

    def keys(*where: str) -> list[str]:
        found = world.json("why", "calls", *(word for each in where for word in ("--where", each)))
        return [record["key"] for record in found["records"]]

    assert keys("type=400..499") == ["10"]
    assert keys("tenant!=acme") == ["10", "11"]
    assert keys("id=..4", "id!=2", "id!=3") == ["1", "4"]


def test_where_nothing_matches_is_an_answer(world: WhyWorld) -> None:
    """Exit 0; how to ask for what is gone is told."""
    world.rows(fresh(1, 2))

    shown = world.done("why", "calls", "--where", "tenant=nobody")

    assert "no records with tenant nobody" in shown
    assert "lapse why calls KEY" in shown


def test_where_works_on_lines_with_times_that_nobody_can_read(world: WhyWorld) -> None:
    """What is doubtful has values all the same; a torn line has none."""
    world.policy(POLICY.split("datasets:")[0] + "datasets:\n  tools: {store: ./a.jsonl, time: at, keep: 90 days,"
                 " archive: cold}\n")  # fmt: skip
    world.lines("a.jsonl", [{"at": "2026-01-01T00:00:00Z", "user": "x"}, {"at": "?", "user": "x"}, {"user": "y"}])
    with (world.folder / "a.jsonl").open("a") as file:
        file.write('{"at": "2026-01-01T00:00:00Z", "user": "x"')

    found = world.json("why", "tools", "--where", "user=x")

    assert found["verdicts"] == {"lapsed": 1, "doubtful": 1}
    assert [record["key"].rpartition(":")[2] for record in found["records"]] == ["1", "2"]


def test_where_a_column_or_role_is_missing_is_told(world: WhyWorld) -> None:
    """A column with the nearest right spelling, a role with where to write it; both exit 2 or 1 without traceback."""
    world.policy(POLICY.replace("    tenant: tenant\n", ""))
    world.rows(fresh(1, 1))

    column, role = (world.call("why", "calls", "--where", text) for text in ("tenat=acme", "tenant=acme"))

    assert column.exit_code != 0
    assert "tenant" in column.stderr
    assert role.exit_code == 2
    assert "`tenant:`" in role.stderr
    with pytest.raises(UsageError):
        why_matching(world.session(), "calls", Match((Condition("tenant", ("acme",), role="tenant"),)), limit=1)


class Mute:
    """A store of somebody else's that can do nothing besides."""

    scheme = "mute"


def test_a_store_that_cannot_be_searched_says_so() -> None:
    """What is asked of stores besides is not asked of those that cannot answer."""
    store = ReadOnly(cast("Any", Mute()))

    with pytest.raises(UnsupportedError, match="mute stores cannot be searched"):
        store.search(cast("Any", None), Match(), limit=1)
    assert (store.key_fields(), store.keepers(cast("Any", None), "1"), store.lease_holder()) == ((), (), None)
    assert store.burden() == Burden()


@pytest.mark.parametrize(
    "arguments",
    [("calls",), ("calls", "1", "--not"), ("calls", "1", "--where", "a=b"), ("calls", "--where", "a"),
     ("nope", "--not"), ("calls", "1", "--at", "soon"),
     ("calls", "--where", "=b"), ("calls", "--where", "a=b", "--limit", "0")],
)  # fmt: skip
def test_one_thing_is_asked_at_a_time(world: WhyWorld, arguments: tuple[str, ...]) -> None:
    """Anything else is a usage error."""
    world.rows(fresh(1, 1))

    assert world.call("why", *arguments).exit_code == 2
