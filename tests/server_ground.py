"""A policy on a table of a database server, run as commands do; and whether table and archive are still everything."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapse.engine.ledgering import verify as verify_ledger
from lapse.engine.limits import Limits
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.model.ledger_entry import EntryKind
from lapse.model.plan import DatasetPlan
from lapse.model.report import DatasetReport
from lapse.ports import Budget
from lapse.state.journal import unsettled
from worlds import sealed_rows

_NOW = "2026-11-01T00:00:00Z"
_POLICY = """\
version: 1
archives:
  cold: {{to: {folder}/archive}}
datasets:
  log:
    store: "{store}"
    table: {table}
    time: at
    keep: {keep}
    archive: {archive}
{more}
"""


@dataclass(frozen=True)
class ServerGround(ABC):
    """A database, a policy on one of its tables, and Lapse's own folders.

    Attributes:
        folder: Where policy, archive and state are.
    """

    folder: Path

    @abstractmethod
    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""

    def write_policy(self, store: str, *, table: str = "log", keep: str, archive: str, dataset: str, top: str) -> None:
        """Write the policy: *dataset* are further lines of the dataset, *top* of the policy. No ramp without guards."""
        guards = "" if "guards:" in top else "guards: {ramp: off}\n"
        more = "".join(f"    {line}\n" for line in dataset.splitlines()) + top + guards
        text = _POLICY.format(folder=self.folder, store=store, table=table, keep=keep, archive=archive, more=more)
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def session(self) -> Session:
        """Open it as a command does."""
        os.environ["LAPSE_STATE_DIR"] = str(self.folder / "state")
        os.environ["LAPSE_NOW"] = _NOW
        return open_session(str(self.folder / "lapse.yaml"))

    def plan(self) -> DatasetPlan:
        """What a run would do."""
        (found,) = plan(self.session(), ()).datasets
        return found

    def notes(self) -> str:
        """What the plan says, in one text."""
        return "\n".join(self.plan().identity.notes)

    def run(self, *, rows: int | None = None, allow_empty: bool = True, slice_rows: int = 50_000) -> DatasetReport:
        """Run; *rows* is the limit of the whole run."""
        wishes = Wishes(limits=Limits(rows=rows), allow_empty=allow_empty, budget=Budget(rows=slice_rows))
        (found,) = run(self.session(), wishes).datasets
        return found

    def keys(self, table: str = "log", column: str = "id") -> list[Any]:
        """The keys that a table has."""
        return [key for (key,) in self.execute(f"SELECT {column} FROM {table} ORDER BY 1")]

    def archived(self, table: str = "log", column: str = "id") -> list[Any]:
        """The keys that committed segments have of a table, sorted, each as often as it is there."""
        return sorted(cell for (cell,) in sealed_rows(self.folder / "archive", table, (column,)))

    def everything(self, table: str = "log", column: str = "id") -> Counter[Any]:
        """What table and archive have together."""
        return Counter(self.keys(table, column)) + Counter(self.archived(table, column))

    def methods(self) -> Counter[str]:
        """Records by the method of their disposal, as the ledger has it."""
        found: Counter[str] = Counter()
        for entry in self.session().ledger.entries():
            if entry.kind is EntryKind.DISPOSAL:
                found[str(entry.body["method"])] += int(str(entry.body["records"]))
        return found

    def check(self) -> None:
        """Nothing is left open, nothing lies around, and the ledger is whole."""
        assert [piece.intent.slice for piece in unsettled(self.session().folders.root)] == []
        assert verify_ledger(self.session()).ok
        for path in (self.folder / "archive").rglob("*.parquet"):
            assert path.with_name(path.name + ".entry.json").exists(), path.name
            json.loads(path.with_name(path.name + ".manifest.json").read_text(encoding="utf-8"))
