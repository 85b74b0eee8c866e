"""A hold as it lies in a store, beside the records that it keeps: there the runs of every host find it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lapse.canonical import Digest, Json, canonical, sha256
from lapse.errors import PolicyError
from lapse.instant import parse_rfc3339, rfc3339
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.policy import Dataset, Hold
from lapse.model.selection import resolve

_VERSION = 1
_TIMES = ("since", "until", "records_from", "records_before")


@dataclass(frozen=True)
class PostedHold:
    """What a hold says about one table, whatever a policy calls the table and its columns.

    Attributes:
        hold: The hold. Its conditions are on columns, not on roles; its dataset is what the one who posted it calls
            the table.
        key: Column that its keys are values of. None for the table's own key.
    """

    hold: Hold
    key: str | None = None

    @cached_property
    def id(self) -> Digest:
        """A digest of what it says: of whichever host it comes, it is the same hold."""
        return sha256(canonical({**self._facts(), "dataset": None}))

    def text(self) -> str:
        """The form in which it is stored."""
        return canonical({"lapse_hold": _VERSION, **self._facts()}).decode()

    def _facts(self) -> dict[str, Json]:
        hold = self.hold
        times = {name: getattr(hold, name) for name in _TIMES}
        return {
            "matter": hold.matter,
            "reason": hold.reason,
            "dataset": hold.dataset,
            "match": [_condition_json(condition) for condition in hold.match.conditions],
            "keys": sorted(set(hold.keys)),
            "key": self.key,
            **{name: None if time is None else rfc3339(time) for name, time in times.items()},
        }

    @classmethod
    def from_text(cls, text: str) -> PostedHold:
        """Read back what `text` wrote.

        Raises:
            ValueError: If it is nothing that `text` writes.
        """
        try:
            facts = json.loads(text)
            if facts["lapse_hold"] != _VERSION:
                raise ValueError(f"hold version {facts['lapse_hold']!r} is not {_VERSION}")
            times = {name: None if facts[name] is None else parse_rfc3339(facts[name]) for name in _TIMES}
            hold = Hold(
                matter=str(facts["matter"]),
                reason=str(facts["reason"]),
                dataset=facts["dataset"],
                match=Match(tuple(_condition(each) for each in facts["match"])),
                keys=tuple(map(str, facts["keys"])),
                **times,  # type: ignore[arg-type]  # none of them is the origin
            )
            return cls(hold, facts["key"])
        except (KeyError, TypeError, AttributeError, PolicyError) as error:
            raise ValueError(f"it is not complete: {error}") from error

    def within(self, dataset: Dataset) -> Hold:
        """The hold as it applies to *dataset*; where that names records by another key, to all of them."""
        return replace(self.hold, dataset=dataset.name, keys=self.hold.keys if self.key == dataset.key else ())


def posted(hold: Hold, dataset: Dataset) -> PostedHold:
    """What *hold* says about the table of *dataset*.

    A condition on a role that the dataset has no column for is left out, so that it may keep too much.
    """
    columns = (replace(condition, role="") for condition in resolve(hold.match, dataset).conditions)
    plain = replace(hold, match=Match(tuple(columns)), dataset=dataset.name, origin=None)
    return PostedHold(plain, dataset.key if hold.keys else None)


def together(dataset: Dataset, holds: Iterable[Hold], found: Iterable[PostedHold]) -> tuple[Hold, ...]:
    """The holds of this host, and those *found* in the store of *dataset* that are not the same."""
    own = tuple(holds)
    known = {posted(hold, dataset).id for hold in own if hold.dataset in (None, dataset.name)} if found else ()
    return (*own, *(each.within(dataset) for each in found if each.id not in known))


def _condition_json(condition: Condition) -> Json:
    return {
        "field": condition.field,
        "values": sorted(condition.values),
        "globs": sorted(glob.pattern for glob in condition.globs),
        "numbers": sorted(map(str, condition.numbers)),
        "ranges": [[_text(each.first), _text(each.last)] for each in condition.ranges],
        "negated": condition.negated,
    }


def _condition(facts: Mapping[str, Any]) -> Condition:
    return Condition(
        field=str(facts["field"]),
        values=tuple(map(str, facts["values"])),
        globs=tuple(Glob(str(pattern)) for pattern in facts["globs"]),
        numbers=tuple(map(int, facts["numbers"])),
        ranges=tuple(Range(_whole(first), _whole(last)) for first, last in facts["ranges"]),
        negated=facts["negated"] is True,
    )


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)  # JSON has no exact numbers of that size


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
