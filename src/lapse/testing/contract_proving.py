"""Promises about proof: no commit without it, and every commit leaves a marker until it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lapse.canonical import Digest
from lapse.errors import ChangedError, LeaseError, ProofError, StoreError
from lapse.model.disposal import Proof, Verified, Waiver
from lapse.ports import Budget, Slice
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, days_ago, drain, facts_of, judged, keys_of, lapsed, prove, remove, rule, run
from lapse.testing.harness import Record, World


def _each(**changes: object) -> Callable[[tuple[Verified, ...], Slice], Proof]:
    return lambda proofs, _: tuple(replace(proof, **changes) for proof in proofs)  # type: ignore[arg-type]


_WRONG = [
    pytest.param(_each(slice="999999"), id="of-another-slice"),
    pytest.param(_each(content=(Digest("0" * 64),)), id="of-other-content"),
    pytest.param(_each(content=()), id="of-no-content"),
    pytest.param(_each(archive="elsewhere"), id="of-another-archive"),
    pytest.param(lambda proofs, _: proofs[:1], id="with-one-archive-missing"),
    pytest.param(lambda proofs, _: (proofs[0], proofs[0]), id="with-one-archive-twice"),
    pytest.param(lambda _, __: (), id="of-nothing"),
    pytest.param(lambda _, piece: Waiver(slice=piece.name, rules=("rule 1",)), id="waived-without-a-waiver-in-policy"),
]


class ProvingContract:
    """Proofs, waivers, markers, the lease and reading only."""

    @pytest.mark.parametrize("spoil", _WRONG)
    def test_a_wrong_proof_is_refused_and_changes_nothing(
        self, world: World, spoil: Callable[[tuple[Verified, ...], Slice], Proof]
    ) -> None:
        """Another slice, other content, a missing archive: refused, and every record is back."""
        world.create(aged(20))
        selection = judged(world, rule("10 days", ("cold", "vault")))
        before = world.snapshot()

        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken:
                proofs = prove(piece, drain(taken.parts()))
                assert isinstance(proofs, tuple)
                with pytest.raises((ProofError, ChangedError)):
                    taken.commit(spoil(proofs, piece))

        assert world.snapshot() == before
        with world.store() as store:
            assert list(store.recover(lambda _: True)) == []

    def test_a_proof_does_not_outlive_a_change(self, world: World) -> None:
        """A proof from an earlier take commits nothing but the records it is for."""
        world.create(aged(20))
        selection = judged(world, rule("10 days"))
        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken:
                drained = drain(taken.parts())
                proofs = prove(piece, drained)
        assert world.change(Record(key=keys_of(drained)[1], at=days_ago(400), body="other"))
        before = world.snapshot()

        with world.store() as store:
            with store.take(piece) as taken:
                drain(taken.parts())
                with pytest.raises((ProofError, ChangedError)):
                    taken.commit(proofs)
            with store.take(piece) as taken, pytest.raises((ProofError, ChangedError)):
                taken.commit(proofs)

        assert world.snapshot() == before

    @pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
    def test_a_waiver_removes_and_counts_without_an_archive(self, world: World, read: bool) -> None:
        """Records go, the disposal counts them by rule and tenant, and names the rules that waived."""
        records = aged(20)
        world.create(records)
        selection = judged(world, rule("10 days", ()))

        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken:
                if read:
                    drain(taken.parts())
                disposal = taken.commit(Waiver(slice=piece.name, rules=("rule 1",)))

        gone = lapsed(selection, records)
        assert set(world.snapshot()) == {record.key for record in records} - gone
        assert (disposal.records, disposal.counts) == (len(gone), {"0": len(gone)})
        assert disposal.waiver == tuple(disposal.rules.values())
        assert sum(disposal.tenants.values()) == len(gone)

    @pytest.mark.parametrize("proof", [(), Waiver(slice="999999", rules=("rule 1",))], ids=["none", "of-another-slice"])
    def test_a_waived_slice_needs_its_own_waiver(self, world: World, proof: Proof) -> None:
        """An empty proof or another slice's waiver removes nothing."""
        world.create(aged(20))
        selection = judged(world, rule("10 days", ()))
        before = world.snapshot()

        with world.store() as store:
            (piece,) = cut(store, selection)
            with store.take(piece) as taken, pytest.raises(ProofError):
                taken.commit(proof)

        assert world.snapshot() == before

    def test_a_slice_that_became_empty_leaves_no_marker(self, world: World) -> None:
        """Taken twice, a waived slice holds nothing the second time: no records, nothing to recover."""
        world.create([Record(key=1, at=days_ago(400)), Record(key=2, at=days_ago(1))])
        selection = judged(world, rule("10 days", ()))
        with world.store() as store:
            (piece,) = cut(store, selection)
            waiver = Waiver(slice=piece.name, rules=("rule 1",))
            with store.take(piece) as taken:
                first = taken.commit(waiver)
            store.prune(iter([first]))
            with store.take(piece) as taken:
                second = taken.commit(waiver)
            markers = list(store.recover(lambda _: True))

        assert (first.records, second.records) == (1, 0)
        assert markers == []

    def test_a_commit_leaves_a_marker_that_another_run_finds(self, world: World) -> None:
        """What `recover` yields later is the disposal that the commit returned, to the last field."""
        world.create(aged(20))
        selection = judged(world, rule("10 days"))
        with world.store() as store:
            (piece,) = cut(store, selection)
            removal = remove(store, piece)
        assert removal is not None

        with world.store() as store:
            markers = list(store.recover(lambda _: True))

        assert markers == [removal.disposal]

    def test_a_marker_that_names_very_many_rules_comes_back_whole(self, world: World) -> None:
        """Hundreds of rules with long texts, one for each record, and as many tenants."""
        records = [Record(key=key, at=days_ago(400), tenant=f"{'é' * 33}-{key}") for key in range(1, 601)]
        world.create(records)
        selection = judged(world, *[rule("10 days", (), tenant=str(record.tenant)) for record in records])
        with world.store() as store:
            gone = []
            for piece in cut(store, selection):
                with store.take(piece) as taken:
                    gone.append(taken.commit(Waiver(slice=piece.name)))

        with world.store() as store:
            assert list(store.recover(lambda _: True)) == gone
        assert sum(len(each.rules) for each in gone) == sum(len(each.tenants) for each in gone) == len(records)

    def test_pruning_removes_the_markers_named_and_no_others(self, world: World) -> None:
        """A marker is gone after its disposal was recorded; the others wait."""
        world.create(aged(40))
        selection = judged(world, rule("10 days", ()))
        with world.store() as store:
            for piece in cut(store, selection):
                with store.take(piece) as taken:
                    mine = taken.commit(Waiver(slice=piece.name, rules=("rule 1",)))
        world.add(*aged(40, first=2000))
        with world.store() as store:
            facts = facts_of(selection)
            theirs_facts = replace(facts, owner=replace(facts.owner, ledger="ledger-2"))
            for piece in cut(store, selection):
                with store.take(replace(piece, facts=theirs_facts)) as taken:
                    theirs = taken.commit(Waiver(slice=piece.name, rules=("rule 1",)))

        with world.store() as store:
            store.prune(iter([mine]))
            left = list(store.recover(lambda _: True))
            store.prune(iter([mine]))

        assert mine not in left
        assert theirs in left

    def test_markers_may_go_between_slices(self, world: World) -> None:
        """A run of very many slices prunes as it goes on: the slices behind are cut and taken as ever."""
        records = aged(60)
        world.create(records)
        selection = judged(world, rule("10 days"))
        gone = 0

        with world.store() as store, store.lease():
            for piece in store.slices(selection, facts_of(selection), Budget(rows=5)):
                removal = remove(store, piece)
                assert removal is not None
                gone += removal.disposal.records
                store.prune(iter([removal.disposal]))
            left = list(store.recover(lambda _: True))

        assert left == []
        assert gone == len(lapsed(selection, records))
        assert set(world.snapshot()) == {record.key for record in records} - lapsed(selection, records)

    def test_one_run_has_the_lease_and_another_is_refused(self, world: World) -> None:
        """A second process gets LeaseError while the first holds it, and the lease afterwards."""
        world.create(aged(3))

        with world.store() as store:
            with store.lease():
                during = world.lease_elsewhere()
            after = world.lease_elsewhere()

        assert (during, after) == (LeaseError.__name__, "leased")

    def test_an_error_under_the_lease_gives_it_back(self, world: World) -> None:
        """A run that fails does not lock the next one out."""
        world.create(aged(3))

        with world.store() as store, pytest.raises(ZeroDivisionError), store.lease():
            raise ZeroDivisionError
        with world.store() as store, store.lease():
            pass

    def test_the_work_can_be_done_under_the_lease(self, world: World) -> None:
        """The lease does not stand in the way of its own run."""
        records = aged(20)
        world.create(records)
        selection = judged(world, rule("10 days"))

        with world.store() as store, store.lease():
            list(store.recover(lambda _: True))
            removals = run(store, selection)
            store.prune(iter([removal.disposal for removal in removals]))

        assert set(world.snapshot()) == {record.key for record in records} - lapsed(selection, records)

    def test_a_store_opened_for_reading_removes_nothing(self, world: World) -> None:
        """Plans can be made, a take is refused, and not a byte has changed."""
        world.create(aged(20))
        selection = judged(world, rule("10 days", ()))
        before = world.image()

        with world.store(read_only=True) as store:
            store.identity()
            list(store.survey(selection))
            (piece,) = cut(store, selection)
            with pytest.raises(StoreError):
                remove(store, piece)

        assert world.image() == before
