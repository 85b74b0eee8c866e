"""Where contenders meet on text logs: master files, fresh copies of them, and Lapse's own commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from measure import Sample, measured
from trails import MIXED, ONE, Schema, lapsed, trail, write_trail

_SETTLED = 1.1

KEY = '"timestamp"'
"""What `grep -c` counts: the key that every contender has to look at in each line."""

_POLICY = """\
version: 1
guards: {{ramp: off}}  # as every night but the first
{archives}
datasets:
  trail:
    store: {store}
    time: timestamp
    type: schema_name
    keep:
{rules}
    archive: {archive}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A folder with a master of each profile.

    Attributes:
        folder: Where everything is.
        rows: Records of a master.
        now: The end of the trails; what counts as now.
    """

    folder: Path
    rows: int
    now: datetime

    @property
    def head(self) -> Path:
        """The master whose first half has lapsed."""
        return self.folder / "head.jsonl"

    @property
    def mixed(self) -> Path:
        """The master with lapsed records of several schemas among others."""
        return self.folder / "mixed.jsonl"

    @property
    def gone(self) -> Path:
        """The lapsed lines of `head`, which an archive has to take."""
        return self.folder / "gone.jsonl"

    @property
    def scratch(self) -> Path:
        """Where a contender works."""
        return self.folder / "scratch"

    @property
    def log(self) -> Path:
        """The contender's copy of a master."""
        return self.scratch / "logs" / "logs-default.jsonl"

    @property
    def env(self) -> dict[str, str]:
        """Lapse's own settings for a run in the scratch folder."""
        return self.env_at(self.now)

    def env_at(self, now: datetime) -> dict[str, str]:
        """The same, at another time."""
        return {"LAPSE_STATE_DIR": str(self.scratch / "state"), "LAPSE_NOW": now.isoformat()}

    def fresh(self, master: Path | None) -> None:
        """Empty the scratch folder, and copy *master* there.

        What was written is on the disk afterwards, and so long ago that time stamps tell of every change since: of a
        file that was written to within the last second, Lapse reads again what it removes.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.log.parent.mkdir(parents=True)
        if master is not None:
            shutil.copyfile(master, self.log)
        self.settle()

    def settle(self) -> None:
        """Write everything to the disk, and let a second go by."""
        os.sync()
        time.sleep(_SETTLED)

    def policy(self, schemas: Sequence[Schema] = ONE, *, archive: str = "none", store: str = "logs/*.jsonl") -> Path:
        """Write a policy into the scratch folder."""
        policy = self.scratch / "lapse.yaml"
        archives = "" if archive == "none" else f"archives: {{{archive}: {{to: archive}}}}"
        rules = "\n".join(map(_rule, schemas))
        policy.write_text(_POLICY.format(archives=archives, store=store, rules=rules, archive=archive))
        return policy

    def lapse(self, command: str, *options: str) -> list[str]:
        """The command line of a Lapse command in the scratch folder."""
        policy = str(self.scratch / "lapse.yaml")
        return [sys.executable, "-m", "lapse", command, "--policy", policy, "--quiet", *options]

    def forget(self) -> None:
        """Remove what Lapse remembers."""
        shutil.rmtree(self.scratch / "state", ignore_errors=True)


def _rule(schema: Schema) -> str:
    period = "forever" if schema.days is None else f"{schema.days} whole days"
    return f"      - {{type: {schema.name}, for: {period}}}"


def ground(folder: Path, rows: int) -> Ground:
    """Make the masters in a folder of their own below *folder*, or take those that are there from a run before."""
    folder = folder.resolve() / str(rows)
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "now"
    if not stamp.exists():
        now = datetime.now(UTC).replace(microsecond=0)
        made = Ground(folder=folder, rows=rows, now=now)
        write_trail(made.head, rows, now=now, schemas=ONE)
        write_trail(made.mixed, rows, now=now, schemas=MIXED)
        with made.gone.open("wb") as file:
            file.writelines(islice(trail(rows, now=now), lapsed(rows, ONE)))
        stamp.write_text(now.isoformat())
    return Ground(folder=folder, rows=rows, now=datetime.fromisoformat(stamp.read_text()))


def on_cores(count: int, command: Sequence[str]) -> list[str]:
    """The same command on the first *count* cores only."""
    return ["taskset", "--cpu-list", f"0-{count - 1}", *command]


def into(file: Path, command: Sequence[str]) -> Sample:
    """Measure a command whose output goes to *file*."""
    return measured(["sh", "-c", 'out="$1"; shift; exec "$@" > "$out"', "sh", str(file), *command])


def bytes_read(command: Sequence[str], *, env: dict[str, str]) -> int:
    """Bytes that a command and its children read through system calls.

    Raises:
        RuntimeError: If it fails.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **env})
    # What a process read is told until it is waited for, and includes the children that it waited for.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    told = Path(f"/proc/{process.pid}/io").read_text(encoding="ascii")
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    found = re.search(r"rchar: ([0-9]+)", told)
    assert found is not None
    return int(found[1])
