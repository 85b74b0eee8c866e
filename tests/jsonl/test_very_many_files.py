"""Very many log files: surveyed some at a time, with little kept of each."""

from __future__ import annotations

import gc
import os
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import NEW, OLD, line, opened, purge, purge_slice, selected

from lapse.errors import StoreError
from lapse.ports import Budget
from lapse.stores.jsonl import files, judged, listed, spool, surveying
from lapse.stores.jsonl.expecting import is_gone_for_good
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.listed import FileMarks, LogFile, LogFiles, in_order
from lapse.stores.jsonl.redo import Journalled
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.seen import Seen, SeenFiles
from lapse.stores.jsonl.spool import Spool
from lapse.stores.jsonl.taking import JsonlTake
from lapse.stores.jsonl.task import task_of
from lapse.testing.flow import cut, drain, facts_of, prove

_DESCRIPTORS = Path("/proc/self/fd")
_NUMBERS = st.integers(0, 2**63 - 1)
_INODES = st.integers(0, 2**64 - 1)
_FILES = st.dictionaries(st.text(min_size=1), st.tuples(_NUMBERS, _INODES), max_size=20)
_NAMES = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)


def _listed(found: dict[str, tuple[int, int]]) -> list[LogFile]:
    return [LogFile(name=name, size=size, inode=inode, mtime_ns=-size) for name, (size, inode) in sorted(found.items())]


@contextmanager
def _tiny(*, page: int = 3, held: int = 0, sorted_at_once: int = 4) -> Iterator[None]:
    """A few files are as many as very many; with *held* 0 everything is put aside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed, "_PAGE", page)
        patch.setattr(listed, "_SORTED", sorted_at_once)
        patch.setattr(spool, "_HELD", held)
        yield


@given(_FILES, st.text(), st.integers(1, 7), st.sampled_from([0, 100, 10_000]))
def test_a_list_of_files_and_their_mark_say_what_was_put_in(
    found: dict[str, tuple[int, int]], other: str, page: int, held: int
) -> None:
    """Each file is the value it was; a mark is the mapping of paths to size and inode, and has no other path."""
    with _tiny(page=page, held=held):
        files = _listed(found)
        log_files = LogFiles(files)
        marks = FileMarks(log_files)

        assert list(log_files) == files
        assert list(log_files[1:3]) == files[1:3]
        assert [log_files[-place] for place in range(1, len(files) + 1)] == files[::-1]
        assert marks == found
        assert marks.get(other) == found.get(other)
        with pytest.raises(IndexError):
            log_files[len(files)]


@given(st.lists(_NAMES, max_size=30), st.integers(1, 9), st.integers(1, 4))
def test_names_come_in_order_and_once(names: list[str], sorted_at_once: int, page: int) -> None:
    """However few are held in memory at a time, and whatever bytes a name is made of."""
    with _tiny(page=page, sorted_at_once=sorted_at_once):
        assert list(in_order(names)) == sorted(set(names))


def test_a_copy_of_a_mark_outlives_what_it_was_copied_from() -> None:
    """It has a temporary file of its own, and is equal."""
    with _tiny():
        marks = FileMarks(LogFiles(_listed({"a": (1, 2), "b": (3, 4), "c": (5, 6), "d": (7, 8)})))
        copy = deepcopy(marks)
        del marks
        gc.collect()

        assert copy == {"a": (1, 2), "b": (3, 4), "c": (5, 6), "d": (7, 8)}


def test_what_is_put_aside_has_no_name_and_goes_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the folder for temporary files, and no descriptor stays open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spool, "_HELD", 0)
    before = len(list(_DESCRIPTORS.iterdir()))

    pieces = Spool([b"one", b"two"])

    assert list(pieces) == [b"one", b"two"]
    assert not list(tmp_path.iterdir())
    assert len(list(_DESCRIPTORS.iterdir())) == before + 1
    del pieces
    assert len(list(_DESCRIPTORS.iterdir())) == before


def test_without_a_place_for_temporary_files_memory_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan needs no folder that can be written to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    monkeypatch.setattr(spool, "_HELD", 0)

    assert list(Spool([b"one", b"two"])) == [b"one", b"two"]


def test_a_temporary_file_that_was_cut_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read back is never taken for something else."""
    monkeypatch.setattr(spool, "_HELD", 0)
    pieces = Spool([b"one", b"two"])
    assert pieces._descriptor is not None
    os.ftruncate(pieces._descriptor, 4)

    assert pieces[0] == b"one"
    with pytest.raises(StoreError, match="was cut"):
        pieces[1]


