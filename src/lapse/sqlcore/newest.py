"""The newest of each group in SQL: the query that finds their thresholds, and the look at them that a row takes.

A session keeps the thresholds in a temporary table of its own, with a row for each group of which something can go: a
group that is not there stays whole. It is filled by the database itself, so that nothing of it travels, however many
groups there are.
"""

# ruff: noqa: S608 - expressions of our own, values are bound

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapse.errors import UnsupportedError
from lapse.instant import Nanos
from lapse.model.bounds import Ending
from lapse.model.newest import KnownNewest, Newest, grouping_fields, nameless, rules_with_newest
from lapse.model.selection import Selection
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.lookups import RuleLookups, bits_of, chosen
from lapse.sqlcore.rules import RuleCompiler, clamped
from lapse.sqlcore.thresholds import Spell, Thresholds

Mark = Mapping[str, tuple[int, ...]]
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Members:
    """The records of a table of which the newest stay, group by group.

    Attributes:
        selection: What decides.
        compiler: Its dialect.
        lookups: Where its rules are looked up. None where each is tried.
        instant: The record time, a BIGINT of nanoseconds.
        spell: How groups are named.
        rows: Gives the query that selects such columns of all rows that count.
    """

    selection: Selection
    compiler: RuleCompiler
    lookups: RuleLookups | None = None
    instant: str
    spell: Spell
    rows: Callable[[Fragment], Fragment]

    def query(self) -> Fragment:
        """A query for every member: its group ``k``, its time ``t``, and how many ``n`` of its group stay."""
        selection = self.selection
        key = group_key(selection, "m", spell=self.spell, text=self._text)
        # What is not older than the cutoff stays anyway: it counts as the cutoff.
        cutoff = _by_ending(selection, "m", lambda each: Fragment(str(clamped(each.cutoff or Nanos(0)))))
        count = _by_ending(selection, "m", lambda each: Fragment("0" if each.last is None else str(each.last.count)))
        columns = key + " AS k, CASE WHEN t < " + cutoff + " THEN t ELSE " + cutoff + " END AS t, " + count + " AS n"
        return "SELECT " + columns + " FROM (" + self._rows + ") AS members WHERE m IS NOT NULL"

    def named(self) -> Fragment:
        """A query for the index of each rule of which a member has the field that tells its groups apart."""
        selection = self.selection
        common = _by_ending(selection, "m", lambda each: _common(each, self._text))
        texts = f"SELECT m >> {bits_of(selection.rules.endings)} AS r, " + common + " AS x FROM (" + self._rows
        return "SELECT DISTINCT r FROM (" + texts + ") AS members WHERE m IS NOT NULL) AS named WHERE x IS NOT NULL"

    @property
    def _rows(self) -> Fragment:
        columns = [self.compiler.member(self.selection, self.lookups) + " AS m", Fragment(f"{self.instant} AS t")]
        columns += [self.compiler.dialect.text(field) + f" AS p{place}" for place, field in enumerate(self._fields)]
        return self.rows(joined(", ", columns))

    @property
    def _fields(self) -> tuple[str, ...]:
        return grouping_fields(self.selection)

    def _text(self, field: str) -> Fragment:
        return Fragment(f"p{self._fields.index(field)}")


def group_key(selection: Selection, member: str, *, spell: Spell, text: Callable[[str], Fragment]) -> Fragment:
    """What names the group of a row of which *member* is what `RuleCompiler.member` says.

    Arguments:
        selection: What decides.
        member: The expression.
        spell: How groups are named.
        text: Gives the text of a field.
    """
    rule = f"({member} >> {bits_of(selection.rules.endings)})"
    if not grouping_fields(selection):
        return spell(rule, None)
    return spell(rule, _by_ending(selection, member, lambda ending: _common(ending, text)))


def _common(ending: Ending, text: Callable[[str], Fragment]) -> Fragment:
    per = None if ending.last is None else ending.last.per
    return Fragment("NULL") if per is None else text(per)


def _by_ending(selection: Selection, member: str, answer: Callable[[Ending], Fragment]) -> Fragment:
    endings = selection.rules.endings
    return chosen(f"({member} & {(1 << bits_of(endings)) - 1})", list(map(answer, endings)))


def check_names(members: Members, found: Thresholds, query: Callable[[Fragment], Sequence[Sequence[Any]]]) -> None:
    """Refuse a field that no member of its rule has.

    Arguments:
        members: The members.
        found: Their thresholds.
        query: Gives the rows of a query.

    Raises:
        StoreError: If there is one, and something would go.
    """
    sources = members.selection.sources
    rules = [rule for rule in rules_with_newest(members.selection) if (last := sources[rule].last) and last.per]
    chunks = [rules[start : start + _AT_ONCE] for start in range(0, len(rules), _AT_ONCE)]
    suspect = [rule for chunk in chunks if _has_nameless(chunk, found, query) for rule in chunk]
    named = {int(rule) for (rule,) in query(members.named())} if suspect else set()
    for rule in suspect:
        if rule not in named and _has_nameless([rule], found, query):
            raise nameless(members.selection, rule)


def _has_nameless(
    rules: Sequence[int], found: Thresholds, query: Callable[[Fragment], Sequence[Sequence[Any]]]
) -> bool:
    """Whether something would go of the records without the field under one of some rules."""
    keys = joined(", ", [found.spell(str(rule), Fragment("NULL")) for rule in rules])
    return bool(query(f"SELECT 1 FROM {found.name} WHERE k IN (" + keys + ") LIMIT 1"))


def ranked(members: Fragment, *, least: str = "t") -> Fragment:
    """The members with their rank ``r`` in their group, the newest first, and its earliest time ``l``."""
    rank = "row_number() OVER (PARTITION BY k ORDER BY t DESC) AS r"
    return f"SELECT k, t, n, {rank}, min({least}) OVER (PARTITION BY k) AS l FROM (" + members + ") AS grouped"


def thresholds(members: Fragment, *, least: str = "t") -> Fragment:
    """A query for ``k`` and ``since`` of each group of which something can go."""
    return "SELECT k, t AS since FROM (" + ranked(members, least=least) + ") AS ranked WHERE r = n AND l < t"


class Finder:
    """Knows the thresholds of the last selection that was asked for."""

    def __init__(self, find: Callable[[Selection, Mark | None], Thresholds | None]) -> None:
        """*find* makes the table of the thresholds outside of any transaction. None: the session cannot have one."""
        self.name = f"lapse_newest_{secrets.token_hex(4)}"
        """What the table is to be called: behind a pooler nobody shall meet the table of another session."""
        self._find = find
        self._known: KnownNewest | None = None
        self._thresholds: Thresholds | None = None

    def of(self, selection: Selection, mark: Mark | None = None) -> Thresholds | None:
        """The thresholds, as they were last found or, if they are not known, as they are now up to a high-water mark.

        None where nothing stays for being new.

        Raises:
            UnsupportedError: If the session can have no table for them.
        """
        if self._known is None or not self._known.holds_for(selection):
            self._thresholds = self._found(selection, mark) if rules_with_newest(selection) else None
        self._known = KnownNewest(selection, Newest())
        return self._thresholds

    def forget(self) -> None:
        """Know none: they are wanted anew, or the session has ended."""
        self._known = None

    def _found(self, selection: Selection, mark: Mark | None) -> Thresholds:
        found = self._find(selection, mark)
        if found is None:
            raise UnsupportedError(
                f"{selection.dataset.shown} makes no temporary table for this user, which `keep last` needs",
                hint="Grant that to the user, or plan on the server that the records are removed from.",
            )
        return found
