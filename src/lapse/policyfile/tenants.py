"""Rules that belong to one tenant: the sections of a dataset, in the order in which their rules decide."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lapse.errors import Complaint
from lapse.policyfile.secrets import has_reference, unescaped
from lapse.policyfile.tree import Entry, Mapped, Node, children, items

KEY = "tenants"
_ROLE = "tenant"
_NOT_NAMES = ("glob:", "set:")
_EXACT = "A section is for one tenant, by its exact name."


@dataclass(frozen=True, slots=True)
class Section:
    """A list of rules.

    Attributes:
        entry: The tenant and what is written for it. None for the rules that all tenants share.
        node: The mapping in which `keep` and `archive` stand.
    """

    entry: Entry | None
    node: Mapped

    @property
    def tenant(self) -> str | None:
        """The tenant's exact name. None for the rules that all share."""
        return None if self.entry is None else unescaped(self.entry.key)

    @property
    def keep(self) -> Node | None:
        """The period or the rules. None if nothing is written."""
        return self.node.get("keep")

    @property
    def rules(self) -> tuple[Mapped, ...]:
        """Its rules, as far as they are mappings."""
        return tuple(rule for rule in items(self.keep) if isinstance(rule, Mapped))


def sections(dataset: Node) -> Iterator[Section]:
    """The rules of every tenant, in file order, and then those that all share."""
    if not isinstance(dataset, Mapped):
        return
    for entry in children(dataset.get(KEY)):
        if isinstance(entry.node, Mapped):
            yield Section(entry, entry.node)
    yield Section(None, dataset)


def bad_tenants(dataset: Mapped) -> Iterator[Complaint]:
    """Sections of tenants that cannot be told apart, or that are for more than one tenant."""
    tenants = dataset.entry(KEY)
    if tenants is None:
        return
    if dataset.entry(_ROLE) is None:
        what = f"`{KEY}`: the dataset does not say which field holds the tenant"
        yield Complaint(tenants.origin, what, f"Add `{_ROLE}: COLUMN` to the dataset.")
    for entry in children(tenants.node):
        yield from _bad_name(entry)
    for section in sections(dataset):
        yield from other_tenants(section)


def _bad_name(entry: Entry) -> Iterator[Complaint]:
    prefix = next((each for each in _NOT_NAMES if entry.key.startswith(each)), None)
    if prefix is not None:
        hint = f'{_EXACT} Write such a rule under `keep`: {{{_ROLE}: "{entry.key}", for: …}}.'
        yield Complaint(entry.origin, f"`{entry.key}` cannot name a tenant: `{prefix}` stands for several", hint)
    elif not entry.key.strip():
        hint = f'{_EXACT} Records without one are matched under `keep`: {{{_ROLE}: "", for: …}}.'
        yield Complaint(entry.origin, f"`{KEY}`: the name of a tenant is empty", hint)
    elif has_reference(entry.key):
        what = f"`{entry.key}`: `${{…}}` is replaced in `store`, `to`, `under` and `ledger` only"
        yield Complaint(entry.origin, what, "Write the tenant's name, or `$${` for the characters `${`.")


def other_tenants(section: Section) -> Iterator[Complaint]:
    """Rules of a tenant that speak of tenants themselves."""
    for rule in section.rules if section.entry is not None else ():
        said = rule.entry(_ROLE)
        if said is not None:
            what = f"`{_ROLE}` means nothing here: these are the rules of the tenant `{section.tenant}`"
            yield Complaint(said.origin, what, "Remove it, or move the rule to `keep`, where all tenants' rules stand.")


def added_alone(dataset: Node) -> bool:
    """Whether a dataset says nothing but the rules of tenants: these belong to the dataset of that name elsewhere."""
    return isinstance(dataset, Mapped) and [entry.key for entry in dataset.entries] == [KEY]


def homeless(datasets: Node | None) -> Iterator[Complaint]:
    """Rules of tenants for datasets that stand nowhere, once every file is merged."""
    entries = children(datasets)
    known: Collection[str] = [entry.key for entry in entries if not added_alone(entry.node)]
    for entry in entries:
        if added_alone(entry.node):
            shown = ", ".join(f"`{name}`" for name in known)
            hint = f"The policy has {shown}." if known else "Write the dataset, with its `store` and `time`."
            yield Complaint(entry.origin, f"there is no dataset `{entry.key}` to which `{KEY}` could be added", hint)
