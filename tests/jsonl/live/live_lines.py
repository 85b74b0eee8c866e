"""Lines of an audit trail that say who wrote them, in which order, and whether they are whole.

The record has the fields of MXCP's trail, in its order. `record_hash` is a checksum of everything before it.
Nothing of Lapse is imported here: the writers start at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from zlib import crc32

KEPT = "keep_forever"
LAPSING = "mxcp.endpoints"
BACK_DATED = 86_400.0
"""Seconds by which the time of a line lies back that has lapsed when it is written."""

_HASH = '"record_hash": "'
_END = '", "signature": null}\n'
_LINE = re.compile(
    rb'\{"schema_name": "(?P<schema>[^"]+)", "schema_version": 1, '
    rb'"record_id": "(?P<writer>[^"-]+)-(?P<number>[0-9]+)", "timestamp": "(?P<time>[^"]+)", .*'
    rb'"record_hash": "(?P<hash>[0-9a-f]{8})", "signature": null\}',
    re.DOTALL,
)
_BODIES = ("", "Zürich", '\\"quoted\\"', "東京 " * 20, "x" * 700)


class Profile(Enum):
    """Where the lapsed lines are: all at the head, or among lines that stay."""

    HEAD = "head"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Line:
    """What a whole line says.

    Attributes:
        writer: Name of who wrote it.
        number: Its place in what that writer wrote, from 0.
        time: Its record time.
        schema: `KEPT` for lines that are kept for ever, else `LAPSING`.
    """

    writer: str
    number: int
    time: datetime
    schema: str


def make(writer: str, number: int, *, time: str, schema: str = LAPSING) -> bytes:
    """A line, of a length that follows from its number."""
    body = _BODIES[number % len(_BODIES)]
    text = (
        f'{{"schema_name": "{schema}", "schema_version": 1, "record_id": "{writer}-{number}", "timestamp": "{time}", '
        '"operation_type": "tool", "operation_name": "search_orders", "operation_status": "success", '
        '"duration_ms": 12, "caller_type": "http", "user_id": null, "session_id": null, "trace_id": null, '
        f'"input_data": {{"n": {number}}}, "output_data": ["{body}"], "error": null, "policies_evaluated": [], '
        '"policy_decision": null, "policy_reason": null, "business_context": {}, "execution_events": [], '
        f'"prev_hash": null, {_HASH}'
    )
    return f"{text}{crc32(text.encode()):08x}{_END}".encode()


def text_of(seconds: float) -> str:
    """A time as MXCP writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def next_line(writer: str, number: int, *, profile: Profile, now: float) -> bytes:
    """The line that a writer of *profile* writes at *now*.

    Of a mixed profile, every other line has lapsed when it is written, and one of a hundred never does.
    """
    if profile is Profile.MIXED and number % 100 == 1:
        return make(writer, number, time=text_of(now), schema=KEPT)
    lies_back = BACK_DATED if profile is Profile.MIXED and number % 2 == 0 else 0.0
    return make(writer, number, time=text_of(now - lies_back))


def read(data: bytes) -> Line | None:
    """Take a line apart that stands without its line end. None if it is not whole, byte for byte."""
    found = _LINE.fullmatch(data)
    if found is None or int(found["hash"], 16) != crc32(data[: found.start("hash")]):
        return None
    return Line(
        writer=found["writer"].decode(),
        number=int(found["number"]),
        time=datetime.fromisoformat(found["time"].decode()),
        schema=found["schema"].decode(),
    )
