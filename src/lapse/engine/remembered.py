"""What the ledger says about the past, gathered in one pass over its entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lapse.instant import Nanos, parse_rfc3339
from lapse.model.disposal import CameBack
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.model.matchfacts import condition_of
from lapse.model.ramp import STEADY, store_of
from lapse.state.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedHold:
    """A hold that was added and not released.

    Attributes:
        matter: Its case reference.
        scope: The policy file it belongs to.
        until: When it ends by itself. None while it is open.
        facts: What it holds.
    """

    matter: str
    scope: str
    until: Nanos | None
    facts: Mapping[str, Any]

    def is_covered_by(self, new: Mapping[str, Any]) -> bool:
        """Whether a hold of these facts keeps everything that this one keeps, for at least as long."""
        return (
            new["dataset"] in (None, self.facts["dataset"])
            and new.get("keys") in (None, self.facts.get("keys"))
            and all(self._reaches(new, name, back=True) for name in ("since", "records_from"))
            and all(self._reaches(new, name, back=False) for name in ("until", "records_before"))
            and all(any(_implies(mine, theirs) for mine in self.facts["match"]) for theirs in new["match"])
        )

    def _reaches(self, new: Mapping[str, Any], name: str, *, back: bool) -> bool:
        """Whether the bound *name* of a new hold lies no nearer than this one's; None is no bound."""
        mine, theirs = self.facts[name], new[name]
        if theirs is None or mine is None:
            return theirs is None
        if back:
            return parse_rfc3339(theirs) <= parse_rfc3339(mine)
        return parse_rfc3339(theirs) >= parse_rfc3339(mine)


@dataclass(slots=True)
class Remembered:
    """The past, as far as the present needs it.

    Attributes:
        holds: Holds that were added and not released, by policy file and matter.
        policy: Hash of the last policy that was followed. None before the first run.
        adopted: Ledgers whose markers this one may complete.
        totals: Records removed, by dataset.
        came_back: Segments that were restored into their own store, by dataset.
        refreshed: The time before which everything is in what was made of a dataset's records, by dataset and name.
        ramps: Steps of ramps that are proven, by dataset, store and the rule's hash.
        climbing: What slices of ramps removed, by run and dataset: the store and the hashes of the rules. What they
            have proven is said at the end of the run.
    """

    holds: dict[tuple[str, str], RecordedHold] = field(default_factory=dict)
    policy: str | None = None
    adopted: set[str] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    came_back: dict[str, list[CameBack]] = field(default_factory=dict)
    refreshed: dict[str, dict[str, Nanos]] = field(default_factory=dict)
    ramps: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    climbing: dict[tuple[str, str], tuple[str, set[str]]] = field(default_factory=dict)

    def take_in(self, entry: LedgerEntry) -> None:
        """Add what one entry says."""
        body: Mapping[str, object] = entry.body
        match entry.kind:
            case EntryKind.HOLD_ADDED:
                hold = _recorded(body)
                self.holds[hold.scope, hold.matter] = hold
            case EntryKind.HOLD_RELEASED:
                self.holds.pop((str(body["scope"]), str(body["matter"])), None)
            case EntryKind.POLICY:
                self.policy = str(body["policy"])
            case EntryKind.NOTE if "adopted" in body:
                self.adopted.add(str(body["adopted"]))
            case EntryKind.DISPOSAL:
                name = str(body["dataset"])
                self.totals[name] = self.totals.get(name, 0) + int(str(body["records"]))
                self._note_rules(body)
            case EntryKind.RUN:
                self._note_climbs(body)
            case EntryKind.REFRESHED:
                until = parse_rfc3339(str(body["until"]))
                self.refreshed.setdefault(str(body["dataset"]), {})[str(body["derived"])] = until
            case EntryKind.RESTORE if body["own_store"]:
                self.came_back.setdefault(str(body["dataset"]), []).append(_came_back(body))
            case _:
                pass

    def refreshed_of(self, dataset: str) -> Mapping[str, Nanos]:
        """The time before which everything is in what is made of a dataset's records, by name."""
        return self.refreshed.get(dataset, {})

    def steps(self, dataset: str, store: str) -> Mapping[str, int]:
        """Steps of ramps that are proven for a dataset in a store, by the rule's hash; none of rules that are new."""
        return self.ramps.get((dataset, store), {})

    def _note_rules(self, body: Mapping[str, Any]) -> None:
        """Take in which rules a disposal went under. A canary proves nothing before it is checked."""
        name, store, rules = body["dataset"], store_of(body["fingerprint"]), body.get("rule_digests", {}).values()
        step = body.get("ramp", STEADY)
        if step > 1:
            self._reach(name, store, rules, step)
        if step < STEADY:
            self.climbing.setdefault((body["run"], name), (store, set()))[1].update(rules)

    def _note_climbs(self, body: Mapping[str, Any]) -> None:
        """Take in how far a run got with its ramps."""
        for name, facts in body.get("datasets", {}).items():
            store, rules = self.climbing.pop((body["run"], name), ("", set()))
            if ramp := facts.get("ramp"):
                self._reach(name, store, rules, STEADY if ramp["done"] else ramp["steps"])

    def _reach(self, dataset: str, store: str, rules: Iterable[str], steps: int) -> None:
        known = self.ramps.setdefault((dataset, store), {})
        for digest in rules:
            known[digest] = max(steps, known.get(digest, 0))


def _came_back(body: Mapping[str, object]) -> CameBack:
    times = (body["oldest"], body["newest"])
    oldest, newest = (parse_rfc3339(time) if isinstance(time, str) else None for time in times)
    return CameBack(path=str(body["segment"]), oldest=oldest, newest=newest)


def _implies(one: list[Any], other: list[Any]) -> bool:
    """Whether every value that meets condition *one* provably meets *other*; each as the facts have it."""
    return one[0] == other[0] and condition_of(other).covers(condition_of(one))


def _recorded(body: Mapping[str, object]) -> RecordedHold:
    until = body.get("until")
    return RecordedHold(
        matter=str(body["matter"]),
        scope=str(body["scope"]),
        until=parse_rfc3339(until) if isinstance(until, str) else None,
        facts=body,
    )


def remember(ledger: Ledger) -> Remembered:
    """Read the whole ledger once.

    Raises:
        VerificationError: If a line is no entry.
    """
    remembered = Remembered()
    for entry in ledger.entries():
        remembered.take_in(entry)
    return remembered
