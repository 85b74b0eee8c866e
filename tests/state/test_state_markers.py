"""Markers as they lie in the file: those of very many rules are compressed, others can be read by anybody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from state_helpers import disposal

from lapse.canonical import sha256
from lapse.errors import StoreError
from lapse.model.disposal import Disposal
from lapse.sqlcore.markers import MARKER_TABLE, Markers


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    """A database with a table for markers."""
    with closing(sqlite3.connect(":memory:")) as found:
        _markers(found).create()
        yield found


def _markers(file: sqlite3.Connection) -> Markers:
    return Markers(lambda sql, values: file.execute(sql, values).fetchall())


def _text(file: sqlite3.Connection) -> str:
    ((text,),) = file.execute(f"SELECT disposal FROM {MARKER_TABLE}").fetchall()
    return str(text)


def _large() -> Disposal:
    named = {str(rule): f"rule {rule} (tenant é{rule}: 90 days)" for rule in range(5_000)}
    return replace(disposal(), rules=named, rule_digests={rule: sha256(text.encode()) for rule, text in named.items()})


def test_a_marker_of_few_rules_is_json(file: sqlite3.Connection) -> None:
    """What somebody finds who looks into the table."""
    _markers(file).add(disposal())

    assert Disposal.from_json(json.loads(_text(file))) == disposal()


def test_a_large_marker_is_compressed_and_read_back(file: sqlite3.Connection) -> None:
    """Texts recur in it; hashes do not."""
    gone = _large()
    _markers(file).add(gone)

    text = _text(file)
    assert text.startswith("zstd ")
    assert text.isascii()
    assert 2 * len(text) < len(json.dumps(gone.to_json()))
    assert list(_markers(file).read()) == [gone]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[:-40], id="cut"),
        pytest.param(lambda text: "zstd ", id="nothing"),
        pytest.param(lambda text: "zstd !" + text, id="no-base64"),
        pytest.param(lambda text: "zstd " + text[500:], id="not-from-the-beginning"),
        pytest.param(lambda text: text.replace("zstd ", "zstd é"), id="not-ascii"),
        pytest.param(lambda text: "zstd KLUv/SAAAQAA", id="compressed-nothing"),
    ],
)
def test_a_damaged_marker_stops_everything(file: sqlite3.Connection, spoil: object) -> None:
    """It may stand for records that are gone, so it is neither passed over nor taken for another one."""
    _markers(file).add(_large())
    assert callable(spoil)
    file.execute(f"UPDATE {MARKER_TABLE} SET disposal = ?", (spoil(_text(file)),))

    with pytest.raises(StoreError, match="cannot be read") as caught:
        list(_markers(file).read())
    assert caught.value.hint is not None
