"""The configuration and what the database has, as a policy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lapse.dialects.additions import ARCHIVE
from lapse.dialects.xivo.recordings import recorded_files, recording_warnings
from lapse.dialects.xivo.settings import MOST_DAYS, Settings, as_days
from lapse.dialects.xivo.tables import BY_NAME, Purger
from lapse.dialects.xivo.tenants import CONFIG, RETENTIONS, TenantDays, tenant_days
from lapse.errors import PolicyError, StoreError
from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.model.match import Condition, Match
from lapse.model.period import Period, parse_period
from lapse.model.policy import Archive, Dataset, Policy, Rule
from lapse.policyfile.addresses import Address, folder_address, target_address
from lapse.policyfile.secrets import AddressError
from lapse.registry import target_schemes

_EVENTS = BY_NAME["cel"].table
_TEXT = re.compile(r"text|character")
_ZONED = re.compile(r"timestamptz|timestamp(\([0-9]\))? with time zone")
"""Types whose times carry a zone; others are in the session's."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A policy, and what someone should look at in it."""

    policy: Policy
    warnings: tuple[str, ...]


def tables_of(settings: Settings) -> tuple[str, ...]:
    """The tables that the enabled purgers need to know of."""
    own = [BY_NAME[name].table for name in settings.purgers if name in BY_NAME]
    own += [BY_NAME["recordings"].table] if "call-logs" in settings.purgers else []
    return tuple(dict.fromkeys([*own, _EVENTS]))


def small_tables_of(settings: Settings) -> Sequence[SmallTable]:
    """The tables of settings that the enabled purgers need to read."""
    own = [BY_NAME[name] for name in settings.purgers if name in BY_NAME]
    return (RETENTIONS, CONFIG) if any(purger.retention is not None for purger in own) else ()


def policy_of(settings: Settings, facts: DatabaseFacts) -> Meaning:
    """The policy that says what the configuration means for this database.

    Raises:
        PolicyError: If a number of days or Lapse's own archive cannot be followed.
        StoreError: If the time zone of the database is none that has rules.
    """
    _check_zone(facts.time_zone, settings.shown)
    target = _target(settings)
    archives = {} if target is None else {ARCHIVE: Archive(name=ARCHIVE, to=target.full, shown=target.shown)}
    datasets: dict[str, Dataset] = {}
    warnings: list[str] = []
    for name in settings.purgers:
        if name not in BY_NAME:
            continue
        days = _days(settings, BY_NAME[name], facts)
        datasets[name] = _dataset(settings, BY_NAME[name], days, facts, archives)
        if name == "recordings":
            files = recorded_files(settings, {} if target is None else {ARCHIVE: target})
            datasets[name] = replace(datasets[name], files=files)
        warnings += (f"{name} purger: {text}" for text in days.warnings)
    policy = Policy(
        file=str(settings.file),
        folder=str(settings.file.parent),
        datasets=datasets,
        archives=archives,
        ledger=_ledger(settings),
    )
    warnings += [*recording_warnings(settings, facts), *_rebuilt(settings, facts)]
    return Meaning(policy, tuple(dict.fromkeys(warnings)))


def _rebuilt(settings: Settings, facts: DatabaseFacts) -> Iterator[str]:
    """Up to 21.02 a nightly job makes call logs of events that belong to none: purged ones, too."""
    if "call-log" not in settings.purgers or "call_log_id" not in facts.tables.get(_EVENTS, {}):
        return
    days = settings.days_for("call-log")
    if "cel" not in settings.purgers or settings.days_for("cel") > days:
        yield (
            f"call-log purger: call events are kept for longer than the {days} days of call logs, and lose their"
            " reference; a nightly job makes new call logs of such events, so that purged ones come back"
        )


def _days(settings: Settings, purger: Purger, facts: DatabaseFacts) -> TenantDays:
    days = settings.days_for(purger.name)
    if purger.retention is None:
        return TenantDays(default=days)
    return tenant_days(purger.retention, days=days, facts=facts)


def _dataset(
    settings: Settings, purger: Purger, days: TenantDays, facts: DatabaseFacts, archives: dict[str, Archive]
) -> Dataset:
    origin = settings.origins.get(f"enabled_plugins.purgers.{purger.name}")
    kind = facts.tables.get(purger.table, {}).get(purger.time, "")
    return Dataset(
        name=purger.name,
        store=settings.address,
        shown=settings.shown,
        table=purger.table,
        time=purger.time,
        zone=facts.time_zone if kind and not _ZONED.fullmatch(kind) else None,
        tenant=purger.tenant,
        empty_is_oldest=settings.purges_empty_times and bool(_TEXT.match(kind)),
        rules=_rules(purger, days, facts.time_zone, tuple(archives)),
        origins={} if origin is None else {"": origin},
    )


def _rules(purger: Purger, days: TenantDays, zone: str, archives: tuple[str, ...]) -> tuple[Rule, ...]:
    found = [(_match(purger, tenants), number) for number, tenants in days.tenants.items()]
    return tuple(
        Rule(index=index, match=match, keep=period_of(number, zone), archives=archives, waived=not archives)
        for index, (match, number) in enumerate([*found, (Match(), days.default)])
    )


def _match(purger: Purger, tenants: tuple[str, ...]) -> Match:
    return Match((Condition(field=purger.tenant or "", values=tenants, role="tenant"),))


def period_of(days: int, zone: str) -> Period:
    """The period that keeps *days* calendar days of *zone*; 0 keeps nothing that is past.

    Raises:
        PolicyError: If it is longer than the calendar, or the zone has no rules.
    """
    if days > MOST_DAYS:
        raise PolicyError(f"{as_days(days)} are longer than the calendar", hint="Write fewer.")
    if days == 0:
        return parse_period("no time")
    return parse_period(f"{days} calendar days in {zone}")


def _check_zone(zone: str, shown: str) -> None:
    try:
        period_of(1, zone)
    except PolicyError as error:
        raise StoreError(
            f"{shown}: the time zone of its sessions, {zone!r}, is none whose days can be counted",
            hint="Give the role one with an IANA name, like: ALTER ROLE asterisk SET timezone = 'Europe/Paris'",
        ) from error


def _target(settings: Settings) -> Address | None:
    """Where Lapse's own archive is. None without one."""
    if settings.archive is None:
        return None
    try:
        return target_address(settings.archive, settings.file.parent, target_schemes())
    except AddressError as error:
        origin = settings.origins.get("lapse.archive")
        raise PolicyError(f"`lapse.archive`: {error}", hint=error.hint, origin=origin) from error


def _ledger(settings: Settings) -> str | None:
    if settings.ledger is None:
        return None
    try:
        return folder_address(settings.ledger, settings.file.parent).local
    except AddressError as error:
        origin = settings.origins.get("lapse.ledger")
        raise PolicyError(f"`lapse.ledger`: {error}", hint=error.hint, origin=origin) from error
