"""Small worlds to crash in: a store with lapsed, kept, held and doubtful records, a policy and an archive.

Every world can say what it holds and what its archive holds, as a sorted list of records, so that
"store and archive together are the original" is one comparison.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lapse.archive.catalog import segments
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.model.ledger_entry import EntryKind
from lapse.model.report import RunReport
from lapse.ports import Budget, LineBlock, RowBatch
from lapse.segments import read_segment
from lapse.state.journal import unsettled
from lapse.targets.file import FileTarget

NOW = datetime(2026, 11, 1, tzinfo=UTC)

_POLICY = """\
version: 1
archives:
  cold: {{to: {archive}}}
datasets:
  log:
    store: {store}
{table}    time: at
    type: kind
    tenant: tenant
    keep:
      - {{type: keep, for: forever}}
      - {{for: 90 days}}
    archive: cold
holds:
  - {{matter: M-1, match: {{dataset: log, tenant: held}}, reason: litigation}}
"""


@dataclass(frozen=True)
class World:
    """A folder with a store, a policy, an archive and Lapse's state.

    Attributes:
        folder: Where everything is.
        kind: ``sqlite`` or ``jsonl``.
    """

    folder: Path
    kind: str

    @property
    def archive(self) -> Path:
        """The archive's folder."""
        return self.folder / "archive"

    def session(self) -> Session:
        """Open it as a command does."""
        os.environ["LAPSE_STATE_DIR"] = str(self.folder / "state")
        os.environ["LAPSE_NOW"] = NOW.isoformat()
        return open_session(str(self.folder / "lapse.yaml"))

    def run(self, rows: int = 20) -> RunReport:
        """Run with slices of *rows* records."""
        return run(self.session(), Wishes(budget=Budget(rows=rows)))

    def records(self) -> Counter[str]:
        """What the store holds."""
        if self.kind == "jsonl":
            files = [file.read_bytes() for file in sorted(self.data.glob("*.jsonl"))]
            # A removal in place leaves blanks before the first line; they are no part of it.
            return Counter(line.decode() for data in files for line in data.lstrip(b" ").splitlines())
        with sqlite3.connect(self.data / "log.db") as connection:
            rows = connection.execute("SELECT id, at, kind, tenant, body FROM log").fetchall()
        connection.close()
        return Counter(json.dumps(row) for row in rows)

    @property
    def data(self) -> Path:
        """The store's folder."""
        return self.folder / "data"

    def archived(self) -> Counter[str]:
        """What committed segments hold."""
        return Counter(self._archived())

    def _archived(self) -> Iterator[str]:
        for batch in sealed(self.archive):
            if isinstance(batch, LineBlock):
                yield from (line.decode() for line in batch.data.splitlines())
            else:
                yield from map(json.dumps, _cells(batch, _COLUMNS))

    def ledger_records(self) -> int:
        """Records that the ledger's disposals count."""
        entries = (e for e in self.session().ledger.entries() if e.kind is EntryKind.DISPOSAL)
        return sum(int(str(entry.body["records"])) for entry in entries)

    def strays(self) -> list[str]:
        """Files that nobody needs after a run that went through."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            name = path.name
            if path.is_dir():
                continue
            in_archive = self.archive in path.parents
            if in_archive and name.endswith((".parquet", ".jsonl.zst")):
                beside = [path.with_name(name + suffix) for suffix in (".manifest.json", ".entry.json")]
                found += [f"{path.name} has no {side.name}" for side in beside if not side.exists()]
            elif in_archive and name.endswith(".manifest.json"):
                if not path.with_name(name.removesuffix(".manifest.json")).exists():
                    found.append(f"{name} stands alone")
            elif in_archive and name.endswith(".entry.json"):
                if not path.with_name(name.removesuffix(".entry.json")).exists():
                    found.append(f"{name} stands alone")
            elif in_archive:
                found += [str(path.relative_to(self.folder))] if path.parent.name != "checkpoints" else []
            elif self.data in path.parents and (name.startswith(".") or "lapse" in name):
                found.append(str(path.relative_to(self.folder)))
        found += [
            f"journal: {piece.intent.run}/{piece.intent.slice}" for piece in unsettled(self.session().folders.root)
        ]
        return found


_COLUMNS = ("id", "at", "kind", "tenant", "body")


def sealed(archive: Path, table: str | None = None) -> Iterator[RowBatch | LineBlock]:
    """What the committed segments of the archive ``cold`` hold, in this folder; of one table, or of all."""
    target = FileTarget(str(archive))
    for entry in segments(target, archive_name="cold"):
        if table not in (None, entry.manifest.table.split(".")[-1]):
            continue
        with target.open(entry.manifest.path) as file:
            yield from read_segment(entry.manifest.format, file)


def sealed_rows(archive: Path, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows that these segments hold of a table, with the cells of *columns*."""
    for batch in sealed(archive, table):
        assert not isinstance(batch, LineBlock)
        yield from _cells(batch, columns)


def _cells(batch: RowBatch, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def make(folder: Path, kind: str, records: int) -> World:
    """Build a world with *records* records, two thirds of them lapsed."""
    world = World(folder, kind)
    world.data.mkdir(parents=True)
    if kind == "sqlite":
        _make_sqlite(world.data / "log.db", records)
        store, table = "sqlite:///data/log.db", "    table: log\n"
    else:
        _make_jsonl(world.data, records)
        store, table = "data/log*.jsonl", "    time zone: UTC\n"
    (folder / "lapse.yaml").write_text(_POLICY.format(store=store, table=table, archive="archive"))
    return world


def _rows(records: int) -> Iterator[tuple[str | None, str, str, str]]:
    for number in range(records):
        age = timedelta(days=270 * (records - number) / records)
        at = None if number % 97 == 5 else (NOW - age).strftime("%Y-%m-%d %H:%M:%S.%f")
        kind = "keep" if number % 11 == 3 else "call"
        tenant = "held" if number % 13 == 7 else f"tenant {number % 3}"
        yield at, kind, tenant, f"record {number} é {'x' * (number % 50)}"


def _make_sqlite(file: Path, records: int) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT, body TEXT)")
        connection.executemany("INSERT INTO log (at, kind, tenant, body) VALUES (?, ?, ?, ?)", _rows(records))
    connection.close()


def _make_jsonl(folder: Path, records: int) -> None:
    files = [(folder / f"log-{number}.jsonl").open("w", encoding="utf-8") for number in range(3)]
    for number, (at, kind, tenant, body) in enumerate(_rows(records)):
        line = json.dumps({"n": number, "at": at, "kind": kind, "tenant": tenant, "body": body}, ensure_ascii=False)
        files[number * 3 // records].write(line + "\n")
    for file in files:
        file.close()
    # The newest one is a log in use, from which lines go in place; those of the first go by a new file.
    last = (folder / "log-2.jsonl").stat()
    os.utime(folder / "log-1.jsonl", ns=(last.st_atime_ns, last.st_mtime_ns + 1))
