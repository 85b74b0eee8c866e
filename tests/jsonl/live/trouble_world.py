"""A still log of which half has lapsed, for troubles of the surroundings: full disks, rights, other programs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from live_audit import Audit, audit
from live_lines import BACK_DATED, Profile, make, text_of

LINES = 600
_KEEP = timedelta(hours=1)
_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  log:
    store: {store}
    time: timestamp
    type: schema_name
    keep: 1 hour
    archive: cold
"""


@dataclass(frozen=True, slots=True)
class TroubleWorld:
    """A folder with a log, a policy, an archive and Lapse's state.

    Attributes:
        folder: Where everything is.
        profile: Where the lapsed lines of the log are.
    """

    folder: Path
    profile: Profile

    @property
    def logs(self) -> Path:
        """The folder of the log."""
        return self.folder / "logs"

    @property
    def log(self) -> Path:
        """The log."""
        return self.logs / "a.jsonl"

    @property
    def env(self) -> dict[str, str]:
        """What runs are told through the environment."""
        return {"LAPSE_STATE_DIR": str(self.folder / "state")}

    @property
    def run(self) -> tuple[str, ...]:
        """The arguments of a run."""
        return ("run", "--policy", str(self.folder / "lapse.yaml"), "--json")

    def create(self, *, store: str = "logs/*.jsonl") -> None:
        """Write policy and log into the folder, which is there."""
        (self.folder / "lapse.yaml").write_text(_POLICY.format(store=store))
        self.logs.mkdir(exist_ok=True)
        now = time.time()
        self.log.write_bytes(b"".join(make("w", n, time=text_of(self._time(n, now))) for n in range(LINES)))

    def _time(self, number: int, now: float) -> float:
        """Half of the lines have lapsed: the first ones, or all that are even."""
        lapsed = number < LINES // 2 if self.profile is Profile.HEAD else number % 2 == 0
        return now - (BACK_DATED if lapsed else 60) + number / 1000

    def audit(self, **others: int) -> Audit:
        """What became of the lines of the log, and of those of *others*, by writer."""
        return audit(self.logs, self.folder / "archive", {"w": LINES, **others}, keep=_KEEP)

    def strays(self) -> list[str]:
        """Working files of Lapse beside the log."""
        return sorted(path.name for path in self.logs.iterdir() if ".lapse-" in path.name)

    def assert_done(self, **others: int) -> None:
        """Everything is accounted for, what had lapsed is in the archive, and nothing lies around."""
        found = self.audit(**others)
        assert (found.faults, found.removed) == ({}, LINES // 2)
        assert self.strays() == []
