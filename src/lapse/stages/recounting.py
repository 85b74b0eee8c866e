"""Recounting: what a store held before and after a removal, compared with what was removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lapse.instant import Nanos, rfc3339
from lapse.model.plan import Tally
from lapse.model.selection import Outcome, Selection, Verdict


@dataclass(frozen=True, slots=True)
class Standing:
    """Records with one outcome.

    Attributes:
        records: How many.
        oldest: Earliest record time. None if none could be read.
    """

    records: int = 0
    oldest: Nanos | None = None


def standings(tallies: Iterable[Tally]) -> Mapping[int, Standing]:
    """What a survey found, by outcome, whatever the tenant."""
    found: dict[int, Standing] = {}
    for tally in tallies:
        before = found.get(tally.code, Standing())
        times = [instant for instant in (before.oldest, tally.oldest) if instant is not None]
        found[tally.code] = Standing(before.records + tally.records, min(times, default=None))
    return found


def missing(
    selection: Selection, before: Mapping[int, Standing], after: Mapping[int, Standing], *, removed: int
) -> str | None:
    """What is gone that nobody sealed, in words. None if nothing is.

    Records that came in between are no matter. Two things are looked at: how many there are in all; and, since new
    records could make up for lost ones in that, whether the oldest record of those that stay is still there: a
    removal that reached beyond its cutoff takes that one first.

    Arguments:
        selection: What decided, both times.
        before: What was there.
        after: What is there.
        removed: Records that were sealed and removed in between.
    """
    expected = sum(each.records for each in before.values()) - removed
    found = sum(each.records for each in after.values())
    if found < expected:
        return f"{found:,} records are left where {expected:,} should be, so that {expected - found:,} went unsealed"
    for code, was in before.items():
        now = after.get(code, Standing())
        if was.oldest is None or not _stays(selection, code):
            continue
        if now.oldest is None or now.oldest > was.oldest:
            left = "none is left" if now.oldest is None else f"it is of {rfc3339(now.oldest)}"
            oldest = f"the oldest record was of {rfc3339(was.oldest)}, and now {left}"
            return f"of those that stay ({_described(selection.outcomes[code])}), {oldest}"
    return None


def _stays(selection: Selection, code: int) -> bool:
    """Whether records of an outcome stay for good; who is among the newest changes with every record that comes."""
    rule = selection.outcomes.rule_of(code)
    return rule is None or code not in (selection.lapsed_code(rule), selection.newest_code(rule))


def _described(outcome: Outcome) -> str:
    return outcome.reason if outcome.verdict is Verdict.KEPT else f"{outcome.verdict.value}: {outcome.reason}"
