"""Calls a tool of a running MXCP server; runs in MXCP's own environment: ``mxcp_calling.py URL CALLS``."""

import asyncio
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def call(url: str, count: int) -> None:
    """Call the tool so many times, one after another."""
    async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        for number in range(count):
            answer = await session.call_tool("hello", {"name": f"n{number}"})
            assert not answer.isError


asyncio.run(call(sys.argv[1], int(sys.argv[2])))
