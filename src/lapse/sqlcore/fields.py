"""The fields a selection looks at, and the parts of a field that is a JSON path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain

from lapse.model.match import Match
from lapse.model.newest import grouping_fields
from lapse.model.selection import RECORD_KEY, Selection


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where a field of the policy is found.

    Attributes:
        column: The column.
        keys: Object keys inside the JSON text of that column, from the outside in. Empty for the column itself.
    """

    column: str
    keys: tuple[str, ...] = ()


def field_path(field: str) -> FieldPath:
    """``type`` is a column; ``$.detail.user`` is the key ``user`` of the JSON object in ``detail``."""
    if not field.startswith("$."):
        return FieldPath(field)
    column, *keys = field[2:].split(".")
    return FieldPath(column, tuple(keys))


def fields_of(selection: Selection) -> tuple[str, ...]:
    """Fields that decide, each once: required ones, then those of holds, rules and floors. Not the time.

    Nor what stands for the store's own key.
    """
    matched = [field for match in _matches(selection) for field in match.fields]
    matched += selection.ruled_fields
    matched += grouping_fields(selection)
    matched += [hold.key_field for hold in selection.holds if hold.keys is not None and hold.key_field != RECORD_KEY]
    return tuple(dict.fromkeys([*selection.dataset.require, *matched]))


def inner_numbers(selection: Selection) -> tuple[str, ...]:
    """Fields inside JSON texts that decide by a range of numbers, each once."""
    matches = chain(_matches(selection), (rule.match for rule in selection.sources))
    ranged = (condition.field for match in matches for condition in match.conditions if condition.ranges)
    return tuple(field for field in dict.fromkeys(ranged) if field_path(field).keys)


def _matches(selection: Selection) -> tuple[Match, ...]:
    """Those of holds and floors."""
    return (*(hold.match for hold in selection.holds), *(floor.match for floor in selection.floors))


def widened(selection: Selection, has_column: Callable[[str], bool], *, reads_json: bool = True) -> Selection:
    """The same selection for a table that lacks a column which a hold or floor names.

    Such a hold or floor cannot tell the rows apart by it, so it covers them all: too much is kept, never too
    little. Rules are left alone: a column that they lack is an error long before.

    Arguments:
        selection: What decides.
        has_column: Whether the table has a column.
        reads_json: Whether fields inside JSON texts can be read; if not, they count as missing columns.
    """

    def readable(path: FieldPath) -> bool:
        return has_column(path.column) and (reads_json or not path.keys)

    def known(match: Match) -> Match:
        return Match(tuple(c for c in match.conditions if readable(field_path(c.field))))

    if all(readable(field_path(field)) for match in _matches(selection) for field in match.fields):
        return selection  # with what it knows of its rules
    return replace(
        selection,
        holds=tuple(replace(hold, match=known(hold.match)) for hold in selection.holds),
        floors=tuple(replace(floor, match=known(floor.match)) for floor in selection.floors),
    )


def shown_fields(
    selection: Selection, has_column: Callable[[str], bool], *, reads_json: bool = True
) -> tuple[str, ...]:
    """Fields to show of a record, each once: those the policy uses for its dataset, and those of holds and floors.

    Of the latter only what can be read: a condition on another one does not count (see `widened`).
    """
    paths = {field: field_path(field) for field in fields_of(selection)}
    asked = (name for name, path in paths.items() if has_column(path.column) and (reads_json or not path.keys))
    return tuple(dict.fromkeys([*selection.dataset.fields, *asked]))
