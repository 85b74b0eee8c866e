"""A log and its segments: which files ``{segments}`` means, and which of them stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapse.errors import PolicyError, StoreMissingError, UnsupportedError
from lapse.stores.jsonl.files import LogSet


def _make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"{}\n")


def _found(logs: LogSet) -> list[str]:
    return [file.path.name for file in logs.files()]


def test_only_names_of_the_form_are_meant(tmp_path: Path) -> None:
    """The log itself, and a time with or without a number."""
    mine = ["a-20260101T000000-12.jsonl", "a-20260101T000000.jsonl", "a.jsonl"]
    _make(tmp_path, *mine, "a-eu.jsonl", "a-20260101T000000-x.jsonl", "ab.jsonl", "a-20260101T00000.jsonl", "a.jsonl.1")

    assert _found(LogSet(f"{tmp_path}/a{{segments}}.jsonl")) == mine


def test_escaped_signs_are_themselves(tmp_path: Path) -> None:
    """A name with signs that look like wildcards can be written."""
    _make(tmp_path, "a*[x].jsonl", "ab[x].jsonl", "a*[x]-20260101T000000.jsonl")

    assert _found(LogSet(f"{tmp_path}/a[*][[]x]{{segments}}.jsonl")) == ["a*[x]-20260101T000000.jsonl", "a*[x].jsonl"]


@pytest.mark.parametrize("name", ["*{segments}.jsonl", "a{segments}{segments}.jsonl", "a?{segments}.jsonl"])
def test_wildcards_beside_segments_are_refused(name: str) -> None:
    """Which segment is the newest would be a question for each log."""
    with pytest.raises(PolicyError, match="wildcards beside"):
        LogSet(f"/var/log/{name}")


def test_the_newest_by_name_stays_in_each_folder(tmp_path: Path) -> None:
    """Numbers count as numbers, and the log without a time is the oldest."""
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    _make(tmp_path / "x", "a.jsonl", "a-20260101T000000-9.jsonl", "a-20260101T000000-10.jsonl")
    _make(tmp_path / "y", "a.jsonl")
    logs = LogSet(f"{tmp_path}/*/a{{segments}}.jsonl")

    assert logs.staying(logs.files()) == {tmp_path / "x" / "a-20260101T000000-10.jsonl", tmp_path / "y" / "a.jsonl"}


def test_lines_are_added_to_a_log_without_segments(tmp_path: Path) -> None:
    """With segments there is no such file, and a new one gets a name of the form."""
    _make(tmp_path, "a.jsonl")
    logs = LogSet(f"{tmp_path}/a{{segments}}.jsonl")
    assert logs.sole(logs.files()) == tmp_path / "a.jsonl"

    _make(tmp_path, "a-20260101T000000.jsonl")
    assert logs.sole(logs.files()) is None
    assert logs.segment_named("a-20260101T000000.jsonl", 7) == "a-20260101T000000-7.jsonl"
    assert logs.segment_named("a.jsonl", 7) == "a-19700101T000000-7.jsonl"
    assert LogSet(f"{tmp_path}/a*.jsonl").segment_named("a.jsonl", 7) is None


def test_the_log_may_be_a_link_and_a_segment_may_not(tmp_path: Path) -> None:
    """The first is named, the others are found; the file behind the link stays."""
    (tmp_path / "disk").mkdir()
    _make(tmp_path / "disk", "real.jsonl")
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "disk" / "real.jsonl")
    _make(tmp_path, "a-20260101T000000.jsonl")
    logs = LogSet(f"{tmp_path}/a{{segments}}.jsonl")

    assert {logs.relative(file.path) for file in logs.files()} == {"a.jsonl", "a-20260101T000000.jsonl"}
    assert logs.staying(logs.files()) == {tmp_path / "disk" / "real.jsonl", tmp_path / "a-20260101T000000.jsonl"}
    assert {*logs.folders()} == {tmp_path, tmp_path / "disk"}
    assert logs.matches("real.jsonl")
    (tmp_path / "a-20260102T000000.jsonl").symlink_to(tmp_path / "disk" / "real.jsonl")
    with pytest.raises(UnsupportedError, match="symbolic link"):
        logs.files()


def test_where_there_is_nothing_it_says_so(tmp_path: Path) -> None:
    """A link into nowhere is no log, nor is a folder that is not there."""
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone.jsonl")
    for pattern in (f"{tmp_path}/a{{segments}}.jsonl", f"{tmp_path}/no/a{{segments}}.jsonl"):
        with pytest.raises(StoreMissingError):
            LogSet(pattern).files()
