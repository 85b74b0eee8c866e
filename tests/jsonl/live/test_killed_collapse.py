"""Processes killed while the kernel cuts blocks off a file, on file systems that can: what is left, and its repair."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from live_disks import NotHereError, disk

from lapse.stores.jsonl.gaps import close_gap, find_gap

_BLOCK = 4096
_CUT = 2000 * _BLOCK
_LINE = b'{"n": "' + b"y" * 300 + b'"}\n'
_GONE, _KEPT = _LINE * (_CUT // len(_LINE) + 1), _LINE * 3000
_NEXT = b'{"n": "next"}\n'


def _killed(log: Path, after: float) -> None:
    command = ["fallocate", "--collapse-range", "--offset", "0", "--length", str(_CUT), str(log)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.kill()
    process.wait()


def _kill_and_repair(log: Path, after: float) -> str:
    """What the kill has left: all of the file, less of it, or a gap, which is closed."""
    log.write_bytes(_GONE + _KEPT)
    _killed(log, after)
    size = log.stat().st_size
    with log.open("ab") as file:
        file.write(_NEXT)
    descriptor = os.open(log, os.O_RDWR)
    try:
        gap = find_gap(descriptor, 0, cut=_CUT, block=_BLOCK)
        if gap is None:
            rest = (_GONE + _KEPT)[-size:]
            assert log.read_bytes() == rest + _NEXT
            return "whole" if len(rest) > _CUT + len(_KEPT) else "cut"
        assert (gap.start, len(gap)) == (len(_GONE + _KEPT) - _CUT, _CUT)
        close_gap(descriptor, gap, block=_BLOCK)
    finally:
        os.close(descriptor)
    assert log.read_bytes() == (_GONE + _KEPT)[_CUT:] + b" " * _BLOCK + _NEXT
    return "gap"


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("kills", [40, pytest.param(1500, marks=pytest.mark.soak)])
def test_a_kill_within_a_collapse_leaves_a_file_that_can_be_repaired(
    kind: str, kills: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """All of it, all but what was cut off, or that with as many zeros behind it, which XFS leaves."""
    chance = random.Random(kind)
    found: list[str] = []
    with suppress(NotHereError), disk(kind, tmp_path / "disk") as place:
        found += [_kill_and_repair(place / "log", chance.uniform(0, 0.02)) for _ in range(kills)]
        assert len(found) == kills
    counts = ", ".join(f"{found.count(what)} {what}" for what in ("whole", "cut", "gap"))
    record_property("ran", f"collapses killed on {kind}: {counts}" if found else f"{kind}: NOT RUN")
