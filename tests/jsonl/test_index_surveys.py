"""Surveys that rely on what earlier runs remembered, held against surveys that read everything."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import DAY, NEW, OLD, dataset, line, purge_slice, remember_small_files

from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Disposal
from lapse.model.match import Condition, Match, Range
from lapse.model.policy import Hold, Rule
from lapse.model.selection import Selection, Verdict, select
from lapse.ports import Budget
from lapse.state.file_index import FileIndex
from lapse.stores.jsonl import JsonlStore, filescan, memory, surveying
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.memory import Memory
from lapse.stores.jsonl.parts import Survey
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.surveying import survey
from lapse.testing.flow import Not, cut, facts_of, rule
from lapse.testing.harness import NOW

_MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _everything_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are remembered, in blocks of a few lines; lines are judged many at once."""
    remember_small_files(monkeypatch)


def _selection(
    log: Path, days: int, held: str | None = None, *, rules: tuple[Rule, ...] = (), crlf: bool = False
) -> Selection:
    match = Match((Condition(field="tenant", values=(str(held),)),))
    holds = [] if held is None else [Hold(matter="1", match=match)]
    chosen = rules or (_typed("a", days), rule(f"{days + 20} days"))
    logs = dataset(log, *chosen, tenant="tenant", crlf_allowed=crlf)
    return select(logs, floors=(), holds=holds, now=NOW, real_now=NOW)


def _typed(kind: str, days: int) -> Rule:
    return replace(rule(f"{days} days"), match=Match((Condition(field="type", values=(kind,)),)))


def _extent(log: Path) -> Extent:
    facts = log.stat()
    return Extent(path=log, inode=facts.st_ino, size=facts.st_size)


def _remembered(log: Path, selection: Selection, root: Path, *, rescan: bool = False, learning: bool = True) -> Survey:
    """A survey as a run makes it, from opening the index to closing it."""
    judge = Judge(selection)
    memory = Memory(FileIndex(root, "log"), judge, rescan=rescan, learning=learning)
    found = survey([_extent(log)], judge, memory)
    if learning:
        memory.save()
    return found


def _same(one: Survey, other: Survey) -> bool:
    return (one.counts.tallies(), one.doubts.all(), [dict(each) for each in one.sizes]) == (
        other.counts.tallies(), other.doubts.all(), [dict(each) for each in other.sizes],
    )  # fmt: skip


