"""What a rotation does to one log, and what it refuses."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from turning_world import NOW, STAMP, Logs, content, line, logs, room

from lapse.errors import LeaseError, StoreError, UnsupportedError
from lapse.instant import Nanos, from_datetime
from lapse.model.reopening import Reopen
from lapse.model.rotation import Every, Packing, Rotation, Step
from lapse.stores.jsonl import JsonlStore, disk, rotating, rotation_placing
from lapse.stores.jsonl.rotation_journal import RotationJournal

_DAY = 86_400 * 1_000_000_000


@pytest.fixture
def world(tmp_path: Path) -> Logs:
    """A log of three lines."""
    found = logs(tmp_path / "logs")
    found.write(*(line(n) for n in range(3)))
    return found


def test_a_rotated_log_has_its_lines_under_another_name_and_is_empty(world: Logs) -> None:
    """The file itself is renamed, so that readers and writers that hold it keep it; nothing else stays behind."""
    inode = world.log.stat().st_ino

    turns = world.rotate()

    rotated = world.folder / f"audit-{STAMP}.jsonl"
    assert [turn.step for turn in turns] == [Step.ROTATED]
    assert turns[0].file == str(rotated)
    assert rotated.stat().st_ino == inode
    assert content(rotated) == b"".join(line(n) for n in range(3))
    assert world.log.read_bytes() == b""
    assert world.names() == [f"audit-{STAMP}.jsonl", "audit.jsonl"]


def test_the_new_log_is_like_the_old_one(world: Logs) -> None:
    """Mode, owner and extended attributes are those of the log; its time is that of the rotation."""
    world.log.chmod(0o640)
    os.setxattr(world.log, "user.origin", b"mxcp")
    os.utime(world.log, ns=(0, 0))

    world.rotate()

    facts = world.log.stat()
    assert stat.S_IMODE(facts.st_mode) == 0o640
    assert os.getxattr(world.log, "user.origin") == b"mxcp"
    assert facts.st_mtime_ns > 0
    assert (world.folder / f"audit-{STAMP}.jsonl").stat().st_mtime_ns == 0


def test_a_name_that_is_taken_is_never_written_over(world: Logs) -> None:
    """A second rotation within a second counts on; so does one whose compressed name is taken."""
    (world.folder / f"audit-{STAMP}.jsonl.zst").write_bytes(b"mine")
    world = world.packed(Packing.ZSTD)
    world.rotate()
    world.write(line(7))

    world.rotate()

    assert world.names() == [
        f"audit-{STAMP}-1.jsonl.zst", f"audit-{STAMP}-2.jsonl.zst", f"audit-{STAMP}.jsonl.zst", "audit.jsonl",
    ]  # fmt: skip
    assert (world.folder / f"audit-{STAMP}.jsonl.zst").read_bytes() == b"mine"
    assert content(world.folder / f"audit-{STAMP}-2.jsonl.zst") == line(7)


def test_an_empty_log_is_not_rotated(world: Logs) -> None:
    """Neither by its age nor when asked; running it again changes nothing."""
    world.rotate()

    assert world.rotate(force=True) == []
    assert world.with_(rotation=Rotation(every=Every.DAY)).rotate(Nanos(NOW + 9 * _DAY), force=True) == []


def test_a_log_below_its_size_is_rotated_only_when_asked(world: Logs) -> None:
    """From the size on it is."""
    size = world.log.stat().st_size
    assert world.with_(rotation=Rotation(size=size + 1)).rotate() == []
    assert world.with_(rotation=Rotation(size=size + 1)).rotate(force=True) != []
    world.write(*(line(n) for n in range(3)))
    assert world.with_(rotation=Rotation(size=size)).rotate(Nanos(NOW + _DAY)) != []


def _moment(text: str) -> Nanos:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("every", "zone", "first", "now", "due"),
    [
        (Every.DAY, None, "2026-11-21T23:59:59Z", "2026-11-22T00:00:00", True),
        (Every.DAY, None, "2026-11-22T00:00:00Z", "2026-11-22T23:59:59", False),
        (Every.DAY, "Asia/Tokyo", "2026-11-22T00:00:00Z", "2026-11-22T15:00:00", True),
        (Every.DAY, "Asia/Tokyo", "2026-11-21T23:59:59Z", "2026-11-22T14:59:59", False),
        (Every.WEEK, None, "2026-11-16T00:00:00Z", "2026-11-22T23:59:59", False),
        (Every.WEEK, None, "2026-11-22T23:59:59Z", "2026-11-23T00:00:00", True),
    ],
)
def test_a_day_and_a_week_end_where_the_calendar_says(
    tmp_path: Path, every: Every, zone: str | None, first: str, now: str, due: bool
) -> None:
    """By the first record of the log, in the time zone of the dataset; weeks begin on Monday."""
    world = logs(tmp_path / "logs").with_(rotation=Rotation(every=every), zone=zone)
    world.write(b"not json\n", line(1, at=first))

    assert bool(world.rotate(_moment(now))) is due


def test_old_records_do_not_make_a_log_old_that_was_rotated_today(world: Logs) -> None:
    """Imported records have old times: a day's log is rotated once a day all the same."""
    world = world.with_(rotation=Rotation(every=Every.DAY))
    world.write(line(1, at="2020-01-01T00:00:00Z"))
    world.rotate(force=True)
    world.write(line(2, at="2020-01-01T00:00:00Z"))

    assert world.rotate(Nanos(NOW + 3600 * 10**9)) == []
    assert world.rotate(Nanos(NOW + _DAY)) != []


