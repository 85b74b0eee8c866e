"""One line in, what becomes of it out. What cannot be judged is doubtful, and doubtful lines stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.policy import Dataset
from lapse.model.selection import Selection
from lapse.model.timetext import is_naive, number_instant, parse_time_text
from lapse.stores.jsonl.fields import Doubtful, FieldReader
from lapse.stores.jsonl.lines import Line, Shape

Value: TypeAlias = str | int | tuple[()] | None
"""A text, an integer or a boolean; an empty tuple stands for everything that equals nothing, but is there."""

Values: TypeAlias = tuple[Value, ...]

_NOTHING: Mapping[str, object] = {}
_BY_SHAPE = {Shape.TORN: Doubtful.TORN, Shape.LONG: Doubtful.LONG, Shape.LONG_REST: Doubtful.LONG}


class Judged(NamedTuple):
    """What becomes of a line.

    Attributes:
        code: The outcome's number.
        instant: The record's time. None if it has none that can be read.
        fields: Its values of the fields that are used; empty where they cannot be told.
        doubt: Why it could not be judged. None if it could.
    """

    code: int
    instant: Nanos | None
    fields: Mapping[str, object]
    doubt: Doubtful | None


class Judge:
    """Decides about lines as a selection says; in one place, for counting and for removing."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._dataset = selection.dataset
        self.reader = FieldReader(used_fields(selection))
        self.deciding = deciding_fields(selection)

    def judge(self, line: Line) -> Judged:
        """Decide about one line; a piece of a long one, and a torn one, is always doubtful."""
        if line.shape is not Shape.WHOLE:
            return self._doubted(_BY_SHAPE[line.shape], _NOTHING)
        fields = self.reader.read(line.data)
        if isinstance(fields, Doubtful):
            return self._doubted(fields, _NOTHING)
        instant = instant_of(fields[self._dataset.time], self._dataset)
        if isinstance(instant, Doubtful):
            return self._doubted(instant, fields)
        return Judged(self.selection.decide(instant, fields.get), instant, fields, None)

    def tenant(self, judged: Judged) -> str | None:
        """The tenant that a line is counted under. None where there is none."""
        name = self._dataset.tenant
        return None if name is None else text_of(judged.fields.get(name))

    def values(self, judged: Judged) -> Values:
        """A line's values of the fields that decide."""
        return tuple(plain_value(judged.fields.get(name)) for name in self.deciding)

    def _doubted(self, why: Doubtful, fields: Mapping[str, object]) -> Judged:
        return Judged(self.selection.decide(None, fields.get), None, fields, why)


def used_fields(selection: Selection) -> tuple[str, ...]:
    """Every field that a decision can ask for, each once: of the dataset, its rules, holds and floors."""
    matches = [bound.match for bound in (*selection.rules, *selection.floors)]
    matches += [hold.match for hold in selection.holds]
    matched = [name for match in matches for name in match.fields]
    return tuple(dict.fromkeys([*selection.dataset.fields, *matched]))


def deciding_fields(selection: Selection) -> tuple[str, ...]:
    """Every field whose value decides what becomes of a record of a known time, or under whom it is counted."""
    dataset = selection.dataset
    matches = [bound.match for bound in (*selection.rules, *selection.floors)]
    matches += [hold.match for hold in selection.holds]
    matched = [name for match in matches for name in match.fields]
    required = [name for name in dataset.require if name != dataset.time]  # it has one, since its time is known
    tenant = [] if dataset.tenant is None else [dataset.tenant]
    return tuple(dict.fromkeys([*tenant, *required, *matched]))


def plain_value(value: object) -> Value:
    """A value as far as it can decide: what equals nothing is made one and the same."""
    return value if isinstance(value, str | int) or value is None else ()


def instant_of(value: object, dataset: Dataset) -> Nanos | Doubtful:
    """The instant that a time value names; or why it names none for certain.

    A number counts only where the policy says its unit, a text only where it does not.
    """
    if value is None:
        return Doubtful.NO_TIME
    numeric = dataset.time_format.unit is not None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not numeric:
            return Doubtful.NUMBER
        instant = number_instant(value, dataset.time_format)
    elif isinstance(value, str) and not numeric:
        instant = None if dataset.zone_required and is_naive(value) else parse_time_text(value, dataset.zone)
    else:
        instant = None
    return Doubtful.BAD_TIME if instant is None else instant
