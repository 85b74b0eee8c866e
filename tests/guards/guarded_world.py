"""Logs of several tenants in SQLite or in text logs, with a policy whose guards and rules a test chooses."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lapse.engine.planning import plan
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.errors import GuardError
from lapse.model.ledger_entry import EntryKind
from lapse.model.plan import DatasetPlan
from lapse.model.report import DatasetReport
from lapse.ports import Event

NOW = "2026-11-01T00:00:00Z"
OLD, FRESH = "2020-01-{day:02d} 00:00:00", "2026-10-20 00:00:00"
_POLICY = """\
version: 1
archives: {{cold: {{to: archive}}}}
{top}
datasets:
  log:
    store: {store}
{table}    time: at
    type: kind
    tenant: tenant
    archive: cold
{dataset}
    keep:
{rules}
"""
RULE = "{for: 90 days}"


@dataclass(frozen=True)
class Row:
    """A record.

    Attributes:
        at: Its time.
        kind: Its type.
        tenant: Its tenant. None has none.
    """

    at: str
    kind: str = "call"
    tenant: str | None = "acme"


def old(number: int, *, kind: str = "call", tenant: str | None = "acme") -> Iterator[Row]:
    """So many records of 2020, older ones first."""
    for index in range(number):
        yield Row(OLD.format(day=1 + 28 * index // max(1, number)), kind, tenant)


def fresh(number: int = 1, *, kind: str = "call", tenant: str | None = "acme") -> Iterator[Row]:
    """So many records that no rule removes."""
    return (Row(FRESH, kind, tenant) for _ in range(number))


@dataclass
class Told:
    """A hook that remembers what happened.

    Attributes:
        events: What happened, in order.
        besides: Is told of it, too.
    """

    events: list[Event] = field(default_factory=list)
    besides: Callable[[Event], object] = field(default=lambda _: None)

    def on(self, event: Event) -> None:
        """Remember it."""
        self.events.append(event)
        self.besides(event)

    def named(self, name: str) -> list[Event]:
        """The events of that name."""
        return [event for event in self.events if event.name == name]


@dataclass
class Guarded:
    """A log, its policy, and Lapse's own folders.

    Attributes:
        folder: Where everything is.
        kind: ``sqlite`` or ``jsonl``.
        told: What happened in the last run.
    """

    folder: Path
    kind: str = "sqlite"
    told: Told = field(default_factory=Told)

    def policy(self, *rules: str, top: str = "", dataset: str = "") -> None:
        """Write the policy: *top* are further lines of it, *dataset* of its dataset."""
        lines = "".join(f"      - {rule}\n" for rule in rules or (RULE,))
        more = "".join(f"    {line}\n" for line in dataset.splitlines())
        store, table = "sqlite:///log.db", "    table: log\n"
        if self.kind == "jsonl":
            store, table = "log.jsonl", "    time zone: UTC\n"
        text = _POLICY.format(top=top, store=store, table=table, dataset=more, rules=lines)
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def fill(self, *rows: Iterable[Row]) -> None:
        """Add records to the log."""
        found = [row for each in rows for row in each]
        if self.kind == "jsonl":
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"at": r.at, "kind": r.kind, "tenant": r.tenant}) + "\n" for r in found)
            return
        with self.connected() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT)"
            )
            values = [(row.at, row.kind, row.tenant) for row in found]
            connection.executemany("INSERT INTO log (at, kind, tenant) VALUES (?, ?, ?)", values)
        connection.close()

    def connected(self) -> sqlite3.Connection:
        """Another session with the database."""
        return sqlite3.connect(self.folder / "log.db")

    def execute(self, sql: str) -> None:
        """Change the database behind a run's back."""
        with self.connected() as connection:
            connection.execute(sql)
        connection.close()

    def records(self, kind: str | None = None) -> int:
        """Records in the log; only those of a type if one is named."""
        if self.kind == "jsonl":
            file = self.folder / "log.jsonl"
            lines = file.read_text().lstrip(" ").splitlines() if file.exists() else []
            return sum(kind in (None, json.loads(line)["kind"]) for line in lines)
        with self.connected() as connection:
            ((found,),) = connection.execute("SELECT count(*) FROM log WHERE ?1 IS NULL OR kind = ?1", (kind,))
        connection.close()
        return int(found)

    def session(self) -> Session:
        """Open it as a command does."""
        os.environ["LAPSE_STATE_DIR"] = str(self.folder / "state")
        os.environ["LAPSE_NOW"] = NOW
        self.told = Told()
        return open_session(str(self.folder / "lapse.yaml"), hooks=(self.told,))

    def plan(self) -> DatasetPlan:
        """What a run would do."""
        (found,) = plan(self.session(), ()).datasets
        return found

    def run(self, *, on: Callable[[Event], object] = lambda _: None, **wishes: Any) -> DatasetReport:
        """Run once; *on* is told of everything that happens."""
        session = self.session()
        self.told.besides = on
        (found,) = run(session, Wishes(**wishes)).datasets
        return found

    def entries(self, kind: EntryKind) -> list[dict[str, Any]]:
        """Bodies of the ledger's entries of a kind."""
        return [dict(entry.body) for entry in self.session().ledger.entries() if entry.kind is kind]

    def steps(self) -> list[tuple[int, int | None]]:
        """Records and step of the ramp of every disposal."""
        return [(int(body["records"]), body.get("ramp")) for body in self.entries(EntryKind.DISPOSAL)]


def refused(log: Guarded, **wishes: Any) -> str:
    """What a refused run says; nothing was removed."""
    before = log.records()
    with pytest.raises(GuardError) as caught:
        log.run(**wishes)
    assert int(caught.value.exit_code) == 3
    assert log.records() == before
    return f"{caught.value} / {caught.value.hint}"
