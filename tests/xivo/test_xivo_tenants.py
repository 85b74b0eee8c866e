"""Tenants of call-logd: whose number of days counts."""

from __future__ import annotations

import pytest

from lapse.dialects.xivo.mapping import policy_of
from lapse.dialects.xivo.tables import Retention
from lapse.dialects.xivo.tenants import TenantDays, tenant_days
from lapse.errors import StoreError
from lapse.model.facts import DatabaseFacts

CALLS, EXPORTS, RECORDINGS = Retention.CALLS, Retention.EXPORTS, Retention.RECORDINGS
SHIPPED = {CALLS: "365", EXPORTS: "2", RECORDINGS: "365"}


def facts(
    config: dict[Retention, str | None] | None, tenants: dict[str, tuple[str | None, str | None, str | None]]
) -> DatabaseFacts:
    """A database with these defaults (None: no row), and these tenants' days of calls, exports and recordings."""
    columns = [f"{kind.value}_days" for kind in Retention]
    rows = tuple({"tenant_uuid": name, **dict(zip(columns, days, strict=True))} for name, days in tenants.items())
    defaults = () if config is None else ({f"retention_{kind.value}_days": days for kind, days in config.items()},)
    return DatabaseFacts(time_zone="UTC", rows={"call_logd_retention": rows, "call_logd_config": defaults})


@pytest.mark.parametrize(
    ("kind", "purge", "default", "expected"),
    [
        (CALLS, 365, "365", 365),  # nobody said anything
        (CALLS, 30, "365", 30),  # only the purge was told another number
        (CALLS, 0, "365", 0),
        (CALLS, 400, "365", 400),
        (CALLS, 30, "90", 90),  # the default was changed: it counts
        (CALLS, 365, "90", 90),
        (CALLS, 365, "0", 0),
        (RECORDINGS, 30, "365", 30),
        (RECORDINGS, 365, "10", 10),
        (EXPORTS, 365, "2", 2),
        (EXPORTS, 30, "2", 2),  # the original would keep exports for 30 days
        (EXPORTS, 1, "2", 1),
        (EXPORTS, 0, "2", 0),
        (EXPORTS, 1, "9", 9),
    ],
)
def test_the_days_of_a_tenant_without_a_number(kind: Retention, purge: int, default: str, expected: int) -> None:
    """The purge's number if it was changed and the default was not, else the default; exports take the shorter."""
    found = tenant_days(kind, days=purge, facts=facts({**SHIPPED, kind: default}, {"t": (None, None, None)}))

    assert found == TenantDays(default=expected)


def test_a_tenant_s_own_number_counts_before_all(tmp_path: object) -> None:
    """Nought is a number; each kind has its own; what equals the default needs no rule."""
    tenants: dict[str, tuple[str | None, str | None, str | None]] = {
        "b": ("0", "5", None), "a": ("0", None, "7"), "c": ("30", "2", "365"), "d": ("90", None, None),
    }  # fmt: skip
    known = facts({**SHIPPED}, tenants)

    assert tenant_days(CALLS, days=30, facts=known).tenants == {0: ("a", "b"), 90: ("d",)}
    assert tenant_days(EXPORTS, days=30, facts=known).tenants == {5: ("b",)}
    assert tenant_days(RECORDINGS, days=30, facts=known).tenants == {7: ("a",), 365: ("c",)}


@pytest.mark.parametrize("config", [None, {CALLS: None, EXPORTS: None, RECORDINGS: None}])
def test_without_a_configured_default_the_shipped_one_counts_with_a_warning(
    config: dict[Retention, str | None] | None,
) -> None:
    """No row, and a row that says nothing."""
    known = facts(config, {})

    found = tenant_days(EXPORTS, days=365, facts=known)

    assert found.default == 2
    assert "call_logd_config" in found.warnings[0]
    assert tenant_days(CALLS, days=30, facts=known).default == 30


def test_before_tenants_had_a_say_the_purge_s_number_counts() -> None:
    """Without the table of retentions, exports too."""
    found = tenant_days(EXPORTS, days=365, facts=DatabaseFacts(time_zone="UTC"))

    assert found == TenantDays(default=365)


@pytest.mark.parametrize("days", ["-1", "1.5", "", "soon", "٣"])
def test_a_number_that_is_none_stops_the_purge(days: str) -> None:
    """A negative one would remove what is to come."""
    with pytest.raises(StoreError, match=r"call_logd_retention\.cdr_days"):
        tenant_days(CALLS, days=30, facts=facts({**SHIPPED}, {"t": (days, None, None)}))


def test_tenants_become_rules_that_are_asked_in_order(tmp_path: object) -> None:
    """One for each number, naming the tenants exactly; the last is for everybody else."""
    from pathlib import Path

    from lapse.dialects.xivo.settings import load

    folder = Path(str(tmp_path)) / "wazo-purge-db"
    folder.mkdir()
    (folder / "config.yml").write_text("enabled_plugins: {purgers: {call-logs: true}}")
    known = facts({**SHIPPED}, {"b": ("0", None, None), "a": ("0", None, None), "c": ("30", None, None)})

    dataset = policy_of(load(folder.parent, days=90, foreign=()), known).policy.datasets["call-logs"]

    assert dataset.tenant == "tenant_uuid"
    assert [str(rule) for rule in dataset.rules] == [
        "rule 1 (tenant a, b: no time)",
        "rule 2 (tenant c: 30 calendar days in UTC)",
        "rule 3 (everything: 90 calendar days in UTC)",
    ]
    assert [condition.field for rule in dataset.rules for condition in rule.match.conditions] == ["tenant_uuid"] * 2
