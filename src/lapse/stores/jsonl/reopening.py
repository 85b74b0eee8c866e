"""Telling a writer to open its log anew: a signal to the process that a file names, or a command."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from lapse.errors import StoreError
from lapse.model.reopening import Reopen
from lapse.state.processes import has_open, is_younger

_LONGEST = 60
"""Seconds that a command may take."""
_SHOWN = 300
"""Characters of what a failed command said that are shown."""


def reopen(settings: Reopen, log: Path, old: Path) -> None:
    """Tell the writer, and return once it was told; it may take a moment until it has done so.

    Arguments:
        settings: How it is told.
        log: The log that it is to open.
        old: The file that it has open still.

    Raises:
        StoreError: If it could not be told, or must not: the process that is named is another one by now.
    """
    if settings.pid_file is None:
        _run(settings.command)
        return
    process = _process(settings.pid_file)
    if is_younger(process, settings.pid_file) and not any(has_open(process, file) for file in (old, log)):
        raise StoreError(
            f"{settings.pid_file} names process {process}, which began after that was written and does not have"
            f" {log.name} open: it is another one by now, and was not sent SIG{settings.signal}",
            hint="Its writer was not told to open the log anew. Start it, or correct `pid file:`.",
        )
    try:
        os.kill(process, signal.Signals[f"SIG{settings.signal}"])
    except OSError as error:
        raise StoreError(
            f"{settings.pid_file} names process {process}, which cannot be sent SIG{settings.signal}: {error.strerror}",
            hint="Its writer was not told to open the log anew. Start it, or run as root or as its user.",
        ) from error


def _process(pid_file: Path) -> int:
    """The process that a file names; never a group of processes, nor the first one of the system."""
    try:
        text = pid_file.read_text(encoding="ascii").strip()
        process = int(text)
    except OSError as error:
        raise StoreError(
            f"{pid_file} cannot be read: {error.strerror}",
            hint="The writer was not told to open its log anew. Start it, or correct `pid file:`.",
        ) from error
    except ValueError as error:
        raise StoreError(f"{pid_file} holds no number of a process", hint="Correct `pid file:`.") from error
    if process <= 1:
        raise StoreError(f"{pid_file} names process {process}, which is no writer", hint="Correct `pid file:`.")
    return process


def _run(command: tuple[str, ...]) -> None:
    import subprocess  # only here: few commands need it, and all would wait for it

    hint = "The writer was not told to open its log anew. Run the command by hand to see what is wrong."
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_LONGEST, text=True,
            errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise StoreError(f"{command[0]} cannot be run: {error.strerror}", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{command[0]} did not end within {_LONGEST} s", hint=hint) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:_SHOWN]
        raise StoreError(f"{command[0]} ended with {done.returncode}: {said or 'it said nothing'}", hint=hint)
