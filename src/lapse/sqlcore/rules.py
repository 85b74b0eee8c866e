"""A selection in, one SQL ``CASE`` expression out that gives the code `Selection.decide` gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lapse.instant import Nanos
from lapse.model.match import Condition, Glob, Match
from lapse.model.selection import Bound, HeldScope, Selection
from lapse.sqlcore.fragments import Fragment, joined

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


def compile_rules(selection: Selection, dialect: Dialect, *, instant: str | Instant) -> Fragment:
    """The outcome's code of a row.

    Arguments:
        selection: What decides.
        dialect: How this database compares.
        instant: How to compare the record time; or a column reference that gives it as BIGINT nanoseconds,
            clamped to 64 bits, or NULL if it cannot be read. It is written several times, so it should not be
            a costly expression.
    """
    return RuleCompiler(dialect, instant).selection(selection)


@dataclass(frozen=True, slots=True)
class _Number:
    """A record time that is at hand as nanoseconds."""

    sql: str
    placeholder: str

    def missing(self) -> Fragment:
        return Fragment(f"{self.sql} IS NULL")

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        return Fragment(f"{self.sql} {operator} {self.placeholder}", (clamped(instant),))


def compile_match(match: Match, dialect: Dialect) -> Fragment:
    """The condition that a row matches."""
    return RuleCompiler(dialect, "NULL").match(match)


class RuleCompiler:
    """Writes the decision in the order of `Selection.decide`."""

    def __init__(self, dialect: Dialect, instant: str | Instant) -> None:
        self._dialect = dialect
        self._instant = _Number(instant, dialect.placeholder) if isinstance(instant, str) else instant

    def selection(self, selection: Selection) -> Fragment:
        """The outcome's code of a row, never NULL."""
        cases = ["WHEN " + self._instant.missing() + " THEN 0"]
        before = selection.dataset.doubt_before
        if before is not None:
            cases.append(self._compare("<", before, code=1))
        cases.append(self._compare(">", selection.doubt_after, code=2))
        cases += [
            "WHEN " + self._dialect.blank(name) + f" THEN {selection.first_required + offset}"
            for offset, name in enumerate(selection.dataset.require)
        ]
        for offset, hold in enumerate(selection.holds):
            cases.append("WHEN " + self.held(hold) + f" THEN {selection.first_hold + offset}")
        for index, bound in enumerate(selection.rules):
            cases.append("WHEN " + self.match(bound.match) + " THEN " + self._under_rule(selection, index, bound))
        return "CASE " + joined(" ", cases) + f" ELSE {selection.unmatched_code} END"

    def held(self, hold: HeldScope) -> Fragment:
        """Whether *hold* covers a row that has a time."""
        covered = [self.match(hold.match)]
        if hold.records_from is not None:
            covered.append(self._instant.compare(">=", hold.records_from))
        if hold.records_before is not None:
            covered.append(self._instant.compare("<", hold.records_before))
        return joined(" AND ", covered)

    def match(self, match: Match) -> Fragment:
        """Whether *match* matches a row."""
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
                kept = self._instant.compare(">=", floor.cutoff) + " AND " + kept
            cases.append("WHEN " + kept + f" THEN {code + 2 + offset}")
        # Where the newest of each group are not known, every record may be one of them.
        beyond = code if selection.sources[index].last is None else selection.newest_code(index)
        return "CASE " + joined(" ", cases) + f" ELSE {beyond} END"

    def _compare(self, operator: str, instant: Nanos, *, code: int) -> Fragment:
        return "WHEN " + self._instant.compare(operator, instant) + f" THEN {code}"
