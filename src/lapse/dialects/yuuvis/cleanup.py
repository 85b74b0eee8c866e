"""The cleanup itself: configuration and databases in, what went by tenant and action out.

A database is one piece of work: one look at the table counts and cuts for all tenants and actions. Where the work
stops at some entries, it is divided by tenants until it is known whose they are, and all others are done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lapse import clock
from lapse.dialects.additions import archive_at, ledger_at
from lapse.dialects.policytext import PolicyText
from lapse.dialects.yuuvis.configuration import read_configuration
from lapse.dialects.yuuvis.exits import UnknownTenantError
from lapse.dialects.yuuvis.mapping import text_of
from lapse.dialects.yuuvis.stores import find_trails
from lapse.dialects.yuuvis.units import Cause, Counts, Unfinished, Worked, looked, worked
from lapse.engine.trusting import trust as trust_store
from lapse.errors import ExitCode, UsageError
from lapse.instant import Nanos
from lapse.model.policy import Archive
from lapse.model.selection import Verdict
from lapse.policyfile.secrets import AddressError
from lapse.ports import Hook

_NO_CODE = "action that is no whole number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for.

    Attributes:
        tenant: The only tenant whose entries may go, compared exactly. None means all.
        stores: Addresses of databases. Empty leaves them to the environment and to the service's configuration.
        dry: Whether to look only.
        archive: Address of the archive where entries go first. None removes them without a copy.
        ledger: Folder of the ledger. None keeps it in the state folder.
        hooks: Who watches.
        stopping: Asked between slices; True ends the cleanup.
    """

    tenant: str | None = None
    stores: tuple[str, ...] = ()
    dry: bool = False
    archive: str | None = None
    ledger: str | None = None
    hooks: tuple[Hook, ...] = ()
    stopping: Callable[[], bool] = field(default=lambda: False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Entries of one tenant and one action that went, or would go.

    Attributes:
        tenant: The tenant.
        action: The code. None stands for all that are in no catalogue.
        entries: How many.
    """

    tenant: str
    action: int | None
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """What a cleanup did.

    Attributes:
        now: The instant that decided.
        dry: Whether it only looked.
        sha256: Digest of the configuration. None if there is none.
        deleted: What went, or would go, by tenant and action.
        doubtful: Entries that are kept since they cannot be judged.
        unfinished: Tenants and stores that did not complete.
        misled: Whether no address leads to an audit trail, so that nothing was touched.
        warnings: What someone should look at.
        names: Names of the actions that are known.
    """

    now: Nanos
    dry: bool
    sha256: str | None
    deleted: tuple[Deleted, ...]
    doubtful: int
    unfinished: tuple[Unfinished, ...]
    misled: bool
    warnings: tuple[str, ...]
    names: Mapping[int, str]

    @property
    def total(self) -> int:
        """Entries that went, or would go."""
        return sum(each.entries for each in self.deleted)

    @property
    def exit_code(self) -> ExitCode:
        """0; 1 if something did not complete; 2 if nothing was touched since no address leads to an audit trail."""
        if not self.unfinished:
            return ExitCode.DONE
        return ExitCode.USAGE if self.misled else ExitCode.INCOMPLETE


def cleanup(order: Order) -> Cleanup:
    """Delete the entries that are older than the configuration keeps them.

    Raises:
        UsageError: If the command line makes no sense: nothing was touched.
        PolicyError: If a file cannot be followed: nothing was touched.
        HoldsError: If a hold cannot be read: nothing was touched.
        UnknownTenantError: If the tenant has no entry anywhere: nothing was touched.
    """
    cause, warnings = _understood(order)
    tenants = None if order.tenant is None else (order.tenant,)
    cause.session(cause.meaning(tenants)).holds()  # broken ones concern all databases: nothing is begun then
    done: list[Worked] = []
    if order.tenant is not None or order.dry:
        done = [looked(cause, trail, tenants) for trail in cause.trails]
    if order.tenant is not None:
        _check_tenant(order.tenant, done)
    if not order.dry:
        done = [worked(cause, trail, tenants) for trail in cause.trails]
    return _told(order, cause, done, warnings)


@dataclass(frozen=True, slots=True)
class Printed:
    """The configuration as a policy.

    Attributes:
        made: The text, and the variables that it needs.
        warnings: What someone should look at.
    """

    made: PolicyText
    warnings: tuple[str, ...]


def policy(order: Order) -> Printed:
    """The configuration as the text of a ``lapse.yaml``; no database is asked.

    Raises:
        UsageError: If the command line makes no sense.
        PolicyError: If a file cannot be followed.
    """
    cause, warnings = _understood(order)
    made = text_of(cause.configuration, cause.trails, archive=cause.archive, ledger=cause.ledger)
    return Printed(made, warnings)


def trust(order: Order) -> tuple[str, ...]:
    """Accept that databases are others than before; returns their fingerprints.

    Raises:
        LapseError: If the configuration cannot be followed, or a database does not answer.
    """
    cause, _ = _understood(order)
    meaning = cause.meaning(None)
    return tuple(trust_store(cause.session(meaning), trail.name) for trail in cause.trails)


def _understood(order: Order) -> tuple[Cause, tuple[str, ...]]:
    """What the command line and the files mean, and what someone should look at in them."""
    folder = Path.cwd()
    configuration = read_configuration(folder)
    trails = find_trails(order.stores, folder)
    cause = Cause(
        configuration=configuration,
        trails=trails.found,
        archive=_archive(order, folder),
        ledger=ledger_at(order.ledger, folder),
        now=clock.run_now(),
        hooks=order.hooks,
        stopping=order.stopping,
    )
    return cause, (*configuration.warnings, *trails.warnings)


def _check_tenant(tenant: str, looks: Sequence[Worked]) -> None:
    """Refuse a tenant without any entry; where a database could not be looked at, that cannot be told."""
    if any(each.plan is None for each in looks):
        return
    groups = (group for each in looks if each.plan is not None for group in each.plan.groups)
    if not any(group.tally.tenant == tenant for group in groups):
        raise UnknownTenantError(
            f"the tenant {tenant!r} has no entry in any audit trail",
            hint="Names are compared exactly, letter case included. Nothing was touched.",
        )


def _told(order: Order, cause: Cause, done: Sequence[Worked], warnings: Sequence[str]) -> Cleanup:
    deleted = sum((each.deleted for each in done), start=Counts())
    doubtful, held = (_kept(done, order.tenant, verdict) for verdict in (Verdict.DOUBTFUL, Verdict.HELD))
    doubtful += _without_code(cause, done, order.tenant)
    found = [
        Deleted(tenant=tenant, action=action, entries=entries)
        for (tenant, action), entries in deleted.items()
        if entries
    ]
    return Cleanup(
        now=cause.now,
        dry=order.dry,
        sha256=cause.configuration.sha256,
        deleted=tuple(sorted(found, key=lambda each: (each.tenant, each.action is None, each.action or 0))),
        doubtful=doubtful.total(),
        unfinished=tuple(left for each in done for left in each.unfinished),
        misled=all(each.unfinished and all(left.misled for left in each.unfinished) for each in done),
        warnings=(
            *warnings,
            *_counted(doubtful, "since it cannot be judged", "since they cannot be judged"),
            *_counted(held, "since it is held", "since they are held"),
            *dict.fromkeys(text for each in done for text in each.warnings),
        ),
        names=cause.configuration.catalogue.names,
    )


def _kept(done: Sequence[Worked], tenant: str | None, verdict: Verdict) -> Counter[str]:
    """Entries that are kept for cause, by the reason; only those of *tenant* if it is not None."""
    found: Counter[str] = Counter()
    for each in done:
        for group in () if each.plan is None else each.plan.groups:
            if group.outcome.verdict is verdict and tenant in (None, group.tally.tenant):
                found[group.outcome.reason] += group.tally.records
    return found


def _without_code(cause: Cause, done: Sequence[Worked], tenant: str | None) -> Counter[str]:
    """Entries whose action is no code: where there is a default, no rule matches these alone."""
    if cause.configuration.default is None:
        return Counter()
    return Counter({_NO_CODE: count} if (count := _kept(done, tenant, Verdict.UNMATCHED).total()) else {})


def _counted(kept: Counter[str], one: str, more: str) -> Iterator[str]:
    count = kept.total()
    if count:
        reasons = ", ".join(f"{reason}: {records:,}" for reason, records in kept.items())
        which = f"1 entry is kept, {one}" if count == 1 else f"{count:,} entries are kept, {more}"
        yield f"{which}: {reasons}"


def _archive(order: Order, folder: Path) -> Archive | None:
    try:
        return archive_at(order.archive, folder)
    except AddressError as error:
        raise UsageError(f"--archive: {error}", hint=error.hint) from error
