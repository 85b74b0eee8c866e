"""Whether holds cover what lies in the archive: the one place that whoever would remove a segment must ask.

A manifest names no single record, so the answer may cover too much, and never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from lapse.archive.catalog import SegmentEntry, Unreadable
from lapse.instant import Nanos
from lapse.model.manifest import Manifest
from lapse.model.match import Condition
from lapse.model.policy import Dataset, Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a segment beside its manifest.

    Attributes:
        dataset: The dataset that it came from, as the policy has it now. None if it has none of that name.
        tenants: The tenants of its records, as the ledger counted them; an empty text stands for none. None if that
            is not known.
    """

    dataset: Dataset | None = None
    tenants: Set[str] | None = None


def covering(
    segment: SegmentEntry | Unreadable, holds: Iterable[Hold], now: Nanos, known: Known = Known()
) -> tuple[Hold, ...]:
    """The holds in force that may keep a record in *segment*; while there is one, it must not be removed.

    Arguments:
        segment: A copy of a segment. One that cannot be made out may have anything in it.
        holds: Every hold, also those that are not in force.
        now: The real time.
        known: What else is known of it.
    """
    active = (hold for hold in holds if hold.active(now))
    if isinstance(segment, Unreadable):
        return tuple(active)
    return tuple(hold for hold in active if _may_hold(hold, segment.manifest, known))


def _may_hold(hold: Hold, manifest: Manifest, known: Known) -> bool:
    if hold.dataset not in (None, manifest.dataset):
        return False
    before = hold.records_from is not None and manifest.newest is not None and manifest.newest < hold.records_from
    after = hold.records_before is not None and manifest.oldest is not None and manifest.oldest >= hold.records_before
    if before or after:
        return False
    return all(_may_match(condition, known) for condition in hold.match.conditions)


def _may_match(condition: Condition, known: Known) -> bool:
    """Whether a record in it may meet *condition*. Only of tenants anything is known."""
    if known.dataset is None or known.dataset.tenant is None or known.tenants is None:
        return True
    if condition.role != "tenant" and (condition.role or condition.field != known.dataset.tenant):
        return True
    # A record that was counted under no tenant may have had one, in a column that was not asked for then.
    return "" in known.tenants or any(map(condition.matches, known.tenants))
