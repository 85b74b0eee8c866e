"""What was judged when the file was surveyed is not judged again when it goes, as long as its bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import DAY, dataset, line, purge_slice, remember_small_files

from lapse.errors import ChangedError
from lapse.instant import Nanos, rfc3339
from lapse.model.disposal import Waiver
from lapse.model.selection import Selection, select
from lapse.ports import Slice
from lapse.stores.jsonl import JsonlStore, parting, workers
from lapse.stores.jsonl.judged import Judges
from lapse.stores.jsonl.names import LOCK
from lapse.testing.flow import cut, drain, rule
from lapse.testing.harness import NOW

_MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _everything_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are remembered, in blocks of a few lines."""
    remember_small_files(monkeypatch)


@contextmanager
def _judging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts the bytes that are judged meanwhile."""
    found: list[int] = []
    judgements = Judges.judgements

    def counted(judges: Judges, piece):  # type: ignore[no-untyped-def]
        found.append(len(piece.data))
        return judgements(judges, piece)

    with monkeypatch.context() as patch:
        patch.setattr(Judges, "judgements", counted)
        yield found


def _selection(log: Path, *, waived: bool = False, days: int = 30) -> Selection:
    kept = rule(f"{days} days")
    kept = replace(kept, archives=(), waived=True) if waived else kept
    return select(dataset(log, kept, tenant="tenant"), floors=(), holds=(), now=NOW, real_now=NOW)


def _line(days: int, number: int, tenant: object = "x") -> bytes:
    return line(rfc3339(Nanos(NOW - days * DAY)), tenant=tenant, n=number)


def _log(path: Path) -> Path:
    path.write_bytes(b"".join(_line(100 - number // 4, number) for number in range(400)))
    return path


def _surveyed(selection: Selection, root: Path | None) -> JsonlStore:
    store = JsonlStore(selection.dataset, read_only=False)
    if root is not None:
        store.remember(root, "log", rescan=False)
    list(store.survey(selection))
    return store


def _purged(store: JsonlStore, selection: Selection) -> bytes:
    """Take what has lapsed; the lines that went."""
    with store.lease():
        gone = [found for piece in cut(store, selection) if (found := purge_slice(store, piece)) is not None]
        store.prune(item.disposal for item in gone)
    store.close()
    return b"".join(item.data for item in gone)


@pytest.mark.parametrize("waived", [False, True])
def test_a_removal_judges_little_of_what_the_survey_has_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waived: bool
) -> None:
    """Only the block in which the cutoff is; everything that goes is read all the same."""
    log = _log(tmp_path / "log")
    selection, size = _selection(log, waived=waived), log.stat().st_size
    store = _surveyed(selection, tmp_path)
    (piece,) = cut(store, selection)

    with store.lease(), _judging(monkeypatch) as found, store.take(piece) as taken:
        if waived:
            disposal = taken.commit(Waiver(slice=piece.name))
        else:
            assert sum(len(batch.data) for part in taken.parts() for batch in part.batches) > size // 2

    assert sum(found) < 0.02 * size
    if waived:
        assert disposal.records == 280
        assert log.read_bytes().lstrip(b" ") == b"".join(_line(100 - n // 4, n) for n in range(280, 400))


_RECORD = st.builds(_line, st.sampled_from([5, 20, 60, 90]), st.integers(0, 999), st.sampled_from(["x", "y", None, []]))
_ODD = st.sampled_from([b"{\n", b"\n", b'{"time": 5}\n', b"[]\n", b"z" * 500 + b"\n"])
_STRETCH = st.tuples(st.lists(st.one_of(_RECORD, _RECORD, _RECORD, _ODD), max_size=3), st.integers(1, 12))
_CONTENT = st.lists(_STRETCH, max_size=12).map(lambda found: b"".join(b"".join(some) * n for some, n in found))


@_MANY
@given(first=_CONTENT, second=_CONTENT, days=st.sampled_from([10, 30, 80]))
def test_what_goes_is_the_same_with_and_without_an_index(
    tmp_path_factory: pytest.TempPathFactory, first: bytes, second: bytes, days: int
) -> None:
    """The same lines in the same order, night after night, and the same bytes stay."""
    folder = tmp_path_factory.mktemp("index")
    told = []
    for name, root in (("known", folder), ("new", None)):
        log = folder / name
        log.write_bytes(first)
        found = []
        for period in (90, days):
            selection = _selection(log, days=period)
            gone = _purged(_surveyed(selection, root), selection)
            found.append((gone, log.read_bytes().replace(b" ", b"")))
            log.write_bytes(log.read_bytes() + second)
        told.append(found)

    assert told[0] == told[1]


@pytest.mark.parametrize("shift", [0, 1])
def test_a_block_that_changes_after_the_survey_is_judged_as_it_is(tmp_path: Path, shift: int) -> None:
    """A line that must stay came to stand in it, or it came to stand elsewhere: the line stays, byte for byte."""
    log = _log(tmp_path / "log")
    selection = _selection(log)
    store = _surveyed(selection, tmp_path)
    data = log.read_bytes()
    start = data.index(b"\n", 9000) + 1
    end = data.index(b"\n", start) + 1
    kept = _line(1, 7)[:-1].ljust(end - start - 1 + shift) + b"\n"

    with log.open("r+b") as file:
        file.write(data[:start] + kept + data[end:])
    gone = _purged(store, selection)

    assert kept in log.read_bytes()
    assert kept not in gone


def test_a_block_behind_a_line_that_lost_its_end_is_not_recognised(tmp_path: Path) -> None:
    """Its first line is the rest of a broken one then, and both stay."""
    log = _log(tmp_path / "log")
    selection = _selection(log)
    store = _surveyed(selection, tmp_path)
    data = bytearray(log.read_bytes())
    block = next(each.block for each in _known(store, log, selection) if each.block.start > 9000)
    data[block.start - 1] = 0x20
    log.write_bytes(data)
    joined = bytes(data[data.rindex(b"\n", 0, block.start) + 1 : data.index(b"\n", block.start) + 1])

    _purged(store, selection)

    assert joined in log.read_bytes()


@pytest.mark.parametrize("waived", [False, True])
def test_a_long_file_is_judged_by_children_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waived: bool
) -> None:
    """The same lines go and the same bytes stay, doubtful lines and a torn one among them."""
    tasks: list[int] = []

    def streamed(count, *args, **options):  # type: ignore[no-untyped-def]
        tasks.append(count)
        return workers.streamed(count, *args, **options)

    monkeypatch.setattr(parting, "streamed", streamed)
    records = [_line((number * 7) % 90, number) for number in range(600)]
    content = b"".join(records[:300]) + b"{\n\n" + b"z" * 500 + b"\n" + b"".join(records[300:]) + b'{"torn": '
    told = []
    for least in (10**9, 1):
        monkeypatch.setattr(parting, "_FOR_ONE", least)
        monkeypatch.setattr(parting, "_TASK", 1000)
        log = tmp_path / str(least)
        log.write_bytes(content)
        selection = _selection(log, waived=waived)
        store = _surveyed(selection, None)
        pieces = cut(store, selection)
        with store.lease():
            gone = [_taken(store, piece, waived=waived) for piece in pieces]
        told.append((gone, log.read_bytes()))

    assert told[0] == told[1]
    assert told[0][0]
    assert len(tasks) == 1
    assert tasks[0] > 10  # they were told apart by children, the first file was not


def _taken(store: JsonlStore, piece: Slice, *, waived: bool) -> tuple[int, bytes]:
    if not waived:
        found = purge_slice(store, piece)
        assert found is not None
        return found.disposal.records, found.data
    with store.take(piece) as taken:
        return taken.commit(Waiver(slice=piece.name)).records, b""


def test_a_file_that_changes_while_children_judge_it_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is read here must be what they have judged."""
    monkeypatch.setattr(parting, "_FOR_ONE", 1)
    log = _log(tmp_path / "log")
    selection = _selection(log)
    store = _surveyed(selection, None)
    (piece,) = cut(store, selection)
    monkeypatch.setattr(parting, "streamed", _but_changed(log))

    with store.lease(), pytest.raises(ChangedError, match="changed"), store.take(piece) as taken:
        drain(taken.parts())

    assert sorted(path.name for path in tmp_path.iterdir() if "lapse" in path.name and path.name != LOCK) == []


def _but_changed(log: Path):  # type: ignore[no-untyped-def]
    def streamed(*args, **options):  # type: ignore[no-untyped-def]
        for told in workers.streamed(*args, **options):
            with log.open("r+b") as file:
                file.write(b" ")
            yield told

    return streamed


def _known(store: JsonlStore, log: Path, selection: Selection):  # type: ignore[no-untyped-def]
    from lapse.stores.jsonl.deciding import Timeline
    from lapse.stores.jsonl.judging import Judge
    from lapse.stores.jsonl.recognising import OneFate
    from lapse.stores.jsonl.scanning import Extent

    judge, facts = Judge(selection), log.stat()
    assert store._memory is not None
    blocks = store._memory.blocks_of(Extent(path=log, inode=facts.st_ino, size=facts.st_size), judge)
    return OneFate(blocks, Timeline(judge), going=frozenset(selection.lapsed_codes()))
