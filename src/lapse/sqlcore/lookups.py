"""A policy of very many rules as side tables: the first rule that matches a row is looked up and not tried for.

Rules that ask for equal texts in the same fields stand in one table. All others stay conditions, tried in their order.
The least of what both find is the first that matches, as `lapse.model.dispatch` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lapse.model.bounds import Ending
from lapse.model.dispatch import Lookup
from lapse.model.match import Match
from lapse.model.selection import Selection
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.sidetables import Placed, Session, SideTable, place

FEWEST = 50
"""Combinations of texts that rules must ask for in all, from which on they are looked up."""

_FOUND = "found"
_BESIDE = "l"
_LONGEST = 1000  # bytes of one row's texts: an index takes no long ones


@dataclass(frozen=True, slots=True)
class TextLookup:
    """Rules that are found by the texts of some fields.

    Attributes:
        fields: The fields, in the order of the key columns.
        placed: Their side table.
        alias: What it is called where it is joined to the rows. None where each row looks into it.
    """

    fields: tuple[str, ...]
    placed: Placed
    alias: str | None = None

    def found(self, text: Callable[[str], Fragment]) -> Fragment:
        """What is found by the texts of the fields. NULL where nothing is."""
        if self.alias is not None:
            return Fragment(f"{self.alias}.{_FOUND}")
        return self.placed.look_up(_FOUND, [text(field) for field in self.fields])


@dataclass(frozen=True, slots=True)
class RuleLookups:
    """How the rule that decides about a row is found.

    What is found is one number: the rule's index and, in the lowest bits, the position of its ending.

    Attributes:
        texts: Where rules are looked up.
        singles: Index and match of each rule that has to be tried, ascending.
        endings: The endings of all rules.
        ending_of: The position of each rule's ending.
        least: The function that gives the least of several numbers.
    """

    texts: tuple[TextLookup, ...]
    singles: tuple[tuple[int, Match], ...]
    endings: tuple[Ending, ...]
    ending_of: Sequence[int]
    least: str

    @property
    def bits(self) -> int:
        """How many of the lowest bits tell the ending."""
        return bits_of(self.endings)

    def number(self, rule: int) -> int:
        """What is found where the rule of this index matches first."""
        return rule << self.bits | self.ending_of[rule]

    @property
    def rows(self) -> int:
        """How many rows the side tables have."""
        return sum(len(lookup.placed.table.rows) for lookup in self.texts)

    @property
    def at_hand(self) -> bool:
        """Whether what is found stands beside each row as ``l.found``: nothing else has to be looked up or tried."""
        return [lookup.alias for lookup in self.texts] == [_BESIDE] and not self.singles

    def joined(self) -> RuleLookups:
        """The same for statements that join the side tables to the rows, which pays where these are many."""
        aliases = [_BESIDE] if len(self.texts) == 1 else [f"{_BESIDE}{number}" for number in range(len(self.texts))]
        texts = (replace(lookup, alias=alias) for lookup, alias in zip(self.texts, aliases, strict=True))
        return replace(self, texts=tuple(texts))

    def using(self, text: Callable[[str], Fragment]) -> tuple[Fragment, Fragment]:
        """What joins the one side table to rows under some rule of it, where what is found is `at_hand`.

        Returns:
            What is used, and the condition; rows that do not fulfil it are under no rule.
        """
        (lookup,) = self.texts
        return lookup.placed.using(_BESIDE, [text(field) for field in lookup.fields])

    def join(self, text: Callable[[str], Fragment]) -> Fragment:
        """What joins the side tables to rows whose fields have the texts that *text* gives. Empty if nothing does."""
        return joined(
            "",
            (
                lookup.placed.join(lookup.alias, [text(field) for field in lookup.fields])
                for lookup in self.texts
                if lookup.alias is not None
            ),
        )


def lookups_of(selection: Selection, session: Session) -> RuleLookups | None:
    """The rules of *selection* in side tables of *session*.

    None where they are too few for that, or the session can have no such tables: then each rule is tried.
    """
    found = selection.dispatch
    if sum(len(lookup.firsts) for lookup in found.lookups) < FEWEST:
        return None
    texts = []
    for lookup in found.lookups:
        order = _telling(lookup)
        placed = place(session, _table(lookup, order, selection)) if _is_short(lookup) else None
        if placed is None:
            return None
        texts.append(TextLookup(tuple(lookup.fields[position] for position in order), placed))
    rules = selection.rules
    return RuleLookups(tuple(texts), found.singles, rules.endings, rules.ending_of, session.least)


def _is_short(lookup: Lookup) -> bool:
    return all(sum(len(text.encode(errors="surrogatepass")) for text in texts) <= _LONGEST for texts in lookup.firsts)


def _telling(lookup: Lookup) -> tuple[int, ...]:
    """The positions of the fields, those with the most different texts first: an index compares the others seldom."""
    texts = [len({key[position] for key in lookup.firsts}) for position in range(len(lookup.fields))]
    return tuple(sorted(range(len(texts)), key=lambda position: -texts[position]))


def _table(lookup: Lookup, order: tuple[int, ...], selection: Selection) -> SideTable:
    bits, ending_of = bits_of(selection.rules.endings), selection.rules.ending_of
    return SideTable(
        keys={f"k{number}": str for number in range(len(order))},
        values=(_FOUND,),
        rows=[
            (*(texts[position] for position in order), rule << bits | ending_of[rule])
            for texts, rule in lookup.firsts.items()
        ],
    )


def bits_of(endings: Sequence[Ending]) -> int:
    """How many bits tell one of *endings*."""
    return max(1, (len(endings) - 1).bit_length())


def chosen(number: str, answers: Sequence[Fragment]) -> Fragment:
    """The answer at the position that *number*, an expression, gives: found in few steps, however many there are."""

    def among(first: int, last: int) -> Fragment:
        if all(answer == answers[first] for answer in answers[first:last]):
            return answers[first]
        middle = (first + last) // 2
        return f"CASE WHEN {number} < {middle} THEN " + among(first, middle) + " ELSE " + among(middle, last) + " END"

    return among(0, len(answers))


def by_ending(lookups: RuleLookups, number: str, answer: Callable[[Ending], Fragment]) -> Fragment:
    """What *answer* says of the ending of what was found, *number*."""
    return chosen(f"({number} & {(1 << lookups.bits) - 1})", [answer(ending) for ending in lookups.endings])
