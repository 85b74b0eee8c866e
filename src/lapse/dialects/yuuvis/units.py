"""One database: worked on as a whole, and by tenants where it must be told whose entries stand in the way."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from lapse.dialects.yuuvis.configuration import Configuration
from lapse.dialects.yuuvis.mapping import Meaning, meaning_of
from lapse.dialects.yuuvis.stores import Trail
from lapse.engine.running import Wishes, dry_run, run
from lapse.engine.session import Session, session_for
from lapse.errors import CommitUnknownError, ExitCode, LapseError, StoreError
from lapse.instant import Nanos
from lapse.model.plan import DatasetPlan
from lapse.model.policy import Archive
from lapse.model.report import DatasetReport, RunReport, Trouble
from lapse.model.selection import Verdict
from lapse.ports import Hook

Counts = Counter[tuple[str, int | None]]
"""Entries by tenant and action; None stands for all actions that are in no catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What every part of a cleanup goes by.

    Attributes:
        configuration: What is kept for how long.
        trails: All databases.
        archive: Where entries go first. None removes them without a copy.
        ledger: Folder of the ledger, absolute. None keeps it in the state folder.
        now: The instant that decides.
        hooks: Who watches.
        stopping: Asked between slices; True ends the cleanup.
    """

    configuration: Configuration
    trails: tuple[Trail, ...]
    archive: Archive | None
    ledger: str | None
    now: Nanos
    hooks: tuple[Hook, ...] = ()
    stopping: Callable[[], bool] = field(default=lambda: False, repr=False)

    def meaning(self, tenants: Sequence[str] | None) -> Meaning:
        """The policy for those tenants; None means all."""
        return meaning_of(self.configuration, self.trails, archive=self.archive, ledger=self.ledger, tenants=tenants)

    def session(self, meaning: Meaning) -> Session:
        """A session of its own for each run, since the clock is compared with a ledger that grows."""
        return session_for(meaning.policy, now=self.now, hooks=self.hooks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A part of the work that did not complete.

    Attributes:
        store: The database, as messages name it.
        tenants: Whose entries are left. Empty where it is not a matter of tenants.
        trouble: Why.
        misled: Whether the address leads to no audit trail, so that nothing was touched.
    """

    store: str
    tenants: tuple[str, ...]
    trouble: Trouble
    misled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run over one database.

    Attributes:
        plan: What was found before anything was removed. None if it did not come to that.
        deleted: What went; of a dry run what would go.
        warnings: What someone should look at.
        trouble: Why it did not complete. None if it did.
    """

    plan: DatasetPlan | None = None
    deleted: Counts = field(default_factory=Counter)
    warnings: tuple[str, ...] = ()
    trouble: Trouble | None = None

    @property
    def left(self) -> tuple[str, ...]:
        """The tenants of whom entries were to go and have not gone."""
        counts: Counter[str] = Counter()
        for group in () if self.plan is None else self.plan.groups:
            if group.outcome.verdict is Verdict.LAPSED:
                counts[group.tally.tenant or ""] += group.tally.records
        for (tenant, _), entries in self.deleted.items():
            counts[tenant] -= entries
        return tuple(sorted(tenant for tenant, entries in counts.items() if entries > 0))

    @property
    def is_divisible(self) -> bool:
        """Whether the trouble may be a matter of some tenants' entries."""
        kind = None if self.trouble is None else self.trouble.kind
        is_of_entries = kind is not None and issubclass(kind, StoreError) and not issubclass(kind, CommitUnknownError)
        return self.plan is not None and is_of_entries

    def unfinished(self, trail: Trail, tenants: Sequence[str]) -> Iterator[Unfinished]:
        """The attempt, which was for those tenants, as a part that did not complete; nothing if it did."""
        if self.trouble is not None:
            kind = self.trouble.kind
            misled = self.plan is None and kind is not None and kind.exit_code is ExitCode.USAGE
            whose = self.left if self.is_divisible else tuple(tenants)
            yield Unfinished(store=trail.shown, tenants=whose, trouble=self.trouble, misled=misled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What became of one database.

    Attributes:
        plan: What was found at the first look. None if it could not be looked at.
        deleted: What went; of a dry run what would go.
        unfinished: What did not complete.
        warnings: What someone should look at.
    """

    plan: DatasetPlan | None
    deleted: Counts
    unfinished: tuple[Unfinished, ...]
    warnings: tuple[str, ...]


def looked(cause: Cause, trail: Trail, tenants: Sequence[str] | None) -> Worked:
    """What would go from a database; nothing is written. Arguments as for `worked`."""
    attempt = _attempt(cause, trail, tenants, _dry)
    left = tuple(attempt.unfinished(trail, tenants or ()))
    return Worked(plan=attempt.plan, deleted=attempt.deleted, unfinished=left, warnings=attempt.warnings)


def worked(cause: Cause, trail: Trail, tenants: Sequence[str] | None) -> Worked:
    """Remove what has lapsed from a database: in one go, and if that fails, in ever smaller groups of tenants.

    Arguments:
        cause: What it goes by.
        trail: The database.
        tenants: The tenants whose entries may go. None means all.
    """
    first = _attempt(cause, trail, tenants, run)
    attempts, unfinished = [first], list[Unfinished]()
    waiting = deque(_halves(first))
    if not waiting:
        unfinished += first.unfinished(trail, tenants or ())
    while waiting:
        part = waiting.popleft()
        attempts.append(_attempt(cause, trail, part, _run_untidied))
        halves = _halves(attempts[-1])
        waiting.extend(halves)
        if not halves:
            unfinished += attempts[-1].unfinished(trail, part)
    return Worked(
        plan=first.plan,
        deleted=sum((each.deleted for each in attempts), start=Counts()),
        unfinished=tuple(unfinished),
        warnings=tuple(dict.fromkeys(text for each in attempts for text in each.warnings)),
    )


def _halves(attempt: Attempt) -> tuple[tuple[str, ...], ...]:
    """The tenants of an attempt that did not complete, in two parts. Empty if nothing is gained by that."""
    names = attempt.left
    if not attempt.is_divisible or len(names) < 2:
        return ()
    return names[: len(names) // 2], names[len(names) // 2 :]


Way = Callable[[Session, Wishes], RunReport]


def _dry(session: Session, wishes: Wishes) -> RunReport:
    return dry_run(session, wishes)


def _run_untidied(session: Session, wishes: Wishes) -> RunReport:
    """The store was tidied up after the first run, and has better to do than that after each."""
    return run(session, replace(wishes, tidy=False))


def _attempt(cause: Cause, trail: Trail, tenants: Sequence[str] | None, way: Way) -> Attempt:
    if cause.stopping():
        return Attempt(trouble=Trouble(message="the cleanup was asked to stop", hint="Run again."))
    meaning = cause.meaning(tenants)
    wishes = Wishes(names=(trail.name,), allow_empty=True, stopping=cause.stopping)
    try:
        report = way(cause.session(meaning), wishes)
    except LapseError as error:
        return Attempt(trouble=Trouble(message=str(error), hint=_ours(error.hint), kind=type(error)))
    (done,) = report.datasets
    warnings = [*report.warnings, *_recovered(done)]
    if done.ended is not None and done.trouble is None:
        warnings.append(f"{trail.shown}: ended early, {done.remaining or 0:,} entries are left: {done.ended}")
    return Attempt(
        plan=done.plan,
        deleted=_planned(done, meaning) if report.dry else _removed(done, meaning),
        warnings=tuple(warnings),
        trouble=done.trouble,
    )


def _removed(done: DatasetReport, meaning: Meaning) -> Counts:
    counts = Counts()
    for share in done.shares:
        counts[share.tenant or "", meaning.actions[share.rule]] += share.records
    return counts


def _planned(done: DatasetReport, meaning: Meaning) -> Counts:
    counts = Counts()
    for group in () if done.plan is None else done.plan.groups:
        if group.outcome.verdict is Verdict.LAPSED and group.outcome.rule is not None:
            counts[group.tally.tenant or "", meaning.actions[group.outcome.rule]] += group.tally.records
    return counts


def _recovered(done: DatasetReport) -> Iterator[str]:
    if done.recovered:
        yield (
            f"an earlier cleanup was interrupted after it had deleted; {done.recovered} of its disposals are in the"
            " ledger now, and are not counted here"
        )


def _ours(hint: str | None) -> str | None:
    """The hint, whose remedy is a command of the drop-in."""
    return None if hint is None else re.sub(r"lapse trust \S+", "lapse as yuuvis trust", hint)
