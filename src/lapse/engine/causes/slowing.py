"""Causes that make runs slow, or let them begin gently."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lapse.engine.causes.scene import Scene
from lapse.engine.ramping import announced, ramp_of
from lapse.errors import LapseError
from lapse.model.causes import Cause, CauseKind, Weight

_INDEX = re.compile(r"\b(no index|has no index)\b")
_SQL = re.compile(r": (?P<sql>CREATE INDEX .*?)(?=;|, which |$)", re.DOTALL)


def index_is_missing(scene: Scene) -> Iterator[Cause]:
    """A run has to read much more than it removes, as the store remarks."""
    for note in scene.planned.identity.notes if scene.planned is not None else ():
        if _INDEX.search(note):
            yield _slows(CauseKind.INDEX, note, statement_in(note) or f"lapse plan {scene.name}")


def statement_in(note: str) -> str | None:
    """The statement that makes the index which a store's remark says is missing. None if it tells none."""
    found = _SQL.search(note)
    return None if found is None else found["sql"]


def pace_is_throttled(scene: Scene) -> Iterator[Cause]:
    """The policy or an operator allows so many records a second."""
    if isinstance(scene.tuning, LapseError):
        return  # a cause of its own
    pace = scene.tuning.applied(scene.dataset.pace)
    if pace.rows_per_second is not None:
        message = f"runs remove at most {pace.rows_per_second:,} records a second"
        yield _slows(CauseKind.THROTTLE, message, "lapse pace --rows-per-second none")
    said = [words for words in scene.tuning.words if words != "paused"]
    if said:
        message = f"`lapse pace` has changed the pace of runs: {', '.join(said)}"
        yield _slows(CauseKind.THROTTLE, message, "lapse pace --reset")


def rule_is_new(scene: Scene) -> Iterator[Cause]:
    """The first run of a rule begins with a canary, and doubles from there."""
    plan = scene.planned
    if plan is None or isinstance(scene.ledger, LapseError):
        return
    ramp = ramp_of(scene.selection, plan, scene.session.policy.guards_of(scene.dataset), scene.ledger)
    if ramp is not None:
        yield _slows(CauseKind.RAMP, announced(scene.selection, ramp), f"lapse run --dry-run {scene.name}")


def _slows(kind: CauseKind, message: str, fix: str) -> Cause:
    return Cause(kind=kind, weight=Weight.SLOWS, message=message, fix=fix)


SLOWING = (index_is_missing, pace_is_throttled, rule_is_new)
