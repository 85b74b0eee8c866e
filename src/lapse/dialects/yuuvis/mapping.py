"""The configuration as a policy: a dataset for each database, whose rules go by action and, where asked, by tenant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lapse.dialects.policytext import PolicyText, policy_text
from lapse.dialects.yuuvis.configuration import MOST_DAYS, Configuration
from lapse.dialects.yuuvis.stores import Trail
from lapse.errors import Origin
from lapse.model.match import Condition, Match, Range
from lapse.model.period import FOREVER, Period, parse_period
from lapse.model.policy import Archive, Dataset, Policy, Rule, TimeFormat

_TABLE, _TIME, _KEY = "auditentry", "creationdate", "objectid"
_ACTION, _TENANT = "action", "tenant"
_LOOSE = "sqlite://"
"""Addresses of databases whose columns may hold values of any type."""

_CODES = (Range(last=-1), Range(first=0))
"""All whole numbers: no text, no number with a fraction and no bytes."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the configuration.

    Attributes:
        action: The code. None for all that no other line is about.
        days: Days; negative for ever.
        origin: Where it is written. None if it follows from the default.
    """

    action: int | None
    days: int
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """The policy that a configuration means.

    Attributes:
        policy: The policy, a dataset for each database.
        actions: The action of each rule, index for index; the same in every dataset. None is all others.
    """

    policy: Policy
    actions: tuple[int | None, ...]


def meaning_of(
    configuration: Configuration,
    trails: Sequence[Trail],
    *,
    archive: Archive | None = None,
    ledger: str | None = None,
    tenants: Sequence[str] | None = None,
) -> Meaning:
    """The policy to run. Every known action has a rule of its own, so that what goes is counted by action.

    Arguments:
        configuration: What is kept for how long.
        trails: The databases.
        archive: Where entries go before they are removed. None removes them without a copy, which is a waiver.
        ledger: Folder of the ledger, absolute. None keeps it in the state folder.
        tenants: The tenants whose entries may go. None means all.
    """
    lines = tuple(_spread(configuration))
    policy = _policy(configuration, trails, lines, archive=archive, ledger=ledger, tenants=tenants)
    datasets = {name: _strict(each) for name, each in policy.datasets.items()}
    policy = replace(policy, datasets=datasets)
    return Meaning(policy, tuple(line.action for line in lines))


def text_of(
    configuration: Configuration, trails: Sequence[Trail], *, archive: Archive | None, ledger: str | None
) -> PolicyText:
    """The same rules, a line for each that is written, as the text of a ``lapse.yaml``."""
    lines = tuple(_written(configuration))
    policy = _policy(configuration, trails, lines, archive=archive, ledger=ledger, tenants=None)
    names = configuration.catalogue.names
    head = [
        f"What {configuration.file} means.",
        "`lapse run --allow-empty` with this policy does what the drop-in does.",
        *(f"{age.action} is {names[age.action]}." for age in configuration.ages),
    ]
    return policy_text(policy, head=head, variable="LAPSE_YUUVIS")


def _policy(
    configuration: Configuration,
    trails: Sequence[Trail],
    lines: Sequence[_Line],
    *,
    archive: Archive | None,
    ledger: str | None,
    tenants: Sequence[str] | None,
) -> Policy:
    archives = () if archive is None else (archive.name,)
    scope = () if tenants is None else (Condition(field=_TENANT, values=tuple(tenants), role=_TENANT),)
    rules = tuple(_rule(index, line, scope, archives) for index, line in enumerate(lines))
    return Policy(
        file=str(configuration.file),
        folder=str(configuration.file.parent),
        datasets={trail.name: _dataset(trail, rules) for trail in trails},
        archives={} if archive is None else {archive.name: archive},
        ledger=ledger,
    )


def _strict(dataset: Dataset) -> Dataset:
    """The dataset, whose rule for all other actions is for codes alone where a column may hold anything."""
    if not dataset.store.startswith(_LOOSE):
        return dataset
    code = Condition(field=_ACTION, values=(), ranges=_CODES, role="type")
    rules = (
        rule if _ACTION in rule.match.fields else replace(rule, match=Match((code, *rule.match.conditions)))
        for rule in dataset.rules
    )
    return replace(dataset, rules=tuple(rules))


def _dataset(trail: Trail, rules: tuple[Rule, ...]) -> Dataset:
    return Dataset(
        name=trail.name,
        store=trail.address,
        shown=trail.shown,
        table=_TABLE,
        time=_TIME,
        time_format=TimeFormat.ISO,
        zone_required=True,
        type=_ACTION,
        tenant=_TENANT,
        key=_KEY,
        rules=rules,
        require=(_TENANT, _ACTION),
        origins={} if trail.origin is None else {"": trail.origin},
    )


def _written(configuration: Configuration) -> Iterator[_Line]:
    """A line for each that is written, and for each that is ignored: its entries are kept."""
    yield from (_Line(age.action, age.days, age.origin) for age in configuration.ages)
    yield from (_Line(action, -1) for action in configuration.ignored)
    if configuration.default is not None:
        yield _Line(None, configuration.default)


def _spread(configuration: Configuration) -> Iterator[_Line]:
    """The same, with a line for each known action that the default is for."""
    found = [line for line in _written(configuration) if line.action is not None]
    yield from found
    if configuration.default is not None:
        covered = {line.action for line in found}
        others = (code for code in sorted(configuration.catalogue.names) if code not in covered)
        yield from (_Line(code, configuration.default) for code in (*others, None))


def _rule(index: int, line: _Line, scope: tuple[Condition, ...], archives: tuple[str, ...]) -> Rule:
    action = () if line.action is None else (Condition(field=_ACTION, values=(str(line.action),), role="type"),)
    return Rule(
        index=index,
        match=Match((*action, *scope)),
        keep=_period(line.days),
        archives=archives,
        waived=not archives,
        origin=line.origin,
    )


def _period(days: int) -> Period:
    """Days of 86,400 s; 0 keeps nothing that is past, and a negative number everything."""
    if days < 0 or days > MOST_DAYS:
        return FOREVER
    return parse_period(f"{days} {'day' if days == 1 else 'days'}") if days else parse_period("no time")
