"""Audit files in the shape that MXCP writes: one JSON object a line, rotated and compressed by age."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lapse.instant import DAY, Nanos, rfc3339, to_datetime

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_SCHEMAS = ("mxcp.endpoints", "auth_events", "debug_logs", "keep_forever")
_SHARES = (80, 9, 10, 1)
_TOOLS = ("get_user", "search_orders", "update_ticket", "run_report", "sales_by_region", "summarize_case")
_REGIONS = ("Zürich", "Paris", "São Paulo", "Tokyo 東京", "Oslo")


def write_audit_files(folder: Path, records: int, now: Nanos) -> None:
    """Write *records* records over 400 days: the oldest third as ``.zst``, the next as ``.gz``, the rest plain."""
    lines = list(_lines(records, now))
    third = records // 3
    oldest, middle = to_datetime(Nanos(now - 267 * DAY)), to_datetime(Nanos(now - 133 * DAY))
    (folder / f"logs-default-{oldest:%Y%m%dT%H%M%S}.jsonl.zst").write_bytes(zstd.compress(b"".join(lines[:third])))
    (folder / f"logs-default-{middle:%Y%m%dT%H%M%S}.jsonl.gz").write_bytes(
        gzip.compress(b"".join(lines[third : 2 * third]), mtime=0)
    )
    (folder / "logs-default.jsonl").write_bytes(b"".join(lines[2 * third :]))


def _lines(count: int, now: Nanos) -> Iterator[bytes]:
    chance = random.Random(21)  # noqa: S311  # a made-up world, no secret
    step = 400 * DAY // count
    for index in range(count):
        moment = Nanos(now - 400 * DAY + index * step)
        yield json.dumps(_record(rfc3339(Nanos(moment // 1000 * 1000)), chance), ensure_ascii=False).encode() + b"\n"


def _record(moment: str, chance: random.Random) -> dict[str, Any]:
    failed = chance.random() < 0.04
    decision = chance.choices((None, "allow", "deny"), (60, 34, 6))[0]
    tool = chance.choice(_TOOLS)
    status = "error" if failed else "success"
    return {
        "schema_name": chance.choices(_SCHEMAS, _SHARES)[0],
        "schema_version": 1,
        "record_id": f"{chance.getrandbits(128):032x}",
        "timestamp": moment,
        "operation_type": "tool",
        "operation_name": tool,
        "operation_status": status,
        "duration_ms": int(chance.lognormvariate(3.5, 1.2)),
        "caller_type": "http",
        "user_id": f"user{chance.randrange(40)}@example.com",
        "session_id": f"{chance.getrandbits(64):016x}",
        "trace_id": None,
        "input_data": {"region": chance.choice(_REGIONS), "limit": chance.choice((10, 50, 100))},
        "output_data": None if failed else [{"id": chance.randrange(10**6), "amount": chance.randrange(10**6) / 100}],
        "error": "Connection timeout after 30s\nretry" if failed else None,
        "policies_evaluated": ["input.0"] if decision else [],
        "policy_decision": decision,
        "policy_reason": "Admin access required" if decision == "deny" else None,
        "business_context": {"operation_name": tool, "operation_status": status},
        "execution_events": [],
        "prev_hash": None,
        "record_hash": None,
        "signature": None,
    }
