"""The contract, holds by key: exactly the records that are named stay, however many there are."""

from __future__ import annotations

import pytest

from lapse.instant import Nanos
from lapse.model.policy import Hold
from lapse.ports import Searchable
from lapse.testing.flow import counted, cut, days_ago, drain, expected, judged, matching, prove, rule, run
from lapse.testing.harness import Record, World


class HoldingContract:
    """Records that are held by what names them."""

    def test_a_hold_by_keys_keeps_these_records_and_no_others(self, world: World) -> None:
        """A key is compared as text, whole: 2 is not 22, 02 or 2.0."""
        records = [Record(key=key, at=days_ago(400)) for key in (1, 2, 20, 22, 222)]
        hold = Hold(matter="M-1", dataset="log", keys=("2", "22", "01", "1.0", " 1", "1,", "22222222222222222222", "x"))
        selection = judged(world, rule("30 days"), holds=[hold])
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {2, 22}

    def test_a_hold_by_the_store_s_own_key_never_keeps_too_little(self, world: World) -> None:
        """Without a `key` the primary key names a record; where there is none that lasts, all of them stay."""
        world.create([Record(key=key, at=days_ago(400), level=key) for key in (1, 2, 3)])
        selection = judged(world, rule("30 days"), key=None)
        with world.store(selection.dataset) as store:
            assert isinstance(store, Searchable)
            (named,) = store.search(selection, matching(level="2"), limit=9).first
        hold = Hold(matter="M-1", dataset="log", keys=(named.key,))

        with world.store(selection.dataset) as store:
            run(store, judged(world, rule("30 days"), holds=[hold], key=None))

        assert set(world.snapshot()) == ({2} if world.traits.keyed else {1, 2, 3})

    @pytest.mark.parametrize(
        "key", ["a", "A", "a ", "a' OR '1'='1", 'a"b', "a,b", "100%", "A_B", "zoë", "日本", "a\\b", "{a}", "null"]
    )
    def test_a_key_that_is_a_text_is_compared_to_the_byte(self, world: World, key: str) -> None:
        """Case, blanks, quotes, wildcards, commas and accents are its own."""
        others = ["a", "A", "a ", " a", "ä", "a,", "b", "1", "100", "AxB", "zoe", "zoë ", "日", "a\\\\b", "", "NULL"]
        bodies = [key, *(other for other in others if other != key)]
        world.create([Record(key=number, at=days_ago(400), body=body) for number, body in enumerate(bodies, start=1)])
        hold = Hold(matter="M-1", dataset="log", keys=(key,))
        selection = judged(world, rule("30 days"), holds=[hold], key="body")

        with world.store(selection.dataset) as store:
            run(store, selection)

        assert set(world.snapshot()) == {1}

    def test_ten_thousand_keys_are_no_fewer(self, world: World) -> None:
        """Every one of very many keys is held, and nothing beside them."""
        records = [Record(key=key, at=days_ago(400)) for key in (1, 7, 9_999, 10_000, 10_001, 20_000)]
        keys = tuple(str(key) for key in range(1, 20_000, 2)) + tuple(f"of nobody {number}" for number in range(50))
        selection = judged(world, rule("30 days"), holds=[Hold(matter="M-1", dataset="log", keys=keys)])
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {1, 7, 9_999, 10_001}

    def test_keys_times_and_fields_of_a_hold_must_all_fit(self, world: World) -> None:
        """A record is held that has one of the keys, in the window, with the tenant."""
        step = world.traits.step
        begin, end = days_ago(200), days_ago(100)
        records = [
            Record(key=1, at=begin, tenant="acme"),
            Record(key=2, at=begin, tenant="beta"),
            Record(key=3, at=Nanos(begin - step), tenant="acme"),
            Record(key=4, at=Nanos(end - step), tenant="acme"),
            Record(key=5, at=end, tenant="acme"),
            Record(key=6, at=begin, tenant="acme"),
        ]
        hold = Hold(
            matter="M-1",
            dataset="log",
            match=matching(tenant="acme"),
            keys=("1", "2", "3", "4", "5"),
            records_from=begin,
            records_before=end,
        )
        selection = judged(world, rule("30 days"), holds=[hold])
        world.create(records)

        with world.store() as store:
            survey = counted(store.survey(selection))
            run(store, selection)

        assert survey == expected(selection, records)
        assert set(world.snapshot()) == {1, 4}

    def test_what_is_known_of_slices_that_were_not_taken_says_nothing_about_others(self, world: World) -> None:
        """A run has cut, and goes on under a hold that came meanwhile: what it holds stays."""
        world.create([Record(key=key, at=days_ago(400), tenant="acme" if key % 2 else "zoe") for key in range(1, 9)])
        free = judged(world, rule("30 days"))
        hold = Hold(matter="M-1", dataset="log", match=matching(tenant="acme"))
        held = judged(world, rule("30 days"), holds=[hold])

        with world.store() as store:
            list(store.survey(free))
            cut(store, free)
            pieces = cut(store, held)
            cut(store, free)
            for piece in pieces:
                with store.take(piece) as taken:
                    taken.commit(prove(piece, drain(taken.parts())))

        assert set(world.snapshot()) == {1, 3, 5, 7}
