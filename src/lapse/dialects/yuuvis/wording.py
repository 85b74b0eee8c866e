"""What a cleanup says: lines for people, one object for programs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from lapse.canonical import Json
from lapse.dialects.yuuvis.cleanup import Cleanup, Deleted
from lapse.dialects.yuuvis.units import Unfinished
from lapse.instant import rfc3339

if TYPE_CHECKING:
    from lapse.dialects.policytext import PolicyText

OTHER = "other"
"""What stands for all actions that are in no catalogue."""


def cleanup_lines(done: Cleanup) -> Iterator[str]:
    """What went, for people: the sum, then a line for each tenant."""
    verb = "would be deleted" if done.dry else "deleted"
    yield f"{_entries(done.total)} {verb}."
    for tenant, found in groupby(done.deleted, key=lambda each: each.tenant):
        actions = ", ".join(f"{_action(each, done)}: {each.entries:,}" for each in found)
        yield f"  {_name(tenant)}: {actions}"


def unfinished_line(left: Unfinished) -> str:
    """What did not complete, with the tenants and the store."""
    names = ", ".join(map(_name, left.tenants))
    whose = f"{'tenant' if len(left.tenants) == 1 else 'tenants'} {names} in " if left.tenants else ""
    return f"{whose}{left.store} did not complete: {left.trouble.message.removeprefix(f'{left.store}: ')}"


def cleanup_object(done: Cleanup) -> Json:
    """What went, for programs."""
    by_tenant: dict[str, dict[str, int]] = {}
    for each in done.deleted:
        by_tenant.setdefault(each.tenant, {})[_code(each)] = each.entries
    return {
        "deleted": {"total": done.total, "by_tenant_and_action": by_tenant},
        "kept_doubtful": done.doubtful,
        "config_sha256": done.sha256,
        "now": rfc3339(done.now),
        "dry_run": done.dry,
        "incomplete": [
            {"store": left.store, "tenants": left.tenants, "error": left.trouble.message} for left in done.unfinished
        ],
    }


def policy_object(made: PolicyText) -> Json:
    """A policy, for programs, and the variables that it needs."""
    return {"policy": made.text, "variables": dict(made.variables)}


def trust_object(fingerprints: tuple[str, ...]) -> Json:
    """That databases are trusted, for programs."""
    return {"fingerprints": fingerprints}


def failure_object(message: str, code: int) -> Json:
    """Why there is no answer, for programs."""
    return {"error": message, "exit": code}


def _entries(count: int) -> str:
    return f"{count:,} audit {'entry' if count == 1 else 'entries'}"


def _action(each: Deleted, done: Cleanup) -> str:
    name = None if each.action is None else done.names.get(each.action)
    return _code(each) if name is None else f"{_code(each)} {name}"


def _code(each: Deleted) -> str:
    return OTHER if each.action is None else str(each.action)


def _name(tenant: str) -> str:
    """A tenant's name for people: with quotes where it could be taken for something else."""
    return tenant if tenant.isprintable() and tenant.strip(" ,:") == tenant and tenant else ascii(tenant)
