"""The audit settings of a profile and its schema registry, as a policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from lapse.dialects.mxcp.registry import Retention
from lapse.dialects.mxcp.site import Audit, ProfileError
from lapse.dialects.policytext import PolicyText, policy_text
from lapse.errors import PolicyError
from lapse.model.match import Condition, Match
from lapse.model.period import FOREVER, Kind, Period, parse_period
from lapse.model.policy import Archive, Dataset, Policy, Rule
from lapse.stores.jsonl.series import SEGMENTS

_MOST_DAYS = 3_650_000  # about 10,000 years: no record is older
_NAME, _VERSION = "schema_name", "schema_version"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 60
_WILD = re.compile(r"[*?\[]|\{(?=segments\})")


def policy_of(
    audit: Audit, schemas: Sequence[Retention], *, archive: Archive | None = None, ledger: str | None = None
) -> Policy:
    """The policy that says what the configuration means.

    Records of schemas without a rule are kept; so are those without a schema, or without a time that names its zone.

    Arguments:
        audit: The settings; they have a path.
        schemas: What the registry says.
        archive: Where records go before they are removed. None removes them without a copy, which is a waiver.
        ledger: Folder of the ledger, absolute. None keeps it in the state folder.
    """
    log = log_of(audit)
    archives = () if archive is None else (archive.name,)
    dataset = Dataset(
        name=_dataset_name(audit.profile),
        store=_address(log),
        shown=str(log),
        time="timestamp",
        zone_required=True,
        type=_NAME,
        key="record_id",
        rules=tuple(_rule(index, schema, archives) for index, schema in enumerate(schemas)),
        require=(_NAME, _VERSION),
        doubt_before=None,
        crlf_allowed=True,
        writers="append-only",  # the server opens its file anew, to append, for each batch
    )
    return Policy(
        file=str(audit.site),
        folder=str(audit.site.parent),
        datasets={dataset.name: dataset},
        archives={} if archive is None else {archive.name: archive},
        ledger=ledger,
    )


def log_of(audit: Audit) -> Path:
    """The log of a profile.

    Raises:
        ProfileError: If nothing says where it is.
    """
    if audit.path is None:
        raise ProfileError(
            "Audit configuration missing required 'path' field",
            hint=f"Add `path:` under profiles.{audit.profile}.audit in {audit.site}.",
        )
    return audit.path


def text_of(policy: Policy, audit: Audit) -> PolicyText:
    """The policy as the text of a ``lapse.yaml``.

    Raises:
        PolicyError: If a schema has a name that no policy can have.
    """
    head = [
        f"What {audit.site} and its schema registry mean for the profile {audit.profile}.",
        "`lapse run --allow-empty` with this policy does what the drop-in does. A schema that is registered later is",
        'kept until it has a line here; and a policy takes a version that is text, as "2", for the number.',
    ]
    datasets = {name: replace(each, rules=_printable(each.rules)) for name, each in policy.datasets.items()}
    return policy_text(replace(policy, datasets=datasets), head=head, variable="LAPSE_MXCP")


def _printable(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    for rule in rules:
        for condition in rule.match.conditions:
            if any(value.startswith(("glob:", "set:")) or "${" in value for value in condition.values):
                raise PolicyError(
                    f"{condition} has a name that means something else in a policy",
                    hint="The drop-in itself can work with it.",
                    origin=rule.origin,
                )
    return tuple(replace(rule, keep=_ONE_DAY) if rule.keep == _NO_DAY else rule for rule in rules)


def _rule(index: int, schema: Retention, archives: tuple[str, ...]) -> Rule:
    keep = _period(schema.days)
    conditions = (
        Condition(field=_NAME, values=(schema.name,), role="type"),
        Condition(field=_VERSION, values=(), numbers=(schema.version,), role=_VERSION),
    )
    return Rule(
        index=index, match=Match(conditions), keep=keep, archives=archives, waived=not archives, origin=schema.origin
    )


_NO_DAY = Period(text="0 whole days", kind=Kind.WHOLE_DAYS)
"""What is a day old goes; a policy's own text cannot say so to the nanosecond."""
_ONE_DAY = parse_period("1 day")


def _period(days: int | None) -> Period:
    if days is None or days > _MOST_DAYS:
        return FOREVER
    return parse_period(f"{days} whole days") if days else _NO_DAY


def _dataset_name(profile: str) -> str:
    """A name for the dataset of a profile, safe as the name of a folder, and its own."""
    name = f"audit-{profile}"
    safe = _UNSAFE.sub("-", name)[:_LONGEST_NAME]
    return name if safe == name else f"{safe}-{sha256(profile.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _address(log: Path) -> str:
    """The log and its segments; what looks like a wildcard in its path is itself."""
    folder, stem, suffix = (_WILD.sub(r"[\g<0>]", text) for text in (str(log.parent), log.stem, log.suffix))
    return f"{folder}/{stem}{SEGMENTS}{suffix}"
