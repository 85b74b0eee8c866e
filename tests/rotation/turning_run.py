"""A home for Lapse with one dataset of logs: runs in this process, commands in their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from turning_world import Logs, logs

from lapse.engine.growth import growth
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.instant import Nanos
from lapse.model.growth import Growth
from lapse.model.report import RunReport

_POLICY = """\
version: 1
datasets:
  log:
    store: logs/audit*.jsonl*
    time: at
    keep: 30 days
    archive: none
{more}
"""


@dataclass(frozen=True)
class Home:
    """A folder with a policy, its logs and Lapse's state.

    Attributes:
        folder: The folder.
        logs: The logs.
    """

    folder: Path
    logs: Logs

    @property
    def policy(self) -> Path:
        """The policy."""
        return self.folder / "lapse.yaml"

    def session(self) -> Session:
        """A session on it."""
        os.environ["LAPSE_STATE_DIR"] = str(self.folder / "state")
        return open_session(str(self.policy))

    def run(self) -> RunReport:
        """A run."""
        return run(self.session(), Wishes())

    def growth(self, later: int = 0) -> Growth:
        """How its logs grow, as seen so many nanoseconds later."""
        session = self.session()
        found = growth(replace(session, real_now=Nanos(session.real_now + later)), session.policy.datasets["log"])
        assert found is not None
        return found

    def lapse(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command."""
        environment = {**os.environ, "LAPSE_STATE_DIR": str(self.folder / "state")}
        command = [sys.executable, "-m", "lapse", *arguments, "--policy", str(self.policy)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def home(folder: Path, *lines: str) -> Home:
    """A new one; *lines* are added to the dataset."""
    found = Home(folder, logs(folder / "logs"))
    found.policy.write_text(_POLICY.format(more="".join(f"    {each}\n" for each in lines)))
    return found
