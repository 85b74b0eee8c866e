"""Worlds for the tests of the drop-in."""

from __future__ import annotations

from pathlib import Path

import pytest
from pg_telephony import Telephony
from xivo_world import XivoWorld, build

from lapse import registry
from servers.postgres import PostgresServer


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> XivoWorld:
    """A small telephony server, on a store that plays PostgreSQL's part."""
    monkeypatch.setitem(registry.STORES, "sqlite", "telephony_double")
    return build(tmp_path)


@pytest.fixture
def telephony(pg_database: str, postgres: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest) -> Telephony:
    """A filled database of the era that the test asks for, by default today's."""
    world = Telephony(tmp_path, address=pg_database, era=getattr(request, "param", "wazo"), version=postgres.version)
    world.config()
    return world
