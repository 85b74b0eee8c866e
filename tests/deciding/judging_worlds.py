"""A store's judgement of many records held against `Selection.decide`, for policy after policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

import pytest
from newest_groups import Groups, groups_of, keeps_newest
from random_policies import Menu, policy
from turning import ZONES, Turning, turning

from lapse.errors import StoreError
from lapse.instant import Nanos, rfc3339
from lapse.model.match import Match, text_of
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import Selection, Verdict
from lapse.ports import Store
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.testing.flow import cut, drain, keys_of

Write = Callable[[Random, Nanos, str | None], object]
"""Writes an instant as a column has it; of a zone's wall clock where a zone is given."""

Read = Callable[[Any, Dataset], Nanos | None]
"""The instant that a stored value stands for by the definition. None where that is none."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A kind of time column.

    Attributes:
        name: Names its table.
        kind: The column's type.
        write: Writes an instant.
        read: Reads what was stored.
        form: What the policy says of it.
        strange: Values that are no times, and others that are hard to read.
        options: What else datasets with such a column may say, one of them at a time.
    """

    name: str
    kind: str
    write: Write
    read: Read
    form: TimeFormat = TimeFormat.AUTO
    strange: Sequence[object] = ()
    options: Sequence[Mapping[str, Any]] = ({},)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record as it is handed to a driver.

    Attributes:
        key: Its number, from 1.
        at: Its time, written.
        cells: Its other columns.
    """

    key: int
    at: object
    cells: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A record as any reader of the store sees it.

    Attributes:
        at: Its time as it is stored.
        fields: Its value of every field that policies name.
    """

    at: object
    fields: Mapping[str, object]


class Ground(ABC):
    """A store under test: how its tables are filled, and what it says of their records.

    Attributes:
        clocks: Its kinds of time columns.
        columns: What rows may hold, by column.
        menu: What policies may speak of.
        clamps: Whether it holds times in 64 bits.
        variety: Different values of a column in one round.
    """

    clocks: ClassVar[Sequence[Clock]]
    columns: ClassVar[Mapping[str, Sequence[object]]]
    menu: Menu
    clamps: bool = True
    variety: int = 12

    @abstractmethod
    def dataset(self, clock: Clock) -> Dataset:
        """The dataset of the table with such a clock. `codes` may have it require the records' number, to learn it."""

    @abstractmethod
    def fill(self, clock: Clock, rows: Sequence[Row]) -> Sequence[Seen]:
        """Make these the table's only records; returns what a reader sees of each."""

    @abstractmethod
    def opened(self, dataset: Dataset) -> AbstractContextManager[Store]:
        """The store, open."""

    def codes(self, store: Store, selection: Selection) -> Iterator[Mapping[int, int]]:
        """The outcome of every record by its number, once for each way that the store has to tell it."""
        found = store.find(selection, "row")
        yield {int(str(each.values["id"])): each.code for each in found}

    def has(self, name: str) -> bool:
        """Whether policies can speak of a field; holds and floors that name another are widened."""
        return name in self.menu.texts


