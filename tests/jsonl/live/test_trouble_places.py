"""Real disks that are full, and folders and files that a run may not touch: answers, exit codes, nothing lost."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from live_disks import NotHereError, image, mounted, own_mounts
from live_lines import Profile
from live_runs import Ended, Runs
from trouble_world import TroubleWorld

NOBODY = 65_534
_ROOMS = (0, 4096, 40_000, 150_000, 400_000)
"""Bytes that are left on a disk; the lines that stay take some 200,000 of them."""


@contextmanager
def _small_memory(folder: Path) -> Iterator[Path]:
    with mounted(folder, "-t", "tmpfs", "-o", "size=4m", "tmpfs"):
        yield folder


@contextmanager
def _small_ext4(folder: Path) -> Iterator[Path]:
    with image("ext4", folder, megabytes=8):
        yield folder


DISKS: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {"tmpfs": _small_memory, "ext4": _small_ext4}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="lapse-trouble-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """One program that starts all the runs of this user."""
    with suppress(NotHereError):
        own_mounts()
    with Runs(tmp_path_factory.mktemp("runs")) as program:
        yield program


def answer(ended: Ended) -> str:
    """What a run said that did not go through: where, why, and what next."""
    assert "Traceback" not in ended.said
    told = json.loads(ended.out)
    assert told["exit"] == ended.exit != 0
    error = told["error"] or next(each["trouble"] for each in told["result"]["datasets"] if each["trouble"])
    assert error["hint"]
    assert "internal error" not in error["message"]
    return str(error["message"])


# Full disks


def _fill(filler: Path, room: int) -> None:
    """Leave *room* bytes."""
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - room))


@pytest.mark.parametrize(
    ("place", "kind"), [("logs", "tmpfs"), ("logs", "ext4"), ("archive", "tmpfs"), ("state", "tmpfs")]
)
@pytest.mark.parametrize("profile", Profile)
def test_a_full_disk_loses_nothing_however_much_room_there_is(
    profile: Profile, place: str, kind: str, folder: Path, runs: Runs, record_property: Callable[[str, object], None]
) -> None:
    """With each room the run goes through, or says why not and leaves the log whole; with more room it goes on."""
    try:
        for room in _ROOMS:
            world = TroubleWorld(folder / str(room), profile)
            _purge_on_full_disk(world, room, DISKS[kind](world.folder / place), world.folder / place, runs)
    except NotHereError as error:
        record_property("ran", f"full disk of {place}, {profile.value}, {kind}: NOT RUN, {error}")


def _purge_on_full_disk(
    world: TroubleWorld, room: int, disk: AbstractContextManager[Path], place: Path, runs: Runs
) -> None:
    world.folder.mkdir()
    with disk:
        world.create()
        _fill(place / "filler", room)
        before = world.log.read_bytes()
        first = runs.whole(*world.run, env=world.env)
        if first.exit != 0:
            assert first.exit == 1
            told = answer(first)
            assert "No space left on device" in told
            assert world.log.read_bytes() == before or world.audit().removed or "the commit was begun" in told
        (place / "filler").unlink()
        assert runs.whole(*world.run, env=world.env).exit == 0
        world.assert_done()


# Rights


@contextmanager
def _closed(path: Path, mode: int, owner: int | None = None) -> Iterator[None]:
    """*path* with another mode, and perhaps another owner, while the block runs."""
    before = path.stat()
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, -1)
    try:
        yield
    finally:
        os.chown(path, before.st_uid, -1)
        path.chmod(stat.S_IMODE(before.st_mode))


RIGHTS = [
    pytest.param("logs/a.jsonl", 0o000, None, "Permission denied", id="log-not-readable"),
    pytest.param("logs/a.jsonl", 0o644, 0, "a.jsonl", id="log-of-another-user"),
    pytest.param("logs", 0o000, None, "Permission denied", id="folder-closed"),
    pytest.param("logs", 0o555, None, "Permission denied", id="folder-not-writable"),
    pytest.param("archive", 0o555, None, "Permission denied", id="archive-not-writable"),
    pytest.param("state", 0o555, None, "Permission denied", id="state-not-writable"),
]


@pytest.mark.parametrize(("name", "mode", "owner", "says"), RIGHTS)
def test_what_a_user_may_not_do_is_told_and_changes_nothing(
    name: str, mode: int, owner: int | None, says: str, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """Exit 1, with what and what next; once it is allowed, the next run does the work."""
    user, group = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    if owner is not None and user != NOBODY:
        record_property("ran", "a log of another user: NOT RUN, only root can give files away")
        return
    world = TroubleWorld(folder, Profile.MIXED)
    world.create()
    for path in (world.folder / "archive", world.folder / "state"):
        path.mkdir()
    for path in (world.folder, *world.folder.rglob("*")):
        os.chown(path, user, group)
    before = world.log.read_bytes()

    with Runs(folder, user=user) as runs:
        with _closed(folder / name, mode, owner):
            first = runs.whole(*world.run, env=world.env)
        assert (first.exit, world.log.read_bytes(), world.strays()) == (1, before, [])
        assert says in answer(first)
        assert runs.whole(*world.run, env=world.env).exit == 0

    world.assert_done()
    assert world.log.stat().st_uid == user


# Locks of others


@contextmanager
def _locked(path: Path, operation: int) -> Iterator[None]:
    with path.open("rb") as file:
        fcntl.flock(file, operation)
        yield


def test_a_log_that_another_program_has_locked_is_left_alone(folder: Path, runs: Runs) -> None:
    """Whoever holds an exclusive `flock` may be about to write; the run says who it is, and removes nothing."""
    world = TroubleWorld(folder, Profile.MIXED)
    world.create()
    before = world.log.read_bytes()

    with _locked(world.log, fcntl.LOCK_EX):
        first = runs.whole(*world.run, env=world.env)

    assert (first.exit, world.log.read_bytes(), world.strays()) == (1, before, [])
    told = answer(first)
    assert "lock" in told
    assert str(os.getpid()) in told
    assert runs.whole(*world.run, env=world.env).exit == 0
    world.assert_done()


def test_a_log_that_readers_have_locked_is_purged(folder: Path, runs: Runs) -> None:
    """A shared `flock` says that somebody reads, which harms nobody."""
    world = TroubleWorld(folder, Profile.MIXED)
    world.create()

    with _locked(world.log, fcntl.LOCK_SH):
        assert runs.whole(*world.run, env=world.env).exit == 0

    world.assert_done()


def test_a_folder_that_another_run_has_is_not_waited_for(folder: Path, runs: Runs) -> None:
    """Exit 4, and nothing is touched."""
    world = TroubleWorld(folder, Profile.MIXED)
    world.create()
    before = world.log.read_bytes()
    lock = world.logs / ".lapse.lock"
    lock.touch(0o600)

    with _locked(lock, fcntl.LOCK_EX):
        first = runs.whole(*world.run, env=world.env)

    assert (first.exit, world.log.read_bytes()) == (4, before)
    assert answer(first)
    assert runs.whole(*world.run, env=world.env).exit == 0
    world.assert_done()
