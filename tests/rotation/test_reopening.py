"""Telling a writer to open its log anew: whom a signal may go to, and what a command may do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lapse.errors import PolicyError, StoreError
from lapse.model.reopening import Reopen
from lapse.stores.jsonl import reopening
from lapse.stores.jsonl.reopening import reopen

_WAITS = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: print("told", flush=True))
print("ready", flush=True)
signal.pause()
"""


def test_a_signal_goes_to_the_process_that_the_file_names(tmp_path: Path) -> None:
    """Blanks and a line end around the number do not matter."""
    pid_file = tmp_path / "writer.pid"
    with subprocess.Popen([sys.executable, "-c", _WAITS], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        pid_file.write_text(f" {writer.pid}\n")

        reopen(Reopen("USR1", pid_file))

        assert writer.stdout.readline() == "told\n"


@pytest.mark.parametrize("text", ["", "none", "0", "1", "-1", "-4000", "12 13", "٣"])
def test_a_file_that_names_no_process_tells_nobody(tmp_path: Path, text: str) -> None:
    """Least of all a group of processes, the first process of the system, or all there are."""
    pid_file = tmp_path / "writer.pid"
    pid_file.write_text(text, encoding="utf-8")

    with pytest.raises(StoreError) as caught:
        reopen(Reopen("HUP", pid_file))

    assert str(pid_file) in caught.value.message
    assert "pid file:" in str(caught.value.hint)


def test_a_process_that_is_gone_is_told_of(tmp_path: Path) -> None:
    """As after a writer that died and left its file."""
    pid_file = tmp_path / "writer.pid"
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    pid_file.write_text(str(ended.pid))

    with pytest.raises(StoreError, match=f"names process {ended.pid}.*No such process"):
        reopen(Reopen("HUP", pid_file))


def test_a_command_gets_its_arguments_as_they_are(tmp_path: Path) -> None:
    """No shell reads them."""
    told = tmp_path / "told $(touch x); *"

    reopen(Reopen(None, None, ("touch", str(told))))

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
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], message: str
) -> None:
    """What it was, and how it ended; one that does not end is ended."""
    monkeypatch.setattr(reopening, "_LONGEST", 0.2)

    with pytest.raises(StoreError) as caught:
        reopen(Reopen(None, None, command))

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