@dataclass(slots=True)
class Done:
    """What was held against the definition.

    Attributes:
        decisions: Records times policies.
        policies: How many policies.
        verdicts: How often the definition came to each verdict.
    """

    decisions: int = 0
    policies: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{self.decisions:,} decisions under {self.policies:,} policies as the definition has them"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is tried.

    Attributes:
        rounds: Fillings of a table.
        policies: Policies for each of them.
        rows: Records in it.
    """

    rounds: int
    policies: int
    rows: int = 400


SHORT = Size(rounds=15, policies=10, rows=700)
"""105,000 decisions."""


def hold_against_the_definition(ground: Ground, seed: int, size: Size = SHORT) -> Done:
    """Fill, judge and compare; raises AssertionError with the first record that fares otherwise."""
    done = Done()
    for number in range(size.rounds):
        rng = Random(f"{seed} {number}")
        at, clock = turning(rng), ground.clocks[number % len(ground.clocks)]
        said: dict[str, Any] = {"zone": rng.choice(ZONES), **rng.choice(clock.options)}
        dataset = replace(ground.dataset(clock), doubt_before=at.doubt_before, **said)
        pools = {name: rng.sample(values, min(ground.variety, len(values))) for name, values in ground.columns.items()}
        rows = [_row(clock, at, pools, zone=dataset.zone, rng=rng, key=key) for key in range(1, size.rows + 1)]
        seen = ground.fill(clock, rows)
        instants = [_instant(ground, clock, each, dataset) for each in seen]
        with ground.opened(dataset) as store:
            for count in range(size.policies):
                selection = policy(rng, ground.menu, at, dataset)
                groups = groups_of(_definition(ground, selection), instants, seen)
                if any(map(groups.goes, groups.unnamed)):
                    with pytest.raises(StoreError, match="has the field"):
                        list(store.survey(selection))
                if groups.unnamed:
                    continue  # refused, or it may be
                expected = _decided(groups, instants, seen)
                where = f"seed {seed}, round {number}, policy {count}, {clock.name} in {dataset.zone}"
                for found in ground.codes(store, selection):
                    assert found == expected, _difference(where, selection, found, expected, seen)
                if count % 4 == 0 or keeps_newest(selection):
                    _check_counts(store, selection, expected, seen, where)
                if count % 7 == 0 or keeps_newest(selection):
                    check_take(store, selection, expected, where)
                _note(done, selection, expected)
    return done


def _row(
    clock: Clock, at: Turning, pools: Mapping[str, Sequence[object]], *, zone: str | None, rng: Random, key: int
) -> Row:
    chance = rng.random()
    written: object = None
    if chance > 0.1 or not clock.strange:
        written = clock.write(rng, at.instant(rng), zone)
    elif chance > 0.03:
        written = rng.choice(clock.strange)
    return Row(key=key, at=written, cells={name: rng.choice(values) for name, values in pools.items()})


def _instant(ground: Ground, clock: Clock, seen: Seen, dataset: Dataset) -> Nanos | None:
    found = None if seen.at is None else clock.read(seen.at, dataset)
    return clamped(found) if ground.clamps and found is not None else found


def clamped(instant: int) -> Nanos:
    """What 64 bits hold of it: the nearest, which every cutoff tells from the times between."""
    return Nanos(max(MIN_INT64, min(MAX_INT64, instant)))


def _definition(ground: Ground, selection: Selection) -> Selection:
    """The same selection; a hold or floor cannot tell records apart by what no record has."""

    def known(match: Match) -> Match:
        return Match(tuple(each for each in match.conditions if ground.has(each.field)))

    return replace(
        selection,
        holds=tuple(replace(hold, match=known(hold.match)) for hold in selection.holds),
        floors=tuple(replace(floor, match=known(floor.match)) for floor in selection.floors),
    )


def _decided(groups: Groups, instants: Sequence[Nanos | None], seen: Sequence[Seen]) -> dict[int, int]:
    """What the definition says of each record."""

    def code(instant: Nanos | None, each: Seen) -> int:
        return groups.selection.decide(
            instant, each.fields.get, is_newest=lambda rule: groups.keep(groups.of(rule, each), instant)
        )

    return dict(enumerate(map(code, instants, seen), start=1))


def _check_counts(
    store: Store, selection: Selection, expected: Mapping[int, int], seen: Sequence[Seen], where: str
) -> None:
    """A survey counts each record once, under its outcome and tenant."""
    tenant = selection.dataset.tenant
    names = [None if tenant is None else text_of(each.fields.get(tenant)) for each in seen]
    wanted = Counter(zip(expected.values(), names, strict=True))
    counts: Counter[tuple[int, str | None]] = Counter()
    for tally in store.survey(selection):
        counts[tally.code, tally.tenant] += tally.records
    assert +counts == wanted, f"{where}: counted {counts - wanted} too often, {wanted - counts} too rarely"


def check_take(store: Store, selection: Selection, expected: Mapping[int, int], where: str) -> None:
    """What a run would take is what has lapsed; it is put back."""
    taken: list[int] = []
    for piece in cut(store, selection):
        with store.take(piece) as take:
            taken += keys_of(drain(take.parts()))
    lapsed = set(selection.lapsed_codes())
    wanted = sorted(key for key, code in expected.items() if code in lapsed)
    assert sorted(taken) == wanted, f"{where}: takes {set(taken) ^ set(wanted)} wrongly"


def _difference(
    where: str, selection: Selection, found: Mapping[int, int], expected: Mapping[int, int], seen: Sequence[Seen]
) -> str:
    """The first record that fares otherwise, and under which policy."""
    if found.keys() != expected.keys():
        return f"{where}: judges {found.keys() ^ expected.keys()} more or less than once"
    wrong = [key for key, code in expected.items() if found[key] != code]
    key = wrong[0]
    got, wanted = selection.outcomes[found[key]], selection.outcomes[expected[key]]
    policy = "\n  ".join(map(repr, (*selection.rules, *selection.holds, *selection.floors)))
    return (
        f"{where}: {len(wrong)} records fare otherwise, first {key}\n  {seen[key - 1]}\n  at {rfc3339(selection.now)}: "
        f"{got.reason}\n  by the definition: {wanted.reason}\n  {policy}"
    )


def _note(done: Done, selection: Selection, expected: Mapping[int, int]) -> None:
    done.policies += 1
    done.decisions += len(expected)
    for code, count in Counter(expected.values()).items():
        done.verdicts[selection.outcomes[code].verdict] += count


def check_that_much_was_tried(done: Done, least: int) -> None:
    """Every verdict came about often: a comparison of records that all stay would show nothing."""
    assert done.decisions >= least
    for verdict in Verdict:
        assert done.verdicts[verdict] > 0.01 * done.decisions, (verdict, done.verdicts)