def test_a_log_without_readable_times_goes_by_its_last_change(tmp_path: Path) -> None:
    """What was last written yesterday is rotated today."""
    world = logs(tmp_path / "logs").with_(rotation=Rotation(every=Every.DAY))
    world.write(b"no json\n")
    changed = _moment("2026-11-21T12:00:00")
    os.utime(world.log, ns=(changed, changed))

    assert world.rotate(_moment("2026-11-21T23:00:00")) == []
    assert world.rotate() != []


def test_whichever_comes_first_rotates(world: Logs) -> None:
    """A size and a day together."""
    both = Rotation(size=10**6, every=Every.DAY)
    assert world.with_(rotation=both).rotate() == []
    turns = world.with_(rotation=both).rotate(Nanos(NOW + _DAY))
    assert [turn.why for turn in turns] == ["daily, begun 2026-11-22 09:00 UTC"]


def test_rotated_files_are_left_alone(world: Logs) -> None:
    """Only the log that a writer appends to is rotated, not what it was rotated to, nor older logs."""
    (world.folder / "audit-old.jsonl").write_bytes(line(8))
    os.utime(world.folder / "audit-old.jsonl", ns=(0, 0))
    world.rotate()

    assert world.rotate(Nanos(NOW + _DAY), force=True) == []


