"""Lines that end in CR LF: in doubt, and kept, unless the dataset says that they are meant."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from log_world import LogWorld

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PACKED: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "plain": (bytes, bytes),
    "gzip": (gzip.compress, gzip.decompress),
    "zstd": (zstd.compress, zstd.decompress),
}


@pytest.fixture
def world(tmp_path: Path) -> LogWorld:
    """Where nothing says what to do with such lines."""
    made = LogWorld(tmp_path)
    made.say()
    return made


def _line(number: int, *, old: bool, end: bytes) -> bytes:
    at = "2020-01-01T00:00:00Z" if old else "2026-05-31T00:00:00Z"
    return json.dumps({"at": at, "kind": "b" if end == b"\r\n" else "a", "n": number}).encode() + end


def _lines(ends: bytes = b"\r\n") -> list[bytes]:
    """Old lines and young ones in turn, of which each second pair ends in *ends*."""
    return [_line(n, old=n % 2 == 0, end=ends if n % 4 > 1 else b"\n") for n in range(40)]


@pytest.mark.parametrize("packing", _PACKED)
def test_lines_with_crlf_stay_byte_for_byte_among_lines_that_go(world: LogWorld, packing: str) -> None:
    """A run removes the old lines around them; the plan counts them, and says where the first is and what to write."""
    pack, unpack = _PACKED[packing]
    world.log.write_bytes(pack(b"".join(_lines())))

    planned = world.done("plan")
    world.done("run")

    assert f"kept in doubt: 20 × CR LF as its line end, without `allow: [crlf]`, first {world.log}:3" in planned
    assert unpack(world.log.read_bytes()) == b"".join(data for n, data in enumerate(_lines()) if n % 2 or n % 4 > 1)


@pytest.mark.parametrize("packing", _PACKED)
def test_lines_with_crlf_that_are_meant_are_judged_as_others(world: LogWorld, packing: str) -> None:
    """Old ones go, young ones stay with their line end; nothing is in doubt."""
    pack, unpack = _PACKED[packing]
    world.log.write_bytes(pack(b"".join(_lines())))
    world.say(", allow: [crlf]")

    planned = world.done("plan")
    world.done("run")

    assert "in doubt" not in planned
    assert unpack(world.log.read_bytes()) == b"".join(_lines()[1::2])


def test_lines_are_counted_anew_once_the_policy_allows_crlf(world: LogWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run remembers of a file says nothing about it under another reading of its lines."""
    for module in ("filescan", "recalling"):
        monkeypatch.setattr(f"lapse.stores.jsonl.{module}.SMALLEST", 1)
    young = [_line(n, old=False, end=b"\n") for n in range(50)]
    crlf = [_line(n, old=True, end=b"\r\n") for n in range(50)]
    world.log.write_bytes(b"".join([*young, *crlf]))
    world.done("run")

    world.say(", allow: [crlf]")

    assert "50 of 100 records would go" in world.done("plan")
    world.say()
    assert "Nothing of 100 records has lapsed" in world.done("plan")


def test_why_names_the_doubt(world: LogWorld) -> None:
    """By the place of the line and by its key; that its time can be read helps nothing."""
    world.log.write_bytes(b"".join(_lines()))

    for key in ("a.jsonl:3", "2"):
        (record,) = world.json("why", "a", key)["result"]["records"]
        assert record["verdict"] == "doubtful"
        found = [record["reason"], *(layer["finding"] for layer in record["layers"])]
        assert found == ["CR LF as its line end, without `allow: [crlf]`"] * 2
    assert "CR LF as its line end" in world.done("why", "a", "a.jsonl:3")


def test_a_rule_that_only_such_lines_match_is_no_slip(world: LogWorld) -> None:
    """`lapse check --data` looks for rules that match no record, whatever is in doubt about it."""
    world.log.write_bytes(b"".join(_lines()))
    world.say_two_rules()

    assert world.json("check", "--data")["result"]["idle"] == []
