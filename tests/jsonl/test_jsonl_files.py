"""Which files an address means, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lapse.errors import ExitCode, StoreMissingError, UnsupportedError
from lapse.stores.jsonl.files import LogSet


def _make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")


def _found(pattern: Path) -> list[str]:
    logs = LogSet(str(pattern))
    return [logs.relative(file.path) for file in logs.files()]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("a.jsonl*", ["a.jsonl", "a.jsonl.1.gz"]),
        ("[ab].jsonl", ["a.jsonl", "b.jsonl"]),
        ("?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("*/*.jsonl", ["x/a.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "x/a.jsonl", "x/y/c.jsonl"]),
        ("x/**", ["a.jsonl", "y/c.jsonl"]),
        ("**/x/**/*.jsonl", ["x/a.jsonl", "x/y/c.jsonl"]),
        ("**/**/c.jsonl", ["x/y/c.jsonl"]),
        ("**/?/**/?/*", ["x/y/c.jsonl"]),
        (".hidden*", [".hidden.jsonl"]),
    ],
)
def test_a_glob_means_files_in_the_order_of_their_paths(tmp_path: Path, pattern: str, names: list[str]) -> None:
    """Stars stay within a name and off hidden files; two stars cross folders."""
    _make(tmp_path, "a.jsonl", "b.jsonl", "a.jsonl.1.gz", "x/a.jsonl", "x/y/c.jsonl", ".hidden.jsonl", ".x/d.jsonl")

    assert _found(tmp_path / pattern) == names


def test_lapses_own_files_are_never_logs(tmp_path: Path) -> None:
    """Not even a glob that asks for hidden files finds a journal, a temporary file or a lock."""
    _make(tmp_path, ".a.jsonl.lapse-r-1.tmp", ".a.jsonl.lapse-r-1.old", ".a.jsonl.lapse-r-1.journal", ".lapse.lock")

    with pytest.raises(StoreMissingError):
        _found(tmp_path / ".*")


@pytest.mark.parametrize("pattern", ["a.jsonl", "*.jsonl", "nowhere/*.jsonl"])
def test_an_address_that_means_nothing_names_what_was_looked_for(tmp_path: Path, pattern: str) -> None:
    """A missing file is exit 2, with the address in the message."""
    with pytest.raises(StoreMissingError, match="jsonl") as caught:
        _found(tmp_path / pattern)

    assert caught.value.exit_code is ExitCode.USAGE
    assert str(tmp_path / pattern) in caught.value.message


def test_a_glob_refuses_a_symbolic_link_and_a_name_follows_it(tmp_path: Path) -> None:
    """Only a link that was named is followed; a folder behind a link is not entered."""
    _make(tmp_path, "logs/real.log", "elsewhere/c.jsonl")
    (tmp_path / "logs/a.jsonl").symlink_to("real.log")
    (tmp_path / "logs/sub").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsupportedError, match=r"a\.jsonl is a symbolic link"):
        _found(tmp_path / "logs" / "*.jsonl")
    assert LogSet(str(tmp_path / "logs/a.jsonl")).files()[0].path == tmp_path / "logs/real.log"
    with pytest.raises(StoreMissingError):
        _found(tmp_path / "logs/*/c.jsonl")


def test_a_link_to_nothing_is_refused_by_a_glob(tmp_path: Path) -> None:
    """A dangling link is a link."""
    (tmp_path / "a.jsonl").symlink_to("gone")

    with pytest.raises(UnsupportedError):
        _found(tmp_path / "*.jsonl")


@pytest.mark.parametrize("pattern", ["a.jsonl", "*.jsonl"])
def test_hard_links_pipes_and_odd_names_are_refused(tmp_path: Path, pattern: str) -> None:
    """What a rewrite would not reach, or not come back from, is exit 2."""
    _make(tmp_path, "a.jsonl")
    os.link(tmp_path / "a.jsonl", tmp_path / "other")
    with pytest.raises(UnsupportedError, match="2 hard links"):
        _found(tmp_path / pattern)

    (tmp_path / "a.jsonl").unlink()
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UnsupportedError, match="no regular file"):
        _found(tmp_path / pattern)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 could not be named in a plan."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.jsonl")).write_bytes(b"")

    with pytest.raises(UnsupportedError, match="no plain text"):
        _found(tmp_path / "*.jsonl")


def test_a_folder_is_no_log_file(tmp_path: Path) -> None:
    """The message says how to name the files in it; a glob just does not mean folders."""
    _make(tmp_path, "a.jsonl", "b.jsonl/x")

    with pytest.raises(UnsupportedError, match="is a folder"):
        _found(tmp_path / "b.jsonl")
    assert _found(tmp_path / "*.jsonl") == ["a.jsonl"]
