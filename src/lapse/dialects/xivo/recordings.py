"""Files of recordings: which purgers remove them, and below which folder.

Entries of recordings go with their calls, whatever tenants say of recordings: the database's own foreign key does
that. Files are another matter: nobody removes one that a tenant wants to keep for longer than its call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lapse.dialects.xivo.settings import Settings
from lapse.dialects.xivo.tables import BY_NAME, Retention
from lapse.dialects.xivo.tenants import TenantDays, tenant_days
from lapse.errors import PolicyError
from lapse.model.facts import DatabaseFacts
from lapse.model.policy import RowFiles
from lapse.policyfile.addresses import Address, folder_address
from lapse.policyfile.conflicts import bad_file_folders
from lapse.policyfile.secrets import AddressError

_RECORDINGS, _CALLS = "recordings", "call-logs"
_TABLE = BY_NAME[_RECORDINGS].table
_COLUMN = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFiles:
    """What becomes of the files of recordings.

    Attributes:
        by_purger: What each purger removes; purgers that remove none are left out.
        warnings: What someone should look at.
    """

    by_purger: Mapping[str, RowFiles] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def recorded_files(settings: Settings, facts: DatabaseFacts, archives: Mapping[str, Address]) -> RecordedFiles:
    """Which purgers remove files of recordings.

    Arguments:
        settings: The configuration.
        facts: What the database has.
        archives: Lapse's own archive, by its name. No file of it may lie where recordings do.

    Raises:
        PolicyError: If the folder of the recordings can be none.
        StoreError: If a tenant's number of days is none.
    """
    if _COLUMN not in facts.tables.get(_TABLE, {}):
        return RecordedFiles()
    if _RECORDINGS not in settings.purgers:
        return RecordedFiles(warnings=tuple(_left(settings, "the recordings purger is not enabled")))
    under = _under(settings, archives)
    files = {_RECORDINGS: RowFiles(column=_COLUMN, under=under)}
    if _CALLS not in settings.purgers:
        return RecordedFiles(by_purger=files)
    if _outlive(settings, facts):
        why = "some are to be kept for longer than their calls"
        return RecordedFiles(by_purger=files, warnings=tuple(_left(settings, why)))
    files[_CALLS] = RowFiles(column=f"{_TABLE}.{_COLUMN}", under=under)
    return RecordedFiles(by_purger=files)


def _left(settings: Settings, why: str) -> Iterator[str]:
    if _CALLS in settings.purgers:
        yield f"{_CALLS} purger: recordings go with their calls, but their files stay: {why}"


def _outlive(settings: Settings, facts: DatabaseFacts) -> bool:
    """Whether any tenant's recordings are to be kept for longer than its calls."""
    calls = tenant_days(Retention.CALLS, days=settings.days_for(_CALLS), facts=facts)
    recordings = tenant_days(Retention.RECORDINGS, days=settings.days_for(_RECORDINGS), facts=facts)
    mine, theirs = _by_tenant(recordings), _by_tenant(calls)
    return recordings.default > calls.default or any(
        mine.get(tenant, recordings.default) > theirs.get(tenant, calls.default) for tenant in {*mine, *theirs}
    )


def _by_tenant(days: TenantDays) -> dict[str, int]:
    return {tenant: number for number, tenants in days.tenants.items() for tenant in tenants}


def _under(settings: Settings, archives: Mapping[str, Address]) -> str:
    origin = settings.origins.get("lapse.recordings")
    try:
        under = folder_address(settings.recordings, settings.file.parent)
    except AddressError as error:
        raise PolicyError(f"`lapse.recordings`: {error}", hint=error.hint, origin=origin) from error
    for complaint in bad_file_folders({_RECORDINGS: under}, archives, None):
        message = complaint.message.replace("`under`", "`lapse.recordings`")
        raise PolicyError(message, hint=complaint.hint, origin=origin)
    return under.full
