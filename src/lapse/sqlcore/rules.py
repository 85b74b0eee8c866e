"""A selection in, one SQL ``CASE`` expression out that gives the code `Selection.decide` gives."""

from __future__ import annotations

from typing import Protocol

from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match
from lapse.model.selection import Bound, Selection
from lapse.sqlcore.fragments import Fragment, joined

MIN_INT64 = -(2**63)
MAX_INT64 = 2**63 - 1


class Dialect(Protocol):
    """How one database compares a field. An answer is true, or else false or NULL.

    Attributes:
        placeholder: How a bound value is written, such as ``?``.
    """

    @property
    def placeholder(self) -> str: ...

    def one_of(self, field: str, values: tuple[str, ...]) -> Fragment:
        """Whether the text of *field* (`lapse.model.match.text_of`) is one of *values*, to the byte."""
        ...

    def fits(self, field: str, glob: Glob) -> Fragment:
        """Whether the text of *field* fits *glob*."""
        ...

    def blank(self, field: str) -> Fragment:
        """Whether *field* is NULL, missing or an empty text."""
        ...


def clamped(instant: Nanos) -> Nanos:
    """The nearest instant that a BIGINT of nanoseconds holds (years 1677 to 2262)."""
    return Nanos(max(MIN_INT64, min(MAX_INT64, instant)))


def compile_rules(selection: Selection, dialect: Dialect, *, instant: str) -> Fragment:
    """The outcome's code of a row.

    Arguments:
        selection: What decides.
        dialect: How this database compares.
        instant: A column reference that gives the record time as BIGINT nanoseconds, clamped to 64 bits, or
            NULL if it cannot be read. It is written several times, so it should not be a costly expression.
    """
    return _Compiler(dialect, instant).selection(selection)


class _Compiler:
    """Writes the decision in the order of `Selection.decide`."""

    def __init__(self, dialect: Dialect, instant: str) -> None:
        self._dialect = dialect
        self._instant = instant

    def selection(self, selection: Selection) -> Fragment:
        cases = [Fragment(f"WHEN {self._instant} IS NULL THEN 0")]
        before = selection.dataset.doubt_before
        if before is not None:
            cases.append(self._compare("<", before, code=1))
        cases.append(self._compare(">", selection.doubt_after, code=2))
        cases += [
            "WHEN " + self._dialect.blank(name) + f" THEN {selection.first_required + offset}"
            for offset, name in enumerate(selection.dataset.require)
        ]
        for offset, hold in enumerate(selection.holds):
            covered = [self.match(hold.match)]
            if hold.records_from is not None:
                covered.append(self._instant_is(">=", hold.records_from))
            if hold.records_before is not None:
                covered.append(self._instant_is("<", hold.records_before))
            cases.append("WHEN " + joined(" AND ", covered) + f" THEN {selection.first_hold + offset}")
        for index, bound in enumerate(selection.rules):
            cases.append("WHEN " + self.match(bound.match) + " THEN " + self._under_rule(selection, index, bound))
        return "CASE " + joined(" ", cases) + f" ELSE {selection.unmatched_code} END"

    def match(self, match: Match) -> Fragment:
        if not match.conditions:
            return Fragment("TRUE")
        return joined(" AND ", map(self._condition, match.conditions))

    def _condition(self, condition: Condition) -> Fragment:
        ways = [self._dialect.fits(condition.field, glob) for glob in condition.globs]
        if condition.values:
            ways.insert(0, self._dialect.one_of(condition.field, condition.values))
        return "(" + joined(" OR ", ways) + ")" if ways else Fragment("FALSE")

    def _under_rule(self, selection: Selection, index: int, bound: Bound) -> Fragment:
        code = selection.lapsed_code(index)
        if bound.cutoff is None:
            return Fragment(str(code + 1))
        cases = [self._compare(">=", bound.cutoff, code=code + 1)]
        for offset, floor in enumerate(selection.floors):
            kept = self.match(floor.match)
            if floor.cutoff is not None:
                kept = self._instant_is(">=", floor.cutoff) + " AND " + kept
            cases.append("WHEN " + kept + f" THEN {code + 2 + offset}")
        return "CASE " + joined(" ", cases) + f" ELSE {code} END"

    def _compare(self, operator: str, instant: Nanos, *, code: int) -> Fragment:
        return "WHEN " + self._instant_is(operator, instant) + f" THEN {code}"

    def _instant_is(self, operator: str, instant: Nanos) -> Fragment:
        return Fragment(f"{self._instant} {operator} {self._dialect.placeholder}", (clamped(instant),))
