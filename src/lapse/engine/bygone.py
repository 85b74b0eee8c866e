"""What became of a record that is not in its store any more, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lapse.archive.looking import sought
from lapse.engine.layering import Ground
from lapse.engine.searching import Clues, Past, past_of, restored_segments, when
from lapse.engine.session import Session
from lapse.instant import Nanos, rfc3339, rfc3339_second
from lapse.model.why import DISPOSED, UNKNOWN, Explanation, Layer, PastDisposal

_MOST_SHOWN = 20
"""Disposals without a copy that are listed one by one, the latest first."""


def gone(session: Session, on: Ground, key: str, *, fields: Sequence[str], clues: Clues) -> Explanation | None:
    """What became of the record that *key* names, which is not in its store. None if it was never seen.

    Arguments:
        session: Whose ledger and archives are asked.
        on: The dataset, and what decides about it.
        key: The record.
        fields: Columns or keys whose texts are the key; empty where a place names a record.
        clues: What somebody remembers of it.
    """
    found = past_of(session, on, sought(fields, key, shown=on.dataset.fields), clues=clues)
    if not (found.copies or found.uncopied or found.unread):
        return None
    verdict, reason = _verdict(found)
    return Explanation(
        dataset=on.dataset.name,
        key=key,
        instant=None,
        verdict=verdict,
        reason=reason,
        lapses=None,
        layers=tuple(_layers(found)),
        values=found.copies[-1].values if found.copies else {},
        clock=on.clock,
        disposals=found.disposals or found.uncopied,
        unread=found.unread,
    )


def came_back(session: Session, on: Ground, present: Explanation, *, fields: Sequence[str]) -> Explanation:
    """*present* with the disposals that the record went through before it was restored."""
    restored = restored_segments(session, on.dataset.name)
    what = sought(fields, present.key, shown=on.dataset.fields)
    if not restored or what is None:
        return present
    found = past_of(session, on, what, among=restored)
    if not found.disposals:
        return replace(present, unread=found.unread)
    layers = (*_history(found), *present.layers)
    return replace(present, layers=layers, disposals=found.disposals, unread=found.unread)


def _verdict(found: Past) -> tuple[str, str]:
    if found.disposals:
        return DISPOSED, _sentence(found.disposals[-1])
    if found.uncopied:
        records = sum(each.records if each.of_tenant is None else each.of_tenant for each in found.uncopied)
        return UNKNOWN, (
            f"no copy is in the archive; the ledger shows {records:,} records of this dataset that were removed"
            " without one, and it may be among them"
        )
    return UNKNOWN, "it is not in the store, and not all of the archive could be looked into"


def _layers(found: Past) -> Iterator[Layer]:
    yield Layer(name="store", finding="it is not there")
    if found.disposals:
        yield from _history(found, decided=True)
        return
    yield Layer(name="archive", finding="no segment that could be read holds it")
    for each in found.uncopied[:_MOST_SHOWN]:
        yield Layer(name="without a copy", finding=_sentence(each))
    if len(found.uncopied) > _MOST_SHOWN:
        rest = found.uncopied[_MOST_SHOWN:]
        finding = f"{len(rest):,} earlier disposals of {sum(each.records for each in rest):,} records"
        yield Layer(name="without a copy", finding=finding)


def _history(found: Past, *, decided: bool = False) -> Iterator[Layer]:
    """Disposals and returns in the order in which they happened."""
    last = found.disposals[-1]
    steps: list[tuple[Nanos, Layer]] = [
        (when(each), Layer(name="disposal", finding=_sentence(each), decided=decided and each is last))
        for each in found.disposals
    ]
    steps += [
        (at, Layer(name="restore", finding=f"restored on {rfc3339_second(at)} from segment {path}"))
        for at, path in found.returns
    ]
    yield from (layer for _, layer in sorted(steps, key=lambda step: step[0]))


def _sentence(each: PastDisposal) -> str:
    at = "at a time that no ledger here tells" if each.at is None else f"on {rfc3339_second(each.at)}"
    under = " or ".join(each.rules) or "a rule that is not known"
    how = "" if each.method is None else f" ({each.method})"
    if each.segment is not None:
        return f"disposed of {at} by run {each.run} under {under}, segment {each.segment}{how}"
    times = ""
    if each.oldest is not None and each.newest is not None:
        times = f" of {rfc3339(each.oldest)} to {rfc3339(each.newest)}"
    owned = "" if each.of_tenant is None else f", {each.of_tenant:,} of them of that tenant,"
    return f"{each.records:,} records{times}{owned} were disposed of {at} by run {each.run} under {under}{how}"
