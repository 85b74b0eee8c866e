"""Purging a SQLite call log: one DELETE, DELETE and VACUUM, a plain script, and Lapse with and without archive.

Usage: python bench/sqlite_purge.py [--rows N] [--rounds N] [--folder DIR]
Four fifths of the rows have lapsed. Every contender works on its own copy of the same file.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import Sample, interleaved, machine, measured, write_section

NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEEP_DAYS = 73
SPAN_DAYS = 365
CUTOFF = (NOW - timedelta(days=KEEP_DAYS)).strftime("%Y-%m-%d %H:%M:%S")
DELETE = f"DELETE FROM calls WHERE started < '{CUTOFF}'"

# Indexed as the tables that such rows come from: XiVO's `cel` and `queue_log`.
_SCHEMA = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, uniqueid TEXT NOT NULL, linkedid TEXT NOT NULL,
    tenant TEXT NOT NULL, event TEXT NOT NULL, agent TEXT NOT NULL, callee TEXT, duration INTEGER, note TEXT
);
CREATE INDEX calls_started ON calls (started);
CREATE INDEX calls_uniqueid ON calls (uniqueid);
CREATE INDEX calls_linkedid ON calls (linkedid);
CREATE INDEX calls_event ON calls (event);
CREATE INDEX calls_agent ON calls (agent);
"""
_POLICY = """
version: 1
guards: {{ramp: off}}  # as every night but the first
{archives}
datasets:
  calls:
    store: sqlite:///{store}
    table: calls
    time: started
    type: event
    tenant: tenant
    keep: {days} days
    archive: {archive}
"""


@dataclass(frozen=True, slots=True)
class Field:
    """Where the contenders meet.

    Attributes:
        folder: Scratch folder.
        master: The file that every contender gets a copy of.
    """

    folder: Path
    master: Path

    def copy(self) -> Path:
        """A fresh copy of the call log, in the page cache like every other."""
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "data").mkdir(parents=True)
        shutil.copyfile(self.master, scratch / "data" / "calls.db")
        subprocess.run(["sync"], check=True)
        return scratch


def build(file: Path, rows: int, indexes: int) -> None:
    """Write the call log: in the order of time, with ids that begin with the time, as Asterisk makes them."""
    start = NOW - timedelta(days=SPAN_DAYS)

    def made() -> Iterator[tuple[object, ...]]:
        for number in range(rows):
            moment = start + timedelta(days=SPAN_DAYS) * (number / rows)
            yield (
                moment.strftime("%Y-%m-%d %H:%M:%S.%f"),
                f"{int(moment.timestamp())}.{number}",
                f"{int(moment.timestamp())}.{number - number % 6}",
                "acme" if number % 3 else "globex",
                ("CHAN_START", "ANSWER", "BRIDGE_ENTER", "HANGUP")[number % 4],
                f"agent-{number * 7919 % 5003:04d}",
                f"2{number % 77_777:05d}",
                number % 3600,
                f"note {number}" if number % 5 == 0 else None,
            )

    connection = sqlite3.connect(file)
    schema = ";".join(_SCHEMA.split(";")[: 1 + indexes])
    connection.executescript("PRAGMA journal_mode = WAL;" + schema)
    columns = "started, uniqueid, linkedid, tenant, event, agent, callee, duration, note"
    connection.executemany(f"INSERT INTO calls ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", made())
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def shell(field: Field, statement: str) -> Sample:
    """The sqlite3 shell with one statement."""
    return measured(["sqlite3", str(field.copy() / "data" / "calls.db"), statement])


def script(field: Field) -> Sample:
    """What people write: fetch, write Parquet, delete; nothing is verified."""
    scratch = field.copy()
    code = f"""
import sqlite3, pyarrow as pa, pyarrow.parquet as pq
connection = sqlite3.connect({str(scratch / "data" / "calls.db")!r})
cursor = connection.execute("SELECT * FROM calls WHERE started < '{CUTOFF}'")
names = [item[0] for item in cursor.description]
writer = None
while rows := cursor.fetchmany(50_000):
    table = pa.table(dict(zip(names, map(list, zip(*rows)))))
    writer = writer or pq.ParquetWriter({str(scratch / "out.parquet")!r}, table.schema, compression="zstd")
    writer.write_table(table.cast(writer.schema))
writer.close()
connection.execute("{DELETE}")
connection.commit()
"""
    return measured([sys.executable, "-c", code])


