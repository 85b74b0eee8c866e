"""Hosts that share a database: each has a policy, hold files and a state of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from lapse.engine.ordering import add_hold, list_holds, release_hold
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.model.report import DatasetReport
from lapse.ports import Budget

NOW = "2026-11-01T00:00:00Z"
_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  {name}:
    store: "{url}"
    table: {table}
    time: at
    {dataset}
    keep: 90 days
    archive: {archive}
"""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host.

    Attributes:
        folder: What it has of its own.
        url: The database that it shares.
        dataset: What its policy calls the dataset.
    """

    folder: Path
    url: str
    dataset: str = "log"

    def policy(
        self, *, table: str = "log", archive: str = "cold", dataset: str = "tenant: tenant", url: str | None = None
    ) -> Host:
        """Write its policy; *dataset* is a further line of the dataset."""
        self.folder.mkdir(exist_ok=True)
        text = _POLICY.format(
            name=self.dataset, url=url or self.url, table=table, archive=archive, dataset=dataset
        )  # fmt: skip
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")
        return self

    def session(self) -> Session:
        """Open it as a command does on this host."""
        settings = {"LAPSE_STATE_DIR": str(self.folder / "state"), "LAPSE_NOW": NOW}
        with patch.dict(os.environ, settings):
            return open_session(str(self.folder / "lapse.yaml"))

    def hold(self, matter: str = "M-1", *, here_only: bool = False, **scope: object) -> None:
        """``hold add``: without a *scope*, the tenant ``held``."""
        said = scope or {"match": Match((Condition("tenant", ("held",), role="tenant"),))}
        add_hold(self.session(), Hold(matter=matter, **said), here_only=here_only)  # type: ignore[arg-type]

    def release(self, matter: str = "M-1", *, here_only: bool = False) -> None:
        """``hold release``."""
        release_hold(self.session(), matter, here_only=here_only)

    def listed(self) -> Sequence[tuple[str, tuple[str, ...], bool]]:
        """``hold list``: matters, the datasets in whose stores they are, and whether they are of this host."""
        return [(each.hold.matter, each.posted, each.here) for each in list_holds(self.session())[0]]

    def run(self, *, rows: int = 50_000) -> DatasetReport:
        """``run``, with slices of so many rows."""
        (found,) = run(self.session(), Wishes(allow_empty=True, budget=Budget(rows=rows))).datasets
        return found
