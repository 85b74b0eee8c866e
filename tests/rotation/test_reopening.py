"""Telling a writer to open its log anew: whom a signal may go to, and what a command may do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lapse.errors import PolicyError, StoreError
from lapse.model.reopening import Reopen
from lapse.stores.jsonl import reopening
from lapse.stores.jsonl.reopening import reopen

_WAITS = """
import signal
import sys
signal.signal(signal.SIGUSR1, lambda *_: print("told", flush=True))
log = open(sys.argv[1], "a") if len(sys.argv) > 1 else None
print("ready", flush=True)
signal.pause()
"""
_HOUR = 3600


@contextmanager
def waiting(*log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that says whether it was told, and may have a log open."""
    command = [sys.executable, "-c", _WAITS, *map(str, log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def left_an_hour_ago(pid_file: Path, process: subprocess.Popen[str]) -> None:
    """The file that a process left long ago, whose number another one has now."""
    pid_file.write_text(str(process.pid))
    before = pid_file.stat().st_mtime - _HOUR
    os.utime(pid_file, (before, before))


def test_a_signal_goes_to_the_process_that_the_file_names(tmp_path: Path) -> None:
    """Blanks and a line end around the number do not matter."""
    pid_file = tmp_path / "writer.pid"
    with waiting() as writer:
        pid_file.write_text(f" {writer.pid}\n")

        reopen(Reopen("USR1", pid_file), tmp_path / "log", tmp_path / "old")

        assert writer.stdout is not None
        assert writer.stdout.readline() == "told\n"


def test_a_stranger_that_has_the_number_by_now_gets_no_signal(tmp_path: Path) -> None:
    """It began after the file was written, and does not have the log open: most signals would end it."""
    pid_file, log = tmp_path / "writer.pid", tmp_path / "log"
    log.touch()
    with waiting(tmp_path / "other") as stranger:
        left_an_hour_ago(pid_file, stranger)

        with pytest.raises(StoreError, match=f"names process {stranger.pid}, which began after") as caught:
            reopen(Reopen("TERM", pid_file), log, tmp_path / "old")

        assert "pid file:" in str(caught.value.hint)
        assert stranger.poll() is None


@pytest.mark.parametrize("has_open", ["log", "old"])
def test_who_has_the_log_open_is_told_whatever_the_clock_says(tmp_path: Path, has_open: str) -> None:
    """A clock that was put right after a start makes a writer look younger than its file."""
    pid_file, log = tmp_path / "writer.pid", tmp_path / "log"
    with waiting(tmp_path / has_open) as writer:
        left_an_hour_ago(pid_file, writer)

        reopen(Reopen("USR1", pid_file), log, tmp_path / "old")

        assert writer.stdout is not None
        assert writer.stdout.readline() == "told\n"


@pytest.mark.parametrize("text", ["", "none", "0", "1", "-1", "-4000", "12 13", "٣"])
def test_a_file_that_names_no_process_tells_nobody(tmp_path: Path, text: str) -> None:
    """Least of all a group of processes, the first process of the system, or all there are."""
    pid_file = tmp_path / "writer.pid"
    pid_file.write_text(text, encoding="utf-8")

    with pytest.raises(StoreError) as caught:
        reopen(Reopen("HUP", pid_file), tmp_path / "log", tmp_path / "old")

    assert str(pid_file) in caught.value.message
    assert "pid file:" in str(caught.value.hint)


def test_a_process_that_is_gone_is_told_of(tmp_path: Path) -> None:
    """As after a writer that died and left its file."""
    pid_file = tmp_path / "writer.pid"
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    pid_file.write_text(str(ended.pid))

    with pytest.raises(StoreError, match=f"names process {ended.pid}.*No such process"):
        reopen(Reopen("HUP", pid_file), tmp_path / "log", tmp_path / "old")


def test_a_command_gets_its_arguments_as_they_are(tmp_path: Path) -> None:
    """No shell reads them."""
    told = tmp_path / "told $(touch x); *"

    reopen(Reopen(None, None, ("touch", str(told))), tmp_path / "log", tmp_path / "old")

    assert [path.name for path in tmp_path.iterdir()] == [told.name]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("no-such-program",), "no-such-program cannot be run: No such file"),
        (("false",), "false ended with 1: it said nothing"),
        (("sleep", "9"), "sleep did not end within"),
    ],
)
def test_a_command_that_fails_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], message: str
) -> None:
    """What it was, and how it ended; one that does not end is ended."""
    monkeypatch.setattr(reopening, "_LONGEST", 0.2)

    with pytest.raises(StoreError) as caught:
        reopen(Reopen(None, None, command), tmp_path / "log", tmp_path / "old")

    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("signal", "pid_file", "command"),
    [
        (None, None, ()),
        ("HUP", None, ()),
        (None, Path("/p"), ()),
        ("HUP", Path("/p"), ("a",)),
        ("NONE", Path("/p"), ()),
    ],
)
def test_a_way_that_is_none_is_refused(signal: str | None, pid_file: Path | None, command: tuple[str, ...]) -> None:
    """Neither half a way nor two at once."""
    with pytest.raises(PolicyError):
        Reopen(signal, pid_file, command)
