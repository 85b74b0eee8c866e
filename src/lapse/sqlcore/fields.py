"""The fields a selection looks at, and the parts of a field that is a JSON path."""

from __future__ import annotations

from dataclasses import dataclass

from lapse.model.selection import Selection


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
    """Fields that decide, each once: required ones, then those of holds, rules and floors. Not the time."""
    matches = [hold.match for hold in selection.holds]
    matches += [bound.match for bound in (*selection.rules, *selection.floors)]
    matched = [field for match in matches for field in match.fields]
    return tuple(dict.fromkeys([*selection.dataset.require, *matched]))
