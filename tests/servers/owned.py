"""A server that a test started: its folder, its process, and its end."""

from __future__ import annotations

import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from servers.processes import Watchman, as_user, await_condition, free_port, may_read, start_clock, stop_clock


class OwnedServer(ABC):
    """A server on 127.0.0.1 and on a unix socket, which ends with the block that it is entered in.

    Attributes:
        user: The user that it runs as. None: the one that runs the tests.
        hard: The signal that ends it with nothing written back.
        folder: Its folder. ``data`` in it is the data directory, and the socket is in it too.
        port: The port of 127.0.0.1; the same after a restart.
        log: What the server said.
    """

    user: ClassVar[str | None]
    hard: ClassVar[signal.Signals]

    def __init__(self, folder: Path) -> None:
        """Name a server; `start` of its class makes one."""
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchman: Watchman | None = None
        self._frozen: list[int] = []

    @property
    def pid(self) -> int:
        """The server's process, from which all its others descend."""
        if self._process is None:
            raise RuntimeError(f"the server in {self.folder} does not run")
        return self._process.pid

    @abstractmethod
    def stop(self) -> None:
        """End the server in good order. Nothing happens where it has ended already."""

    def restart(self) -> None:
        """End the server in good order and start it again, on the same port."""
        self.stop()
        self._launch()

    def kill(self) -> None:
        """End the server with nothing written back."""
        self._end(self.hard)

    def crash(self) -> None:
        """End the server with nothing written back, and start it again: it recovers from its log."""
        self.kill()
        self._launch()

    def pause(self) -> None:
        """Freeze all of its processes: connections stay open, and nobody answers."""
        self._frozen = stop_clock(self.pid)

    def resume(self) -> None:
        """Let a frozen server go on."""
        start_clock(self._frozen)
        self._frozen = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _make_folder(self) -> None:
        self.folder.mkdir()
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        if not may_read(self.user, self.folder):
            raise PermissionError(f"{self.user} cannot enter {self.folder}; server_folder() makes one it can")

    @abstractmethod
    def _launch(self) -> None:
        """Start it in its folder, and wait until it answers."""

    def _spawn(self, command: list[str], pid_file: Path) -> None:
        """Start the process; where it answers no call in time, or has ended, it is no more."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                as_user(command, self.user),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watchman = Watchman(pid_file)
        try:
            await_condition(self._is_up, f"the server in {self.folder}", seconds=60)
        except BaseException:
            self.kill()
            raise

    def _is_up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the server in {self.folder} did not start: {self.log.read_text()[-2000:]}")
        return self._answers()

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes connections."""

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self.resume()
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None
        if self._watchman is not None:
            self._watchman.dismiss()
            self._watchman = None