def lapse(field: Field, archive: str) -> Sample:
    """A whole run of Lapse, start-up included."""
    scratch = field.copy()
    policy = prepare(scratch, archive)
    command = [sys.executable, "-m", "lapse", "run", "--policy", str(policy), "--quiet"]
    return measured(command, env=environment(scratch))


def prepare(scratch: Path, archive: str) -> Path:
    """Write the policy beside the store."""
    archives = "" if archive == "none" else "archives: {cold: {to: archive}}"
    policy = scratch / "lapse.yaml"
    policy.write_text(_POLICY.format(archives=archives, store="data/calls.db", days=KEEP_DAYS, archive=archive))
    return policy


def environment(scratch: Path) -> dict[str, str]:
    """Lapse's own settings for a run in *scratch*."""
    return {"LAPSE_STATE_DIR": str(scratch / "state"), "LAPSE_NOW": NOW.isoformat()}


def longest_wait(field: Field, archive: str) -> tuple[float, int]:
    """Seconds that the slowest of many small writes waited while Lapse ran, and how many there were."""
    scratch = field.copy()
    policy = prepare(scratch, archive)
    waits: list[float] = []
    done = threading.Event()
    writer = threading.Thread(target=_write_along, args=(scratch / "data" / "calls.db", waits, done))
    writer.start()
    try:
        measured([sys.executable, "-m", "lapse", "run", "--policy", str(policy), "--quiet"], env=environment(scratch))
    finally:
        done.set()
        writer.join()
    return max(waits), len(waits)


def _write_along(file: Path, waits: list[float], done: threading.Event) -> None:
    connection = sqlite3.connect(file, timeout=60, isolation_level=None)
    while not done.is_set():
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        waits.append(time.perf_counter() - started)
        connection.execute(
            "INSERT INTO calls (started, uniqueid, linkedid, tenant, event, agent)"
            " VALUES (?, 'x', 'x', 'acme', 'ANSWER', 'a')",
            (NOW.strftime("%Y-%m-%d %H:%M:%S"),),
        )
        connection.execute("COMMIT")
        time.sleep(0.005)
    connection.close()


def main() -> None:
    """Build, measure, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--indexes", type=int, default=5, help="how many of the five the table has")
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lapse-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    field = Field(folder, folder / f"calls-{options.rows}-{options.indexes}.db")
    if not field.master.exists():
        build(field.master, options.rows, options.indexes)
    lapsed = (
        sqlite3.connect(field.master).execute(f"SELECT count(*) FROM calls WHERE started < '{CUTOFF}'").fetchone()[0]
    )
    results = interleaved(
        {
            "`DELETE` (sqlite3 shell)": lambda: shell(field, DELETE),
            "`DELETE` + `VACUUM` (sqlite3 shell)": lambda: shell(field, f"{DELETE}; VACUUM;"),
            "fetch, write Parquet, `DELETE` (Python script, unverified)": lambda: script(field),
            "Lapse, `archive: none`": lambda: lapse(field, "none"),
            "Lapse, verified Parquet archive": lambda: lapse(field, "cold"),
        },
        options.rounds,
    )
    waits = {archive: longest_wait(field, archive) for archive in ("none", "cold")}
    write_section(f"SQLite: purging a call log with {options.indexes} indexes", _table(options, lapsed, results, waits))
    if options.folder is None:
        shutil.rmtree(folder)


def _table(
    options: argparse.Namespace, lapsed: int, results: dict[str, Sample], waits: dict[str, tuple[float, int]]
) -> str:
    base = results["`DELETE` (sqlite3 shell)"].seconds
    lines = [
        f"`python bench/sqlite_purge.py --rows {options.rows} --rounds {options.rounds} --indexes {options.indexes}`.",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, SQLite {sqlite3.sqlite_version}.",
        f"{options.rows:,} rows with {options.indexes} indexes, {lapsed:,} lapsed; medians of {options.rounds}.",
        "",
        "| contender | seconds | ratio | rows per second | peak memory |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, sample in results.items():
        lines.append(
            f"| {name} | {sample.seconds:.1f} | {sample.seconds / base:.2f} | {lapsed / sample.seconds:,.0f} |"
            f" {sample.megabytes:.0f} MB |"
        )
    lines += ["", "The longest that a concurrent writer waited for its lock (one insert every 5 ms):", ""]
    for archive, (wait, count) in waits.items():
        what = "without archive" if archive == "none" else "with archive"
        lines.append(f"- {what}: {wait * 1000:.0f} ms, of {count:,} writes")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
