"""The newest lines of each group stay, over all files of a log and however much of them is remembered."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import DAY, dataset, line, opened, purge_slice, selected

from lapse.errors import StoreError, UnsupportedError
from lapse.instant import Nanos, parse_rfc3339, rfc3339
from lapse.model.match import text_of
from lapse.model.policy import Last
from lapse.model.selection import Selection, Verdict, select
from lapse.stores.jsonl import JsonlStore, filescan, gathering, judged, recalling, surveying
from lapse.testing.flow import cut, rule
from lapse.testing.harness import NOW

_MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _everything_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are remembered, in blocks of a few lines; lines are judged many at once."""
    for module in (filescan, recalling, gathering):
        monkeypatch.setattr(module, "SMALLEST", 1)
    monkeypatch.setattr(filescan, "_SMALL", 0)
    monkeypatch.setattr(filescan, "block_size", lambda size: 200)
    monkeypatch.setattr("lapse.stores.jsonl.fileindex.block_size", lambda size: 200)
    monkeypatch.setattr(judged, "_WORTH_IT", 0)


def _at(days: float, **fields: object) -> bytes:
    return line(rfc3339(Nanos(NOW - int(days * DAY))), **fields)


_LINE = st.builds(
    lambda days, device: _at(days) if device == "-" else _at(days, device=device),
    st.integers(0, 60),
    st.sampled_from(["a", "b", "c", 7, "7", None, [], True, "-"]),
)
_ODD = st.sampled_from([b"{\n", b'{"time": 5, "device": "a"}\n', b'{"time": "9999-12-31T00:00:00Z", "device": "a"}\n'])
_CHUNK = st.lists(st.one_of(_LINE, _LINE, _LINE, _ODD), max_size=20)


def _night(address: str, night: int, last: Last) -> Selection:
    now = Nanos(NOW + night * DAY)
    dataset_ = dataset(address, rule("20 days", last=last))
    return select(dataset_, floors=(), holds=(), now=now, real_now=now)


def _going(lines: Sequence[bytes], selection: Selection, last: Last) -> Counter[bytes]:
    """What goes, told as plainly as can be: lapsed, with enough newer lines of the same device."""
    members: list[tuple[int, str | None, bytes]] = []
    for each in lines:
        try:
            record = json.loads(each)
        except ValueError:
            continue
        time = record.get("time")
        instant = parse_rfc3339(time) if isinstance(time, str) else None
        if instant is not None and instant <= selection.doubt_after:
            members.append((instant, None if last.per is None else text_of(record.get("device")), each))
    cutoff = selection.rules.cutoff(0) or 0
    return Counter(
        each
        for instant, value, each in members
        if instant < cutoff
        and sum(other > instant and same == value for other, same, _ in members) >= last.count
    )  # fmt: skip


def _lines(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted(folder.glob("log*")):
        data = path.read_bytes()
        found += (gzip.decompress(data) if path.suffix == ".gz" else data).lstrip(b" ").splitlines(keepends=True)
    return found


@_MANY
@given(
    nights=st.lists(st.tuples(_CHUNK, _CHUNK), min_size=1, max_size=4),
    last=st.builds(Last, st.integers(1, 3), st.sampled_from([None, "device"])),
    packed=st.booleans(),
)
def test_night_after_night_exactly_those_go_that_have_enough_newer_ones(
    tmp_path_factory: pytest.TempPathFactory, nights: list[tuple[list[bytes], list[bytes]]], last: Last, packed: bool
) -> None:
    """Two files grow, one may be compressed; what is remembered of them changes nothing about what goes."""
    folder, state = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("state")
    first, second = folder / ("log.1.gz" if packed else "log.1"), folder / "log.2"
    state_of_file = gzip.compress if packed else bytes
    first.write_bytes(state_of_file(_at(0, device="x")))
    second.write_bytes(b"")
    for night, (one, other) in enumerate(nights):
        before = first.read_bytes() if first.exists() else b""
        first.write_bytes(before + state_of_file(b"".join(one)))
        with second.open("ab") as file:
            file.write(b"".join(other))
        selection = _night(f"{folder}/log.*", night, last)
        there = Counter(_lines(folder))
        going = _going(list(there.elements()), selection, last)

        store = opened(selection)
        store.remember(state, "log", rescan=False)
        with store.lease():
            tallies = list(store.survey(selection))
            for piece in cut(store, selection):
                purge_slice(store, replace(piece, name=f"{night}{piece.name[1:]}"))
        store.close()

        assert Counter(_lines(folder)) == there - going
        lapsed = [each.records for each in tallies if each.code in selection.lapsed_codes()]
        assert sum(lapsed) == going.total()


_AGED = st.builds(lambda days, device: _at(days, device=device), st.integers(18, 30), st.sampled_from("abcdef"))


@_MANY
@given(lines=st.lists(_AGED, min_size=1, max_size=40), count=st.integers(1, 3), now=st.integers(0, 3))
def test_what_is_remembered_tells_the_same_as_the_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], count: int, now: int
) -> None:
    """Whatever blocks are left unread: those of one group do not count twice, and none that could matter is missed."""
    folder, last = tmp_path_factory.mktemp("logs"), Last(count, "device")
    log = _log(folder, lines)
    first = _remembering(_night(str(log), 0, last), folder)
    list(first.survey(_night(str(log), 0, last)))
    first.close()
    selection = _night(str(log), now, last)

    found = Counter({t.code: t.records for t in _remembering(selection, folder).survey(selection)})

    assert found == Counter({t.code: t.records for t in opened(selection).survey(selection)})


