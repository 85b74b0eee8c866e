"""What every real server in the tests needs: a user to run as, a folder, a port, and an end.

Servers refuse to run as root. Where the tests run as root, a server runs as its own system user,
in a folder which that user may enter.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Below the ports that Linux hands out to clients, so that a server which restarts finds its own again.
_PORTS = range(20_000, 32_000)


def server_user(*wanted: str) -> str | None:
    """The first of the *wanted* users that exists, else nobody. None: not root, no other user is needed."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in wanted if name in known), "nobody")


def as_user(command: list[str], user: str | None) -> list[str]:
    """*command* such that *user* runs it, in place of the process that is started."""
    if user is None:
        return command
    entry = pwd.getpwnam(user)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--", *command]


def run_as(user: str | None, command: list[str]) -> str:
    """Run *command* to its end as *user*, and return what it printed.

    Raises:
        RuntimeError: If it fails; with what it said.
    """
    done = subprocess.run(
        as_user(command, user), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
    return done.stdout


def may_read(user: str | None, path: Path) -> bool:
    """Whether *user* can reach and read *path*."""
    return subprocess.run(as_user(["test", "-r", str(path)], user), cwd="/", check=False).returncode == 0


@contextmanager
def server_folder(user: str | None) -> Iterator[Path]:
    """A short-named folder of *user*'s own, removed afterwards.

    pytest's folders do not do: only the tests' own user may enter them, and their names are longer
    than a unix socket's may be.
    """
    folder = Path(tempfile.mkdtemp(prefix="lapse-server-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def await_condition(holds: Callable[[], bool], what: str, *, seconds: float = 30, pause: float = 0.01) -> None:
    """Wait until *holds* says yes.

    Raises:
        TimeoutError: If it does not within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} seconds for {what}")
        time.sleep(pause)


def children(pid: int) -> list[int]:
    """The processes that *pid* started and that live."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()]


def stop_clock(pid: int) -> list[int]:
    """Freeze *pid*, then its children: it starts no more meanwhile. Returns all of them."""
    os.kill(pid, signal.SIGSTOP)
    frozen = [pid, *children(pid)]
    for child in frozen[1:]:
        os.kill(child, signal.SIGSTOP)
    return frozen


def start_clock(frozen: list[int]) -> None:
    """Let the processes of `stop_clock` go on."""
    for pid in reversed(frozen):
        os.kill(pid, signal.SIGCONT)


class Watchman:
    """Ends a server when the tests die without ending it, as they do when somebody kills them.

    It is a shell that waits for the end of a pipe whose other end this process holds. It looks the
    server's process up in *pid_file* only then, so a server may have been started anew in between.
    """

    def __init__(self, pid_file: Path) -> None:
        script = 'read -r _; read -r pid <"$1" && kill -s QUIT "$pid" && kill -s CONT "$pid"'
        self._process = subprocess.Popen(
            ["sh", "-c", script, "watchman", str(pid_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The server has been ended; there is nothing to watch."""
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