def test_what_is_known_of_very_many_files_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 50,000 files and their mark take less than 10 bytes a file, while it is made less than 60."""
    monkeypatch.setattr(LogSet, "names", lambda _: (f"{tmp_path}/{n * 7919 % 50_000:06d}.jsonl" for n in range(50_000)))
    monkeypatch.setattr(files, "_look", lambda name: LogFile(name=name, inode=2**40, size=2**30, mtime_ns=2**60))
    logs = LogSet(f"{tmp_path}/*.jsonl")
    logs.files()
    tracemalloc.start()
    try:
        marks = FileMarks(logs.files())
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(marks) == 50_000
    assert held < 500_000
    assert peak < 3_000_000


def test_a_later_look_at_a_file_counts_before_the_survey() -> None:
    """Each is for its own selection, and for the file as it was then."""
    one, other = selected(Path("/logs/a.jsonl")), selected(Path("/logs/b.jsonl"))
    file = LogFile(name="a", inode=1, size=10, mtime_ns=5)
    grown = LogFile(name="a", inode=1, size=20, mtime_ns=6)
    seen = SeenFiles(one)
    seen.extend([file], [Extent(path=file.path, inode=1, size=10)], [{1: 10}])

    assert seen.sizes_of(one, file, 10) == {1: 10}
    assert seen.sizes_of(other, file, 10) is None
    assert seen.sizes_of(one, file, 9) is None
    assert seen.sizes_of(one, grown, 20) is None
    seen.note(other, Seen(grown, 20, {2: 20}))
    assert seen.sizes_of(other, grown, 20) == {2: 20}
    assert seen.sizes_of(one, file, 10) is None


def test_where_later_looks_are_forgotten_the_survey_is_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the index knows of a file is of the last look at it: an earlier one must not be taken for that."""
    monkeypatch.setattr("lapse.stores.jsonl.seen._MOST_NOTES", 1)
    one, other = selected(Path("/logs/a.jsonl")), selected(Path("/logs/b.jsonl"))
    files = [LogFile(name=name, inode=1, size=10, mtime_ns=5) for name in "ab"]
    seen = SeenFiles(one)
    seen.extend(files, [Extent(path=file.path, inode=1, size=10) for file in files], [{1: 10}] * 2)

    for file in files:
        seen.note(other, Seen(file, 10, {0: 10}))

    assert [seen.sizes_of(one, file, 10) for file in files] == [None, None]
    assert [seen.sizes_of(other, file, 10) for file in files] == [None, {0: 10}]


@pytest.fixture(params=[1, 2, 3, 1_000], ids=lambda number: f"{number} at once")
def logs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five logs, of which the third and the last have a line that is no record; surveyed so many at once."""
    monkeypatch.setattr(surveying, "_FILES", request.param)
    torn = b"no record\n"
    for name, content in zip("abcde", [line(), line(NEW), line() + torn, b"", torn + line()], strict=True):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    return tmp_path


def test_a_survey_adds_up_what_all_of_them_hold(logs: Path) -> None:
    """However many are looked at together; the first doubtful line is that of the first file that has one."""
    selection = selected(logs / "*.jsonl")
    store = opened(selection)

    found = Counter({selection.outcomes[each.code].verdict.value: each.records for each in store.survey(selection)})

    assert found == {"lapsed": 3, "kept": 1, "doubtful": 2}
    assert [(doubt.count, doubt.file.name, doubt.line) for doubt in store.doubts()] == [(2, "c.jsonl", 2)]


def test_a_run_takes_from_each_what_lapsed_in_it(logs: Path) -> None:
    """Every file that has lapsed lines is taken from, those in later parts, too."""
    removed = purge(selected(logs / "*.jsonl"))

    assert sum(each.disposal.records for each in removed) == 3
    assert OLD.encode() not in b"".join(path.read_bytes() for path in logs.glob("*.jsonl"))


def test_from_files_that_were_surveyed_together_everything_goes(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is in each of them nobody has counted then; it is not told as a number."""
    monkeypatch.setattr(judged, "_WORTH_IT", 0)
    selection = selected(logs / "*.jsonl")
    store = opened(selection)
    with store.lease():
        list(store.survey(selection))
        pieces = cut(store, selection)
        removed = [purge_slice(store, piece) for piece in pieces]

    assert [task_of(piece, "").expected for piece in pieces] == [0, 0, 0]
    assert sum(each.disposal.records for each in removed if each is not None) == 3


def test_only_a_file_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """Of one that only lost lines, and of the newest, which stays, the commit is known on: what comes next follows."""
    for name, content in zip("abc", [line(), line() + line(NEW), line()], strict=True):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    selection = selected(tmp_path / "*.jsonl")
    store, commits = opened(selection), dict[str, Journalled]()
    with store.lease():
        for piece in store.slices(selection, facts_of(selection), Budget(rewrite=True)):
            with store.take(piece) as taken:
                taken.commit(prove(piece, drain(taken.parts())))
            assert isinstance(taken, JsonlTake)
            assert taken.redo is not None
            commits[taken.redo.log] = taken.redo

    gone = {log: is_gone_for_good(tmp_path / log, [commit]) for log, commit in commits.items()}

    assert gone == {log: not (tmp_path / log).exists() for log in ("a.jsonl", "b.jsonl", "c.jsonl")}
    assert list(gone.values()) == [True, False, False]
    assert not is_gone_for_good(tmp_path / "a.jsonl", [commits["a.jsonl"]] * 2)
    assert not is_gone_for_good(tmp_path / "a.jsonl", [])
