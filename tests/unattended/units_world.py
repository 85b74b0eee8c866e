"""A world whose policy `lapse schedule` makes units from, and what it prints."""

from __future__ import annotations

import pytest
from typer.testing import Result
from unattended_world import World


@pytest.fixture(name="scheduled")
def scheduled_fixture(world: World) -> World:
    """A world with two archives' worth of needs, a variable, and a folder with a space and a per cent sign in it."""
    strange = world.folder / "cold 100% $store"
    strange.mkdir()
    world.policy_file.write_text(
        "version: 1\n"
        f"archives: {{cold: {{to: '{strange}'}}}}\n"
        "datasets:\n"
        "  calls: {store: 'sqlite:///${CALLS}', table: cel, time: at, keep: 90 days, archive: cold}\n"
        "  tools: {store: logs/audit*.jsonl, time: t, keep: 90 days, archive: cold}\n"
        "schedule: {cron: '0,30 2 1,15 * mon-fri', jitter: 10m}\n",
        encoding="utf-8",
    )
    (world.folder / "logs").mkdir()
    return world


def printed(world: World, *arguments: str, **more: str) -> Result:
    """What a call of `schedule` printed."""
    result = world.call("schedule", *arguments, CALLS="calls.db", **more)
    assert result.exit_code == 0, result.stderr
    return result
