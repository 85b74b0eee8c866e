"""Folders and disks that say no: permissions, full disks, read-only stores, an archive that vanished."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from wrong_world import Refusal, make, small_disk

_SMALL_FILES = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
os.execv(sys.executable, [sys.executable, "-m", "lapse", *sys.argv[1:]])
"""


@contextmanager
def closed(path: Path, mode: int) -> Iterator[None]:
    """*path* with another mode while the block runs."""
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


UNREADABLE = [
    ("lapse.yaml", 0, Refusal(2, "lapse.yaml cannot be read: Permission denied", hint="may read it")),
    ("db/calls.db", 0, Refusal(1, "not readable for this user", "6:5", "may read it")),
    ("db", 0, Refusal(1, "", "6:5")),
    ("db", 0o555, Refusal(1, "cannot make the lock file: Permission denied", "6:5", "not writable")),
    ("logs/audit.jsonl", 0, Refusal(1, "cannot open it: Permission denied", "17:5", "owns the log")),
    ("logs", 0, Refusal(1, "", "17:5")),
    ("logs", 0o555, Refusal(1, "cannot make the lock file: Permission denied", "17:5", "not writable")),
]


@pytest.mark.parametrize(("name", "mode", "refusal"), UNREADABLE, ids=[f"{n}-{m:o}" for n, m, _ in UNREADABLE])
def test_what_may_not_be_read_or_locked_stops_the_run(tmp_path: Path, name: str, mode: int, refusal: Refusal) -> None:
    """Before anything is touched, with its place in the policy."""
    world = make(tmp_path)
    before = world.snapshot()
    with closed(tmp_path / name, mode):
        ended = world.unprivileged("run")

    assert (ended.returncode, ended.stdout) == (refusal.code, "")
    refusal.check_text(ended.stderr)
    assert world.snapshot() == before


def test_a_read_only_database_stays_as_it_is(tmp_path: Path) -> None:
    """Exit 1 with the reason; the other dataset is done, and a run that may write does the rest."""
    world = make(tmp_path)
    before = world.database.read_bytes()
    with closed(world.database, 0o444):
        ended = world.unprivileged("run")
        assert world.unprivileged("plan").returncode == 0

    assert ended.returncode == 1
    assert "calls is incomplete: sqlite:///db/calls.db cannot be written" in ended.stdout
    assert world.database.read_bytes() == before
    assert world.call("run").exit_code == 0
    assert world.complete()


STATE = [
    ("state", Refusal(1, "ledger.jsonl: Permission denied", hint="LAPSE_STATE_DIR")),
    ("state/ledger/ledger.jsonl", Refusal(1, "ledger.jsonl: Permission denied", hint="LAPSE_STATE_DIR")),
    ("state/keys/signing.pem", Refusal(1, "signing.pem: Permission denied", hint="LAPSE_STATE_DIR")),
    ("state/pins.json", Refusal(1, "pins.json: Permission denied", hint="LAPSE_STATE_DIR")),
    ("holds", Refusal(1, "holds cannot be read: Permission denied", hint="Nothing is removed")),
    ("holds/m.yaml", Refusal(1, "m.yaml cannot be read: Permission denied", hint="Nothing is removed")),
]


@pytest.mark.parametrize(("name", "refusal"), STATE, ids=[name for name, _ in STATE])
def test_state_and_holds_that_cannot_be_read_stop_the_run(tmp_path: Path, name: str, refusal: Refusal) -> None:
    """Unknown holds mean keep everything, and without ledger or key nothing could be proven."""
    world = make(tmp_path)
    assert world.call("run", "tools").exit_code == 0
    assert world.call("hold", "add", "--matter", "m", "--reason", "r", "--tenant", "other").exit_code == 0
    before = world.snapshot()
    with closed(tmp_path / name, 0):
        ended = world.unprivileged("run")

    assert (ended.returncode, ended.stdout) == (1, "")
    refusal.check_text(ended.stderr)
    assert world.snapshot() == before


def test_an_archive_that_may_not_be_written_keeps_everything(tmp_path: Path) -> None:
    """Exit 1 with the reason; once it may be written, a run does it all."""
    world = make(tmp_path)
    (tmp_path / "archive").mkdir()
    database, log = world.database.read_bytes(), world.log.read_bytes()
    with closed(tmp_path / "archive", 0o555):
        ended = world.unprivileged("run")

    assert ended.returncode == 1
    assert "calls is incomplete: cannot create" in ended.stdout
    assert "Hint: Let the user that runs lapse write there." in ended.stdout
    assert (world.database.read_bytes(), world.log.read_bytes()) == (database, log)
    assert world.call("run").exit_code == 0
    assert world.complete()


@pytest.mark.parametrize("place", ["archive", "state", "ledger", "db", "logs"])
def test_a_full_disk_loses_nothing(tmp_path: Path, place: str) -> None:
    """Exit 1, without a traceback; a later run with room completes, and the proof stands.

    Where no file system may be mounted, a limit on the size of files stands for the full disk.
    """
    world = make(tmp_path)
    if place == "ledger":
        world.policy("version: 1\n", "version: 1\nledger: ./ledger\n")
    with small_disk(tmp_path / place, "256k") as mounted:
        if mounted:
            filler = tmp_path / place / "filler"
            _fill(filler)
            ended = world.process("run")
            filler.unlink()
        else:
            ended = world.process("run", program=_SMALL_FILES)
        assert ended.returncode == 1, ended.stdout
        assert "Traceback" not in ended.stderr
        assert "internal error" not in ended.stderr
        assert "Hint: " in ended.stdout + ended.stderr

        assert world.call("run").exit_code == 0
        assert world.complete()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return  # now it is full


@pytest.mark.parametrize("room", range(0, 65536, 8192))
def test_a_ledger_disk_that_fills_up_in_between_is_told_as_it_is(tmp_path: Path, room: int) -> None:
    """The report counts what left the store, also where the ledger could not record it any more."""
    world = make(tmp_path)
    world.policy("version: 1\n", "version: 1\nledger: ./ledger\n")
    with small_disk(tmp_path / "ledger", "256k") as mounted:
        if mounted:
            filler = tmp_path / "ledger" / "filler"
            _fill(filler)
            with filler.open("r+b") as file:
                file.truncate(filler.stat().st_size - room)
            told = world.json("run")
            filler.unlink()
        else:
            told = world.json("run")
        if told["result"] is not None:
            calls, tools = told["result"]["datasets"]
            assert 60 - calls["records"] == len(world.rows()) == 20 + calls["remaining"]
            assert 6 - tools["records"] == len(world.log.read_bytes().splitlines())
        assert world.call("run").exit_code == 0
        assert world.complete()


def test_an_archive_that_vanished_is_noticed(tmp_path: Path) -> None:
    """Verify names what is missing, the ledger says it stands alone; back in its place all is well."""
    world = make(tmp_path)
    assert world.call("run").exit_code == 0
    archive = (tmp_path / "archive").rename(tmp_path / "unmounted")

    gone = world.json("archive", "verify")
    alone = world.json("ledger", "verify")
    shutil.rmtree(tmp_path / "archive", ignore_errors=True)

    assert gone["exit"] == 1
    assert {p for s in gone["result"]["segments"] for p in s["problems"]} == {
        "the ledger names this segment, but it is not there"
    }
    assert alone["result"]["anchored"] is False
    assert alone["warnings"]
    archive.rename(tmp_path / "archive")
    assert world.complete()
