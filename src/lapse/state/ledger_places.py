"""Which entry each line of a ledger is: finds what was inserted, removed and reordered.

A line without a flaw says truly which entry it is. One with a flaw is placed by its neighbours, so that
one edit, even of the number itself, is not taken for a removal and an insertion.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from lapse.state.ledger_lines import Line
from lapse.state.ledger_problem import Problem, ProblemKind, entries_text

_LISTED = 10


@dataclass(frozen=True, slots=True)
class Placed:
    """A line that stands for an entry.

    Attributes:
        entry: Number of the entry.
        line: The line.
    """

    entry: int
    line: Line


@dataclass(frozen=True, slots=True)
class Placement:
    """The lines of a ledger, put in their places.

    Attributes:
        placed: Lines by the number of their entry, ascending.
        problems: What was inserted, removed and reordered.
    """

    placed: tuple[Placed, ...]
    problems: tuple[Problem, ...]


def place(lines: Sequence[Line], *, expected: Container[str]) -> Placement:
    """Find out which entry each of *lines*, in file order, is; *expected* are ids that the ledger may have."""
    problems: list[Problem] = []
    own = _without_copies(_without_foreign(lines, expected, problems), problems)
    placed = _places(own, problems)
    problems += _reordered(placed)
    in_order = sorted(placed, key=lambda item: item.entry)
    problems += _removed(in_order)
    return Placement(tuple(in_order), tuple(problems))


def _inserted(line: Line, message: str) -> Problem:
    return Problem(kind=ProblemKind.INSERTED, entry=line.n, line=line.number, message=message)


def _without_foreign(lines: Sequence[Line], expected: Container[str], problems: list[Problem]) -> list[Line]:
    """Leave out sound entries of another ledger that was signed by the same key."""
    ledgers = Counter(line.ledger for line in lines if line.sound)
    if len(ledgers) < 2:
        return list(lines)
    here = max(ledgers, key=lambda ledger: (ledger in expected, ledgers[ledger]))
    problems += [
        _inserted(line, f"line {line.number} is an entry of another ledger, {line.ledger}")
        for line in lines
        if line.sound and line.ledger != here
    ]
    return [line for line in lines if not line.sound or line.ledger == here]


def _without_copies(lines: list[Line], problems: list[Problem]) -> list[Line]:
    """Of several sound lines for one entry, leave the one that fits its neighbours best."""
    positions: dict[int | None, list[int]] = defaultdict(list)
    for position, line in enumerate(lines):
        if line.sound:
            positions[line.n].append(position)
    copies: set[int] = set()
    for same in positions.values():
        genuine = max(same, key=lambda position: _links(lines, position))
        copies.update(position for position in same if position != genuine)
        problems += [
            _inserted(
                lines[position],
                f"line {lines[position].number} is one more entry {lines[position].n}; "
                f"the one that fits is on line {lines[genuine].number}",
            )
            for position in same
            if position != genuine
        ]
    return [line for position, line in enumerate(lines) if position not in copies]


def _links(lines: list[Line], position: int) -> int:
    """How many of its two neighbours a line is chained to."""
    line = lines[position]
    before = position > 0 and lines[position - 1].hash == line.prev
    after = position + 1 < len(lines) and lines[position + 1].prev == line.hash
    return before + after


def _places(lines: list[Line], problems: list[Problem]) -> list[Placed]:
    """Give each line its entry, in file order; flawed lines for which no entry is free were inserted."""
    taken = {line.n for line in lines if line.sound}
    placed: list[Placed] = []
    position, before = 0, -1
    for sound, group in groupby(lines, key=lambda line: line.sound):
        run = list(group)
        position += len(run)
        if sound:
            placed += [Placed(line.n, line) for line in run if line.n is not None]
            before = placed[-1].entry
            continue
        after = lines[position] if position < len(lines) else None
        end = before + 1 + len(run) if after is None or after.n is None else after.n
        free = set(range(before + 1, end)) - taken
        placed += _fill(run, free, after, problems)
    return placed


def _fill(run: list[Line], free: set[int], after: Line | None, problems: list[Problem]) -> list[Placed]:
    """Spread flawed lines over the free entries: by their own claim, by the chain, then in order."""
    entries: dict[int, int] = {}

    def settle(line: Line, entry: int | None) -> None:
        if entry in free and line.number not in entries:
            free.remove(entry)
            entries[line.number] = entry

    for line in run:
        settle(line, line.n)
    for line in run:
        if after is not None and after.n is not None and line.hash == after.prev:
            settle(line, after.n - 1)
    unplaced = [line for line in run if line.number not in entries]
    for line, entry in zip(unplaced, sorted(free), strict=False):
        settle(line, entry)
    problems += [
        _inserted(line, f"line {line.number} stands where no entry is missing, and {line.reason}")
        for line in run
        if line.number not in entries
    ]
    return [Placed(entries[line.number], line) for line in run if line.number in entries]


def _reordered(placed: Sequence[Placed]) -> list[Problem]:
    """One problem that names the entries out of order, with those that they should stand beside."""
    if all(one.entry < other.entry for one, other in pairwise(placed)):
        return []
    kept = _longest_ascending([item.entry for item in placed])
    moved = [(position, item) for position, item in enumerate(placed) if item.entry not in kept]
    return [
        Problem(
            kind=ProblemKind.REORDERED,
            entry=min(item.entry for _, item in moved),
            line=moved[0][1].line.number,
            message=_order_text(placed, [position for position, _ in moved]),
        )
    ]


def _order_text(placed: Sequence[Placed], moved: Sequence[int]) -> str:
    """What stands where it should not; *moved* are positions in *placed*."""
    position, entry = moved[0], placed[moved[0]].entry
    if len(moved) > 1:
        return f"entries {_and(sorted(placed[index].entry for index in moved))} stand in the wrong order"
    passed = [item.entry for item in placed[:position] if item.entry > entry]
    passed += [item.entry for item in placed[position + 1 :] if item.entry < entry]
    if len(passed) == 1:
        return f"entries {_and(sorted([entry, *passed]))} stand in the wrong order"
    where = f"behind entry {placed[position - 1].entry}" if position else "first"
    return f"entry {entry} stands in the wrong place, {where}"


def _longest_ascending(numbers: Sequence[int]) -> frozenset[int]:
    """The members of a longest ascending subsequence: what can stay where it is."""
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        length = bisect_left(tails, number)
        before[number] = tails[length - 1] if length else None
        tails[length : length + 1] = [number]
    kept: set[int] = set()
    last: int | None = tails[-1] if tails else None
    while last is not None:
        kept.add(last)
        last = before[last]
    return frozenset(kept)


def _removed(placed: Sequence[Placed]) -> list[Problem]:
    problems = []
    expected = 0
    for item in placed:
        if item.entry > expected:
            verb = "is" if item.entry == expected + 1 else "are"
            where = f"before {item.entry}" if expected == 0 else f"between {expected - 1} and {item.entry}"
            problems.append(
                Problem(
                    kind=ProblemKind.REMOVED,
                    entry=expected,
                    line=item.line.number,
                    message=f"{entries_text(expected, item.entry - 1)} {verb} missing {where}",
                )
            )
        expected = item.entry + 1
    return problems


def _and(numbers: Sequence[int]) -> str:
    """``1, 2 and 3``; a long list is cut short."""
    if len(numbers) > _LISTED:
        return f"{', '.join(map(str, numbers[:_LISTED]))} and {len(numbers) - _LISTED} more"
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last
