"""Months of tool calls, written by mxcp's own audit writer; prints how many records there are."""

import asyncio
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mxcp.sdk.audit.backends.jsonl import JSONLAuditWriter
from mxcp.sdk.audit.models import AuditRecordModel, AuditSchemaModel
from mxcp.server.schemas.audit import ENDPOINT_EXECUTION_SCHEMA

SIGN_INS = AuditSchemaModel(schema_name="sign_ins", version=1, description="Who came in", retention_days=365)
TOOLS = ("get_user", "search_orders", "run_report")


def record(number: int, count: int, now: datetime) -> AuditRecordModel:
    """One call; the first is 300 days old, the last is of now."""
    chance = random.Random(number)
    schema = SIGN_INS if number % 10 == 0 else ENDPOINT_EXECUTION_SCHEMA
    return AuditRecordModel(
        schema_name=schema.schema_name,
        schema_version=schema.version,
        timestamp=now - timedelta(days=300) * (count - number) / count,
        caller_type="http",
        operation_type="tool",
        operation_name=chance.choice(TOOLS),
        input_data={"region": "São Paulo", "limit": number},
        output_data=[{"id": number, "name": "Zoë"}],
        duration_ms=chance.randrange(500),
        operation_status="success",
        user_id=f"user{chance.randrange(9)}@example.com",
        session_id=f"{chance.getrandbits(64):016x}",
    )


async def main(path: Path, count: int) -> None:
    """Write *count* records to *path* through the writer's queue and redaction."""
    writer = JSONLAuditWriter(path)
    for schema in (ENDPOINT_EXECUTION_SCHEMA, SIGN_INS):
        await writer.create_schema(schema)
    now = datetime.now(UTC)
    for number in range(count):
        await writer.write_record(record(number, count, now))
    await writer.shutdown()
    print(count)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
