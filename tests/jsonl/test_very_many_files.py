"""Very many log files: surveyed some at a time, with little kept of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import NEW, OLD, line, opened, purge, selected

from lapse.stores.jsonl import surveying
from lapse.stores.jsonl.listed import FileMarks, LogFile, LogFiles

_NUMBERS = st.integers(0, 2**63 - 1)
_FILES = st.dictionaries(st.text(min_size=1), st.tuples(_NUMBERS, _NUMBERS), max_size=20)


def _listed(found: dict[str, tuple[int, int]]) -> list[LogFile]:
    return [LogFile(name=name, size=size, inode=inode, mtime_ns=-size) for name, (size, inode) in sorted(found.items())]


@given(_FILES, st.text())
def test_a_list_of_files_and_their_mark_say_what_was_put_in(found: dict[str, tuple[int, int]], other: str) -> None:
    """Each file is the value it was; a mark is the mapping of paths to size and inode, and has no other path."""
    files = _listed(found)

    listed = LogFiles(files)
    marks = FileMarks(listed)

    assert list(listed) == files
    assert list(listed[1:3]) == files[1:3]
    assert marks == found
    assert marks.get(other) == found.get(other)


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
