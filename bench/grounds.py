"""Where contenders meet on PostgreSQL: a server that syncs, a master database, and fresh copies of it."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import measured

_TESTS = Path(__file__).parents[1] / "tests"
sys.path.append(str(_TESTS))

from servers.postgres import POSTGRES_USER, PostgresServer, installed  # noqa: E402
from servers.processes import server_folder  # noqa: E402

KEEP_DAYS = 365
_FIXTURE = _TESTS / "xivo" / "xivo_fixture.sql"
MASTER, _COPY = "master", "contender"
_SETTINGS = {
    "shared_buffers": "512MB",
    "maintenance_work_mem": "256MB",
    # No checkpoint falls into a contender's time by chance: each starts right behind one.
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    # Nobody's figures have its work in them by chance. Contenders that vacuum say so.
    "autovacuum": "off",
    # What `transactions.py` reads.
    "log_min_duration_statement": "0",
    "log_line_prefix": "%n|%c|",
}
QUIET = "-c log_min_duration_statement=-1"
"""For sessions that are not measured."""

_POLICY = """\
version: 1
guards: {{ramp: off}}  # as every night but the first
{archives}
datasets:
  bench:
    store: {url}
    table: {table}
    time: {time}
{fields}    keep: {days} days
    archive: {archive}
    pace: {pace}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The table that is purged.

    Attributes:
        table: Its name.
        time: Its time column.
        fields: Its columns that are further keys of the dataset, by key.
        days: How long its rows are kept.
    """

    table: str = "cel"
    time: str = "eventtime"
    fields: Mapping[str, str] = field(default_factory=lambda: {"type": "eventtype"})
    days: int = KEEP_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A server with a master database that every contender gets a copy of.

    Attributes:
        server: The server.
        folder: Scratch folder for policies, states and archives.
        now: When the master was built; what counts as now.
        target: What is purged.
    """

    server: PostgresServer
    folder: Path
    now: datetime
    target: Target

    @property
    def cutoff(self) -> str:
        """The first instant that is kept, as SQL reads it."""
        return (self.now - timedelta(days=self.target.days)).isoformat(sep=" ")

    @property
    def url(self) -> str:
        """Where the copy is."""
        return self.server.url(_COPY)

    @property
    def version(self) -> str:
        """The server's version, such as ``15.14``."""
        return str(self.server.execute("SHOW server_version")[0][0]).split()[0]

    def program(self, name: str) -> str:
        """The path of one of the server's client programs."""
        return str(installed()[self.server.version] / name)

    def psql(self, *statements: str) -> list[str]:
        """The command that runs *statements*, each in a transaction of its own."""
        commands = [part for statement in statements for part in ("-c", statement)]
        return [self.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", self.url, *commands]

    def refresh(self) -> Path:
        """Make a fresh copy of the master, written to disk. Returns an empty scratch folder."""
        self.server.drop_database(_COPY)
        self.server.execute(f"CREATE DATABASE {_COPY} TEMPLATE {MASTER} STRATEGY file_copy")
        self.server.execute("CHECKPOINT")
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return scratch

    def lapse(self, scratch: Path, archive: str, *, pace: str = "{}") -> list[str]:
        """The command that purges the copy; the policy is written into *scratch*."""
        policy = scratch / "lapse.yaml"
        fields = "".join(f"    {key}: {name}\n" for key, name in self.target.fields.items())
        archives = "" if archive == "none" else f"archives: {{{archive}: {{to: archive}}}}"
        target = self.target
        policy.write_text(
            _POLICY.format(
                archives=archives, url=self.url, table=target.table, time=target.time, fields=fields,
                days=target.days, archive=archive, pace=pace,
            )
        )  # fmt: skip
        return [sys.executable, "-m", "lapse", "run", "--policy", str(policy), "--quiet"]

    def environment(self, scratch: Path) -> dict[str, str]:
        """Lapse's own settings for a run in *scratch*."""
        return {"LAPSE_STATE_DIR": str(scratch / "state"), "LAPSE_NOW": self.now.isoformat()}

    def lapsed(self, database: str = _COPY) -> int:
        """Rows of the target that have lapsed."""
        target = self.target
        found = self.server.execute(
            f"SELECT count(*) FROM {target.table} WHERE {target.time} < '{self.cutoff}'", database
        )
        return int(found[0][0])

    def written(self) -> int:
        """Bytes of write-ahead log so far."""
        return int(self.server.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])


@contextmanager
def ground(version: str, target: Target | None = None) -> Iterator[Ground]:
    """A running server of major *version* with an empty master database.

    Raises:
        SystemExit: If that version is not installed.
    """
    if version not in installed():
        raise SystemExit(f"PostgreSQL {version} is not installed; there is {', '.join(installed())}")
    with (
        server_folder(POSTGRES_USER) as folder,
        tempfile.TemporaryDirectory(prefix="lapse-bench-") as scratch,
        PostgresServer.start(version, folder / "server", fsync=True, options=_SETTINGS) as server,
    ):
        server.create_database(MASTER)
        yield Ground(server=server, folder=Path(scratch), now=datetime.now(UTC), target=target or Target())


def fill(place: Ground, *commands: list[str] | str) -> None:
    """Run psql in the master with *commands*, statements or arguments, then settle what was written."""
    psql = [place.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", place.server.url(MASTER)]
    for command in commands:
        measured([*psql, *(["-c", command] if isinstance(command, str) else command)], env={"PGOPTIONS": QUIET})
    measured([*psql, "-c", "VACUUM ANALYZE"], env={"PGOPTIONS": QUIET})


def fill_with_calls(place: Ground, rows: int) -> None:
    """Four fifths of *rows* call events in `cel` have lapsed; no other table of the fixture is left."""
    sizes = {"cel": rows, "calls": max(1, rows // 8), "qlog": 0, "stats": 0, "switchboard": 0, "edges": 0, "margin": 24}
    fixture = ["-f", str(_FIXTURE), *(part for name, size in sizes.items() for part in ("-v", f"{name}={size}"))]
    others = (
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'cel' LOOP EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', t); END LOOP; END $$"
    )
    fill(place, fixture, others)


def options(description: str | None, *, rows: int, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark on PostgreSQL has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--server", default="15", help="major version of PostgreSQL")
    return parser


def product(place: Ground) -> str:
    """The server and its settings for the page, those of the log left out."""
    shown = ", ".join(f"{name} = {value}" for name, value in _SETTINGS.items() if not name.startswith("log_"))
    return f"PostgreSQL {place.version} (fsync = on, {shown})"
