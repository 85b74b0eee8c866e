"""Promises about taking: each record once, exactly what was yielded, and nothing before the commit."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from lapse.errors import ChangedError
from lapse.ports import Budget
from lapse.testing.flow import (
    counted,
    cut,
    days_ago,
    drain,
    expected,
    judged,
    keys_of,
    lapsed,
    prove,
    remove,
    rule,
    run,
)
from lapse.testing.harness import Record, World

_TINY = [
    pytest.param(Budget(rows=1), id="one-row"),
    pytest.param(Budget(rows=7), id="seven-rows"),
    pytest.param(Budget(rows=1000, size=1), id="one-byte"),
    pytest.param(Budget(rows=10_000), id="everything"),
]


def aged(count: int, *, first: int = 1) -> list[Record]:
    """Records from 1 to *count* days old, so that some have lapsed and some have not, in no order of time."""
    return [
        Record(key=first + n, at=days_ago((n * 37) % count + 0.5), tenant=f"t{n % 3}", body="x" * (n % 50))
        for n in range(count)
    ]


class TakingContract:
    """Slices, takes, commits and other writers."""

    @pytest.mark.parametrize("budget", _TINY)
    def test_slices_visit_every_lapsed_record_once(self, world: World, budget: Budget) -> None:
        """Whatever the budget, two destinations included, each lapsed record is yielded exactly once."""
        records = aged(60)
        selection = judged(world, rule("20 days", ("vault",), tenant="t1"), rule("30 days", tenant=["t0", "t2"]))
        world.create(records)

        with world.store() as store:
            removals = run(store, selection, budget)

        yielded = Counter(key for removal in removals for key in keys_of(removal.drained))
        assert yielded == Counter(lapsed(selection, records))
        assert set(world.snapshot()) == {record.key for record in records} - set(yielded)

    def test_a_slice_stays_within_its_budget_of_rows(self, world: World) -> None:
        """No take yields more than the budget allows, unless a file goes whole; nor does it shrink to nothing."""
        world.create(aged(60))
        selection = judged(world, rule("10 days"))

        with world.store() as store:
            sizes = [removal.disposal.records for removal in run(store, selection, Budget(rows=8))]

        assert sum(sizes) == 50
        assert max(sizes) <= (8 if world.traits.divisible else 50)
        assert len(sizes) <= 25

    def test_a_canary_stays_within_its_rows_whatever_it_is_cut_from(self, world: World) -> None:
        """A file gives up no more than that either; slice after slice, every lapsed record goes once."""
        records = aged(60)
        selection = judged(world, rule("10 days"))
        world.create(records)

        with world.store() as store:
            removals = run(store, selection, Budget(rows=8, canary=True))

        yielded = Counter(key for removal in removals for key in keys_of(removal.drained))
        assert yielded == Counter(lapsed(selection, records))
        assert max(removal.disposal.records for removal in removals) <= 8

    def test_slices_have_unique_ascending_names_and_one_destination_each(self, world: World) -> None:
        """Names order the work; no slice mixes archives."""
        records = aged(60)
        selection = judged(world, rule("20 days", ("vault",), tenant="t1"), rule("30 days"))
        world.create(records)

        with world.store() as store:
            removals = run(store, selection, Budget(rows=5))

        names = [removal.piece.name for removal in removals]
        assert names == sorted(set(names))
        by_key = {record.key: record for record in records}
        for removal in removals:
            tenants = {by_key[key].tenant == "t1" for key in keys_of(removal.drained)}
            assert tenants == {removal.piece.destination.archives == ("vault",)}

    def test_a_slice_can_be_sent_to_another_process(self, world: World) -> None:
        """A slice is a value that pickles, and comes back equal."""
        world.create(aged(40))
        selection = judged(world, rule("10 days"))

        with world.store() as store:
            pieces = cut(store, selection)

        assert pieces
        assert pickle.loads(pickle.dumps(pieces)) == pieces  # noqa: S301 - our own bytes

    def test_a_commit_removes_exactly_what_was_yielded(self, world: World) -> None:
        """Slice by slice, the difference in the store is the records that the parts held, with their counts."""
        records = aged(40)
        selection = judged(world, rule("10 days"))
        world.create(records)
        with world.store() as store:
            pieces = cut(store, selection, Budget(rows=9))

        for piece in pieces:
            before = world.snapshot()
            with world.store() as store:
                removal = remove(store, piece)
            after = world.snapshot()
            assert removal is not None
            gone = keys_of(removal.drained)
            assert len(gone) == len(set(gone)) == removal.disposal.records
            assert after == {key: body for key, body in before.items() if key not in gone}
            taken = [record for record in records if record.key in gone]
            assert counted(removal.tallies) == expected(selection, taken)
            assert removal.disposal.tenants == Counter(record.tenant for record in taken)
            assert removal.disposal.oldest == min(record.instant or 0 for record in taken)
            assert removal.disposal.newest == max(record.instant or 0 for record in taken)

    @pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
    def test_a_take_that_is_not_committed_changes_nothing(self, world: World, read: bool) -> None:
        """Records are back, byte for byte, when the block is left early; no marker stays."""
        world.create(aged(40))
        selection = judged(world, rule("10 days"))
        before = world.snapshot()

        with world.store() as store:
            for piece in cut(store, selection):
                with store.take(piece) as taken:
                    if read:
                        drain(taken.parts())
        after = world.snapshot()
        with world.store() as store:
            markers = list(store.recover(lambda _: True))

        assert before == after
        assert markers == []

    def test_an_error_inside_a_take_puts_the_records_back(self, world: World) -> None:
        """The error comes through as it is, and the store can be used again at once."""
        world.create(aged(40))
        selection = judged(world, rule("10 days"))
        before = world.snapshot()

        with world.store() as store:
            (piece,) = cut(store, selection)
            with pytest.raises(ZeroDivisionError), store.take(piece) as taken:
                drain(taken.parts())[len(taken.tallies()) // 0]
            survey = counted(store.survey(selection))

        assert before == world.snapshot()
        assert survey == expected(selection, aged(40))

    def test_what_arrives_between_read_and_commit_survives(self, world: World) -> None:
        """Late records, lapsed ones among them, are not removed unseen."""
        records = [Record(key=key, at=days_ago(400)) for key in (10, 20, 30)]
        late = [Record(key=15, at=days_ago(401)), Record(key=40, at=days_ago(400)), Record(key=41, at=days_ago(1))]
        world.create(records)
        selection = judged(world, rule("30 days"))

        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken:
                drained = drain(taken.parts())
                arrived = world.add(*late)
                taken.commit(prove(piece, drained))

        assert set(world.snapshot()) == ({15, 40, 41} if arrived else set())
        assert sorted(keys_of(drained)) == [10, 20, 30]

    def test_what_arrives_between_slicing_and_taking_is_sealed_or_survives(self, world: World) -> None:
        """A record that came after the slices were cut is either yielded or still there."""
        world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
        selection = judged(world, rule("30 days"))
        with world.store() as store:
            pieces = cut(store, selection)
        assert world.add(Record(key=15, at=days_ago(401)), Record(key=40, at=days_ago(400)))

        with world.store() as store:
            removals = [removal for piece in pieces if (removal := remove(store, piece)) is not None]

        gone = {key for removal in removals for key in keys_of(removal.drained)}
        assert gone >= {10, 20, 30}
        assert set(world.snapshot()) | gone == {10, 15, 20, 30, 40}
        assert not set(world.snapshot()) & gone

    def test_a_record_that_changes_before_the_commit_is_not_lost(self, world: World) -> None:
        """Either the change is refused, or the commit is, or the changed record survives."""
        world.create([Record(key=key, at=days_ago(400), body="before") for key in (10, 20, 30)])
        before = world.snapshot()
        selection = judged(world, rule("30 days"))

        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken:
                drained = drain(taken.parts())
                changed = world.change(Record(key=20, at=days_ago(400), body="afters"))
                committed = True
                try:
                    taken.commit(prove(piece, drained))
                except ChangedError:
                    committed = False

        left = world.snapshot()
        if not committed:
            assert changed
            assert set(left) == {10, 20, 30}
        if changed:
            assert left[20] != before[20]
        else:
            assert set(left) == set()

    def test_a_record_that_changes_before_the_take_is_judged_anew(self, world: World) -> None:
        """What a slice removes is decided when it is taken: a record that no longer lapses stays."""
        world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
        selection = judged(world, rule("30 days"))
        with world.store() as store:
            pieces = cut(store, selection)
        assert world.change(Record(key=20, at=days_ago(1)))

        with world.store() as store:
            try:
                for piece in pieces:
                    remove(store, piece)
            except ChangedError:
                assert set(world.snapshot()) == {10, 20, 30}

        assert 20 in world.snapshot()

    def test_records_above_the_mark_are_not_part_of_the_work(self, world: World) -> None:
        """What arrived after the mark was read is neither counted nor removed; a store without mark says why."""
        records = aged(40)
        world.create(records)
        selection = judged(world, rule("10 days"))
        with world.store() as store:
            identity = store.identity()
        mark = identity.mark
        if not world.traits.marked:
            assert mark is None
            assert identity.unmarked
            return
        assert mark is not None
        late = [Record(key=900 + n, at=days_ago(400)) for n in range(5)]
        assert world.add(*late)

        with world.store() as store:
            survey = counted(store.survey(selection, mark.values))
            removals = run(store, selection, Budget(rows=7), mark.values)

        gone = {key for removal in removals for key in keys_of(removal.drained)}
        assert survey == expected(selection, records)
        assert gone == lapsed(selection, records)
        assert set(world.snapshot()) >= {record.key for record in late}
