"""The index over nights of removals that are cut short, with holds that come in between: what it tells stays true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import DAY, dataset, line, purge_slice, remember_small_files

from lapse.instant import Nanos, rfc3339
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.model.selection import Selection, select
from lapse.ports import Budget
from lapse.state.file_index import FileIndex
from lapse.stores.jsonl import JsonlStore, memory, taking
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.memory import Memory
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.surveying import survey
from lapse.testing.flow import facts_of, rule
from lapse.testing.harness import NOW

_KINDS, _TENANTS, _AGES = ("a", "b", "c"), ("x", "y"), (1, 35, 45, 90)


class _Night(NamedTuple):
    """What happens before and in one run.

    Attributes:
        lines: Kind, tenant and age in days of the lines that are appended before.
        held: The tenant that is held from the survey on; the one held before until then.
        slices: How many are taken before the run ends.
        rows: Records of a slice at most, where it is cut at all.
    """

    lines: Sequence[tuple[str, str, int]]
    held: str | None
    slices: int
    rows: int | None


_NIGHT = st.builds(
    _Night,
    st.lists(st.tuples(st.sampled_from(_KINDS), st.sampled_from(_TENANTS), st.sampled_from(_AGES)), max_size=40),
    st.sampled_from((None, None, *_TENANTS)),
    st.integers(1, 4),
    st.none() | st.integers(1, 9),
)


@pytest.fixture(autouse=True)
def _everything_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are remembered, in blocks of a few lines; heads go in parts."""
    remember_small_files(monkeypatch)
    monkeypatch.setattr(taking, "HEAD_LIMIT", 700)
    monkeypatch.setattr(memory, "_MOST_BLANKS", 0)


def _selection(log: Path, held: str | None) -> Selection:
    """Three rules, the kinds of which go to three places."""
    typed = (
        replace(rule("30 days", where), match=Match((Condition(field="type", values=(kind,)),)))
        for kind, where in zip(_KINDS, (("cold",), ("warm",), ()), strict=True)
    )
    holds = [] if held is None else [Hold(matter="1", match=Match((Condition(field="tenant", values=(held,)),)))]
    return select(dataset(log, *typed, tenant="tenant"), floors=(), holds=holds, now=NOW, real_now=NOW)


def _run(log: Path, root: Path, night: _Night, held: str | None) -> None:
    store = JsonlStore(_selection(log, held).dataset, read_only=False)
    store.remember(root, "log", rescan=False)
    with store.lease():
        list(store.survey(_selection(log, held)))
        selection = _selection(log, night.held)
        budget = Budget() if night.rows is None else Budget(rows=night.rows, canary=True)
        pieces = islice(store.slices(selection, facts_of(selection), budget), night.slices)
        gone = [found for piece in pieces if (found := purge_slice(store, piece)) is not None]
        store.prune(found.disposal for found in gone)
    store.close()


def _told(log: Path, selection: Selection, root: Path | None) -> object:
    """What a survey finds that relies on what is remembered; with no root one that reads everything."""
    judge, facts = Judge(selection), log.stat()
    extent = Extent(path=log, inode=facts.st_ino, size=facts.st_size)
    remembered = None if root is None else Memory(FileIndex(root, "log"), judge, rescan=False, learning=False)
    found = survey([extent], judge, remembered)
    return found.counts.tallies(), found.doubts.all(), list(map(dict, found.sizes))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=st.lists(_NIGHT, min_size=1, max_size=5))
def test_what_is_remembered_is_true_however_a_night_ends(
    tmp_path_factory: pytest.TempPathFactory, nights: list[_Night]
) -> None:
    """After some slices for some destinations, whole or in part, under holds that the survey did not know."""
    folder = tmp_path_factory.mktemp("nights")
    log = folder / "log"
    log.write_bytes(b"")
    held: str | None = None

    for night in nights:
        with log.open("ab") as file:
            for kind, tenant, age in night.lines:
                file.write(line(rfc3339(Nanos(NOW - age * DAY)), type=kind, tenant=tenant))
        _run(log, folder, night, held)
        held = night.held

        if log.exists():
            for selection in (_selection(log, held), _selection(log, None)):
                assert _told(log, selection, folder) == _told(log, selection, None)
        else:
            log.write_bytes(b"")
