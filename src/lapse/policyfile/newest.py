"""The key `keep last` of a rule: what it may hold, and what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from lapse.errors import Complaint
from lapse.model.policy import Last
from lapse.policyfile.tree import Mapped, Scalar
from lapse.policyfile.words import count, kind_of, record_field, wrong

KEY = "keep last"
_FORM = re.compile(r"(?P<count>[1-9][0-9]{0,14})(?:\s+per\s+(?P<field>\S.*?))?\s*")
_HINT = "Write how many, like `keep last: 5 per device_id`; `keep last: 5` counts all that the rule decides about."


def keep_last(value: Any) -> Last:
    """How many of the newest records stay, and of which groups: ``5``, or ``5 per FIELD``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Last(_counted(value))
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise wrong(f"must be a number of records, not {kind_of(value)}", _HINT)
    return Last(_counted(int(found["count"])), None if found["field"] is None else record_field(found["field"]))


def _counted(number: int) -> int:
    try:
        return count(number)
    except PydanticCustomError as error:
        raise wrong(str((error.context or {})["what"]), _HINT) from error


KeepLast = Annotated[
    Last,
    PlainValidator(keep_last),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^[1-9][0-9]{0,14}(\s+per\s+\S.*)?$"},
            ],
            "examples": ["5 per device_id", 5],
        }
    ),
]


def last_of(said: Last | None, columns: Mapping[str, str]) -> Last | None:
    """What a rule keeps, its role replaced by a column of *columns*. None if nobody says."""
    if said is None or said.per is None:
        return said
    return replace(said, per=columns.get(said.per, said.per))


def idle_last(rule: Mapped, *, keeps_forever: bool) -> Iterator[Complaint]:
    """A `keep last` in a rule whose records never go: who wrote it meant another rule, or another period."""
    said = rule.entry(KEY)
    if said is not None and isinstance(said.node, Scalar) and keeps_forever:
        what = f"`{KEY}` means nothing beside `for: forever`: all of the rule's records stay"
        yield Complaint(said.origin, what, "Remove it, or write after how long the others go, like `for: 90 days`.")
