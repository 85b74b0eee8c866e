"""The rules of a dataset, in the order in which they decide: those of single tenants, and those that all share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lapse.errors import Origin
from lapse.model.match import Condition, Match
from lapse.model.period import Period
from lapse.model.policy import Rule
from lapse.policyfile.fields import ROLES, bad_fields, match_of
from lapse.policyfile.models import DatasetShape, RuleShape, TenantShape, keys_of
from lapse.policyfile.newest import last_of
from lapse.policyfile.references import WAIVER
from lapse.policyfile.shape import shaped
from lapse.policyfile.tenants import Section, other_tenants, sections
from lapse.policyfile.tree import Mapped, Node, items

_Archive = str | list[str] | None


@dataclass(frozen=True, slots=True)
class _Written:
    """A rule as it is written.

    Attributes:
        section: Where it stands.
        place: Its position there, from 0.
        shape: What it says.
        archive: Where its records go, unless it says so itself.
        derived: What is made of its records, unless it says so itself.
        origin: Its place in the file.
    """

    section: Section
    place: int
    shape: RuleShape
    archive: _Archive
    derived: list[str] | None
    origin: Origin


def rules_of(dataset: Node, shape: DatasetShape, columns: Mapping[str, str]) -> tuple[Rule, ...]:
    """Every rule of a dataset with its place.

    Arguments:
        dataset: What is written.
        shape: The same in its shape.
        columns: What the roles stand for.
    """
    return _made(_written(dataset, shape), columns, has_tenants=bool(shape.tenants))


def sound_rules(dataset: Node) -> tuple[Rule, ...]:
    """Those rules of a dataset in which nothing is wrong, whatever is wrong beside them; numbered as all are."""
    if not isinstance(dataset, Mapped):
        return ()
    columns = {role: dataset.text(role) or role for role in ROLES}
    return _made(_written_soundly(dataset), columns, has_tenants=True)


def _written(dataset: Node, shape: DatasetShape) -> Iterator[_Written]:
    for section in sections(dataset):
        own = shape if section.entry is None else shape.tenants[section.entry.key]
        archive = own.archive or shape.archive
        for place, (rule, origin) in enumerate(_rules(section, own)):
            yield _Written(section, place, rule, archive, shape.derived, origin)


def _rules(section: Section, shape: DatasetShape | TenantShape) -> Iterator[tuple[RuleShape, Origin]]:
    """The rules of a section with where they are written; a period alone is a rule for everything."""
    node = section.keep
    if node is None or shape.keep is None:
        return
    if isinstance(shape.keep, Period):
        yield RuleShape.model_validate({"for": shape.keep.text}), node.origin
        return
    yield from ((rule, item.origin) for rule, item in zip(shape.keep, items(node), strict=True))


def _written_soundly(dataset: Mapped) -> Iterator[_Written]:
    for section in sections(dataset):
        if any(other_tenants(section)):
            continue
        for place, rule in enumerate(section.rules):
            fields = [entry for entry in rule.entries if entry.key not in keys_of(RuleShape)]
            shape = None if any(bad_fields(fields, keys_of(RuleShape))) else shaped(RuleShape, rule)
            if shape is not None:
                yield _Written(section, place, shape, WAIVER, None, rule.origin)


def _made(written: Iterator[_Written], columns: Mapping[str, str], *, has_tenants: bool) -> tuple[Rule, ...]:
    """Rules in order; many ask for the same, so each condition is kept once."""
    made: list[Rule] = []
    known: dict[Condition, Condition] = {}
    for each in written:
        conditions = (*_of_tenant(each.section, columns), *match_of(each.shape.model_extra, columns).conditions)
        names = _names(each.shape.archive or each.archive)
        made.append(
            Rule(
                index=len(made),
                match=Match(tuple(known.setdefault(condition, condition) for condition in conditions)),
                keep=each.shape.for_,
                archives=tuple(name for name in names if name != WAIVER),
                waived=WAIVER in names,
                last=last_of(each.shape.keep_last, columns),
                tenant=each.section.tenant,
                derived=tuple(dict.fromkeys(each.shape.derived or each.derived or ())),
                place=each.place if has_tenants else None,
                origin=each.origin,
            )
        )
    return tuple(made)


def _of_tenant(section: Section, columns: Mapping[str, str]) -> tuple[Condition, ...]:
    tenant = section.tenant
    return () if tenant is None else (Condition(columns["tenant"], (tenant,), role="tenant"),)


def _names(archive: _Archive) -> list[str]:
    return [archive] if isinstance(archive, str) else archive or []
