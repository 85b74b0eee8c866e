"""How long each tenant of call-logd keeps calls, exports and recordings: two small tables to numbers of days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lapse.dialects.xivo.tables import Retention
from lapse.errors import StoreError
from lapse.model.facts import DatabaseFacts, SmallTable

RETENTIONS = SmallTable(
    name="call_logd_retention", columns=("tenant_uuid", *(f"{each.value}_days" for each in Retention))
)
CONFIG = SmallTable(
    name="call_logd_config", columns=tuple(f"retention_{each.value}_days" for each in Retention), most=1
)
SHIPPED = {Retention.CALLS: 365, Retention.EXPORTS: 2, Retention.RECORDINGS: 365}
"""The defaults that call-logd comes with."""

_PURGE_SHIPPED = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantDays:
    """How long the tenants keep one kind of record.

    Attributes:
        default: Days of every tenant without a number of its own.
        tenants: Tenants by their own number of days, where it is another one; both sorted.
        warnings: What someone should look at.
    """

    default: int
    tenants: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def tenant_days(retention: Retention, *, days: int, facts: DatabaseFacts) -> TenantDays:
    """How long each tenant keeps records of one kind.

    Arguments:
        retention: Which kind.
        days: The purge's own number.
        facts: What the database has; without the table of retentions, tenants have no say.

    Raises:
        StoreError: If a number of days is negative or none at all.
    """
    if RETENTIONS.name not in facts.rows:
        return TenantDays(default=days)
    shipped, configured, warnings = SHIPPED[retention], *_configured(retention, facts)
    default = _default(retention, days=days, configured=configured, is_shipped=configured == shipped)
    return TenantDays(default=default, tenants=_tenants(retention, facts, default), warnings=warnings)


def _default(retention: Retention, *, days: int, configured: int, is_shipped: bool) -> int:
    """The default of call-logd, unless only the purge was told another number."""
    if days == _PURGE_SHIPPED or not is_shipped:
        return configured
    # The original takes the purge's number here, too, so that fewer days there keep exports for longer.
    return min(days, configured) if retention is Retention.EXPORTS else days


def _configured(retention: Retention, facts: DatabaseFacts) -> tuple[int, tuple[str, ...]]:
    column = f"retention_{retention.value}_days"
    rows = facts.rows.get(CONFIG.name, ())
    found = _days(rows[0].get(column), f"{CONFIG.name}.{column}") if rows else None
    if found is not None:
        return found, ()
    shipped = SHIPPED[retention]
    what = f"{column} is not set" if rows else "it has no row"
    return shipped, (f"{CONFIG.name}: {what}; the {shipped} days that call-logd comes with count",)


def _tenants(retention: Retention, facts: DatabaseFacts, default: int) -> dict[int, tuple[str, ...]]:
    column = f"{retention.value}_days"
    own: dict[int, list[str]] = {}
    for row in facts.rows[RETENTIONS.name]:
        days = _days(row.get(column), f"{RETENTIONS.name}.{column}")
        tenant = row.get("tenant_uuid")
        if days is not None and days != default and tenant is not None:
            own.setdefault(days, []).append(tenant)
    return {days: tuple(sorted(own[days])) for days in sorted(own)}


def _days(text: str | None, where: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise StoreError(f"{where}: {text!r} is no number of days", hint="Put 0 or more there, or NULL.")
    return int(text)
