"""The promises of `lapse.ports.Store`, as tests: an adapter is done when they pass.

Bring a `World` and run them::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def world(self, tmp_path):
            return MyWorld(tmp_path)
"""

# ruff: noqa: E402 - assertions are rewritten only in modules that are named before they are imported

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"lapse.testing.contract_{part}"
        for part in ("deciding", "holding", "matching", "newest", "taking", "proving", "reading")
    )
)

from lapse.testing.contract_deciding import DecidingContract
from lapse.testing.contract_holding import HoldingContract
from lapse.testing.contract_matching import MatchingContract
from lapse.testing.contract_newest import NewestContract
from lapse.testing.contract_proving import ProvingContract
from lapse.testing.contract_reading import ReadingContract
from lapse.testing.contract_taking import TakingContract
from lapse.testing.harness import World


class StoreContract(
    DecidingContract,
    HoldingContract,
    MatchingContract,
    NewestContract,
    TakingContract,
    ProvingContract,
    ReadingContract,
):
    """Everything that the engine relies on. Override the fixture, run."""

    @pytest.fixture
    def world(self) -> World:
        """The store under test; override it."""
        raise NotImplementedError("override the fixture `world` with your own World")
