"""Promises about deciding: a store counts and finds exactly what `Selection.decide` says."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lapse.instant import SECOND, Nanos
from lapse.model.match import Glob
from lapse.model.period import parse_period
from lapse.model.policy import Floor, Hold
from lapse.model.selection import SKEW, Verdict
from lapse.testing.flow import code_of, counted, cut, days_ago, expected, judged, lapsed, matching, rule, run
from lapse.testing.harness import NOW, Record, World
from lapse.testing.strategies import NAMES, PATTERNS, cases

RANDOM = settings(
    max_examples=25,
    deadline=None,
    # The contract of several stores in one process is one method called on several classes: that is what it is for.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.differing_executors,
    ],
)


class DecidingContract:
    """Boundaries, doubt, names, holds and floors."""

    @pytest.mark.parametrize("finest", [False, True], ids=["microsecond", "finest"])
    def test_what_lapsed_is_older_than_the_cutoff_and_not_as_old(self, world: World, finest: bool) -> None:
        """One step before the cutoff lapses; the cutoff itself stays, and so does one step after it."""
        step = world.traits.step if finest else max(1000, world.traits.step)
        cutoff = days_ago(30)
        records = [Record(key=n, at=Nanos(cutoff + shift * step)) for n, shift in ((1, -1), (2, 0), (3, 1))]
        selection = judged(world, rule("30 days"))
        world.create(records)

        with world.store() as store:
            run(store, selection)

        assert set(world.snapshot()) == {2, 3}

    def test_doubtful_times_are_counted_by_their_kind_and_stay(self, world: World) -> None:
        """NULL, garbage, the epoch, 1989 and the future never lapse, not even with nothing else to keep them."""
        before_1990 = Nanos(631_152_000 * SECOND - world.traits.step)
        doubtful: list[Nanos | str | None] = [
            None,
            Nanos(0),
            Nanos(-SECOND),
            before_1990,
            Nanos(NOW + SKEW + world.traits.step),
        ]
        if world.traits.garbage:
            doubtful += ["", "yesterday", "1.2.2020", "2020-02-30T00:00:00Z", "2020-01-01T24:00:00Z", "now"]
        records = [Record(key=n, at=at) for n, at in enumerate([*doubtful, days_ago(400)], start=1)]
        selection = judged(world, rule("1 day"))
        world.create(records)

        with world.store() as store:
            tallies = list(store.survey(selection))
            run(store, selection)

        assert counted(tallies) == expected(selection, records)
        assert set(world.snapshot()) == set(range(1, len(doubtful) + 1))

    def test_the_last_believed_and_the_first_believed_time_are_not_doubtful(self, world: World) -> None:
        """1990 to the step lapses; a record five minutes ahead of the clock is only kept."""
        records = [Record(key=1, at=Nanos(631_152_000 * SECOND)), Record(key=2, at=Nanos(NOW + SKEW))]
        selection = judged(world, rule("1 day"))
        world.create(records)

        with world.store() as store:
            found = [next(store.find(selection, str(key))).code for key in (1, 2)]

        assert [selection.outcomes[code].verdict for code in found] == [Verdict.LAPSED, Verdict.KEPT]

    def test_a_dataset_may_believe_times_before_1990(self, world: World) -> None:
        """Without `doubt before`, an old time is a fact."""
        world.create([Record(key=1, at=Nanos(SECOND)), Record(key=2, at=None)])
        selection = judged(world, rule("1 day"), doubt_before=None)

        with world.store(selection.dataset) as store:
            run(store, selection)

        assert set(world.snapshot()) == {2}

    @pytest.mark.parametrize("name", NAMES)
    def test_a_tenant_is_a_name_and_matches_only_itself(self, world: World, name: str) -> None:
        """Quotes, wildcards, accents, case, blanks and emptiness in a tenant mean nothing but themselves."""
        records = [Record(key=n, at=days_ago(400), tenant=other) for n, other in enumerate(NAMES, start=1)]
        records.append(Record(key=1000, at=days_ago(400), tenant=None))
        selection = judged(world, rule("30 days", tenant=name))
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {record.key for record in records if record.tenant != name}

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_a_glob_has_two_wildcards_and_no_more(self, world: World, pattern: str) -> None:
        """Only ``*`` and ``?`` are wild; brackets, percent signs and underscores are letters."""
        records = [Record(key=n, at=days_ago(400), kind=kind) for n, kind in enumerate(NAMES, start=1)]
        records.append(Record(key=1000, at=days_ago(400), kind=None))
        selection = judged(world, rule("30 days", kind=Glob(pattern)))
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))

        assert survey == expected(selection, records)

    def test_numbers_match_by_their_decimal_text(self, world: World) -> None:
        """A number is compared as it is written: 7 is not 07 and not 7.0."""
        records = [Record(key=n, at=days_ago(400), level=level) for n, level in enumerate((7, 0, -7, None, 70), 1)]
        selection = judged(world, rule("1 day", level=["07", "7.0", "-0"]), rule("2 days", level=["7", "-7"]))
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))

        assert survey == expected(selection, records)
        assert lapsed(selection, records) == {1, 3}

    def test_what_a_hold_or_floor_or_no_rule_keeps_stays(self, world: World) -> None:
        """Held, floored and unmatched records are counted as such and none of them goes."""
        records = [
            Record(key=1, at=days_ago(100), tenant="held"),
            Record(key=2, at=days_ago(100), tenant="floored"),
            Record(key=3, at=days_ago(100), tenant="nobody"),
            Record(key=4, at=days_ago(100), tenant="acme"),
            Record(key=5, at=days_ago(400), tenant="floored"),
        ]
        selection = judged(
            world,
            rule("30 days", tenant=["acme", "held", "floored"]),
            floors=[Floor(match=matching(tenant="floored"), at_least=parse_period("1 year"), because="PCI DSS")],
            holds=[Hold(matter="2026-17", match=matching(tenant="held"))],
        )
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {1, 2, 3}

    def test_a_hold_by_record_time_includes_its_first_instant_and_not_its_last(self, world: World) -> None:
        """A hold from one instant to another holds the first and lets the second go."""
        step = world.traits.step
        begin, end = days_ago(200), days_ago(100)
        instants = (begin - step, begin, end - step, end)
        world.create([Record(key=n, at=Nanos(instant)) for n, instant in enumerate(instants, start=1)])
        hold = Hold(matter="2026-17", records_from=begin, records_before=end)
        selection = judged(world, rule("30 days"), holds=[hold])

        with world.store() as store:
            run(store, selection)

        assert set(world.snapshot()) == {2, 3}

    def test_a_record_without_a_required_field_stays(self, world: World) -> None:
        """Missing and empty count as none; the reason names the field."""
        records = [Record(key=n, at=days_ago(400), tenant=tenant) for n, tenant in enumerate(("acme", None, ""), 1)]
        selection = judged(world, rule("30 days"), require=("tenant",))
        world.create(records)

        with world.store(selection.dataset) as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {2, 3}

    def test_a_survey_counts_every_record_once(self, world: World) -> None:
        """The counts of all outcomes add up to the number of records, with and without a tenant column."""
        records = [Record(key=n, at=days_ago(n), tenant=f"t{n % 3}" if n % 4 else None) for n in range(1, 60)]
        world.create(records)
        with_tenant, without = judged(world, rule("30 days")), judged(world, rule("30 days"), tenant=None)

        with world.store() as store:
            totals = [sum(tally.records for tally in store.survey(each)) for each in (with_tenant, without)]
            tenants = {tally.tenant for tally in store.survey(without)}

        assert totals == [59, 59]
        assert tenants == {None}

    def test_a_survey_knows_the_oldest_and_newest_time_of_each_group(self, world: World) -> None:
        """Tallies carry the first and last record time, exactly; doubtful garbage has none."""
        step = world.traits.step
        old, new = days_ago(400, plus=step), days_ago(300, plus=3 * step)
        world.create([Record(key=1, at=new), Record(key=2, at=old), Record(key=3, at=days_ago(350))])
        world_rules = judged(world, rule("30 days"))

        with world.store() as store:
            (tally,) = (tally for tally in store.survey(world_rules) if tally.records)

        assert (tally.oldest, tally.newest) == (old, new)

    def test_an_empty_store_surveys_to_nothing_and_has_no_slices(self, world: World) -> None:
        """No records, no counts, no work."""
        world.create([])
        selection = judged(world, rule("30 days"))

        with world.store() as store:
            assert counted(store.survey(selection)) == Counter()
            assert run(store, selection) == []
            assert not any(list(store.find(selection, "1")) for _ in [0])

    @RANDOM
    @given(data=st.data())
    def test_a_survey_agrees_with_the_definition(self, world: World, data: st.DataObject) -> None:
        """For any policy and any records, the store counts what `Selection.decide` counts."""
        case = data.draw(cases(world.traits))
        world.create(case.records)
        selection = judged(world, *case.rules, floors=case.floors, holds=case.holds, require=case.require)

        with world.store(selection.dataset) as store:
            survey = counted(store.survey(selection))
            pieces = cut(store, selection)
            found = {r.key: [f.code for f in store.find(selection, str(r.key))] for r in case.records}

        assert survey == expected(selection, case.records)
        assert found == {record.key: [code_of(selection, record)] for record in case.records}
        assert {piece.destination for piece in pieces} <= set(selection.destinations())

    @RANDOM
    @given(data=st.data())
    def test_a_run_removes_what_lapsed_and_nothing_else(self, world: World, data: st.DataObject) -> None:
        """For any policy and any records, what is gone afterwards is what lapsed by the definition."""
        case = data.draw(cases(world.traits))
        world.create(case.records)
        selection = judged(world, *case.rules, floors=case.floors, holds=case.holds, require=case.require)

        with world.store(selection.dataset) as store:
            run(store, selection)

        kept = {record.key for record in case.records} - lapsed(selection, case.records)
        assert set(world.snapshot()) == kept
