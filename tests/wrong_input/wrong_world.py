"""A small real world to do wrong in, and how to see that a refusal is told well and touches nothing."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typer.testing import Result

from calling import CALLS_AND_TOOLS, CalledWorld

POLICY = CALLS_AND_TOOLS.replace("///calls.db", "///db/calls.db")
CALLS, LINES = 60, 6
_NOT_ABOVE_PERMISSIONS = """\
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert libc.prctl(24, capability, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.executable, [sys.executable, "-m", "lapse", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class World(CalledWorld):
    """A folder with a policy, a call log of 60 rows of which 40 have lapsed, and an audit file, 3 of 6 lines lapsed."""

    now: ClassVar[str] = "2025-06-01T00:00:00Z"

    @property
    def database(self) -> Path:
        """The call log."""
        return self.folder / "db" / "calls.db"

    @property
    def log(self) -> Path:
        """The audit file."""
        return self.folder / "logs" / "audit.jsonl"

    def env(self, **more: str) -> dict[str, str]:
        """The policy is named as from its folder."""
        return super().env(**{"LAPSE_POLICY": "lapse.yaml", **more})

    def call(self, *arguments: str, **more: str) -> Result:
        """Call the program in its folder."""
        with contextlib.chdir(self.folder):
            return super().call(*arguments, **more)

    def process(self, *arguments: str, program: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Call it as a process, through a Python *program* that starts it."""
        start = ["-c", program] if program else ["-m", "lapse"]
        return subprocess.run(
            [sys.executable, *start, *arguments],
            cwd=self.folder, env={**os.environ, **self.env(**more)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def unprivileged(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call it as a process for which permissions count, also where the tests run as root."""
        return self.process(*arguments, program=_NOT_ABOVE_PERMISSIONS)

    def policy(self, old: str = "", new: str = "") -> None:
        """Write the policy, with *old* in it replaced by *new*."""
        assert old in POLICY
        self.write(POLICY.replace(old, new, 1))

    def snapshot(self) -> dict[str, str | bytes | None]:
        """Everything in the folder: bytes of files, targets of links, None for the rest.

        What Lapse remembers by itself is left out: `lapse status` is to show a run that was refused, and what was
        found in log files while it looked stays true.
        """
        paths = (path for path in sorted(self.folder.rglob("*")) if not self._is_memory(path))
        return {str(path.relative_to(self.folder)): _content(path) for path in paths}

    def _is_memory(self, path: Path) -> bool:
        memories = (self.state / "runs", self.state / "file-index")
        own = (self.state, self.state / "state.lock", *memories)
        return path in own or any(memory in path.parents for memory in memories)

    def execute(self, *statements: str) -> None:
        """Run SQL in the call log."""
        connection = sqlite3.connect(self.database)
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def rows(self) -> set[int]:
        """Keys of the call log."""
        connection = sqlite3.connect(self.database)
        found = {row[0] for row in connection.execute("SELECT id FROM cel")}
        connection.close()
        return found

    def complete(self) -> bool:
        """Whether store and archive together are what there was, nothing in both, and the proof stands."""
        rows = {row[0] for row in self.json("archive", "query", "SELECT id FROM calls")["result"]["rows"]}
        lines = self.json("archive", "query", "SELECT line FROM tools")["result"]["rows"]
        sound = self.json("ledger", "verify")["result"]["ok"] and self.json("archive", "verify")["result"]["ok"]
        kept = len(self.log.read_bytes().splitlines())
        return bool(sound) and (self.rows(), len(lines), kept) == (set(range(CALLS)) - rows, 3, 3) and len(rows) == 40


def _content(path: Path) -> str | bytes | None:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else None


def make(folder: Path) -> World:
    """Make a world in *folder*."""
    world = World(folder)
    for name in ("db", "logs"):
        (folder / name).mkdir()
    world.policy()
    world.execute(
        "CREATE TABLE cel (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT)",
        *(
            f"INSERT INTO cel VALUES ({n}, '{'2024-01-01' if n < 40 else '2025-05-30'}T00:00:{n:02}Z', 'CALL', 'acme')"
            for n in range(CALLS)
        ),
    )
    lines = ({"timestamp": f"2025-0{n}-01T00:00:00Z", "schema": "auth", "record": n} for n in range(1, LINES + 1))
    world.log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return world


@dataclass(frozen=True)
class Refusal:
    """How a wrong input must be told.

    Attributes:
        code: Exit code.
        says: Part of the message.
        where: Line and column in ``lapse.yaml``, as ``8:5``. None where no place is told.
        hint: Part of the hint.
    """

    code: int
    says: str
    where: str | None = None
    hint: str = ""

    def check(self, world: World, *arguments: str, **more: str) -> None:
        """Ask for it as text and as JSON: it is told as expected, without a traceback, and nothing is touched."""
        before = world.snapshot()
        text, told = world.call(*arguments, **more), world.json(*arguments, **more)
        assert world.snapshot() == before
        assert (text.exit_code, told["exit"], text.stdout, told["result"]) == (self.code, self.code, "", None)
        self.check_text(text.stderr)
        error = told["error"]
        first = (error["complaints"] or [error])[0]
        assert self.says in first["message"]
        assert first["where"] == (None if self.where is None else f"lapse.yaml:{self.where}")
        assert self.hint in (first["hint"] or "")

    def check_text(self, stderr: str) -> None:
        """What is said on stderr."""
        assert "Traceback" not in stderr
        assert "internal error" not in stderr
        told = stderr.split("\nHint: ")
        place = "" if self.where is None else f"lapse.yaml:{self.where}: "
        assert told[0].startswith(f"Error: {place}")
        assert self.says in told[0]
        if self.hint:
            assert self.hint in told[1]


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """A file system of *size* on *folder*, with the files that were there; False where none may be mounted."""
    folder.mkdir(exist_ok=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    libc = ctypes.CDLL(None, use_errno=True)
    mounted = libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()) == 0
    try:
        if mounted:
            for name, data in files.items():
                (folder / name).write_bytes(data)
        yield mounted
    finally:
        if mounted:
            assert libc.umount2(os.fsencode(folder), 2) == 0
