"""A selection in, one SQL ``CASE`` expression out that gives the code `Selection.decide` gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lapse.instant import Nanos
from lapse.model.bounds import Ending, Going
from lapse.model.match import Match
from lapse.model.policy import Last
from lapse.model.selection import Bound, HeldScope, Selection
from lapse.sqlcore.conditions import Dialect as Dialect
from lapse.sqlcore.conditions import compile_match as compile_match
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.lookups import RuleLookups, bits_of, by_ending
from lapse.sqlcore.thresholds import Sight

MIN_INT64 = -(2**63)
MAX_INT64 = 2**63 - 1


class Instant(Protocol):
    """How one database compares the record time of a row. An answer is true, or else false or NULL."""

    def missing(self) -> Fragment:
        """Whether no time can be read."""
        ...

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        """Whether the record time is ``<``, ``<=``, ``>`` or ``>=`` *instant*, both clamped to 64 bits.

        Only asked of rows that have a time.
        """
        ...


def clamped(instant: Nanos) -> Nanos:
    """The nearest instant that a BIGINT of nanoseconds holds (years 1677 to 2262)."""
    return Nanos(max(MIN_INT64, min(MAX_INT64, instant)))


def compile_rules(
    selection: Selection, dialect: Dialect, *, instant: str | Instant, newest: Sight | None = None
) -> Fragment:
    """The outcome's code of a row.

    Arguments:
        selection: What decides.
        dialect: How this database compares.
        instant: How to compare the record time; or a column reference that gives it as BIGINT nanoseconds,
            clamped to 64 bits, or NULL if it cannot be read. It is written several times, so it should not be
            a costly expression.
        newest: Tells the newest of each group from the others. None tells none: then all of them stay.
    """
    return RuleCompiler(dialect, instant, newest=newest).selection(selection)


@dataclass(frozen=True, slots=True)
class _Number:
    """A record time that is at hand as nanoseconds."""

    sql: str
    placeholder: str

    def missing(self) -> Fragment:
        return Fragment(f"{self.sql} IS NULL")

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        return Fragment(f"{self.sql} {operator} {self.placeholder}", (clamped(instant),))


class RuleCompiler:
    """Writes the decision in the order of `Selection.decide`."""

    def __init__(self, dialect: Dialect, instant: str | Instant, *, newest: Sight | None = None) -> None:
        """Compile for *dialect*, where *instant* is the record time; *newest* as for `compile_rules`."""
        self.dialect = self._dialect = dialect
        self._newest = newest
        self._instant = _Number(instant, dialect.placeholder) if isinstance(instant, str) else instant

    def selection(self, selection: Selection, lookups: RuleLookups | None = None) -> Fragment:
        """The outcome's code of a row, never NULL; *lookups* find the rule where there are very many."""
        cases = self._before_rules(selection, str)
        if lookups is not None:
            return "CASE " + joined(" ", cases) + " ELSE " + self._looked_up(selection, lookups) + " END"
        for index, bound in enumerate(selection.rules):
            cases.append("WHEN " + self.match(bound.match) + " THEN " + self._under_rule(selection, index, bound))
        return "CASE " + joined(" ", cases) + f" ELSE {selection.unmatched_code} END"

    def going(self, selection: Selection, lookups: RuleLookups, codes: Going) -> Fragment:
        """Whether a row's code is one of *codes*, never NULL; cheaper than to compare the code."""
        cases = self._before_rules(selection, lambda _: "FALSE")
        return "CASE " + joined(" ", cases) + " ELSE " + self._goes(selection, lookups, codes) + " END"

    def _before_rules(self, selection: Selection, spell: Callable[[int], str]) -> list[Fragment]:
        """What decides before any rule does; *spell* writes a code."""
        cases = ["WHEN " + self._instant.missing() + f" THEN {spell(0)}"]
        before = selection.dataset.doubt_before
        if before is not None:
            cases.append("WHEN " + self._instant.compare("<", before) + f" THEN {spell(1)}")
        cases.append("WHEN " + self._instant.compare(">", selection.doubt_after) + f" THEN {spell(2)}")
        cases += [
            "WHEN " + self._dialect.blank(name) + f" THEN {spell(selection.first_required + offset)}"
            for offset, name in enumerate(selection.dataset.require)
        ]
        return cases + [
            "WHEN " + self.held(hold) + f" THEN {spell(selection.first_hold + offset)}"
            for offset, hold in enumerate(selection.holds)
        ]

    def _looked_up(self, selection: Selection, lookups: RuleLookups) -> Fragment:
        """The code of a row that no doubt and no hold decides about."""
        lapsed = lapsed_code(selection, lookups)
        kept = by_ending(lookups, "l.found", lambda ending: self._stays(ending.cutoff))
        cases = [Fragment(f"WHEN l.found IS NULL THEN {selection.unmatched_code}")]
        cases.append("WHEN " + kept + f" THEN {lapsed} + 1")
        for offset, floor in enumerate(selection.floors):
            cases.append("WHEN " + self._kept_by(floor) + f" THEN {lapsed} + {2 + offset}")
        rule, newest = _found_rule(lookups), str(selection.outcomes.step - 1)
        beyond = by_ending(
            lookups, "l.found", lambda ending: self._beyond(rule, ending.last, lapsed="0", newest=newest)
        )
        return self._with_found(lookups, "CASE " + joined(" ", cases) + f" ELSE {lapsed} + " + beyond + " END")

    def _goes(self, selection: Selection, lookups: RuleLookups, codes: Going) -> Fragment:
        """Whether a row goes that no doubt and no hold decides about."""

        def lapsed(ending: Ending) -> Fragment:
            if not codes.meets(ending) or ending.cutoff is None:
                return Fragment("FALSE")
            before, last = self._instant.compare("<", ending.cutoff), ending.last
            return before if last is None else before + " AND " + self._passed(_found_rule(lookups), last)

        cases = [Fragment("WHEN l.found IS NULL THEN FALSE")]
        cases += ["WHEN " + self._kept_by(floor) + " THEN FALSE" for floor in selection.floors]
        cases.append("WHEN " + by_ending(lookups, "l.found", lapsed) + " THEN TRUE")
        return self._with_found(lookups, "CASE " + joined(" ", cases) + " ELSE FALSE END")

    def _with_found(self, lookups: RuleLookups, answer: Fragment) -> Fragment:
        """*answer*, in which ``l.found`` is what the rules of a row are found to be; that is done once."""
        if lookups.at_hand:
            return answer
        found = [lookup.found(self._dialect.text) for lookup in lookups.texts]
        if lookups.singles:
            tried = ["WHEN " + self.match(match) + f" THEN {lookups.number(rule)}" for rule, match in lookups.singles]
            found.append("CASE " + joined(" ", tried) + " END")
        # LIMIT keeps servers from merging the two, which would look everything up each time it is mentioned.
        once = "(SELECT " + _least(lookups.least, found) + " AS found LIMIT 1)"
        return "(SELECT " + answer + " FROM " + once + " AS l)"  # noqa: S608 - made of our own texts

    def _stays(self, cutoff: Nanos | None) -> Fragment:
        return Fragment("TRUE") if cutoff is None else self._instant.compare(">=", cutoff)

    def _kept_by(self, floor: Bound) -> Fragment:
        match = self.match(floor.match)
        return match if floor.cutoff is None else self._stays(floor.cutoff) + " AND " + match

    def held(self, hold: HeldScope) -> Fragment:
        """Whether *hold* covers a row that has a time."""
        covered = [self.match(hold.match)]
        if hold.keys is not None:
            covered.append(self._dialect.named(hold.key_field, tuple(sorted(hold.keys))))
        if hold.records_from is not None:
            covered.append(self._instant.compare(">=", hold.records_from))
        if hold.records_before is not None:
            covered.append(self._instant.compare("<", hold.records_before))
        return joined(" AND ", covered)

    def match(self, match: Match) -> Fragment:
        """Whether *match* matches a row."""
        return compile_match(match, self._dialect)

    def _under_rule(self, selection: Selection, index: int, bound: Bound) -> Fragment:
        code = selection.lapsed_code(index)
        if bound.cutoff is None:
            return Fragment(str(code + 1))
        cases = [self._compare(">=", bound.cutoff, code=code + 1)]
        for offset, floor in enumerate(selection.floors):
            cases.append("WHEN " + self._kept_by(floor) + f" THEN {code + 2 + offset}")
        last, newest = selection.sources[index].last, str(selection.newest_code(index))
        beyond = self._beyond(str(index), last, lapsed=str(code), newest=newest)
        return "CASE " + joined(" ", cases) + " ELSE " + beyond + " END"

    def _beyond(self, rule: str, last: Last | None, *, lapsed: str, newest: str) -> Fragment:
        """What a row is that neither its rule's period nor a floor keeps: *lapsed*, or one of the *newest*."""
        if last is None:
            return Fragment(lapsed)
        return "CASE WHEN " + self._passed(rule, last) + f" THEN {lapsed} ELSE {newest} END"

    def _passed(self, rule: str, last: Last) -> Fragment:
        """Whether a row is known to be older than the newest of its group."""
        if self._newest is None:
            return Fragment("FALSE")
        return self._newest.passed(rule, None if last.per is None else self._dialect.text(last.per))

    def member(self, selection: Selection, lookups: RuleLookups | None) -> Fragment:
        """The rule whose newest stay, if a row is one of those it decides about; else NULL.

        As in `RuleLookups`, it is one number with the position of the rule's ending. Held rows are members.
        """
        rules = selection.rules
        bits = bits_of(rules.endings)
        cases = self._before_rules(replace(selection, holds=()), lambda _: "NULL")
        if lookups is not None:
            kept = by_ending(lookups, "l.found", lambda ending: Fragment("TRUE" if ending.newest else "FALSE"))
            found = self._with_found(lookups, "CASE WHEN " + kept + " THEN l.found END")
            return "CASE " + joined(" ", cases) + " ELSE " + found + " END"
        for index, bound in enumerate(rules):
            ending = rules.ending_of[index]
            number = str(index << bits | ending) if rules.endings[ending].newest else "NULL"
            cases.append("WHEN " + self.match(bound.match) + f" THEN {number}")
        return "CASE " + joined(" ", cases) + " END"

    def _compare(self, operator: str, instant: Nanos, *, code: int) -> Fragment:
        return "WHEN " + self._instant.compare(operator, instant) + f" THEN {code}"


def has_lapsed(selection: Selection, code: str) -> str:
    """Whether *code*, an expression, is that of a row that lapsed, wherever it goes."""
    first, step = selection.lapsed_code(0), selection.outcomes.step
    return f"({code} >= {first} AND {code} < {selection.unmatched_code} AND ({code} - {first}) % {step} = 0)"


def _found_rule(lookups: RuleLookups) -> str:
    """The index of the rule that was found, as an expression."""
    return f"(l.found >> {lookups.bits})"


def _least(function: str, numbers: Sequence[Fragment]) -> Fragment:
    """The least of several numbers that may each be NULL. NULL if all are."""
    if len(numbers) == 1:
        return numbers[0]
    listed = joined(", ", ("coalesce(" + number + f", {MAX_INT64})" for number in numbers))
    return f"nullif({function}(" + listed + f"), {MAX_INT64})"


def lapsed_code(selection: Selection, lookups: RuleLookups) -> str:
    """The code of a row that has lapsed under the rule that was found as ``l.found``."""
    return f"{selection.lapsed_code(0)} + (l.found >> {lookups.bits}) * {selection.outcomes.step}"
