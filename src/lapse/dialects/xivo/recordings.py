"""Files of recordings, which go with their entries; and calls, which stay for as long as an entry of theirs does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
_SOUND = ".wav"
"""What Wazo's recordings end in, wherever they lie."""
_TABLE = BY_NAME[_RECORDINGS].table


def recorded_files(settings: Settings, archives: Mapping[str, Address]) -> RowFiles:
    """Where the files of recordings are named, and below which folder they lie.

    Arguments:
        settings: The configuration.
        archives: Lapse's own archive, by its name. No file of it may lie where recordings do.

    Raises:
        PolicyError: If the folder of the recordings can be none.
    """
    if settings.recordings is None:
        return RowFiles(column="path", under="/", ending=_SOUND)
    origin = settings.origins.get("lapse.recordings")
    try:
        under = folder_address(settings.recordings, settings.file.parent)
    except AddressError as error:
        raise PolicyError(f"`lapse.recordings`: {error}", hint=error.hint, origin=origin) from error
    for complaint in bad_file_folders({_RECORDINGS: under}, archives, None):
        message = complaint.message.replace("`under`", "`lapse.recordings`")
        raise PolicyError(message, hint=complaint.hint, origin=origin)
    return RowFiles(column="path", under=under.full)


def recording_warnings(settings: Settings, facts: DatabaseFacts) -> Iterator[str]:
    """What someone should look at where calls and their recordings do not go together."""
    if _CALLS not in settings.purgers or _TABLE not in facts.tables:
        return
    if _RECORDINGS not in settings.purgers:
        yield (
            f"{_CALLS} purger: recordings go with their calls, but their files stay, since the {_RECORDINGS} purger"
            " is not enabled"
        )
    elif _outlive(settings, facts):
        yield (
            f"{_CALLS} purger: some recordings are to be kept for longer than their calls; such calls stay for as"
            " long as their recordings"
        )


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
