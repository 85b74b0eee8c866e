"""What becomes of a rotated file: it is compressed, or it waits, and nothing of it is lost."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from turning_world import STAMP, Logs, content, line, logs, room

from lapse.errors import VerificationError
from lapse.model.reopening import Reopen
from lapse.model.rotation import Packing, Step
from lapse.stores.jsonl import rotating, rotation_packing
from lapse.stores.jsonl.recovering import Unfinished
from lapse.stores.jsonl.rotation_journal import RotationJournal


@pytest.fixture
def world(tmp_path: Path) -> Logs:
    """A log of three lines."""
    found = logs(tmp_path / "logs")
    found.write(*(line(n) for n in range(3)))
    return found


@pytest.mark.parametrize(("packing", "suffix"), [(Packing.ZSTD, ".zst"), (Packing.GZIP, ".gz")])
def test_a_rotated_file_that_nobody_writes_to_is_compressed(world: Logs, packing: Packing, suffix: str) -> None:
    """Byte for byte, torn last line included; owner, mode and time are kept, and the plain file is gone."""
    world.write(b'{"at": "torn')
    world.log.chmod(0o604)
    os.utime(world.log, ns=(5, 5))
    before = world.log.read_bytes()

    turns = world.packed(packing).rotate()

    packed = world.folder / f"audit-{STAMP}.jsonl{suffix}"
    assert [turn.step for turn in turns] == [Step.ROTATED, Step.PACKED]
    assert packed.read_bytes() != before
    assert content(packed) == before
    assert (stat.S_IMODE(packed.stat().st_mode), packed.stat().st_mtime_ns) == (0o604, 5)
    assert world.names() == [packed.name, "audit.jsonl"]


def test_a_compressed_file_that_reads_back_otherwise_is_thrown_away(
    world: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk or memory that changes a byte costs nothing: the plain file is whole, and the next run tries again."""
    world = world.packed(Packing.GZIP)
    before = world.lines()
    real = rotation_packing._digest
    monkeypatch.setattr(rotation_packing, "_digest", lambda path: (real(path)[0] + 1, real(path)[1]))

    with pytest.raises(VerificationError, match="reads back"):
        world.rotate()

    assert world.lines() == before
    assert (world.folder / f"audit-{STAMP}.jsonl").exists()
    monkeypatch.undo()
    assert [turn.step for turn in world.rotate()] == [Step.PACKED]
    assert world.lines() == before


def test_a_log_is_compressed_once_its_writer_has_closed_it(world: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it waits, and its late lines stay in it; the next run goes on."""
    world = world.packed(Packing.ZSTD).with_(reopen=Reopen(None, None, ("true",)))
    monkeypatch.setattr(rotating, "_PATIENCE", 0.0)
    with world.log.open("ab", buffering=0) as held:
        first = world.rotate()
        held.write(line(99))
        second = world.rotate()
        os.utime(world.log, ns=(0, 0))
    third = world.rotate()

    assert [turn.step for turn in first] == [Step.ROTATED, Step.WAITING]
    assert [turn.step for turn in second] == [Step.WAITING]
    assert [turn.step for turn in third] == [Step.PACKED]
    assert line(99) in world.lines()
    assert len(world.lines()) == 4


def _come_to_write(path: Path) -> None:
    """Open a file for writing without waiting for who has a lease on it; the lease is broken by that."""
    with pytest.raises(BlockingIOError):
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("moment", ["_digest", "publish"])
def test_one_who_comes_to_write_while_a_file_is_compressed_is_let_in(
    world: Logs, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whatever was done by then is undone: the plain file is there, and is compressed by the next run."""
    world = world.packed(Packing.ZSTD)
    before = world.lines()
    real = getattr(rotation_packing, moment)

    def come(*arguments: object) -> object:
        _come_to_write(world.folder / f"audit-{STAMP}.jsonl")
        monkeypatch.undo()
        return real(*arguments)

    monkeypatch.setattr(rotation_packing, moment, come)

    turns = world.rotate()

    assert [turn.step for turn in turns] == [Step.ROTATED, Step.WAITING]
    assert world.lines() == before
    assert [name for name in world.names() if name.endswith(("-packed", "-aside", ".zst"))] == []
    assert [turn.step for turn in world.rotate()] == [Step.PACKED]
    assert world.lines() == before


def test_what_is_written_at_the_very_last_moment_is_kept(world: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one who had found the plain file by its name just before that was gone: it gets a file of its own."""
    world = world.packed(Packing.ZSTD)
    real = rotation_packing._keep_late

    def late(folder: Path, journal: RotationJournal, plain: int) -> None:
        with Path(f"/proc/self/fd/{plain}").open("ab") as file:
            file.write(line(88))
        real(folder, journal, plain)

    monkeypatch.setattr(rotation_packing, "_keep_late", late)

    world.rotate()

    assert line(88) in world.lines()
    assert len(world.lines()) == 4
    assert world.names() == [f"audit-{STAMP}.jsonl", f"audit-{STAMP}.jsonl.zst", "audit.jsonl"]


def test_a_disk_that_is_full_while_compressing_leaves_the_plain_file(world: Logs) -> None:
    """The log is rotated; compression is tried again by the next run."""
    world = world.packed(Packing.GZIP)
    world.write(*(line(n) + os.urandom(2000).hex().encode() + b"\n" for n in range(3)))
    before = world.lines()
    with room(3000):
        error = world.refused()

    assert os.strerror(errno.EFBIG) in error.message
    assert world.lines() == before
    assert f"audit-{STAMP}.jsonl" in world.names()
    assert [turn.step for turn in world.rotate()] == [Step.PACKED]
    assert world.lines() == before
    assert len(world.names()) == 2


def _is_not_finished(path: Path) -> Callable[[Unfinished, Path, int], str | None]:
    """Stands for a removal from that file which is not finished."""
    return lambda _, asked, inode: "not finished" if asked == path and asked.stat().st_ino == inode else None


def test_a_log_whose_removal_is_not_finished_waits(world: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to do of it may go by where the file is: it is rotated by the run that finds it finished."""
    monkeypatch.setattr(Unfinished, "of", _is_not_finished(world.log))
    assert [turn.step for turn in world.rotate()] == [Step.WAITING]
    monkeypatch.undo()

    assert [turn.step for turn in world.rotate()] == [Step.ROTATED]


def test_a_rotated_file_whose_removal_is_not_finished_is_not_compressed(
    world: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it touched otherwise, until the run that finds it finished."""
    world, rotated = world.packed(Packing.GZIP), world.folder / f"audit-{STAMP}.jsonl"
    monkeypatch.setattr(Unfinished, "of", _is_not_finished(rotated))
    assert [turn.step for turn in world.rotate()] == [Step.ROTATED, Step.WAITING]
    monkeypatch.undo()

    assert [turn.step for turn in world.rotate()] == [Step.PACKED]
