"""Promises about matching: ranges are of whole numbers, and `not` takes in what has no value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lapse.model.match import Glob, Match, Range
from lapse.model.period import parse_period
from lapse.model.policy import Floor, Hold
from lapse.model.ranges import MOST
from lapse.testing.flow import Not, Wanted, counted, days_ago, expected, judged, lapsed, matching, rule, run
from lapse.testing.harness import Record, World
from lapse.testing.strategies import NAMES

LEVELS = (None, 0, 1, -1, 399, 400, 401, 499, 500, -400, MOST, MOST + 1, -MOST, -MOST - 1, 2**63 - 1, -(2**63))
"""Numbers at and beside the ends of `RANGES`, and some that no text can be in a range."""

DIGITS = (
    "0", "-0", "00", "400", "0400", "+400", " 400", "400 ", "400\n", "\n400", "400.0", "4e2", "0x190", "-400", "- 400",
    "--400", "399", "499", "500", "1_000", "1,000", "\uff14\uff10\uff10", "\u0664\u0660", "4\uff10\uff10",
    str(MOST), str(MOST + 1), str(-MOST), str(2**64),
    "9" * 30, "true", "", "acme",
)  # fmt: skip
"""Texts that are numbers, and texts that careless readers take for some."""

RANGES = (
    Range(400, 499), Range(400), Range(last=499), Range(0, 0), Range(last=-1), Range(-400, 400), Range(MOST),
    Range(-MOST), Range(last=-MOST),
)  # fmt: skip
"""Closed and open ones."""


class MatchingContract:
    """Ranges and negations, in rules, holds and floors."""

    def test_a_range_has_the_integers_between_its_ends_and_these(self, world: World) -> None:
        """Neighbours of the ends, NULL and the largest integers: all as the definition says."""
        records = [Record(key=n, at=days_ago(400), level=each) for n, each in enumerate(LEVELS, 1)]
        self._agree(world, records, field="level")

    def test_a_text_is_in_a_range_if_it_is_a_number_in_its_plain_form(self, world: World) -> None:
        """No leading zero, sign, blank or line end, no other script's digits, and at most 18 of them."""
        records = [Record(key=n, at=days_ago(400), kind=each) for n, each in enumerate((*DIGITS, None), 1)]
        self._agree(world, records, field="kind")

    @pytest.mark.parametrize("wanted", ["acme ", "", Glob("*"), ["acme", "zoë", Glob("?")]], ids=str)
    def test_not_takes_in_everything_else_and_records_without_the_field(self, world: World, wanted: Wanted) -> None:
        """The complement to the byte, NULL included; in SQL it would easily be lost."""
        records = [Record(key=n, at=days_ago(400), kind=each) for n, each in enumerate((*NAMES, None), 1)]
        selection = judged(world, rule("30 days", kind=Not(wanted)))
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        gone = {record.key for record in records} - set(world.snapshot())
        assert survey == expected(selection, records)
        assert gone == lapsed(selection, records)
        assert len(records) in gone

    def test_a_value_a_pattern_and_a_range_may_stand_together_and_be_negated(self, world: World) -> None:
        """Any of them matches; negated, none of them may."""
        mixed: Wanted = ["acme", Glob("a?b"), Range(400, 499), Range(last=-1)]
        values = ("acme", "axb", "400", "500", "-5", "5", "0400", None)
        records = [Record(key=n, at=days_ago(400), kind=each, tenant=each) for n, each in enumerate(values, 1)]
        one = judged(world, rule("1 day", kind=mixed), rule("2 days", tenant=Not(mixed)))
        world.create(records)

        with world.store() as store:
            assert counted(store.survey(one)) == expected(one, records)

    def test_two_conditions_on_one_field_must_both_hold(self, world: World) -> None:
        """Numbers from 400 on, but not those from 450 to 459."""
        levels = (None, 399, 400, 449, 450, 459, 460)
        records = [Record(key=n, at=days_ago(400), level=each) for n, each in enumerate(levels, 1)]
        matches = (matching(level=Range(400)), matching(level=Not(Range(450, 459))))
        both = Match(tuple(condition for match in matches for condition in match.conditions))
        selection = judged(world, replace(rule("1 day"), match=both))
        world.create(records)

        with world.store() as store:
            assert counted(store.survey(selection)) == expected(selection, records)

        assert lapsed(selection, records) == {3, 4, 7}

    def test_holds_and_floors_take_ranges_and_negations_too(self, world: World) -> None:
        """What a hold on all but one tenant, or a floor on a range, covers stays."""
        records = [
            Record(key=n, at=days_ago(100), tenant=tenant, level=level)
            for n, (tenant, level) in enumerate([("acme", 1), ("acme", 5), ("other", 1), (None, 1), ("acme", None)], 1)
        ]
        selection = judged(
            world,
            rule("30 days"),
            holds=[Hold(matter="2026-17", match=matching(tenant=Not("acme")))],
            floors=[Floor(match=matching(level=Range(5)), at_least=parse_period("1 year"), because="law")],
        )
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {2, 3, 4}

    @staticmethod
    def _agree(world: World, records: Sequence[Record], *, field: str) -> None:
        """Rules on each of the ranges decide as defined, and so do rules on everything but it."""
        world.create(records)
        forms: list[Range | Not] = [*RANGES, *map(Not, RANGES)]
        for wanted in forms:
            selection = judged(world, replace(rule("30 days"), match=matching(**{field: wanted})))
            with world.store() as store:
                assert counted(store.survey(selection)) == expected(selection, records), wanted
