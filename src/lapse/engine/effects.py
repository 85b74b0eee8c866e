"""Rules without any effect of their own: a floor outlasts them, or a hold keeps what they would let go.

None of it is wrong: it is what floors and holds are for. But whoever reads the rule should know what has effect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from lapse.model.period import Kind
from lapse.model.policy import Archive, Dataset, Hold, Policy, Rule
from lapse.model.selection import resolve
from lapse.policyfile.lasting import named, outlasted, outlasts
from lapse.policyfile.nearby import Nearby


def without_effect(policy: Policy, dataset: Dataset, holds: Sequence[Hold]) -> Iterator[str]:
    """What of *dataset* has no effect, and what has it instead, with the places of both.

    Arguments:
        policy: The policy that has the dataset.
        dataset: The dataset.
        holds: The holds in force.
    """
    for each in outlasted(dataset, policy.floors):
        floor = each.floor
        yield (
            f"The floor at {floor.origin}, because of {floor.because}, keeps all records of {named(each.rules)}"
            f" for {floor.at_least.text}: that has effect, and the shorter period has none."
        )
    yield from _held(dataset, holds)


def _held(dataset: Dataset, holds: Sequence[Hold]) -> Iterator[str]:
    own = [hold for hold in holds if hold.dataset in (None, dataset.name) and not _is_narrowed(hold)]
    nearby = Nearby((resolve(hold.match, dataset), number) for number, hold in enumerate(own))
    found: defaultdict[int, list[Rule]] = defaultdict(list)
    for rule in dataset.rules if own else ():
        number = next(nearby.covering(rule.match), None)
        if number is not None and rule.keep.kind is not Kind.FOREVER:
            found[number].append(rule)
    for number in sorted(found):
        hold = own[number]
        yield (
            f"While hold {hold.matter} at {hold.origin} is in force, it keeps all records of {named(found[number])}."
        )


def _is_narrowed(hold: Hold) -> bool:
    """Whether it holds only some of the records that it matches."""
    return bool(hold.keys) or hold.records_from is not None or hold.records_before is not None


def short_lived(dataset: Dataset, archive: Archive) -> Iterator[str]:
    """An archive that would let a segment go before it is written: both periods count from the time of the records."""
    if archive.keep is None:
        return
    late = [rule for rule in dataset.rules if archive.name in rule.archives and outlasts(rule.keep, archive.keep)]
    gone = [rule for rule in late if rule.keep.kind is not Kind.FOREVER]
    if gone:
        yield (
            f"{archive.origin}: {dataset.name}: archive {archive.name} keeps segments {archive.keep.text} after their"
            f" newest record, which is shorter than {named(gone)}: they would lapse as soon as they are written"
        )
