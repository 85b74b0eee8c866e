"""One line in, what becomes of it out. What cannot be judged is doubtful, and doubtful lines stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.newest import Newest, grouping_fields
from lapse.model.policy import Dataset
from lapse.model.selection import Selection
from lapse.model.timetext import is_naive, number_instant, parse_time_text
from lapse.stores.jsonl.alike import ranged_fields, standing_for
from lapse.stores.jsonl.fields import Doubtful, FieldReader
from lapse.stores.jsonl.lines import Line, Shape

Value: TypeAlias = str | int | tuple[()] | None
"""A text, an integer or a boolean; an empty tuple stands for everything that equals nothing, but is there."""

Values: TypeAlias = tuple[Value, ...]

_CRLF = b"\r\n"
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

    def __init__(self, selection: Selection, newest: Newest | None = None) -> None:
        """Decide by *selection*, and by the *newest* of each group; without them every line may be one of them."""
        self.selection = selection
        self.newest = Newest() if newest is None else newest
        self._dataset = selection.dataset
        self.reader = FieldReader(used_fields(selection))
        self.deciding = deciding_fields(selection)
        self.keyed = keyed_fields(selection)
        self.ranged = ranged_fields(selection)

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
        if not self._dataset.crlf_allowed and line.data.endswith(_CRLF):  # asked last: this word lets it be judged
            return self._doubted(Doubtful.CRLF, fields)
        return Judged(self.newest.decide(self.selection, instant, fields.get), instant, fields, None)

    def tenant(self, judged: Judged) -> str | None:
        """The tenant that a line is counted under. None where there is none."""
        name = self._dataset.tenant
        return None if name is None else text_of(judged.fields.get(name))

    def values(self, judged: Judged) -> Values:
        """A line's values of the fields that decide."""
        return tuple(self.told(name, plain_value(judged.fields.get(name))) for name in self.deciding)

    def told(self, name: str, value: Value) -> Value:
        """A value of the field *name* as far as it decides: a key that no hold names is as good as any other.

        So are numbers that are in the same ranges.
        """
        ends = self.ranged.get(name)
        if ends is not None:
            return standing_for(value, ends)
        keys = self.keyed.get(name)
        return value if keys is None or text_of(value) in keys else ()

    def _doubted(self, why: Doubtful, fields: Mapping[str, object]) -> Judged:
        return Judged(self.selection.decide(None, fields.get), None, fields, why)


def used_fields(selection: Selection) -> tuple[str, ...]:
    """Every field that a decision can ask for, each once: of the dataset, its rules, holds and floors."""
    matches = [*(floor.match for floor in selection.floors), *(hold.match for hold in selection.holds)]
    matched = [*selection.ruled_fields, *(name for match in matches for name in match.fields)]
    return tuple(dict.fromkeys([*selection.dataset.fields, *matched]))


def deciding_fields(selection: Selection) -> tuple[str, ...]:
    """Every field whose value decides what becomes of a record of a known time, or under whom it is counted.

    Those that only tell groups apart of which the newest stay come last.
    """
    return tuple(dict.fromkeys([*judging_fields(selection), *grouping_fields(selection)]))


def judging_fields(selection: Selection) -> tuple[str, ...]:
    """Those of them that decide under which rule, hold or floor a record is."""
    dataset = selection.dataset
    matches = [*(floor.match for floor in selection.floors), *(hold.match for hold in selection.holds)]
    matched = [*selection.ruled_fields, *(name for match in matches for name in match.fields)]
    matched += [hold.key_field for hold in selection.holds if hold.keys is not None]
    required = [name for name in dataset.require if name != dataset.time]  # it has one, since its time is known
    tenant = [] if dataset.tenant is None else [dataset.tenant]
    return tuple(dict.fromkeys([*tenant, *required, *matched]))


def keyed_fields(selection: Selection) -> Mapping[str, frozenset[str]]:
    """Fields that decide by nothing but whether they are one of the keys that holds name, with all of those keys."""
    fields = {hold.key_field for hold in selection.holds if hold.keys is not None}
    others = deciding_fields(replace(selection, holds=tuple(replace(hold, keys=None) for hold in selection.holds)))
    return {
        field: frozenset().union(*(hold.keys for hold in selection.holds if hold.keys and hold.key_field == field))
        for field in sorted(fields - set(others))
    }


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
        instant = parse_time_text(value, dataset.zone)
        if instant is not None and dataset.zone_required and is_naive(value):
            return Doubtful.NAIVE
    else:
        instant = None
    return Doubtful.BAD_TIME if instant is None else instant
