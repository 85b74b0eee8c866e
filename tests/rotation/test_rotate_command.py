"""Rotation as people meet it: in a run, by `lapse rotate`, and where it cannot be."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from turning_run import home
from turning_world import AT_ONCE, NOW, content, line, logs

from lapse.errors import StoreError
from lapse.model.report import Status
from lapse.stores.jsonl import rotation_placing

_OLD = "2020-01-01T00:00:00Z"
_NOBODY = 65534


def test_a_run_rotates_after_it_has_removed_what_lapsed(tmp_path: Path) -> None:
    """Lapsed lines are gone before the rest is compressed; the report says every step."""
    mine = home(tmp_path, "rotate: {at: 1 B, compress: zstd}")
    mine.logs.write(line(1, at=_OLD), line(2), line(3))

    done = mine.lapse("run", "--json")

    found = json.loads(done.stdout)["result"]["datasets"][0]
    assert (done.returncode, found["records"], found["status"]) == (0, 1, "done")
    assert [step["step"] for step in found["rotation"]] == ["rotated", "compressed"]
    packed = Path(found["rotation"][1]["file"])
    assert content(packed).strip() == (line(2) + line(3)).strip()
    assert mine.logs.names() == [packed.name, "audit.jsonl"]


def test_what_lapses_later_goes_from_the_compressed_file(tmp_path: Path) -> None:
    """Rotated files stay part of the dataset: the next run removes from them as from any other."""
    mine = home(tmp_path, "rotate: {at: 1 B, compress: zstd}")
    mine.logs.write(line(1, at=_OLD), line(2, at="2020-01-01T00:00:01Z"))
    mine.policy.write_text(mine.policy.read_text().replace("keep: 30 days", "keep: forever"))
    assert mine.run().datasets[0].status is Status.DONE
    mine.policy.write_text(mine.policy.read_text().replace("keep: forever", "keep: 30 days"))

    again = mine.lapse("run", "--allow-empty", "--json")

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["result"]["records"] == 2
    assert mine.logs.lines() == []


def test_a_dry_run_says_what_would_be_rotated(tmp_path: Path) -> None:
    """And changes nothing."""
    mine = home(tmp_path, "rotate: {at: 1 B}")
    mine.logs.write(line(2))

    done = mine.lapse("run", "--dry-run")

    assert done.returncode == 0
    assert "audit.jsonl would be rotated" in done.stdout
    assert mine.logs.names() == ["audit.jsonl"]


def test_a_run_whose_log_cannot_be_rotated_is_incomplete(tmp_path: Path) -> None:
    """A writer keeps it open, and nobody would tell it: exit 1, with the reason and the way out."""
    mine = home(tmp_path, "rotate: {at: 1 B}")
    mine.logs.write(line(2))

    with mine.logs.log.open("ab"):
        done = mine.lapse("run", "--json")

    found = json.loads(done.stdout)["result"]["datasets"][0]
    assert (done.returncode, found["status"]) == (1, "incomplete")
    assert f"pid {os.getpid()}" in found["trouble"]["message"]
    assert "reopen:" in found["trouble"]["hint"]


def test_the_command_rotates_what_is_due(tmp_path: Path) -> None:
    """Without --force a log below its size stays; with it, it goes. Nothing else is touched."""
    mine = home(tmp_path, "rotate: {at: 1 GB}")
    mine.logs.write(line(1, at=_OLD))

    early = mine.lapse("rotate")
    foreseen = mine.lapse("rotate", "--dry-run", "--force")
    forced = mine.lapse("rotate", "log", "--force", "--json", "--log-format", "json")

    assert (early.returncode, foreseen.returncode, forced.returncode) == (0, 0, 0)
    assert "No logs rotated" in early.stdout
    assert "1 log would be rotated" in foreseen.stdout
    (dataset,) = json.loads(forced.stdout)["result"]["datasets"]
    assert [step["step"] for step in dataset["steps"]] == ["rotated"]
    assert [json.loads(each)["event"] for each in forced.stderr.splitlines()] == ["log.rotated"]
    assert mine.logs.lines() == [line(1, at=_OLD)]
    assert len(mine.logs.names()) == 2


def test_a_dataset_without_a_rotation_cannot_be_rotated(tmp_path: Path) -> None:
    """Exit 2, and what to write; also where no dataset has one."""
    mine = home(tmp_path)
    mine.logs.write(line(1))

    named, all_of_them = mine.lapse("rotate", "log"), mine.lapse("rotate")

    assert (named.returncode, all_of_them.returncode) == (2, 2)
    assert "log has no `rotate:`" in named.stderr
    assert "lapse.yaml:3:3" in named.stderr
    assert "rotate: {at: 1 GB}" in all_of_them.stderr


def test_the_command_needs_the_lease(tmp_path: Path) -> None:
    """Exit 4 while a run works on the logs."""
    mine = home(tmp_path, "rotate: {at: 1 B}")
    mine.logs.write(line(1))
    with (mine.logs.folder / ".lapse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert mine.lapse("rotate").returncode == 4


def test_a_command_that_cannot_tell_the_writer_says_what_it_said(tmp_path: Path) -> None:
    """Exit 1, with its exit code and its words; the lines are safe under their new name."""
    mine = home(tmp_path, "rotate: {at: 1 B, command: [sh, -c, 'echo no such unit >&2; exit 5']}")
    with mine.logs.log.open("ab", buffering=0) as held:
        held.write(line(1))
        done = mine.lapse("rotate")

    assert done.returncode == 1
    assert "ended with 5: no such unit" in done.stdout
    assert mine.logs.lines() == [line(1)]


def test_an_interrupted_rotation_is_told_by_the_plan_and_finished_by_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it stopped with the lines under a working name, the plan says that its counts are off."""
    mine = home(tmp_path, "rotate: {at: 1 GB}")
    mine.logs.write(line(1), line(2))
    monkeypatch.setattr(rotation_placing, "_name", _stop)
    with pytest.raises(_StoppedError):
        mine.logs.with_(rotation=AT_ONCE).rotate(NOW)
    monkeypatch.undo()

    planned = json.loads(mine.lapse("plan", "--json").stdout)["result"]["datasets"][0]
    mine.run()

    assert planned["records"] == 0
    assert [note for note in planned["notes"] if "rotation was interrupted" in note] != []
    assert mine.logs.lines() == [line(1), line(2)]
    assert len(mine.logs.names()) == 2


