"""Promises about rules that keep the newest of each group, whatever their age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lapse.errors import StoreError
from lapse.instant import Nanos
from lapse.model.match import Glob
from lapse.model.newest import group_of
from lapse.model.period import parse_period
from lapse.model.policy import Floor, Hold, Last
from lapse.model.selection import SKEW, Selection, Verdict
from lapse.ports import Budget
from lapse.testing.contract_deciding import RANDOM
from lapse.testing.flow import code_of, counted, cut, days_ago, expected, judged, lapsed, matching, remove, rule, run
from lapse.testing.harness import NOW, Record, World
from lapse.testing.strategies import Case, cases

_PER = (None, "kind", "tenant", "level")


class NewestContract:
    """Groups, ties, and what is no member."""

    def test_the_newest_of_each_group_stay_and_the_older_ones_go(self, world: World) -> None:
        """Of each kind the two newest stay, however old they are; a group of two loses nothing."""
        records = [
            Record(key=n, at=days_ago(days), kind=kind)
            for n, (kind, days) in enumerate([("a", 400), ("a", 300), ("a", 200), ("b", 900), ("b", 800), ("c", 50)], 1)
        ]
        selection = judged(world, rule("30 days", last=Last(2, "kind")))
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {2, 3, 4, 5, 6}

    def test_records_as_old_as_the_last_that_stays_stay_too(self, world: World) -> None:
        """A tie keeps more: only what is strictly older than the second newest goes, to the finest step."""
        step, when = world.traits.step, days_ago(100)
        instants = [days_ago(90), when, when, when, when - step, when - 2 * step]
        records = [Record(key=n, at=Nanos(instant)) for n, instant in enumerate(instants, 1)]
        selection = judged(world, rule("30 days", last=2))
        world.create(records)

        with world.store() as store:
            run(store, selection)

        assert set(world.snapshot()) == {1, 2, 3, 4}

    def test_records_without_the_field_are_a_group_of_their_own(self, world: World) -> None:
        """What has no level is one group, beside those of each level; an integer groups by its text."""
        levels = [None, 7, None, 7, None, 8]
        records = [Record(key=n, at=days_ago(100 + n), level=level) for n, level in enumerate(levels, 1)]
        selection = judged(world, rule("30 days", last=Last(1, "level")))
        world.create(records)

        with world.store() as store:
            run(store, selection)

        assert set(world.snapshot()) == {1, 2, 6}

    def test_a_field_that_no_record_has_is_refused(self, world: World) -> None:
        """A slip in its name would make one group of everything, of which nearly all would go."""
        records = [Record(key=n, at=days_ago(100 + n), kind="ab"[n % 2], level=None) for n in range(1, 9)]
        selection = judged(
            world, rule("30 days", kind="a", last=Last(1, "kind")), rule("30 days", last=Last(1, "level"))
        )
        world.create(records)

        with world.store() as store, pytest.raises(StoreError, match="has the field level") as caught:
            list(store.survey(selection))

        assert "slip" in (caught.value.hint or "")
        assert len(world.snapshot()) == 8

    def test_each_rule_keeps_its_own_newest(self, world: World) -> None:
        """A record counts under the rule that decides about it, and under no other."""
        records = [Record(key=n, at=days_ago(100 + n), kind="ab"[n % 2], tenant="acme") for n in range(1, 9)]
        selection = judged(
            world, rule("30 days", kind="a", last=Last(1, "tenant")), rule("40 days", last=Last(3, "tenant"))
        )
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {2, 1, 3, 5}

    def test_what_the_period_keeps_counts_as_newest(self, world: World) -> None:
        """Young records are members: where there are enough of them, all that lapsed goes."""
        records = [Record(key=n, at=days_ago(days)) for n, days in enumerate((1, 2, 100, 200), 1)]
        selection = judged(world, rule("30 days", last=2))
        world.create(records)

        with world.store() as store:
            run(store, selection)

        assert set(world.snapshot()) == {1, 2}

    def test_a_flood_of_doubtful_records_pushes_nothing_out(self, world: World) -> None:
        """Records from the future and from before any belief are no members, and stay by themselves."""
        flood = [Record(key=n, at=Nanos(NOW + SKEW + n * world.traits.step)) for n in range(10, 20)]
        flood += [Record(key=n, at=Nanos(0)) for n in range(20, 22)]
        records = [Record(key=n, at=days_ago(100 + n)) for n in (1, 2, 3)]
        selection = judged(world, rule("30 days", last=2))
        world.create(records + flood)

        with world.store() as store:
            run(store, selection)

        assert set(world.snapshot()) == {1, 2} | set(range(10, 22))

    def test_held_records_are_members_and_floors_come_first(self, world: World) -> None:
        """A held record is one of the newest; what a floor keeps is counted as kept by the floor."""
        records = [
            Record(key=1, at=days_ago(100), tenant="held"),
            Record(key=2, at=days_ago(101)),
            Record(key=3, at=days_ago(102)),
            Record(key=4, at=days_ago(103), tenant="floored"),
            Record(key=5, at=days_ago(104)),
        ]
        selection = judged(
            world,
            rule("30 days", last=2),
            holds=[Hold(matter="2026-17", match=matching(tenant="held"))],
            floors=[Floor(match=matching(tenant="floored"), at_least=parse_period("1 year"), because="PCI DSS")],
        )
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {1, 2, 4}

    def test_many_small_slices_remove_no_more_than_one(self, world: World) -> None:
        """What stays is decided over the whole store, not within a slice; a second run removes nothing."""
        records = [Record(key=n, at=days_ago(40 + n), kind="abc"[n % 3]) for n in range(1, 31)]
        selection = judged(world, rule("30 days", last=Last(3, "kind")))
        world.create(records)

        with world.store() as store:
            run(store, selection, Budget(rows=2))
        with world.store() as store:
            again = run(store, selection, Budget(rows=2))

        assert again == []
        assert set(world.snapshot()) == set(range(1, 10))

    def test_a_newer_record_that_arrives_meanwhile_takes_nobodys_place(self, world: World) -> None:
        """A run removes by the newest it has seen: what comes later stays as well, and counts in the next run."""
        records = [Record(key=n, at=days_ago(100 + n)) for n in (1, 2, 3)]
        selection = judged(world, rule("30 days", last=2))
        world.create(records)

        with world.store() as store:
            list(store.survey(selection))
            pieces = cut(store, selection)
            came = world.add(Record(key=4, at=days_ago(99)))
            for piece in pieces:
                remove(store, piece)

        assert set(world.snapshot()) == ({1, 2, 4} if came else {1, 2})

    def test_a_store_that_has_not_counted_knows_the_newest_all_the_same(self, world: World) -> None:
        """A slice that another process has cut removes the same, and so does a run without a survey."""
        records = [Record(key=n, at=days_ago(100 + n)) for n in range(1, 6)]
        selection = judged(world, rule("30 days", last=2))
        world.create(records)
        with world.store() as store:
            pieces = cut(store, selection)

        with world.store() as store:
            for piece in pieces:
                remove(store, piece)

        assert set(world.snapshot()) == {1, 2}

    def test_a_store_that_may_not_write_counts_the_same(self, world: World) -> None:
        """The plan of a dry run tells the newest from the others, and says so."""
        records = [Record(key=n, at=days_ago(100 + n), kind="ab"[n % 2]) for n in range(1, 9)]
        selection = judged(world, rule("30 days", last=Last(2, "kind")))
        world.create(records)
        before = world.image()

        with world.store(read_only=True) as store:
            survey = counted(store.survey(selection))

        assert survey == expected(selection, records)
        assert world.image() == before

    def test_a_record_that_is_looked_up_is_told_to_be_one_of_the_newest(self, world: World) -> None:
        """Its reason names how many stay, and of what."""
        records = [Record(key=n, at=days_ago(100 + n)) for n in (1, 2, 3)]
        selection = judged(world, rule("30 days", last=Last(2, "kind")))
        world.create(records)

        with world.store(read_only=True) as store:
            found = {key: next(store.find(selection, str(key))).code for key in (2, 3)}

        outcomes = {key: selection.outcomes[code] for key, code in found.items()}
        assert outcomes[2].verdict is Verdict.KEPT
        assert outcomes[2].reason.startswith("kept as one of the 2 newest per kind")
        assert outcomes[3].verdict is Verdict.LAPSED

    def test_very_many_rules_keep_their_newest_too(self, world: World) -> None:
        """Where a store looks rules up instead of trying each, it finds the groups of each all the same."""
        tenants = [f"t{n}" for n in range(60)]
        rules = [rule("30 days", tenant=name, last=Last(1 + n % 2, _PER[n % 4])) for n, name in enumerate(tenants)]
        records = [
            Record(key=10 * n + copy + 1, at=days_ago(60 + copy), tenant=name, kind="ab"[copy % 2], level=copy % 2)
            for n, name in enumerate([*tenants, "other"])
            for copy in range(3)
        ]
        selection = judged(world, *rules, rule("40 days", last=Last(2, "kind")))
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {r.key for r in records} - lapsed(selection, records)

    def test_other_holds_leave_the_newest_as_they_are(self, world: World) -> None:
        """A selection with a hold more has the same members, so a run goes on with what it knows."""
        records = [Record(key=n, at=days_ago(100 + n)) for n in (1, 2, 3, 4)]
        selection = judged(world, rule("30 days", last=2))
        held = judged(world, rule("30 days", last=2), holds=[Hold(matter="1", match=matching(kind="nobody"))])
        world.create(records)

        with world.store() as store:
            list(store.survey(selection))
            run(store, held)

        assert set(world.snapshot()) == {1, 2}

    @settings(RANDOM, max_examples=15)
    @given(data=st.data())
    def test_the_newest_agree_with_a_plain_count(self, world: World, data: st.DataObject) -> None:
        """For any policy and any records: a record goes only if enough members of its group are newer."""
        case = data.draw(_cases(world))
        world.create(case.records)
        selection = judged(world, *case.rules, floors=case.floors, holds=case.holds, require=case.require)
        assume(_is_named(selection, case.records))

        with world.store(selection.dataset) as store:
            survey = counted(store.survey(selection))
            found = {r.key: [f.code for f in store.find(selection, str(r.key))] for r in case.records}
            run(store, selection, Budget(rows=3))

        assert survey == expected(selection, case.records)
        assert found == {record.key: [code_of(selection, record, case.records)] for record in case.records}
        assert set(world.snapshot()) == {r.key for r in case.records} - lapsed(selection, case.records)


def _is_named(selection: Selection, records: Sequence[Record]) -> bool:
    """Whether each field that tells groups apart is had by some member of its rule: else some stores refuse."""
    groups = {group for each in records if (group := group_of(selection, each.instant, each.read)) is not None}
    named = {group.rule for group in groups if group.value is not None}
    lasts = ((group.rule, selection.sources[group.rule].last) for group in groups)
    return all(last is None or last.per is None or rule in named for rule, last in lasts)


def _cases(world: World) -> st.SearchStrategy[Case]:
    """Cases whose rules keep some of the newest."""
    last = st.none() | st.builds(Last, st.integers(1, 4), st.sampled_from(_PER))
    few = st.sampled_from(("acme", "Acme", "acme ", "7", "", None))

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        case = draw(cases(world.traits))
        rules = (*case.rules, rule("30 days", kind=Glob("a*")), rule("30 days"))
        records = (
            replace(each, kind=draw(few), tenant=draw(few), level=draw(st.sampled_from((None, 7, -1))))
            for each in case.records
        )
        return replace(case, rules=tuple(replace(each, last=draw(last)) for each in rules), records=tuple(records))

    return drawn()