def _log(folder: Path, lines: Sequence[bytes]) -> Path:
    path = folder / "log"
    path.write_bytes(b"".join(lines))
    os.utime(path, (1, 1))
    return path


def _remembering(selection: Selection, state: Path) -> JsonlStore:
    store = opened(selection)
    store.remember(state, "log", rescan=False)
    return store


def test_a_night_with_nothing_new_reads_only_where_a_threshold_could_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is younger than the cutoff is counted from the index, and so are old blocks of devices seen since."""
    lines = [_at(200 - n / 10, device=f"d{n % 3}") for n in range(1990)]
    selection = selected(_log(tmp_path, lines), rule("20 days", last=Last(2, "device")))
    first = _remembering(selection, tmp_path)
    list(first.survey(selection))
    first.close()
    asked: list[int] = []
    work = gathering._gather

    def counted(*args: object) -> None:
        asked.append(sum(each.end - each.begin for each in args[1]))  # type: ignore[attr-defined]
        work(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(gathering, "_gather", counted)
    again = _remembering(selection, tmp_path)
    tallies = list(again.survey(selection))

    assert sum(asked) == 0
    assert sum(each.records for each in tallies) == len(lines)


def test_the_same_is_told_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is read in parts, and what each part has seen is put together."""
    lines = [_at(100 - n / 100, device=f"d{n % 7}") for n in range(3000)]
    selection = selected(_log(tmp_path, lines), rule("20 days", last=Last(3, "device")))
    alone = opened(selection)
    whole = sorted((each.code, each.records) for each in alone.survey(selection))
    monkeypatch.setattr(surveying, "_FOR_ONE", 1)
    monkeypatch.setattr(surveying, "_TASK", 5000)
    monkeypatch.setattr(surveying, "processors", lambda: 2)

    found = sorted((each.code, each.records) for each in opened(selection).survey(selection))

    assert found == whole
    assert {selection.outcomes[code].verdict for code, _ in found} == {Verdict.LAPSED, Verdict.KEPT}


def test_a_field_that_no_line_has_is_refused(tmp_path: Path) -> None:
    """A slip in its name would make one group of all devices, of which only the newest few would stay."""
    lines = [_at(100 + n, device=f"d{n}") for n in range(9)]
    selection = selected(_log(tmp_path, lines), rule("20 days", last=Last(2, "devcie")))

    with pytest.raises(StoreError, match="has the field devcie") as caught:
        list(opened(selection).survey(selection))

    assert "slip" in (caught.value.hint or "")


def test_more_groups_than_memory_may_hold_are_refused_before_anything_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is said, and what to do."""
    monkeypatch.setattr(gathering, "MOST_TIMES", 5)
    lines = [_at(100 + n, device=f"d{n}") for n in range(9)]
    path = _log(tmp_path, lines)
    selection = selected(path, rule("20 days", last=Last(1, "device")))

    with pytest.raises(UnsupportedError, match="more than 5 newest"):
        list(opened(selection).survey(selection))

    assert path.read_bytes() == b"".join(lines)


def test_a_hold_that_comes_during_a_run_leaves_the_index_true(tmp_path: Path) -> None:
    """What is remembered is told by the selection that counted last, so that the next night counts right."""
    lines = [_at(40 - n / 10, device=f"d{n % 2}") for n in range(390)]
    path = _log(tmp_path, lines)
    selection = selected(path, rule("20 days", last=Last(2, "device")))
    held = replace(selection, holds=())
    store = _remembering(selection, tmp_path)
    with store.lease():
        list(store.survey(selection))
        for piece in cut(store, held):
            purge_slice(store, piece)
    store.close()

    remembered = sorted((t.code, t.records) for t in _remembering(selection, tmp_path).survey(selection))

    assert remembered == sorted((t.code, t.records) for t in opened(selection).survey(selection))
