"""Worlds for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_world import CliWorld, build


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliWorld:
    """A small world, which is also the working folder; no variable leads out of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return build(tmp_path)
