"""Telling a program of the operator's how a run ended. It never changes what the run did or answers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from lapse.errors import ExitCode
from lapse.model.policy import Notify

TIME_LIMIT = 60.0
"""Seconds that the program may take."""


def command_for(notify: Notify, code: int) -> Sequence[str]:
    """The command to call after a run that ended with exit *code*; empty for none.

    A run that met another one (exit 4) is told to nobody: the other one has its own end.
    """
    if code == ExitCode.LEASED:
        return ()
    return notify.on_success if code == ExitCode.DONE else notify.on_failure


def call(
    command: Sequence[str], report: bytes, *, folder: str, facts: Mapping[str, str], limit: float = TIME_LIMIT
) -> str | None:
    """Call *command* without a shell, with *report* on its standard input.

    Arguments:
        command: Program and arguments. A program without a slash is looked for in ``PATH``.
        report: What it reads.
        folder: Where it works: the policy's folder, in which relative paths start.
        facts: Variables beside those of this process.
        limit: Seconds after which it is killed, with everything that it has started.

    Returns:
        Why it failed. None if it did not.
    """
    name = command[0]
    try:
        # What it prints is its own business: standard output belongs to the answer of the command.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
            env={**os.environ, **facts}, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"the notification command {name} cannot be called: {reason}"
    try:
        process.communicate(report, timeout=limit)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"the notification command {name} was killed after {limit:.0f} s"
    if process.returncode == 0:
        return None
    return f"the notification command {name} ended with exit {process.returncode}"
