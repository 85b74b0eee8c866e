"""A policy on a PostgreSQL table, run as commands do; and whether table and archive together are still everything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from lapse.archive.catalog import segments
from lapse.engine.ledgering import verify as verify_ledger
from lapse.engine.limits import Limits
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.model.ledger_entry import EntryKind
from lapse.model.plan import DatasetPlan
from lapse.model.report import DatasetReport
from lapse.ports import Budget, LineBlock
from lapse.segments import read_segment
from lapse.state.journal import unsettled
from lapse.targets.file import FileTarget

NOW = "2026-11-01T00:00:00Z"
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


@dataclass
class Ground:
    """A database, a policy on one of its tables, and Lapse's own folders.

    Attributes:
        url: The database.
        folder: Where policy, archive and state are.
    """

    url: str
    folder: Path

    def policy(
        self,
        *,
        store: str | None = None,
        table: str = "log",
        keep: str = "90 days",
        archive: str = "cold",
        dataset: str = "",
        top: str = "",
    ) -> None:
        """Write the policy: *dataset* are further lines of the dataset, *top* of the policy. No ramp without guards."""
        guards = "" if "guards:" in top else "guards: {ramp: off}\n"
        more = "".join(f"    {line}\n" for line in dataset.splitlines()) + top + guards
        text = _POLICY.format(
            folder=self.folder, store=store or self.url, table=table, keep=keep, archive=archive, more=more
        )
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def session(self) -> Session:
        """Open it as a command does."""
        return open_session(str(self.folder / "lapse.yaml"))

    def plan(self) -> DatasetPlan:
        """What a run would do."""
        (found,) = plan(self.session(), ()).datasets
        return found

    def run(self, *, rows: int | None = None, allow_empty: bool = True, slice_rows: int = 50_000) -> DatasetReport:
        """Run; *rows* is the limit of the whole run."""
        wishes = Wishes(limits=Limits(rows=rows), allow_empty=allow_empty, budget=Budget(rows=slice_rows))
        (found,) = run(self.session(), wishes).datasets
        return found

    @contextmanager
    def connected(self, *, autocommit: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """Another session."""
        with psycopg.connect(self.url, autocommit=autocommit) as connection:
            yield connection

    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""
        with self.connected() as connection:
            cursor = None
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return [] if cursor is None or cursor.description is None else cursor.fetchall()

    def keys(self, table: str = "log", column: str = "id") -> list[Any]:
        """The keys that a table has."""
        return [key for (key,) in self.execute(f"SELECT {column} FROM {table} ORDER BY 1")]

    def archived(self, table: str = "log", column: str = "id") -> list[Any]:
        """The keys that committed segments have of a table, sorted, each as often as it is there."""
        return sorted(self._archived(table, column))

    def _archived(self, table: str, column: str) -> Iterator[Any]:
        target = FileTarget(str(self.folder / "archive"))
        for entry in segments(target, archive_name="cold"):
            if entry.manifest.table != table:
                continue
            with target.open(entry.manifest.path) as file:
                for batch in read_segment(entry.manifest.format, file):
                    assert not isinstance(batch, LineBlock)
                    yield from batch.column(column).to_pylist()

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


def months(first: int, last: int, year: int = 2025) -> Sequence[str]:
    """Statements that make partitions of ``log``, one for each of these months, each with ten rows."""
    found = []
    for month in range(first, last + 1):
        name, begin = f"log_{year}_{month:02}", f"{year}-{month:02}-01"
        end = f"{year}-{month + 1:02}-01" if month < 12 else f"{year + 1}-01-01"
        found.append(f"CREATE TABLE {name} PARTITION OF log FOR VALUES FROM ('{begin}') TO ('{end}')")
        found.append(
            f"INSERT INTO log SELECT {100 * month} + n, '{begin}'::timestamp + n * interval '1 day', 'acme', "
            f"repeat('x', n) FROM generate_series(0, 9) n"
        )
    return found
