"""Worlds of every kind of file."""

from __future__ import annotations

from pathlib import Path

import pytest

from worlds import World, make


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world of 300 records, about 190 of them lapsed and free to go."""
    return make(tmp_path / "world", request.param, 300)
