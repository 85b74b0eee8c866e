"""A small world for runs that nobody watches: a call log, a policy with a schedule, and programs that stand in."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calling import ROOT as ROOT
from calling import CalledWorld
from lapse import clock
from lapse.engine.session import Session, open_session
from lapse.instant import DAY, SECOND, Nanos, rfc3339

POLICY = """\
version: 1
archives:
  cold: {to: ./archive}
datasets:
  calls:
    store: sqlite:///calls.db
    table: cel
    time: at
    keep: 90 days
    archive: cold
"""
SCHEDULE = "schedule: {daily at: 02:00}\n"


@dataclass(frozen=True)
class World(CalledWorld):
    """A folder with a policy and a call log."""

    def policy(self, *parts: str) -> None:
        """Write the policy, with further parts at its end."""
        self.write(POLICY + "".join(parts))

    def calls(self, times: Iterable[str | None]) -> None:
        """Put rows of these times into the call log."""
        connection = sqlite3.connect(self.folder / "calls.db")
        with connection:
            connection.execute("CREATE TABLE IF NOT EXISTS cel (id INTEGER PRIMARY KEY, at TEXT)")
            connection.executemany("INSERT INTO cel (at) VALUES (?)", ((time,) for time in times))
        connection.close()

    def rows(self) -> int:
        """Rows of the call log."""
        connection = sqlite3.connect(self.folder / "calls.db")
        try:
            return int(connection.execute("SELECT count(*) FROM cel").fetchone()[0])
        finally:
            connection.close()

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start the program as a process; its two outputs are pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "lapse", *arguments],
            env={**os.environ, **self.env(**more)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def session(self) -> Session:
        """A session of the policy in this process."""
        os.environ["LAPSE_STATE_DIR"] = str(self.state)
        return open_session(str(self.policy_file))

    def status(self) -> dict[str, Any]:
        """What `lapse status` says."""
        result: dict[str, Any] = self.json("status")["result"]
        return result

    def problems(self) -> dict[str, str]:
        """The problems that `lapse status` names, message by kind."""
        return {each["kind"]: each["message"] for each in self.status()["problems"]}


def build(folder: Path) -> World:
    """A world of 10 rows that have lapsed and 5 that have not."""
    world = World(folder)
    world.policy(SCHEDULE)
    now = Nanos(int(world.policy_file.stat().st_mtime) * SECOND)
    world.calls(rfc3339(Nanos(now - days * DAY)) for days in (*range(100, 110), *range(5)))
    return world


def program(folder: Path, name: str, script: str) -> Path:
    """An executable shell script in *folder*, to stand in for a program of that name."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def await_handler(pid: int) -> None:
    """Until the process catches SIGTERM, as the kernel tells."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        clock.sleep(0.02)


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A small world, which is also the working folder; no variable leads out of it."""
    monkeypatch.chdir(tmp_path)
    for name in ("LAPSE_LOG_FORMAT", "LAPSE_LOG_LEVEL", "LAPSE_POLICY", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    return build(tmp_path)
