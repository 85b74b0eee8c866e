"""Nothing of a run is proportional to its rules for each slice, and its record names those that counted."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lapse.canonical import canonical, digest_of
from lapse.cli.page import Table
from lapse.cli.views.planned import planned_blocks
from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Facts, Method, Owner, Waiver
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.period import FOREVER, Period, parse_period
from lapse.model.plan import DatasetPlan, Fingerprint, Group, Identity, Tally
from lapse.model.policy import Dataset, Last, Rule
from lapse.model.ramp import RuleDigests, rule_digests
from lapse.model.rule import each_spelled, rules_digest, spelled_rules
from lapse.model.selection import Selection, Verdict, select
from lapse.sqlcore.rules import has_lapsed

NOW = Nanos(1_795_300_000_000_000_000)
PERIODS = (FOREVER, parse_period("1 day"), parse_period("30 days"))

kinds = st.tuples(st.sampled_from(PERIODS), st.sampled_from([(), ("cold",), ("vault", "cold"), ("cold", "vault")]))


def selected(*found: tuple[Period, tuple[str, ...]]) -> Selection:
    """A rule for each period and archives, each about a tenant of its own."""
    rules = tuple(
        Rule(index=n, match=Match((Condition("tenant", (f"t{n}",)),)), keep=keep, archives=names, waived=not names)
        for n, (keep, names) in enumerate(found)
    )
    dataset = Dataset(name="log", store="", shown="log", time="at", tenant="tenant", rules=rules, require=("tenant",))
    return select(dataset, floors=(), holds=(), now=NOW, real_now=NOW)


@given(st.lists(kinds, max_size=8))
def test_codes_of_lapsed_records_answer_as_a_list_of_them(found: list[tuple[Period, tuple[str, ...]]]) -> None:
    """For each destination and for all: which are meant, in order, and by which cutoffs."""
    selection = selected(*found)
    outcomes = list(selection.outcomes)

    for goal in (None, *selection.destinations()):
        meant = [each.code for each in outcomes if each.verdict is Verdict.LAPSED and goal in (None, each.destination)]
        codes = selection.lapsed_codes(goal)
        cutoffs = {
            selection.rules.cutoff(rule) for code in meant if (rule := selection.outcomes.rule_of(code)) is not None
        }

        assert (list(codes), len(codes)) == (meant, len(meant))
        assert [code for code in range(-2, len(outcomes) + 2) if code in codes] == meant
        assert codes.mask() == bytes(code in meant for code in range(len(outcomes)))
        assert codes.cutoffs == cutoffs - {None}
    for outcome in outcomes:
        ending = selection.ending(outcome.code)
        assert (None if ending is None else ending.destination) == outcome.destination


@given(st.lists(kinds, max_size=8))
def test_what_has_lapsed_is_told_by_the_code_alone(found: list[tuple[Period, tuple[str, ...]]]) -> None:
    """In SQL as in the model; where all of it goes to one place no rule is looked up for that again."""
    selection = selected(*found)
    lapsed = [each.code for each in selection.outcomes if each.verdict is Verdict.LAPSED]
    going = [code for code in lapsed if selection.rules.cutoff(selection.lapsed_codes().rule_of(code)) is not None]
    codes = ", ".join(f"({each.code})" for each in selection.outcomes)

    with closing(sqlite3.connect(":memory:")) as database:
        told = database.execute(f"SELECT column1 FROM (VALUES {codes}) WHERE {has_lapsed(selection, 'column1')}")

        assert [code for (code,) in told] == lapsed
    for goal in (None, *selection.destinations()):
        meant = selection.lapsed_codes(goal)
        assert meant.is_all == all(code in meant for code in going)


@given(st.lists(kinds, max_size=8), st.text(max_size=5))
def test_the_hash_of_rules_is_that_of_the_list_of_what_they_mean(
    found: list[tuple[Period, tuple[str, ...]]], odd: str
) -> None:
    """Rule by rule by msgspec, or as one value by the definition: the same bytes, and so for the hash of a policy."""
    odd = odd.encode(errors="replace").decode()
    odd_one = Condition("tenant", (odd,), ranges=(Range(1, 2),), negated=True)
    conditions = odd_one, Condition("kind", (), globs=(Glob("*"),))
    more = Rule(index=0, match=Match(conditions), keep=FOREVER, last=Last(3, odd))
    rules = (*selected(*found).sources, more)
    facts = [rule.facts() for rule in rules]

    assert spelled_rules(rules).encode() == canonical(facts) == rfc8785.dumps(json.loads(canonical(facts)))
    assert rules_digest(rules) == digest_of(facts)
    assert list(each_spelled(rules)) == [canonical(each).decode() for each in facts]


def test_a_disposal_names_the_rules_that_counted() -> None:
    """Of a thousand rules that say `archive: none` the two under which records went, also in its waiver."""
    selection = selected(*[(PERIODS[1], ())] * 1000)
    facts = _facts(selection)
    tallies = tuple(Tally(code=selection.lapsed_code(rule), tenant=f"t{rule}", records=3, size=9) for rule in (7, 999))

    gone = facts.disposal(
        slice_name="1", dataset="log", method=Method.ROW_DELETE, at=NOW, rule_of=selection.outcomes.rule_of,
        tallies=tallies, proof=Waiver(slice="1"),
    )  # fmt: skip

    cutoff = selection.rules.cutoff(7)
    assert cutoff is not None
    assert gone.rules == {"7": str(selection.sources[7]), "999": str(selection.sources[999])}
    assert gone.cutoffs == dict.fromkeys(("7", "999"), rfc3339(cutoff))
    assert gone.waiver == tuple(gone.rules.values())


def _facts(selection: Selection) -> Facts:
    return Facts(
        owner=Owner(ledger="l", run="r"), fingerprint="f", policy="p", now=NOW, rules_digest="d",
        rules=selection.rule_texts, cutoffs=selection.cutoff_texts, rule_digests=RuleDigests(selection.sources),
    )  # fmt: skip


@given(
    slices=st.lists(st.lists(st.tuples(st.integers(0, 299), st.none() | st.text(max_size=2)), max_size=40), max_size=3),
    odd=st.text(max_size=5),
)
def test_disposals_say_what_each_slice_s_rules_are(slices: list[list[tuple[int, str | None]]], odd: str) -> None:
    """Put together from what was spelled once, byte for byte as the whole spelled at once; rules may recur."""
    odd = odd.encode(errors="replace").decode()
    selection = selected(*[(PERIODS[1], ())] * 300)
    odd_one = replace(selection.sources[7], match=Match((Condition("tenant", (odd,)),)))
    selection = replace(selection, sources=(*selection.sources[:7], odd_one, *selection.sources[8:]))
    facts, digests = _facts(selection), rule_digests(selection.sources)

    for found in slices:
        tallies = tuple(Tally(code=selection.lapsed_code(r), tenant=tenant, records=2, size=1) for r, tenant in found)
        gone = facts.disposal(
            slice_name="1", dataset="log", method=Method.ROW_DELETE, at=NOW, rule_of=selection.outcomes.rule_of,
            tallies=tallies, proof=Waiver(slice="1"),
        )  # fmt: skip
        rules = sorted({rule for rule, _ in found})
        plain = replace(
            gone,
            rules={str(rule): str(selection.sources[rule]) for rule in rules},
            cutoffs={str(rule): rfc3339(selection.rules.cutoff(rule) or NOW) for rule in rules},
            rule_digests={str(rule): digests[rule] for rule in rules},
        )

        assert gone == plain
        assert gone.counts == {str(rule): 2 * n for rule, n in Counter(rule for rule, _ in found).items()}
        assert gone.tenants == {name: 2 * n for name, n in Counter(tenant or "" for _, tenant in found).items()}
        assert gone.shares == {whose: 2 * n for whose, n in Counter(found).items()}
        assert rfc8785.dumps(json.loads(canonical(gone.shorthand()))) == canonical(plain.to_json())
        assert canonical(gone.to_json()) == canonical(gone.shorthand()) == canonical(plain.to_json())
        assert all((str(rule) in gone.rules) == (rule in rules) for rule in range(300))
        assert "07" not in gone.rules
        assert [facts.text_of(rule) for rule in rules] == [str(selection.sources[rule]) for rule in rules]


def _planned(count: int) -> DatasetPlan:
    selection = selected(*[(PERIODS[1], ())] * count)
    groups = tuple(
        Group(
            outcome=selection.outcomes[selection.lapsed_code(rule)],
            tally=Tally(code=0, tenant=f"t{rule}", records=rule + 1, size=1),
        )
        for rule in range(count)
    )
    identity = Identity(fingerprint=Fingerprint(text="sqlite:a:b:c", parts=("a", "b", "c")))
    return DatasetPlan(
        dataset="log", store="log", identity=identity, cutoffs=(NOW,) * count, groups=groups, segments=0,
        rules=selection.sources,
    )  # fmt: skip


def test_a_plan_shows_the_largest_groups_and_what_the_others_come_to() -> None:
    """A page that a person can read: twenty of a thousand, in their order, and one line for the rest."""
    blocks = list(planned_blocks(_planned(1000)))

    (table,) = (block for block in blocks if isinstance(block, Table))
    rows = [row.cells for row in table.rows]
    assert [row[2] for row in rows] == [*(f"t{rule}" for rule in range(980, 1000)), ""]
    assert rows[-1][1] == "… and 980 more groups, of 980 more rules"
    assert rows[-1][3] == f"{sum(range(1, 981)):,}"
    assert len(blocks) < 30


def test_a_plan_of_few_groups_shows_them_all() -> None:
    """One more than the limit is shown, too: a line that says so would be as long."""
    blocks = list(planned_blocks(_planned(21)))

    (table,) = (block for block in blocks if isinstance(block, Table))
    assert [row.cells[2] for row in table.rows] == [f"t{rule}" for rule in range(21)]
