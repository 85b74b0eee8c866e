"""The store contract for one log file that is named exactly; a glob is in the table of all stores."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonl_world import JsonlWorld

from lapse.testing.harness import World
from lapse.testing.store_contract import StoreContract


class TestNamedFile(StoreContract):
    """Everything that the engine relies on."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        """One log file."""
        return JsonlWorld(tmp_path)
