"""Values that a query gave back: as JSON, and as text in a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time

from lapse.canonical import Json
from lapse.instant import from_datetime, rfc3339


def as_json(value: object) -> Json:
    """The nearest value that JSON has; what it has no form for becomes text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case datetime() if value.tzinfo is not None:
            return rfc3339(from_datetime(value))
        case datetime() | date() | time():
            return value.isoformat()
        case Mapping():
            return {str(key): as_json(each) for key, each in value.items()}
        case Sequence():
            return [as_json(each) for each in value]
        case _:
            return str(value)


def as_text(value: object) -> str:
    """One cell of a table; a missing value is empty."""
    shown = as_json(value)
    if shown is None:
        return ""
    if isinstance(shown, str):
        return shown
    return json.dumps(shown, ensure_ascii=False)


def is_number(value: object) -> bool:
    """Whether a column of such values is set flush right."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