@contextmanager
def _reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the bytes that are read from files meanwhile."""
    read: list[int] = []
    pread, preadv = os.pread, os.preadv

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        data = pread(descriptor, size, offset)
        read.append(len(data))
        return data

    def counted_into(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        got = preadv(descriptor, buffers, offset)
        read.append(got)
        return got

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", counted)
        patch.setattr(os, "preadv", counted_into)
        yield read


_LINE = st.builds(
    lambda days, kind, tenant: line(rfc3339(Nanos(NOW - days * DAY)), type=kind, tenant=tenant),
    st.integers(0, 80), st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", 1, [], None]),
)  # fmt: skip
_ODD = st.sampled_from(
    [
        b"\n", b"{\n", b"{\r\n", b"[]\n", b'{"time": 5, "tenant": "x"}\n', b'{"time": "9999-12-31T00:00:00Z"}\n',
        b"y" * 500 + b"\n",
    ]
)  # fmt: skip
_CRLF = _LINE.map(lambda data: data[:-1] + b"\r\n")
_CHUNK = st.lists(st.one_of(_LINE, _LINE, _LINE, _LINE, _CRLF, _ODD), max_size=25).map(b"".join)
_STEP = st.one_of(
    st.tuples(st.just("append"), _CHUNK),
    st.tuples(st.just("append"), _CHUNK),
    st.tuples(st.just("append"), st.just(b'{"torn": 1')),
    st.tuples(st.just("replace"), _CHUNK),
    st.tuples(st.just("cut"), st.integers(0, 2000)),
    st.tuples(st.just("behead"), st.integers(1, 12)),
    st.tuples(st.just("pack"), st.none()),
)


def _changed(log: Path, what: str, value: bytes | int | None) -> None:
    data = log.read_bytes()
    plain = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    match what, value:
        case "append", bytes():
            after = data + (value if plain is data else gzip.compress(value))
        case "replace", bytes():
            after = value
        case "cut", int():
            after = plain[:value]
        case "behead", int():
            after = b"".join(plain.splitlines(keepends=True)[value:])
        case _:
            after = gzip.compress(plain)
    keeps_inode = what != "replace"
    if not keeps_inode:
        log.unlink()
    log.write_bytes(after)


@_MANY
@given(steps=st.lists(st.tuples(_STEP, st.sampled_from([10, 30, 50]), st.sampled_from([None, "x", "1"])), max_size=8))
def test_a_survey_that_remembers_finds_what_one_that_reads_everything_finds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[str, bytes | int | None], int, str | None]]
) -> None:
    """However the file grows, shrinks or is replaced between runs, and whatever periods and holds come and go."""
    folder = tmp_path_factory.mktemp("index")
    log = folder / "log"
    log.write_bytes(b"")

    for (what, value), days, held in steps:
        _changed(log, what, value)
        selection = _selection(log, days, held)
        exact = survey([_extent(log)], Judge(selection))

        assert _same(_remembered(log, selection, folder, learning=False), exact)
        assert _same(_remembered(log, selection, folder), exact)
        assert _same(_remembered(log, selection, folder), exact)


def _log(path: Path, days: Callable[[int], int], count: int = 400, kinds: str = "a") -> Path:
    path.write_bytes(
        b"".join(
            line(rfc3339(Nanos(NOW - days(n) * DAY)), type=kinds[n % len(kinds)], tenant="x", n=n) for n in range(count)
        )
    )
    return path


def test_what_is_remembered_is_not_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a file without news only the first and last bytes are read, and the block that the cutoff is in."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    selection = _selection(log, 30)
    monkeypatch.setattr("lapse.stores.jsonl.fileindex._ENDS", 64)
    exact = _remembered(log, selection, tmp_path)

    with _reading(monkeypatch) as read:
        found = _remembered(log, selection, tmp_path)

    assert _same(found, exact)
    assert sum(read) < 0.05 * log.stat().st_size


def test_an_edit_in_the_middle_is_seen_by_the_next_full_scan(tmp_path: Path) -> None:
    """Which comes with `rescan`, or by itself after thirty runs."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    selection = _selection(log, 30)
    before = _remembered(log, selection, tmp_path)
    data = log.read_bytes()
    middle = data.index(b"\n", len(data) // 2) + 1
    with log.open("r+b") as file:
        file.seek(middle)
        file.write(b"!")
    exact = survey([_extent(log)], Judge(selection))

    assert not _same(exact, before)
    assert _same(_remembered(log, selection, tmp_path, rescan=True, learning=False), exact)
    for _ in range(memory.FULL_AFTER):
        assert _same(_remembered(log, selection, tmp_path), before)
    assert _same(_remembered(log, selection, tmp_path), exact)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: b"x" + data, lambda data: b"", lambda data: data[:90] + b"\0" + data[91:]],
)
def test_a_damaged_index_counts_as_none(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """The file is read, and the index written anew, private to its owner."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    selection = _selection(log, 30)
    exact = _remembered(log, selection, tmp_path)
    path = FileIndex(tmp_path, "log").path
    whole = path.read_bytes()
    path.write_bytes(damage(whole))

    assert _same(_remembered(log, selection, tmp_path), exact)
    assert path.read_bytes() == whole
    assert path.stat().st_mode & 0o777 == 0o600


@_MANY
@given(
    pairs=st.lists(st.tuples(st.integers(-2, 12), st.integers(0, 5)), min_size=2, max_size=4),
    others=st.booleans(),
    negated=st.booleans(),
)
def test_what_is_remembered_of_numbers_is_right_for_other_ranges(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]], others: bool, negated: bool
) -> None:
    """One number stands for all between two ends, so that very many cost nothing; other ends are other numbers."""
    folder = tmp_path_factory.mktemp("index")
    log = folder / "log"
    values = (*range(-3, 14), "5", "05", "x", True, None, 2.0, 2**70, [])
    log.write_bytes(b"".join(line(rfc3339(Nanos(NOW - 40 * DAY)), n=value, tenant="x") for value in values))

    for first, width in pairs:
        numbers = Range(first, first + width)
        rules = (
            rule("30 days", n=Not(numbers) if negated else numbers),
            rule("90 days", n="5" if others else Range(3)),
        )
        selection = _selection(log, 30, rules=rules)
        lapsed = sum(rules[0].match.matches({"n": value}.get) for value in values)

        found = _remembered(log, selection, folder)

        assert _same(found, survey([_extent(log)], Judge(selection)))
        assert sum(t.records for t in found.counts.tallies() if t.code == selection.lapsed_code(0)) == lapsed


def test_other_fields_or_times_make_the_index_void(tmp_path: Path) -> None:
    """What was remembered of one reading of the lines says nothing about another."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    _remembered(log, _selection(log, 30), tmp_path)

    for rules in ((_typed("a", 30), replace(rule("9 days"), match=Match((Condition(field="n", values=("7",)),)))),):
        selection = _selection(log, 30, rules=rules)
        assert _same(_remembered(log, selection, tmp_path), survey([_extent(log)], Judge(selection)))


@pytest.mark.parametrize("allowed", [False, True])
def test_the_word_that_lets_lines_with_crlf_be_judged_makes_the_index_void(tmp_path: Path, *, allowed: bool) -> None:
    """They are counted anew when it is said, and when it is said no more."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    log.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))
    before, after = (_selection(log, 30, crlf=crlf) for crlf in (allowed, not allowed))
    _remembered(log, before, tmp_path)

    found = _remembered(log, after, tmp_path)

    assert _same(found, survey([_extent(log)], Judge(after)))
    assert [doubt.count for doubt in found.doubts.all()] == ([400] if allowed else [])


def _store(selection: Selection, root: Path, *, read_only: bool = False) -> JsonlStore:
    store = JsonlStore(selection.dataset, read_only=read_only)
    store.remember(root, "log", rescan=False)
    return store


def _run(log: Path, selection: Selection, root: Path) -> int:
    """Survey and purge, as the engine does; returns the bytes of the lines that went."""
    store = _store(selection, root)
    with store.lease():
        list(store.survey(selection))
        gone = [item for piece in cut(store, selection) if (item := purge_slice(store, piece)) is not None]
        store.prune(item.disposal for item in gone)
    store.close()
    return sum(len(item.data) for item in gone)


@pytest.mark.parametrize("kinds", ["a", "ab"])
def test_the_index_follows_a_removal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kinds: str) -> None:
    """Night after night the counts are exact, and little is read again: also where what goes stood among the rest."""
    monkeypatch.setattr("lapse.stores.jsonl.fileindex._ENDS", 64)
    log = _log(tmp_path / "log", lambda n: 100 - n // 40, count=4000, kinds=kinds)

    for days in (90, 80, 70, 60):
        selection = _selection(log, days, rules=(_typed("a", days), rule("1 year")))
        gone = _run(log, selection, tmp_path)
        exact = survey([_extent(log)], Judge(selection))
        with _reading(monkeypatch) as read:
            found = _remembered(log, selection, tmp_path, learning=False)

        assert gone > 0
        assert _same(found, exact)
        assert not any(selection.outcomes[t.code].verdict is Verdict.LAPSED for t in found.counts.tallies())
        assert sum(read) < 0.05 * log.stat().st_size


def _first_slice(selection: Selection, root: Path) -> Disposal:
    """Survey, and take the first slice of all, after which the run is over."""
    store = _store(selection, root)
    with store.lease():
        list(store.survey(selection))
        gone = purge_slice(store, next(store.slices(selection, facts_of(selection), Budget())))
        assert gone is not None
        store.prune(iter([gone.disposal]))
    store.close()
    return gone.disposal


def test_the_index_follows_what_goes_to_one_of_two_destinations(tmp_path: Path) -> None:
    """What is to go elsewhere is still there, in the same blocks, and counted right."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 40, count=4000, kinds="ab")
    typed = (_typed("a", 30), replace(_typed("b", 30), archives=("elsewhere",)))
    selection = _selection(log, 30, rules=typed)

    disposal = _first_slice(selection, tmp_path)

    found = _remembered(log, selection, tmp_path, learning=False)
    assert 0 < disposal.records < 2000
    assert _same(found, survey([_extent(log)], Judge(selection)))
    assert sum(t.records for t in found.counts.tallies() if selection.outcomes[t.code].verdict is Verdict.LAPSED) == (
        disposal.records
    )


def test_the_index_follows_a_head_that_goes_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the lines behind the part that went, nothing is gone yet: those of them that lapsed are still there."""
    monkeypatch.setattr("lapse.stores.jsonl.taking.HEAD_LIMIT", 4000)
    monkeypatch.setattr(memory, "_MOST_BLANKS", 0)
    log = tmp_path / "log"
    old, new = (line(time, type=kind, tenant="x") for time, kind in ((OLD, "a"), (NEW, "b")))
    assert len(old) == len(new)  # so that a wrong place would begin a line, too
    log.write_bytes(old * 2000 + (new + old) * 100)
    selection = _selection(log, 30, rules=(_typed("a", 30),))

    disposal = _first_slice(selection, tmp_path)

    assert 0 < disposal.records < 2000
    assert _same(_remembered(log, selection, tmp_path, learning=False), survey([_extent(log)], Judge(selection)))


def test_a_line_that_changed_since_it_was_remembered_is_judged_as_it_is(tmp_path: Path) -> None:
    """The index never decides alone: what goes is read in the same run."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    selection = _selection(log, 30)
    _remembered(log, selection, tmp_path)
    data = log.read_bytes()
    start = data.index(b"\n", 9000) + 1
    end = data.index(b"\n", start) + 1
    kept = line(rfc3339(NOW), type="a", tenant="x", n=1)[:-1].ljust(end - start - 1) + b"\n"
    log.write_bytes(data[:start] + kept + data[end:])

    _run(log, selection, tmp_path)

    assert kept in log.read_bytes()


def test_a_store_that_only_reads_writes_no_index(tmp_path: Path) -> None:
    """A plan may use what is remembered; it leaves the state folder as it is."""
    log = _log(tmp_path / "log", lambda n: 100 - n // 4)
    selection = _selection(log, 30)
    store = _store(selection, tmp_path / "state", read_only=True)

    list(store.survey(selection))
    store.close()

    assert not (tmp_path / "state").exists()


def test_files_in_ranges_and_processes_are_counted_as_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However they are cut into tasks; doubts name the first line of the whole file."""
    logs = [_log(tmp_path / f"{n}.log", lambda number: (number * 7) % 90, count=50 * n) for n in range(6)]
    logs[3].write_bytes(logs[3].read_bytes() + b"{\n" + line() + b"{\n" + b'{"torn')
    logs[1].write_bytes(gzip.compress(logs[1].read_bytes() + b"[]\n"))
    extents = [_extent(log) for log in logs]
    judge = Judge(_selection(tmp_path / "*.log", 30))
    exact = survey(extents, judge)

    for task, small in ((100, 0), (1000, 2000), (10**9, 10**9)):
        monkeypatch.setattr(surveying, "_FOR_ONE", 1)
        monkeypatch.setattr(surveying, "_TASK", task)
        monkeypatch.setattr(filescan, "_SMALL", small)
        found = survey(extents, judge)
        assert found.counts.tallies() == exact.counts.tallies()
        assert found.doubts.all() == exact.doubts.all()
        assert [set(each) for each in found.sizes] == [set(each) for each in exact.sizes]