def test_every_log_that_is_held_open_is_rotated(world: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers with a log each: both are rotated, whichever was written to last."""
    monkeypatch.setattr(rotating, "_PATIENCE", 0.0)
    other = world.folder / "audit-b.jsonl"
    told = world.folder.parent / "told"
    with other.open("ab") as held:
        held.write(line(1))
        held.flush()
        os.utime(other, ns=(0, 0))
        turns = world.with_(reopen=Reopen(None, None, ("touch", str(told)))).rotate()

    assert [Path(turn.log).name for turn in turns if turn.step is Step.ROTATED] == ["audit-b.jsonl", "audit.jsonl"]
    assert told.exists()


def test_what_would_leave_the_dataset_is_refused_with_the_glob_that_would_do(tmp_path: Path) -> None:
    """A rotated file that the glob does not match would never lapse."""
    world = logs(tmp_path / "logs", "audit.json*")
    world.write(line(1))
    before = world.names()

    error = world.refused()

    assert isinstance(error, UnsupportedError)
    assert f"audit-{STAMP}.jsonl" in error.message
    assert f"store: {tmp_path}/logs/audit*.jsonl*" in str(error.hint)
    assert world.names() == before


def test_compressed_names_must_belong_to_the_dataset_too(tmp_path: Path) -> None:
    """The plain name fits, the compressed one does not."""
    world = logs(tmp_path / "logs", "audit*.jsonl").packed(Packing.ZSTD)
    world.write(line(1))

    error = world.refused()

    assert f"audit-{STAMP}.jsonl.zst" in error.message
    assert world.names() == ["audit.jsonl"]


def test_a_writer_that_keeps_the_log_open_and_is_not_told_refuses_the_rotation(world: Logs) -> None:
    """It would go on in the rotated file: the reason names its process."""
    with world.log.open("ab"):
        error = world.refused()

    assert f"pid {os.getpid()}" in error.message
    assert "reopen:" in str(error.hint)
    assert world.names() == ["audit.jsonl"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotated", "../audit-20261122T104501.jsonl"),
        ("rotated", "shadow"),
        ("stamp", "../x"),
        ("log", "/.audit.jsonl"),
        ("lapse_rotation", 2),
    ],
)
def test_a_journal_that_leads_elsewhere_is_refused(world: Logs, name: str, value: object) -> None:
    """Whoever may write to the folder can write a journal, too: nothing outside of it is ever touched."""
    journal = RotationJournal(log="audit.jsonl", id="x", stamp=STAMP, inode=1, packing=Packing.ZSTD)
    facts = {**journal.to_json(), "stage": "told", name: value}
    (world.folder / ".audit.jsonl.lapse-x.rotation").write_text(json.dumps(facts))

    error = world.refused()

    assert "no journal of a rotation" in error.message
    assert len(world.lines()) == 3


def test_a_writer_that_cannot_be_told_is_told_again_by_the_next_run(world: Logs, tmp_path: Path) -> None:
    """The rotation stands, no line is lost, the reason is said, and nothing more is rotated meanwhile."""
    pid_file = tmp_path / "writer.pid"
    world = world.with_(reopen=Reopen("HUP", pid_file))
    with world.log.open("ab", buffering=0) as held:
        error = world.refused()
        assert str(pid_file) in error.message
        held.write(line(50))
        world.write(line(51))
        assert str(pid_file) in world.refused(Nanos(NOW + _DAY)).message
    pid_file.write_text("1")

    assert [turn.step for turn in world.rotate(Nanos(NOW + _DAY))] == [Step.ROTATED]
    assert len(world.lines()) == 5


def test_a_disk_that_is_full_leaves_the_log_as_it_is(world: Logs) -> None:
    """The journal cannot be written: the reason is said, nothing stays behind."""
    before = world.log.read_bytes()

    with room(100):
        error = world.refused()

    assert os.strerror(errno.EFBIG) in error.message
    assert "free some" in str(error.hint)
    assert world.names() == ["audit.jsonl"]
    assert world.log.read_bytes() == before


def test_a_file_system_that_cannot_exchange_names_loses_nothing(world: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is away for a moment; a file that a writer makes in it stays, with its lines."""
    world = world.packed(Packing.ZSTD)
    monkeypatch.setattr(disk, "_renamed", lambda *_: False)
    real = disk.rename_new

    def late(one: Path, other: Path) -> bool:
        if other == world.log and not other.exists():
            world.write(line(60))
        return real(one, other)

    monkeypatch.setattr(rotation_placing, "rename_new", late)

    world.rotate()

    assert world.log.read_bytes() == line(60)
    assert len(world.lines()) == 4
    assert world.names() == [f"audit-{STAMP}.jsonl.zst", "audit.jsonl"]


def test_a_log_that_others_rotate_at_the_same_moment_is_left_to_them(
    world: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file has the name when it is exchanged: it gets it back."""
    real = disk.exchange

    def meanwhile(one: Path, other: Path) -> bool:
        if world.log.stat().st_size and not (world.folder / "audit.jsonl.1").exists():
            world.log.rename(world.folder / "audit.jsonl.1")
            world.write(line(70))
        return real(one, other)

    monkeypatch.setattr(rotation_placing, "exchange", meanwhile)

    error = world.refused()

    assert "replaced" in error.message
    assert world.log.read_bytes() == line(70)
    assert len(world.lines()) == 4
    assert world.names() == ["audit.jsonl", "audit.jsonl.1"]


def test_a_rotation_needs_the_lease(world: Logs) -> None:
    """While a run works on the folder, nothing is rotated."""
    with (world.folder / ".lapse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LeaseError):
            world.rotate()


def test_a_read_only_store_says_what_is_due_and_rotates_nothing(world: Logs) -> None:
    """For dry runs."""
    store = JsonlStore(world.dataset, read_only=True)

    assert [turn.step for turn in store.due(NOW, force=False)] == [Step.DUE]
    with pytest.raises(StoreError, match="read-only"):
        store.rotate(NOW, force=False)
    assert world.names() == ["audit.jsonl"]


def test_one_log_that_cannot_be_rotated_holds_up_no_other(world: Logs) -> None:
    """The writer of one keeps it open and is not told; the other log is rotated, and the reason is said."""
    other = world.folder / "audit-b.jsonl"
    with other.open("ab", buffering=0) as held:
        held.write(line(1))
        os.utime(other, ns=(0, 0))
        error = world.refused()

    assert str(other) in error.message
    assert f"audit-{STAMP}.jsonl" in world.names()
