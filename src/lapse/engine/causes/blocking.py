"""Causes for which the next run removes nothing at all, as things stand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from lapse.engine.admitting import check_pace
from lapse.engine.causes.scene import Scene
from lapse.engine.holding import lost_holds, release_command
from lapse.engine.limits import STOP_FILE
from lapse.errors import HoldsError, LapseError
from lapse.model.causes import Cause, CauseKind, Weight
from lapse.model.selection import Verdict
from lapse.ports import Burden
from lapse.stages.guarding import check_fingerprint, check_limits


def store_cannot_be_read(scene: Scene) -> Iterator[Cause]:
    """The store is down, or a table, file or column is missing. One cause, however many looks failed of it."""
    looks = (scene.plan, scene.posted, scene.burden, scene.holder)
    failed = [found for found in looks if isinstance(found, LapseError) and not isinstance(found, HoldsError)]
    if failed:
        yield _blocks(CauseKind.STORE, failed[0], f"lapse plan {scene.name}")


def store_refuses(scene: Scene) -> Iterator[Cause]:
    """The store says that Lapse cannot remove anything there safely."""
    plan = scene.planned
    if plan is not None and plan.identity.refusal is not None and plan.records(Verdict.LAPSED):
        yield Cause(
            kind=CauseKind.REFUSED,
            weight=Weight.BLOCKS,
            message=f"nothing can be removed there: {plan.identity.refusal}",
            fix=f"lapse plan {scene.name}",
            records=plan.records(Verdict.LAPSED),
        )


def store_changed(scene: Scene) -> Iterator[Cause]:
    """It is not the store that the policy was written for, or that the first run saw."""
    if isinstance(scene.pinned, LapseError):
        yield _blocks(CauseKind.STATE, scene.pinned, f"lapse trust {scene.name}")
        return
    if scene.planned is None:
        return
    try:
        check_fingerprint(scene.dataset, scene.planned.identity.fingerprint, scene.pinned)
    except LapseError as error:
        fix = f"lapse trust {scene.name}" if scene.dataset.expect is None else "lapse check"
        yield _blocks(CauseKind.CHANGED, error, fix)


def over_a_guard(scene: Scene) -> Iterator[Cause]:
    """More has lapsed than a guard lets go."""
    plan = scene.planned
    if plan is None:
        return
    guards, ledger = scene.session.policy.guards_of(scene.dataset), scene.ledger
    refreshed = {} if isinstance(ledger, LapseError) else ledger.refreshed_of(scene.name)
    try:
        check_limits(plan, guards, refreshed, allowed=())
    except LapseError as error:
        yield replace(_blocks(CauseKind.GUARD, error, f"lapse plan {scene.name}"), records=plan.records(Verdict.LAPSED))


def pace_cannot_be_kept(scene: Scene) -> Iterator[Cause]:
    """The policy wants runs to wait for a query that this store cannot answer."""
    try:
        check_pace(scene.dataset)
    except LapseError as error:
        yield _blocks(CauseKind.REFUSED, error, "lapse check")


def clock_is_wrong(scene: Scene) -> Iterator[Cause]:
    """The clock runs behind the ledger; an unreadable ledger is told by itself."""
    if scene.clock is not None and not isinstance(scene.ledger, LapseError):
        yield _blocks(CauseKind.CLOCK, scene.clock, "date --utc")


def ledger_is_not_right(scene: Scene) -> Iterator[Cause]:
    """It cannot be read, was cut, or is not there where an archive remembers one; or an archive cannot be asked."""
    if isinstance(scene.ledger, LapseError):
        yield _blocks(CauseKind.LEDGER, scene.ledger, "lapse ledger verify")
    elif scene.anchor is not None:
        yield _blocks(CauseKind.LEDGER, scene.anchor, "lapse status")


def holds_are_not_right(scene: Scene) -> Iterator[Cause]:
    """They cannot be read; or one that the ledger knows is gone without a release."""
    if isinstance(scene.holds, LapseError):
        yield _blocks(CauseKind.HOLDS, scene.holds, "lapse hold list")
        return
    if isinstance(scene.posted, HoldsError):
        yield _blocks(CauseKind.HOLDS, scene.posted, "lapse hold list")
    if not isinstance(scene.ledger, LapseError):
        for lost in lost_holds(scene.session, scene.holds, past=scene.ledger):
            yield Cause(
                kind=CauseKind.HOLDS,
                weight=Weight.BLOCKS,
                message=f"hold {lost.matter} is in the ledger and was not released, but it is not found as it was",
                fix=release_command(lost.matter),
            )


def archive_cannot_be_written(scene: Scene) -> Iterator[Cause]:
    """A local archive that a rule needs is no folder, or this user may not write there."""
    for name in sorted({archive for rule in scene.dataset.rules for archive in rule.archives}):
        place = scene.session.targets[name].location()
        if place is None:
            continue
        standing = next(path for path in (place, *place.parents) if os.path.lexists(path))
        if standing.is_dir() and os.access(standing, os.W_OK | os.X_OK):
            continue
        what = "cannot be written by this user" if standing.is_dir() else "is no folder"
        message = f"archive {name}: {standing} {what}, and nothing is removed without a copy there"
        yield Cause(kind=CauseKind.ARCHIVE, weight=Weight.BLOCKS, message=message, fix=f"ls -ld {standing}")


def lease_is_held(scene: Scene) -> Iterator[Cause]:
    """Another run is at work on the store."""
    if isinstance(scene.holder, str):
        yield Cause(
            kind=CauseKind.LEASE,
            weight=Weight.BLOCKS,
            message=f"another run has the lease ({scene.holder}); until it is done no other begins",
            fix="lapse status",
        )


def stop_file_stands(scene: Scene) -> Iterator[Cause]:
    """The stop file of the state folder ends every run before it begins."""
    file = scene.session.folders.root / STOP_FILE
    if file.exists():
        message = f"the stop file {file} is there: every run ends before it removes anything"
        yield Cause(kind=CauseKind.STOP_FILE, weight=Weight.BLOCKS, message=message, fix=f"rm {file}")


def runs_are_paused(scene: Scene) -> Iterator[Cause]:
    """Somebody paused all runs, or what was said about the pace cannot be read."""
    if isinstance(scene.tuning, LapseError):
        yield _blocks(CauseKind.STATE, scene.tuning, "lapse pace --reset")
    elif scene.tuning.paused:
        message = "runs are paused by `lapse pace --pause`: they wait until that is taken back"
        yield Cause(kind=CauseKind.PAUSED, weight=Weight.BLOCKS, message=message, fix="lapse pace --resume")


def others_come_first(scene: Scene) -> Iterator[Cause]:
    """A replica is behind, or the query of the pace says that a run is to wait."""
    if isinstance(scene.burden, Burden) and scene.burden.wait is not None:
        yield Cause(
            kind=CauseKind.WAITS,
            weight=Weight.BLOCKS,
            message=f"a run waits for others: {scene.burden.wait}",
            fix="lapse pace",
        )


def _blocks(kind: CauseKind, error: LapseError, fix: str) -> Cause:
    hint = "" if error.hint is None else f". {error.hint}"
    return Cause(kind=kind, weight=Weight.BLOCKS, message=f"{error}{hint}".removesuffix("."), fix=fix)


BLOCKING = (
    store_cannot_be_read, store_changed, store_refuses, pace_cannot_be_kept, over_a_guard, clock_is_wrong,
    ledger_is_not_right, holds_are_not_right, archive_cannot_be_written, lease_is_held, stop_file_stands,
    runs_are_paused, others_come_first,
)  # fmt: skip
