"""Which rules, tenants, floors and holds of a policy have no record now: a slip in a name matches nothing, silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from lapse.engine.blaming import blaming
from lapse.engine.session import Session
from lapse.errors import Origin
from lapse.instant import MAX
from lapse.model.match import Match
from lapse.model.period import Kind
from lapse.model.policy import Dataset, Floor, Hold, Rule
from lapse.model.selection import HeldScope, Selection, Verdict, held_scopes, resolve, select
from lapse.policyfile.similar import nearest
from lapse.registry import open_store
from lapse.stages.guarding import check_fingerprint
from lapse.state.pins import Pins
from lapse.wrappers import ReadOnly

_MOST_MEANT = 20


class Selector(Enum):
    """What selects records in a policy."""

    RULE = "rule"
    TENANT = "tenant"
    FLOOR = "floor"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Something that selects records, and has none now.

    Attributes:
        selector: What it is.
        dataset: The dataset whose records it selects. None selects from all.
        name: The selector in words.
        keeps: Whether it is there to keep records: then a slip in it lets go what should stay.
        meant: The tenant that was likely meant. None if nothing is near.
        origin: Where it is written. None if that is not known.
    """

    selector: Selector
    dataset: str | None
    name: str
    keeps: bool
    meant: str | None = None
    origin: Origin | None = None

    def __str__(self) -> str:
        where = f"{self.dataset or 'all datasets'}: {self.name}"
        none = "no record has this tenant" if self.selector is Selector.TENANT else "it matches no record"
        if self.selector is Selector.RULE:
            none = "it decides about no record"
        meant = "" if self.meant is None else f"; did you mean `{self.meant}`?"
        return f"{'' if self.origin is None else f'{self.origin}: '}{where}: {none} now{meant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at one dataset found.

    Attributes:
        dataset: Its name.
        records: How many it has.
        undated: How many of them have no time that can be read: nothing selects these.
        tenants: The tenants of its records, as far as these have one.
    """

    dataset: str
    records: int
    undated: int
    tenants: frozenset[str]

    @property
    def says_something(self) -> bool:
        """Whether there is a record that could be selected."""
        return self.records > self.undated


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a look at every dataset of a policy found.

    Attributes:
        datasets: Each of them, in policy order.
        idle: What selects no record, dataset by dataset; then the floors and holds.
    """

    datasets: tuple[Look, ...]
    idle: tuple[Idle, ...]


def look(session: Session, holds: Sequence[Hold]) -> Looks:
    """Look at every dataset, read-only, for what selects no record now.

    A dataset without any record says nothing, and neither does a hold that is not in force.

    Raises:
        LapseError: If a store cannot be read; the place in the policy is added.
        GuardError: If a store is not the one the policy was written for: what it lacks would say nothing.
    """
    pins = Pins(session.folders.root)
    spelling = _Spelling()
    scopes = _Scopes(session.policy.floors, [hold for hold in holds if hold.active(session.real_now)], spelling)
    looks: list[Look] = []
    idle: list[Idle] = []
    for dataset in session.datasets([]):
        session.tell("dataset.planning", dataset=dataset.name)
        with blaming(dataset):
            store = ReadOnly(open_store(dataset, read_only=True))
            try:
                seen = store.identity().fingerprint
                check_fingerprint(dataset, seen, pins.pinned(session.state_name(dataset.name)))
                found = _Looking(session, dataset, store, spelling)
                looks.append(found.look())
                idle += found.idle()
                scopes.seen(found)
            finally:
                store.close()
    return Looks(datasets=tuple(looks), idle=(*idle, *scopes.idle(looks)))


