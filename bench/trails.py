"""Audit trails in the shape of MXCP's records, about 963 bytes each, of any number, ordered by time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

_SPAN = timedelta(days=182)
"""The age of the oldest record. A schema that is kept for 90 whole days loses the older half: 91 days are not kept."""

_TAILS = 997
_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A kind of record.

    Attributes:
        name: Its `schema_name`.
        days: Whole days that it is kept. None: for ever.
        share: How many of a hundred records are of it.
    """

    name: str
    days: int | None
    share: int


ONE = (Schema(name="mxcp.endpoints", days=90, share=100),)
MIXED = (
    Schema(name="mxcp.endpoints", days=90, share=80),
    Schema(name="auth_events", days=365, share=10),
    Schema(name="debug_logs", days=30, share=8),
    Schema(name="keep_forever", days=None, share=2),
)


def write_trail(path: Path, rows: int, *, now: datetime, schemas: Sequence[Schema] = ONE) -> None:
    """Write *rows* records, the oldest first, the newest just before *now*; always the same for the same arguments."""
    with path.open("wb") as file:
        lines = trail(rows, now=now, schemas=schemas)
        while block := list(islice(lines, _BLOCK)):
            file.write(b"".join(block))


def trail(rows: int, *, now: datetime, schemas: Sequence[Schema] = ONE, start: int = 0) -> Iterator[bytes]:
    """The lines of a trail of *rows* records, from number *start* on."""
    chance = random.Random(1)
    tails = [_tail(chance) for _ in range(_TAILS)]
    names = [schema.name for schema in _in_turn(schemas)]
    step = _SPAN / rows
    for number in range(start, rows):
        time = (now - step * (rows - number)).isoformat(timespec="microseconds").replace("+00:00", "Z")
        yield (
            f'{{"schema_name": "{names[number % 100]}", "schema_version": 1, '
            f'"record_id": "{number:08x}-1c4b-4000-a000-{number * 2_654_435_761 % 2**48:012x}", "timestamp": "{time}", '
            f"{tails[number % _TAILS]}"
        ).encode()


def lapsed(rows: int, schemas: Sequence[Schema]) -> int:
    """How many records of a trail have lapsed at its `now`."""
    step = _SPAN / rows
    limits = [None if schema.days is None else timedelta(days=schema.days + 1) for schema in _in_turn(schemas)]
    return sum((limit := limits[n % 100]) is not None and step * (rows - n) >= limit for n in range(rows))


def _in_turn(schemas: Sequence[Schema]) -> list[Schema]:
    """The schemas of each hundred records, in an order that looks like chance."""
    found = [schema for schema in schemas for _ in range(schema.share)]
    random.Random(2).shuffle(found)
    return found


def registry(schemas: Sequence[Schema], now: datetime) -> str:
    """MXCP's own file of schemas and how long they are kept."""
    return "".join(json.dumps(_registered(schema, now)) + "\n" for schema in schemas)


def _registered(schema: Schema, now: datetime) -> dict[str, Any]:
    return {
        "schema_name": schema.name, "version": 1, "description": "made", "retention_days": schema.days,
        "evidence_level": "detailed", "extract_fields": [], "require_signature": False,
        "created_at": now.isoformat(), "created_by": "system", "active": True, "indexes": ["timestamp"],
        "fields": [], "field_redactions": [],
    }  # fmt: skip


def _tail(chance: random.Random) -> str:
    """Everything of a record behind its time."""
    failed, tool = chance.random() < 0.04, chance.choice(("get_user", "search_orders", "run_report", "lookup_sku"))
    row = {"id": chance.randrange(10**6), "amount": round(chance.random() * 1e4, 2), "name": "Zoë 東京"}
    fields = {
        "operation_type": "tool", "operation_name": tool, "operation_status": "error" if failed else "success",
        "duration_ms": chance.randrange(500), "caller_type": "http",
        "user_id": f"user{chance.randrange(500)}@example.com" if chance.random() < 0.8 else None,
        "session_id": f"{chance.getrandbits(128):032x}", "trace_id": None,
        "input_data": {"region": "São Paulo", "query": 'SELECT * FROM orders WHERE id > 1 AND note = "it\'s quoted"'},
        "output_data": None if failed else [row] * chance.randrange(1, 7),
        "error": "Connection timeout after 30s\nretry" if failed else None,
        "policies_evaluated": ["input.0"], "policy_decision": "allow", "policy_reason": None,
        "business_context": {"operation_type": "tool", "operation_name": tool}, "execution_events": [],
        "prev_hash": None, "record_hash": None, "signature": None,
    }  # fmt: skip
    return json.dumps(fields, ensure_ascii=False)[1:] + "\n"
