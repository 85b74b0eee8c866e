"""Why nothing, or less than expected, is being removed from a dataset: every cause found, ranked. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

from lapse.engine.causes.blocking import BLOCKING
from lapse.engine.causes.history import HISTORY
from lapse.engine.causes.keeping import KEEPING
from lapse.engine.causes.scene import Scene, look
from lapse.engine.causes.slowing import SLOWING
from lapse.engine.session import Session
from lapse.model.causes import Cause, CauseKind, Weight, WhyNot, ranked
from lapse.model.policy import Dataset
from lapse.model.selection import Verdict


def why_not(session: Session, name: str) -> WhyNot:
    """Every cause for which records of a dataset are still there. What cannot be read is a cause, too.

    Raises:
        UsageError: If the dataset is unknown.
    """
    (dataset,) = session.datasets([name])
    scene = look(session, dataset, survey=True)
    plan = scene.planned
    return WhyNot(
        dataset=name,
        now=session.now,
        records=None if plan is None else plan.records(),
        lapsed=None if plan is None else plan.records(Verdict.LAPSED),
        causes=ranked(tuple(_causes(scene))),
    )


def blocking(session: Session, dataset: Dataset) -> tuple[Cause, ...]:
    """What stops the next run, or stopped the last one, as far as that is known without counting records."""
    scene = look(session, dataset, survey=False)
    found = tuple(cause for find in (*BLOCKING, *HISTORY) for cause in find(scene))
    return tuple(cause for cause in ranked(found) if cause.weight in (Weight.BLOCKS, Weight.STOPPED))


def _causes(scene: Scene) -> Iterator[Cause]:
    for find in (*BLOCKING, *HISTORY, *KEEPING, *SLOWING):
        yield from find(scene)
    if scene.planned is not None and not scene.planned.records():
        message = "the store holds no records at all"
        yield Cause(kind=CauseKind.EMPTY, weight=Weight.HINTS, message=message, fix=f"lapse plan {scene.name}")