class _Looking:
    """One dataset, looked at."""

    def __init__(self, session: Session, dataset: Dataset, store: ReadOnly, spelling: _Spelling) -> None:
        rules = tuple(replace(rule, last=None) if rule.last else rule for rule in dataset.rules)
        # What is doubtful for a run may still be selected; only a record without any time never is.
        self.dataset = replace(
            dataset, rules=rules, doubt_before=None, require=(), crlf_allowed=True, zone_required=False
        )
        self._store = store
        self._spelling = spelling
        plain = select(self.dataset, floors=(), holds=(), now=session.now, real_now=session.real_now)
        self._selection = replace(plain, doubt_after=MAX)
        self._rules: Counter[int] = Counter()
        self._tenants: set[str] = set()
        self._records = self._undated = 0
        self._survey()

    def _survey(self) -> None:
        outcomes = self._selection.outcomes
        for tally in self._store.survey(self._selection):
            self._records += tally.records
            self._undated += tally.records if outcomes[tally.code].verdict is Verdict.DOUBTFUL else 0
            if tally.tenant is not None:
                self._tenants.add(tally.tenant)
            rule = outcomes.rule_of(tally.code)
            if rule is not None:
                self._rules[rule] += tally.records

    def look(self) -> Look:
        """What was found."""
        tenants = frozenset(self._tenants)
        return Look(dataset=self.dataset.name, records=self._records, undated=self._undated, tenants=tenants)

    def idle(self) -> Iterator[Idle]:
        """Tenants that no record has, and rules that decide about none."""
        if not self.look().says_something:
            return
        sections: dict[str, list[Rule]] = {}
        for rule in self.dataset.rules:
            if rule.tenant is not None:
                sections.setdefault(rule.tenant, []).append(rule)
        absent = {name for name, rules in sections.items() if not self._has(name, rules)}
        yield from (self._absent(name, sections[name]) for name in sections if name in absent)
        for rule in self.dataset.rules:
            # What asks for nothing has no slip in it, and a default may well wait for its first record.
            if rule.own_match.conditions and rule.tenant not in absent and not self._rules[rule.index]:
                keeps = rule.keep.kind is Kind.FOREVER
                yield Idle(
                    selector=Selector.RULE,
                    dataset=self.dataset.name,
                    name=str(rule),
                    keeps=keeps,
                    meant=self._spelling.meant(rule.match, self._tenants),
                    origin=rule.origin,
                )

    def _has(self, tenant: str, rules: Sequence[Rule]) -> bool:
        return tenant in self._tenants or any(self._rules[rule.index] for rule in rules)

    def _absent(self, tenant: str, rules: Sequence[Rule]) -> Idle:
        keeps = any(rule.keep.kind is Kind.FOREVER for rule in rules)
        return Idle(
            selector=Selector.TENANT,
            dataset=self.dataset.name,
            name=f"tenant {tenant}",
            keeps=keeps,
            meant=self._spelling.near(tenant, self._tenants),
            origin=rules[0].origin,
        )

    def covered(self, scopes: dict[int, HeldScope]) -> Iterator[int]:
        """The numbers of those scopes that cover a record.

        A record counts for the first scope that covers it, so those that got none are counted again among themselves.
        """
        while scopes:
            numbers = list(scopes)
            selection = replace(self._bare(), holds=tuple(scopes.values()))
            codes = {tally.code for tally in self._store.survey(selection)}
            found = {number for offset, number in enumerate(numbers) if selection.first_hold + offset in codes}
            if not found:
                return
            yield from found
            scopes = {number: scope for number, scope in scopes.items() if number not in found}

    def _bare(self) -> Selection:
        return replace(self._selection, dataset=replace(self.dataset, rules=()), sources=())


class _Scopes:
    """Floors and holds, of which one is idle if it covers no record of any dataset."""

    def __init__(self, floors: Sequence[Floor], holds: Sequence[Hold], spelling: _Spelling) -> None:
        both: list[Floor | Hold] = [*floors, *holds]
        self._idle = dict(enumerate(both))
        self._spelling = spelling

    def seen(self, found: _Looking) -> None:
        """Strike out those that cover a record of this dataset."""
        scopes = {number: scope for number, each in self._idle.items() for scope in _scopes(each, found.dataset)}
        for number in list(found.covered(scopes)):
            del self._idle[number]

    def idle(self, looks: Sequence[Look]) -> Iterator[Idle]:
        """Those that are left, as far as the datasets that they speak of have records."""
        judged = {look.dataset for look in looks if look.says_something}
        tenants = {tenant for look in looks for tenant in look.tenants}
        for each in self._idle.values():
            if each.dataset in judged or (each.dataset is None and judged):
                is_floor = isinstance(each, Floor)
                yield Idle(
                    selector=Selector.FLOOR if is_floor else Selector.HOLD,
                    dataset=each.dataset,
                    name=f"{_named(each)} ({each.match})",
                    keeps=True,
                    meant=self._spelling.meant(each.match, tenants),
                    origin=each.origin,
                )


def _named(scope: Floor | Hold) -> str:
    return f"floor {scope.because!r}" if isinstance(scope, Floor) else f"hold {scope.matter}"


def _scopes(scope: Floor | Hold, dataset: Dataset) -> tuple[HeldScope, ...]:
    """What a floor or hold covers in a dataset, whenever it is in force. Nothing if it is for another."""
    if scope.dataset not in (None, dataset.name):
        return ()
    if isinstance(scope, Floor):
        return (HeldScope(resolve(scope.match, dataset), None, None, scope.because),)
    return held_scopes(dataset, [replace(scope, since=None, until=None)], (MAX,))


class _Spelling:
    """Finds the tenants that were meant, of the first names only: each is compared with every tenant there is."""

    def __init__(self) -> None:
        self._left = _MOST_MEANT

    def near(self, name: str, tenants: set[str]) -> str | None:
        """The tenant that *name* was likely meant to be. None if none is near, or if many were asked for."""
        self._left -= 1
        return nearest(name, tenants) if self._left >= 0 else None

    def meant(self, match: Match, tenants: set[str]) -> str | None:
        """The tenant that a match likely means where it names one that no record has."""
        own = (each for each in match.conditions if each.role == "tenant" and not each.negated)
        absent = next((name for each in own for name in each.values if name not in tenants), None)
        return None if absent is None else self.near(absent, tenants)