class _StoppedError(Exception):
    """Stands for a process that ends here."""


def _stop(*_: object) -> None:
    raise _StoppedError


def _as_nobody(work: Callable[[], None]) -> bool:
    """Whether *work* goes well in a process without any rights."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            work()
        except BaseException:  # noqa: BLE001  a forked child must not return into its parent's stack
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may enter; those of pytest are for their owner only."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_folder_that_may_not_be_written_is_refused(shared: Path) -> None:
    """The reason and whom to run as; the log is as it was."""
    world = logs(shared / "logs")
    world.write(line(1))
    world.folder.chmod(0o555)

    def work() -> None:
        with pytest.raises(StoreError) as caught:
            world.rotate()
        assert "Permission denied" in caught.value.message
        assert caught.value.hint

    try:
        assert _as_nobody(work)
    finally:
        world.folder.chmod(0o755)
    assert world.names() == ["audit.jsonl"]


def test_a_new_log_that_cannot_have_the_old_owner_is_not_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer could not open it: refused, nothing is changed."""
    world = logs(tmp_path / "logs")
    world.write(line(1))
    monkeypatch.setattr(rotation_placing, "dress", _denied)

    error = world.refused()

    assert "Operation not permitted" in error.message
    assert world.names() == ["audit.jsonl"]
    assert world.lines() == [line(1)]


def _denied(*_: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
