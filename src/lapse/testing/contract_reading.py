"""Promises about looking and putting back: nothing is written by a look, and a restore repeats safely."""

from __future__ import annotations

import pytest

from lapse.errors import StoreError
from lapse.model.policy import Hold
from lapse.model.selection import Selection, Verdict
from lapse.ports import Leased, Restorable, Searchable
from lapse.testing.contract_taking import aged
from lapse.testing.flow import Drained, cut, days_ago, judged, matching, rule, run
from lapse.testing.harness import Record, World


class ReadingContract:
    """Identity, find, survey and restore."""

    def test_looking_writes_nothing(self, world: World) -> None:
        """Identity, survey, slices and find leave every byte as it was."""
        world.create(aged(20))
        selection = judged(world, rule("10 days"))
        before = world.image()

        with world.store(read_only=True) as store:
            store.identity()
            list(store.survey(selection))
            cut(store, selection)
            list(store.find(selection, "3"))
            if isinstance(store, Searchable):
                store.search(selection, matching(kind="call"), limit=5)
            list(store.recover(lambda _: True))

        assert world.image() == before

    def test_the_fingerprint_is_the_same_tomorrow(self, world: World) -> None:
        """Records come and go; the store, its table and its columns are still the same."""
        world.create(aged(20))
        with world.store(read_only=True) as store:
            first = store.identity()
        world.add(Record(key=900, at=days_ago(2)))
        with world.store() as store:
            run(store, judged(world, rule("10 days")))
            second = store.identity()

        assert first.fingerprint == second.fingerprint
        assert first.fingerprint.text == ":".join((world.store_class.scheme, *first.fingerprint.parts))
        assert first.refusal is None

    def test_an_identity_has_a_mark_or_says_why_not(self, world: World) -> None:
        """The plan can tell people either."""
        world.create(aged(5))

        with world.store(read_only=True) as store:
            identity = store.identity()

        assert (identity.mark is None) == (identity.unmarked is not None) == (not world.traits.marked)

    def test_a_record_is_found_with_what_becomes_of_it(self, world: World) -> None:
        """Each verdict can be asked for by key; an unknown key finds nothing."""
        records = {
            Verdict.DOUBTFUL: Record(key=1, at=None),
            Verdict.HELD: Record(key=2, at=days_ago(400), tenant="held"),
            Verdict.KEPT: Record(key=3, at=days_ago(1)),
            Verdict.UNMATCHED: Record(key=4, at=days_ago(400), kind="other"),
            Verdict.LAPSED: Record(key=5, at=days_ago(400)),
        }
        hold = Hold(matter="2026-17", match=matching(tenant="held"))
        selection = judged(world, rule("30 days", kind="call"), holds=[hold])
        world.create(list(records.values()))

        with world.store(read_only=True) as store:
            found = {verdict: list(store.find(selection, str(record.key))) for verdict, record in records.items()}
            missing = [list(store.find(selection, key)) for key in ("6", "1'; --", "%", "")]

        for verdict, record in records.items():
            (answer,) = found[verdict]
            assert selection.outcomes[answer.code].verdict is verdict
            assert answer.instant == record.instant
            assert answer.values["tenant"] == record.tenant
            assert answer.values["kind"] == record.kind
        assert missing == [[], [], [], []]

    def test_records_are_counted_and_found_by_their_values(self, world: World) -> None:
        """By outcome, as the selection decides; only as many are shown as were wanted, in the order of their keys."""
        records = [
            Record(key=1, at=days_ago(400), tenant="a' OR '1'='1"),
            Record(key=2, at=days_ago(400), level=7),
            Record(key=3, at=None, level=7),
            Record(key=4, at=days_ago(1), level=7),
            Record(key=5, at=days_ago(400), tenant="acmes", level=7),
            Record(key=6, at=days_ago(400), tenant=None),
        ]
        selection = judged(world, rule("30 days"))
        world.create(records)

        with world.store(read_only=True) as store:
            assert isinstance(store, Searchable)
            found = store.search(selection, matching(tenant="acme", level="7"), limit=2)
            odd = store.search(selection, matching(tenant="a' OR '1'='1"), limit=2)
            fields = store.key_fields()

        counts = {selection.outcomes[tally.code].verdict: tally.records for tally in found.tallies}
        assert counts == {Verdict.LAPSED: 1, Verdict.DOUBTFUL: 1, Verdict.KEPT: 1}
        assert [(each.instant, each.values["tenant"]) for each in found.first] == [
            (records[1].instant, "acme"),
            (None, "acme"),
        ]
        assert (len(odd.first), sum(tally.records for tally in odd.tallies)) == (1, 1)
        assert fields == ("id",)

    def test_fields_of_holds_and_floors_are_shown_of_a_record(self, world: World) -> None:
        """Whether they cover it can be told from its values, also where no rule names them."""
        selection = judged(world, rule("30 days"), holds=[Hold(matter="M", match=matching(level="7"))])
        world.create([Record(key=1, at=days_ago(400), level=7)])

        with world.store(read_only=True) as store:
            (found,) = store.find(selection, "1")

        assert found.values["level"] == "7"

    def test_the_holder_of_the_lease_is_told_without_taking_it(self, world: World) -> None:
        """Nobody before and afterwards; and whoever looks is in nobody's way."""
        world.create(aged(3))
        with world.store(read_only=True) as looking:
            assert isinstance(looking, Leased)
            before = looking.lease_holder()
        with world.store() as store, store.lease():
            with world.store(read_only=True) as looking:
                assert isinstance(looking, Leased)
                during = looking.lease_holder()
            assert world.lease_elsewhere() == "LeaseError"
        with world.store(read_only=True) as looking:
            assert isinstance(looking, Leased)
            after = looking.lease_holder()

        assert before is after is None
        assert during

    def test_restored_records_are_equal_to_what_was_removed(self, world: World) -> None:
        """Removal and restore together change nothing; doing it again writes nothing."""
        records = [*aged(20), Record(key=500, at=days_ago(400), kind=None, tenant=None, level=-3, body="ü'\"\n\t🙂")]
        world.create(records)
        before = world.snapshot()
        selection = judged(world, rule("10 days"))
        drained = _removed(world, selection)

        counts = [_restore(world, drained) for _ in range(2)]

        assert counts == [(11, 0), (0, 11)]
        assert world.snapshot() == before

    def test_a_restore_does_not_overwrite_another_record(self, world: World) -> None:
        """Where a key is taken by other content, nothing is restored; without keys, both records are there."""
        world.create([Record(key=key, at=days_ago(400), body="old") for key in (1, 2, 3)])
        drained = _removed(world, judged(world, rule("10 days")))
        world.add(Record(key=2, at=days_ago(400), body="new"))
        before = world.snapshot()

        if not world.traits.keyed:
            assert _restore(world, drained) == (3, 0)
            return
        with pytest.raises(StoreError):
            _restore(world, drained)

        assert world.snapshot() == before


def _removed(world: World, selection: Selection) -> list[Drained]:
    with world.store() as store:
        return [item for removal in run(store, selection) for item in removal.drained]


def _restore(world: World, drained: list[Drained]) -> tuple[int, int]:
    with world.store() as store:
        assert isinstance(store, Restorable)
        counts = [store.restore(item.again()) for item in drained]
    return sum(count.restored for count in counts), sum(count.present for count in counts)
