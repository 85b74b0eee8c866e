"""Short forms for tests of text logs: a dataset, a selection, a purge that gives back what went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Disposal
from lapse.model.policy import Dataset, Rule
from lapse.model.selection import Selection, select
from lapse.ports import LineBlock, Slice, Store
from lapse.stores.jsonl import JsonlStore, filescan, judged, recalling
from lapse.testing.flow import Drained, cut, drain, prove, rule
from lapse.testing.harness import NOW

DAY = 86_400_000_000_000
OLD = rfc3339(Nanos(NOW - 400 * DAY))
NEW = rfc3339(Nanos(NOW - DAY))


def line(time: str | None = OLD, /, **fields: Any) -> bytes:
    """A log line; old by default."""
    return json.dumps({"time": time, **fields}, ensure_ascii=False).encode() + b"\n"


def dataset(address: Path | str, *rules: Rule, **overrides: Any) -> Dataset:
    """Logs with `time`, `type` and `tenant`, kept for 30 days and archived unless *rules* say otherwise."""
    numbered = tuple(replace(item, index=index) for index, item in enumerate(rules or (rule("30 days"),)))
    attributes = {"name": "log", "store": str(address), "shown": str(address), "time": "time", "rules": numbered}
    return Dataset(**{**attributes, **overrides})


def selected(address: Path | str, *rules: Rule, **overrides: Any) -> Selection:
    """What decides about those logs at `NOW`."""
    return select(dataset(address, *rules, **overrides), floors=(), holds=(), now=NOW, real_now=NOW)


def remember_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are remembered, in blocks of a few lines; lines are judged many at once."""
    for module in (filescan, recalling):
        monkeypatch.setattr(module, "SMALLEST", 1)
    monkeypatch.setattr(filescan, "_SMALL", 0)
    monkeypatch.setattr(filescan, "block_size", lambda size: 200)
    monkeypatch.setattr("lapse.stores.jsonl.fileindex.block_size", lambda size: 200)
    monkeypatch.setattr(judged, "_WORTH_IT", 0)


def opened(selection: Selection, *, read_only: bool = False) -> JsonlStore:
    """The store; it keeps nothing open that would have to be closed."""
    return JsonlStore(selection.dataset, read_only=read_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """What one slice removed.

    Attributes:
        table: Path of the log file, as the part names it.
        data: The lines, one after the other.
        disposal: What the commit said.
    """

    table: str
    data: bytes
    disposal: Disposal


def content(drained: Sequence[Drained]) -> bytes:
    """The bytes that a take yielded."""
    return b"".join(b.data for item in drained for b in item.batches if isinstance(b, LineBlock))


def purge_slice(store: Store, piece: Slice) -> Gone | None:
    """Take, prove and commit one slice."""
    with store.take(piece) as taken:
        drained = drain(taken.parts())
        if not drained:
            return None
        disposal = taken.commit(prove(piece, drained))
        return Gone(table=drained[0].part.table, data=content(drained), disposal=disposal)


def purge(selection: Selection) -> list[Gone]:
    """Remove what has lapsed, as a run does."""
    store = opened(selection)
    with store.lease():
        pieces = cut(store, selection)
        return [gone for piece in pieces if (gone := purge_slice(store, piece)) is not None]


def strays(folder: Path) -> list[str]:
    """Names of Lapse's own files in *folder*, journals left out."""
    return sorted(p.name for p in folder.iterdir() if ".lapse" in p.name and not p.name.endswith(".journal"))
