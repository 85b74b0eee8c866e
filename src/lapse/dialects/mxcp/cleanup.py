"""The cleanup itself: configuration, registry and log in, what was removed of each schema out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lapse.dialects.additions import archive_at, ledger_at
from lapse.dialects.mxcp.mapping import log_of, policy_of
from lapse.dialects.mxcp.registry import Retention, read_registry, registry_of
from lapse.dialects.mxcp.site import Audit, find_site, read_audit
from lapse.engine.running import Wishes, dry_run, run
from lapse.engine.session import Session, session_for
from lapse.engine.trusting import trust as trust_store
from lapse.errors import GuardError, PolicyError, StoreMissingError
from lapse.model.plan import DatasetPlan
from lapse.model.policy import Archive, Dataset, Policy
from lapse.model.report import DatasetReport, RunReport, Trouble
from lapse.model.selection import Verdict
from lapse.policyfile.secrets import AddressError

if TYPE_CHECKING:
    from lapse.ports import Hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for.

    Attributes:
        profile: The profile. None leaves it to the environment and the site file.
        dry: Whether to look only.
        archive: Address of the archive where records go first. None removes them without a copy.
        ledger: Folder of the ledger. None keeps it in the state folder.
        hooks: Who watches.
        stopping: Asked between slices; True ends the cleanup.
        beginning: Called once the configuration is understood, before the log is looked at.
    """

    profile: str | None = None
    dry: bool = False
    archive: str | None = None
    ledger: str | None = None
    hooks: Sequence[Hook] = ()
    stopping: Callable[[], bool] = field(default=lambda: False, repr=False)
    beginning: Callable[[], None] = field(default=lambda: None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Records of one version of a schema that went, or would go.

    Attributes:
        schema: The schema, and how long it keeps its records.
        records: How many, 1 or more.
    """

    schema: Retention
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """What a cleanup did.

    Attributes:
        profile: Of which profile.
        dry: Whether it only looked.
        enabled: Whether the profile keeps an audit trail; else nothing was done.
        removed: What went, or would go: the schema with the oldest record first.
        warnings: What someone should look at.
        trouble: Why something is left. None if everything is done.
    """

    profile: str
    dry: bool
    enabled: bool = True
    removed: tuple[Removed, ...] = ()
    warnings: tuple[str, ...] = ()
    trouble: Trouble | None = None

    @property
    def records(self) -> int:
        """Records that went, or would go."""
        return sum(each.records for each in self.removed)


def audit_of(order: Order) -> Audit:
    """The audit settings that a command line means.

    Raises:
        PolicyError: If the configuration is not there, or cannot be followed.
        ProfileError: If the profile is unknown.
    """
    return read_audit(find_site(Path.cwd()), order.profile)


def meaning_of(order: Order, audit: Audit) -> tuple[Policy, tuple[Retention, ...]]:
    """The policy that the configuration means, and the schemas that its rules are for, index for index.

    Raises:
        PolicyError: If the registry, the archive or the ledger cannot be followed.
        ProfileError: If nothing says where the log is.
    """
    schemas = read_registry(registry_of(log_of(audit)))
    policy = policy_of(audit, schemas, archive=_archive(order), ledger=ledger_at(order.ledger, Path.cwd()))
    return policy, schemas


def cleanup(order: Order) -> Cleanup:
    """Remove the records that are older than their schemas keep them.

    Raises:
        LapseError: If it could not begin: nothing was removed.
    """
    audit = audit_of(order)
    if not audit.enabled:
        return Cleanup(profile=audit.profile, dry=order.dry, enabled=False)
    policy, schemas = meaning_of(order, audit)
    order.beginning()
    session = session_for(policy, hooks=order.hooks)
    if not _has_log(session):
        return Cleanup(profile=audit.profile, dry=order.dry)
    wishes = Wishes(allow_empty=True, stopping=order.stopping)
    try:
        report = dry_run(session, wishes) if order.dry else run(session, wishes)
    except GuardError as error:
        raise _ours(error) from error
    return _told(report, audit.profile, session.datasets(())[0], schemas)


def trust(order: Order) -> str:
    """Accept that the log of a profile is another one than before; returns its fingerprint.

    Raises:
        LapseError: If the configuration cannot be followed, or there is no log.
    """
    session = session_for(meaning_of(order, audit_of(order))[0], hooks=order.hooks)
    (name,) = session.policy.datasets
    return trust_store(session, name)


def _ours(error: GuardError) -> GuardError:
    """The refusal, whose remedy is a command of the drop-in."""
    hint = None if error.hint is None else re.sub(r"lapse trust \S+", "lapse as mxcp trust", error.hint)
    return type(error)(error.message, hint=hint)


def _has_log(session: Session) -> bool:
    """Whether there is anything to look at; a lease would leave its lock file where nothing is."""
    (dataset,) = session.datasets(())
    with session.reading(dataset) as store:
        try:
            store.identity()
        except StoreMissingError:
            return False
    return True


def _told(report: RunReport, profile: str, dataset: Dataset, schemas: Sequence[Retention]) -> Cleanup:
    (done,) = report.datasets
    return Cleanup(
        profile=profile,
        dry=report.dry,
        removed=tuple(_removed(done, dataset, schemas, dry=report.dry)),
        warnings=(*report.warnings, *_doubts(done.plan)),
        trouble=done.trouble,
    )


def _removed(done: DatasetReport, dataset: Dataset, schemas: Sequence[Retention], *, dry: bool) -> Iterator[Removed]:
    """What became of each schema; the original tells them in the order in which it meets their records."""
    groups = () if done.plan is None else done.plan.groups
    planned = {group.outcome.rule: group.tally for group in groups if group.outcome.verdict is Verdict.LAPSED}
    order = sorted(planned, key=lambda rule: (planned[rule].oldest or 0, rule or 0))
    for rule in dict.fromkeys([*order, *range(len(schemas))]):
        if rule is None:
            continue
        went = done.rules.get(str(dataset.rules[rule]), 0)
        records = planned[rule].records if dry and rule in planned else went
        if records:
            yield Removed(schema=schemas[rule], records=records)


def _doubts(plan: DatasetPlan | None) -> Iterator[str]:
    for group in () if plan is None else plan.groups:
        if group.outcome.verdict is Verdict.DOUBTFUL:
            count = group.tally.records
            yield f"{count:,} {'line is' if count == 1 else 'lines are'} kept: {group.outcome.reason}"


def _archive(order: Order) -> Archive | None:
    try:
        return archive_at(order.archive, Path.cwd())
    except AddressError as error:
        raise PolicyError(f"--archive: {error}", hint=error.hint) from error
