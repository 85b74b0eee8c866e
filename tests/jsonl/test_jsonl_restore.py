"""Lines that come back from the archive."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from logs import NEW, OLD, line, opened, purge, selected, strays

from lapse.errors import StoreError, UnsupportedError
from lapse.ports import LineBlock, Part, RestoreCount


def _part(data: bytes, table: str = "a.jsonl") -> Part:
    blocks = [LineBlock(item, 1) for item in data.splitlines(keepends=True)]
    return Part(table=table, columns=(), odd_column=None, batches=iter(blocks))


def test_with_a_glob_lines_come_back_in_a_file_beside(tmp_path: Path) -> None:
    """It has the owner and mode of the log, and the glob matches it; a second restore writes nothing."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line(OLD, n=1) + line(NEW) + line(OLD, n=1))
    log.chmod(0o640)
    selection = selected(tmp_path / "a*.jsonl*")
    (gone,) = purge(selection)
    store = opened(selection)

    first = store.restore(_part(gone.data))
    second = store.restore(_part(gone.data))

    (beside,) = tmp_path.glob("a.restored-????????.jsonl")
    assert (first, second) == (RestoreCount(restored=2, present=0), RestoreCount(restored=0, present=2))
    assert beside.read_bytes() == gone.data
    assert beside.stat().st_mode == log.stat().st_mode
    assert log.read_bytes() == line(NEW)
    assert strays(tmp_path) == []


def test_only_lines_that_are_missing_are_written(tmp_path: Path) -> None:
    """A line that was there twice is wanted twice; compressed files count."""
    (tmp_path / "a.jsonl").write_bytes(line(n=1))
    (tmp_path / "a.jsonl.1.gz").write_bytes(gzip.compress(line(n=2)))

    count = opened(selected(tmp_path / "a.jsonl*")).restore(_part(line(n=1) * 2 + line(n=2) + line(n=3)))

    (beside,) = set(tmp_path.iterdir()) - {tmp_path / "a.jsonl", tmp_path / "a.jsonl.1.gz"}
    assert count == RestoreCount(restored=2, present=2)
    assert beside.name.startswith("a.jsonl.restored-")
    assert beside.read_bytes() == line(n=1) + line(n=3)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_was_named_is_appended_to(tmp_path: Path, packed: bool) -> None:
    """In place, in its own compression."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(gzip.compress(line(n=1)) if packed else line(n=1))
    inode = log.stat().st_ino

    count = opened(selected(log)).restore(_part(line(n=2)))

    content = log.read_bytes()
    assert (gzip.decompress(content) if packed else content) == line(n=1) + line(n=2)
    assert (count, log.stat().st_ino) == (RestoreCount(restored=1, present=0), inode)


def test_nothing_is_appended_to_a_torn_line(tmp_path: Path) -> None:
    """It would become one line with the restored one."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line(n=1)[:-1])

    with pytest.raises(StoreError, match="last line has no end"):
        opened(selected(log)).restore(_part(line(n=2)))

    assert log.read_bytes() == line(n=1)[:-1]


def test_an_append_that_fails_leaves_the_file_as_long_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lines or none."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line(n=1))

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        opened(selected(log)).restore(_part(line(n=2)))

    assert log.read_bytes() == line(n=1)


@pytest.mark.parametrize("table", ["../evil.jsonl", "/etc/evil.jsonl", "x/y/z.jsonl", "a.jsonl"])
def test_a_table_name_does_not_lead_out_of_the_folder(tmp_path: Path, table: str) -> None:
    """The archive is not believed where it says a file lies."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(line(n=1))

    opened(selected(folder / "*.jsonl")).restore(_part(line(n=2), table))

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert len(list(folder.iterdir())) == 2


def test_a_glob_that_matches_no_new_name_takes_nothing_back(tmp_path: Path) -> None:
    """The lines would not be part of the dataset."""
    (tmp_path / "a1.jsonl").write_bytes(line(n=1))

    with pytest.raises(UnsupportedError, match="matches no name"):
        opened(selected(tmp_path / "a?.jsonl")).restore(_part(line(n=2)))

    assert [path.name for path in tmp_path.iterdir()] == ["a1.jsonl"]


def test_what_a_killed_restore_left_is_cleared_by_recovery(tmp_path: Path) -> None:
    """Its working file carries the name of a log of the set."""
    (tmp_path / "a.jsonl").write_bytes(line(n=1))
    (tmp_path / ".a.jsonl.lapse-restore-7.tmp").write_bytes(line(n=2))

    list(opened(selected(tmp_path / "*.jsonl")).recover(lambda _: True))

    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_blanks_that_a_removal_left_are_no_part_of_a_line_nor_a_torn_one(tmp_path: Path) -> None:
    """What stands behind them is there; a log of blanks only takes lines back."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(b"  " + line(n=1))
    store = opened(selected(log))

    assert store.restore(_part(line(n=1) + line(n=2))) == RestoreCount(restored=1, present=1)
    log.write_bytes(b" " * 5000)
    assert store.restore(_part(line(n=1))) == RestoreCount(restored=1, present=0)
    assert log.read_bytes() == b" " * 5000 + line(n=1)


def test_lines_come_back_into_a_log_that_is_written_to(tmp_path: Path) -> None:
    """Appended, as its writer does."""
    log = tmp_path / "a.jsonl"
    log.write_bytes(line(n=1))
    with log.open("ab", buffering=0) as writer:
        writer.write(line(n=2))
        opened(selected(log)).restore(_part(line(n=3)))
        writer.write(line(n=4))

    assert log.read_bytes() == b"".join(line(n=n) for n in (1, 2, 3, 4))
