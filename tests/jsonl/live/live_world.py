"""A log under live writers, and the runs that purge it meanwhile, some of them killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from live_audit import Audit, audit
from live_crew import CREWS, RATE, Writer
from live_lines import BACK_DATED, Profile, make, text_of
from live_runs import Ended, Runs

_BACKLOG = 2000

_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  log:
    store: {logs}/*.jsonl
    time: timestamp
    type: schema_name
    keep:
      - {{type: keep_forever, for: forever}}
      - {{for: {keep} seconds}}
    archive: cold
{writers}"""


@dataclass(frozen=True, slots=True)
class Mode:
    """How a log is written, and where.

    Attributes:
        crew: Who writes; a key of `CREWS`.
        profile: Where the lapsed lines are.
        disk: The kind of file system.
    """

    crew: str
    profile: Profile
    disk: str

    def __str__(self) -> str:
        return f"{self.crew}-{self.profile.value}-{self.disk}"


@dataclass(slots=True)
class Course:
    """How the runs of a mode went.

    Attributes:
        removing: Runs that went through and removed something.
        idle: Runs that went through and found nothing to remove.
        refused: What the others said that ended by themselves.
        killed: Runs that were really killed.
    """

    removing: int = 0
    idle: int = 0
    refused: list[str] = field(default_factory=list)
    killed: int = 0

    def note(self, ended: Ended) -> None:
        """Count a run by how it ended."""
        if ended.exit == -signal.SIGKILL:
            self.killed += 1
        elif ended.exit != 0:
            self.refused.append(ended.told)
        elif ended.records:
            self.removing += 1
        else:
            self.idle += 1


@contextmanager
def _handle(pid: int) -> Iterator[Callable[[], None]]:
    """How to kill a process that somebody else waits for: never another one that has got its number since."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:  # it has ended already
        yield lambda: None
        return

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)

    try:
        yield kill
    finally:
        os.close(process)


class Live:
    """A log, its writers, and the policy under which it is purged.

    Arguments:
        mode: Who writes what.
        logs: An empty folder on the file system of the mode.
        home: A folder for policy, state and archive.
        keep: How long a line is kept; whole seconds.
        fresh: Whether each run starts an interpreter of its own.
        runs: Starts the runs.
    """

    def __init__(self, mode: Mode, logs: Path, home: Path, *, keep: timedelta, fresh: bool, runs: Runs) -> None:
        self._mode, self._logs, self._home, self._keep, self._runs = mode, logs, home, keep, runs
        self._env, self._fresh = {"LAPSE_STATE_DIR": str(home / "state")}, fresh
        self._crew = CREWS[mode.crew]
        self._written = dict(self._write_backlog())
        self._typical = 0.0
        self.course = Course()
        self.longest = 0.0
        """Seconds that a writer's longest wait took; known once they are still."""

    def _write_backlog(self) -> Iterator[tuple[str, int]]:
        """Lines that lapsed long ago, at the head of each log."""
        then = time.time() - BACK_DATED
        for number, file in enumerate(dict.fromkeys(seat.file for seat in self._crew.seats)):
            name = f"before{number}"
            lines = [make(name, n, time=text_of(then + n / RATE)) for n in range(_BACKLOG)]
            (self._logs / file).write_bytes(b"".join(lines))
            yield name, _BACKLOG

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let the crew write until the block ends."""
        mode, seats = self._mode, self._crew.seats
        writers = [Writer(seat, self._logs, f"w{n}", mode.profile) for n, seat in enumerate(seats)]
        try:
            for writer in writers:
                writer.await_ready()
            self._write_policy([writer.pid for writer in writers])
            yield
        finally:
            for writer in writers:
                writer.ask_to_stop()
            for writer in writers:
                writer.stopped()
        self._written.update((writer.name, writer.lines) for writer in writers)
        self.longest = max(writer.longest for writer in writers)

    def _write_policy(self, pids: list[int]) -> None:
        (self._home / "pid").write_text(f"{pids[0]}\n")
        reopen = self._crew.reopen.format(home=self._home, pids=", ".join(f'"{pid}"' for pid in pids))
        keep, writers = int(self._keep.total_seconds()), self._crew.promise + reopen
        policy = _POLICY.format(logs=self._logs, keep=keep, writers=writers)
        (self._home / "lapse.yaml").write_text(policy)

    def run(self) -> Ended:
        """A run that nobody kills."""
        ended = self.call(*self._run)
        self.course.note(ended)
        return ended

    def call(self, *command: str) -> Ended:
        """A command. How long the last one took is how long the next run is thought to take."""
        began = time.monotonic()
        ended = self._runs.whole(*self._arguments(*command), env=self._env, fresh=self._fresh)
        self._typical = time.monotonic() - began
        return ended

    @property
    def _run(self) -> tuple[str, ...]:
        """A run; once the writers are still for long enough, everything has lapsed."""
        return ("run", "--allow-empty", *self._crew.arguments)

    def _arguments(self, *command: str) -> tuple[str, ...]:
        return (*command, "--policy", str(self._home / "lapse.yaml"), "--json")

    def run_and_kill(self, chance: random.Random) -> None:
        """Run until a run was killed before it ended, five times at most."""
        killed = self.course.killed
        for _ in range(5):
            self._run_and_kill(chance)
            if self.course.killed > killed:
                break

    def _run_and_kill(self, chance: random.Random) -> None:
        """Kill a run at any moment, or in every other case soon after its first working file is there."""
        before = self._working_files()
        arguments = self._arguments(*self._run)
        with _handle(self._runs.start(*arguments, env=self._env, fresh=self._fresh)) as kill:
            if chance.random() < 0.5:
                self._await_work(before)
                time.sleep(chance.uniform(0, self._typical / 4))
            else:
                time.sleep(chance.uniform(0, self._typical))
            kill()
        self.course.note(self._runs.end())

    def _await_work(self, before: frozenset[str]) -> None:
        deadline = time.monotonic() + self._typical
        while self._working_files() <= before and time.monotonic() < deadline:
            time.sleep(0.001)

    def _working_files(self) -> frozenset[str]:
        return frozenset(path.name for path in self._logs.iterdir() if ".lapse-" in path.name)

    def strays(self) -> list[str]:
        """Working files of Lapse beside the log."""
        return sorted(self._working_files())

    def audit(self) -> Audit:
        """What became of the lines. The writers are still."""
        return audit(self._logs, self._home / "archive", self._written, keep=self._keep)
