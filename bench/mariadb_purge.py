"""Purging call events from MariaDB: pt-archiver to a file, and Lapse with and without archive.

Usage: python bench/mariadb_purge.py [--rows N] [--rounds N]
Four fifths of the rows have lapsed. Every contender works on its own copy of the same data directory.
Needs pt-archiver (Debian's and Ubuntu's package percona-toolkit).
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pymysql

from measure import Sample, heading, interleaved, measured, table, write_section
from writing import Waits, Write, writing

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from servers.mariadb import MARIADB_USER, MariadbServer, program
from servers.processes import server_folder

KEEP_DAYS, SPAN_DAYS = 365, 1095
_DATABASE = "asterisk"
_SETTINGS = {
    "innodb_buffer_pool_size": "512M",
    "innodb_log_file_size": "512M",
    "innodb_flush_log_at_trx_commit": "1",
    "max_binlog_size": "1G",
}
_TEXTS = (
    "userdeftype", "cid_name", "cid_num", "cid_ani", "cid_rdnis", "cid_dnid", "exten", "context", "channame", "appname",
    "appdata", "accountcode", "peeraccount", "uniqueid", "linkedid", "userfield", "peer",
)  # fmt: skip
_SCHEMA = f"""
CREATE TABLE cel (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, eventtype VARCHAR(30) NOT NULL,
    eventtime DATETIME(6) NOT NULL, {", ".join(f"{name} VARCHAR(150) NOT NULL DEFAULT ''" for name in _TEXTS)},
    amaflags INT NOT NULL DEFAULT 3, extra TEXT, call_log_id INT,
    KEY (call_log_id), KEY (eventtime), KEY (linkedid), KEY (uniqueid)) ENGINE=InnoDB
"""
_ROWS = """
INSERT INTO cel (eventtype, eventtime, cid_name, cid_num, exten, context, channame, appname, appdata, uniqueid,
    linkedid, extra, call_log_id)
SELECT ELT(1 + i % 8, 'CHAN_START', 'APP_START', 'CHAN_START', 'ANSWER', 'BRIDGE_ENTER', 'BRIDGE_EXIT', 'HANGUP',
    'LINKEDID_END'), t, CONCAT('Caller ', k % 500), CONCAT('1', LPAD(k % 500, 3, '0')),
    CONCAT('2', LPAD(k % 700, 3, '0')), CONCAT('ctx-internal-', k % 20),
    CONCAT('PJSIP/line', k % 500, '-', LPAD(HEX(i), 8, '0')), 'Dial',
    CONCAT('PJSIP/line', k % 700, '/sip:line@192.0.2.', k % 250, ':5060,30,tT'),
    CONCAT(UNIX_TIMESTAMP(t), '.', i), CONCAT('call-', k),
    CONCAT('{{"bridge_id":"', MD5(k), '","bridge_technology":"simple_bridge"}}'), k
FROM (SELECT seq AS i, seq DIV 8 AS k, IF(seq <= {lapsed},
    '{oldest}' + INTERVAL {old_seconds} * seq / {lapsed} SECOND,
    '{cutoff}' + INTERVAL {young_seconds} * (seq - {lapsed}) / ({rows} - {lapsed}) SECOND) AS t
    FROM seq_1_to_{rows}) s
"""
_POLICY = """\
version: 1
guards: {{ramp: off}}  # as every night but the first
{archives}
datasets:
  bench:
    store: {url}
    table: cel
    time: eventtime
    type: eventtype
    keep: {days} days
    archive: {archive}
"""
_INSERT = "INSERT INTO cel (eventtype, eventtime, uniqueid, linkedid) VALUES ('ANSWER', NOW(6), %s, 'bench')"
_UPDATE = "UPDATE cel SET userfield = CONCAT(LEFT(userfield, 100), 'x') WHERE id = %s"
_OPEN = "SELECT trx_id, trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_id > 0"
_CACHED = 0.1
"""Seconds for which the server repeats its answer about open transactions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A server whose data directory is put back for every contender.

    Attributes:
        server: The server.
        master: Copy of its data directory.
        folder: Scratch folder for policies, states and archives.
        now: What counts as now.
    """

    server: MariadbServer
    master: Path
    folder: Path
    now: datetime

    @property
    def cutoff(self) -> str:
        """The first instant that is kept."""
        return f"{self.now - timedelta(days=KEEP_DAYS):%Y-%m-%d %H:%M:%S}"

    def fill(self, rows: int) -> None:
        """Write the table, and keep what then lies on disk."""
        self.server.create_database(_DATABASE)
        self.server.execute(_SCHEMA, database=_DATABASE)
        oldest = self.now - timedelta(days=SPAN_DAYS)
        filled = _ROWS.format(
            rows=rows, lapsed=rows * 4 // 5, cutoff=self.cutoff, oldest=f"{oldest:%Y-%m-%d %H:%M:%S}",
            old_seconds=(SPAN_DAYS - KEEP_DAYS) * 86_400 - 60, young_seconds=(KEEP_DAYS - 1) * 86_400,
        )  # fmt: skip
        self.server.execute(filled, database=_DATABASE)
        self.server.execute("ANALYZE TABLE cel", database=_DATABASE)
        self.server.execute("RESET MASTER")
        self.server.stop()
        self._copy(self.server.data, self.master)

    def refresh(self) -> Path:
        """Start the server on a fresh copy, with the table read once. Returns an empty scratch folder."""
        self.server.stop()
        shutil.rmtree(self.server.data)
        self._copy(self.master, self.server.data)
        subprocess.run(["sync"], check=True)
        self.server.restart()
        self.server.execute("SELECT count(*), sum(length(extra)) FROM cel FORCE INDEX (PRIMARY)", database=_DATABASE)
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return scratch

    @staticmethod
    def _copy(source: Path, copy: Path) -> None:
        subprocess.run(["cp", "-a", str(source), str(copy)], check=True)

    def archiver(self, scratch: Path) -> list[str]:
        """pt-archiver at its best: bulk deletes of 10,000 rows, each a transaction, written to a file."""
        source = f"S={self.server.socket},u=lapse,D={_DATABASE},t=cel"
        return [
            "pt-archiver", "--source", source, "--where", f"eventtime < '{self.cutoff}'",
            "--file", str(scratch / "cel.txt"), "--bulk-delete", "--limit", "10000", "--commit-each",
            "--no-version-check", "--no-check-charset",
        ]  # fmt: skip

    def lapse(self, scratch: Path, archive: str) -> list[str]:
        """A whole run of Lapse, start-up included."""
        policy = scratch / "lapse.yaml"
        archives = "" if archive == "none" else f"archives: {{{archive}: {{to: archive}}}}"
        url = self.server.socket_url(_DATABASE)
        policy.write_text(_POLICY.format(archives=archives, url=url, days=KEEP_DAYS, archive=archive))
        return [sys.executable, "-m", "lapse", "run", "--policy", str(policy), "--quiet"]

    def environment(self, scratch: Path) -> dict[str, str]:
        """Lapse's own settings for a run in *scratch*."""
        return {"LAPSE_STATE_DIR": str(scratch / "state"), "LAPSE_NOW": self.now.isoformat()}

    def lapsed(self) -> int:
        """Rows that have lapsed."""
        where = f"eventtime < '{self.cutoff}'"
        return int(self.server.execute(f"SELECT count(*) FROM cel WHERE {where}", database=_DATABASE)[0][0])

    def connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        """A session in which nothing commits by itself."""
        return pymysql.connect(unix_socket=str(self.server.socket), user="lapse", database=_DATABASE)


Command = Callable[[Ground, Path], Sequence[str]]

CONTENDERS: Mapping[str, Command] = {
    "pt-archiver, bulk delete, to a file": lambda place, scratch: place.archiver(scratch),
    "Lapse, `archive: none`": lambda place, scratch: place.lapse(scratch, "none"),
    "Lapse, verified Parquet archive": lambda place, scratch: place.lapse(scratch, "cold"),
}


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What others saw of a purge.

    Attributes:
        waits: How long their statements took.
        open: Seconds for which the longest transaction of the purge was seen.
    """

    waits: Waits
    open: float


def purged(place: Ground, command: Command) -> Sample:
    """Let a contender purge a fresh copy.

    Raises:
        RuntimeError: If it failed, or left something.
    """
    scratch = place.refresh()
    sample = measured(command(place, scratch), env=place.environment(scratch))
    if left := place.lapsed():
        raise RuntimeError(f"{left} rows are left")
    return sample


def disturbed(place: Ground, command: Command, rows: int) -> Disturbance:
    """Let a contender purge a fresh copy while others write into it."""
    scratch = place.refresh()
    whole = command(place, scratch)
    ours: set[int] = set()

    def connect() -> pymysql.Connection[pymysql.cursors.Cursor]:
        session = place.connect()
        ours.add(_number(session))
        return session

    with writing(connect, writers(rows)) as waits, _watching(place, ours) as seen:
        measured(whole, env=place.environment(scratch))
    return Disturbance(waits, max((last - first for first, last in seen.values()), default=0.0))


def _number(session: pymysql.Connection[pymysql.cursors.Cursor]) -> int:
    """The server's number of a session."""
    with session.cursor() as cursor:
        cursor.execute("SELECT connection_id()")
        (found,) = cursor.fetchone() or (0,)
    return int(found)


@contextmanager
def _watching(place: Ground, ours: set[int]) -> Iterator[dict[int, tuple[float, float]]]:
    """When each open transaction of other sessions was seen first and last, until the block ends."""
    seen: dict[int, tuple[float, float]] = {}
    done = threading.Event()

    def watch() -> None:
        with place.connect() as session, session.cursor() as cursor:
            session.autocommit(True)
            ours.add(_number(session))
            while not done.wait(_CACHED):
                cursor.execute(_OPEN)
                now = time.monotonic()
                for number, thread in cursor.fetchall():
                    if thread not in ours:
                        seen[number] = (seen.get(number, (now, now))[0], now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def writers(rows: int) -> dict[str, Write]:
    """Who writes: new rows, rows that are kept, rows that have lapsed."""
    kept = rows * 4 // 5
    return {
        "insert": lambda session: session.cursor().execute(_INSERT, (str(random.random()),)),
        "update of a kept row": lambda session: session.cursor().execute(_UPDATE, (random.randint(kept + 1, rows),)),
        "update of a lapsed row": lambda session: session.cursor().execute(_UPDATE, (random.randint(1, kept),)),
    }


def main() -> None:
    """Build, measure, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with (
        server_folder(MARIADB_USER) as folder,
        tempfile.TemporaryDirectory(prefix="lapse-bench-") as scratch,
        MariadbServer.start(folder / "server", fsync=True, options=_SETTINGS) as server,
    ):
        place = Ground(
            server=server, master=folder / "master", folder=Path(scratch), now=datetime.now(UTC).replace(microsecond=0)
        )
        place.fill(chosen.rows)
        place.refresh()
        lapsed = place.lapsed()
        figures = interleaved({name: partial(purged, place, each) for name, each in CONTENDERS.items()}, chosen.rounds)
        seen: dict[str, list[Disturbance]] = {name: [] for name in CONTENDERS}
        for _ in range(chosen.rounds):
            for name, command in CONTENDERS.items():
                seen[name].append(disturbed(place, command, chosen.rows))
    section = [
        *heading("mariadb_purge.py", chosen, product=_product()),
        f"{chosen.rows:,} rows with 5 indexes, {lapsed:,} lapsed; medians of {chosen.rounds}.",
        "",
        *_purges(figures, lapsed),
        "",
        "The longest that a statement of another session took meanwhile, its commit not counted.",
        "Three sessions write, each every 5 ms; Lapse rests while others are busy, as its default pace says.",
        f"Open transactions were looked at every {_CACHED * 1000:.0f} ms.",
        "",
        *_waits(seen, chosen.rows),
    ]
    write_section("MariaDB: purging call events", "\n".join(section))


def _product() -> str:
    said = subprocess.run([program("mariadbd"), "--version"], capture_output=True, text=True, check=True).stdout
    settings = ", ".join(f"{name} = {value}" for name, value in _SETTINGS.items())
    return f"MariaDB {said.split('Ver ')[1].split('-')[0]} ({settings}), pt-archiver {_archiver_version()}"


def _archiver_version() -> str:
    return subprocess.run(["pt-archiver", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def _purges(figures: Mapping[str, Sample], lapsed: int) -> list[str]:
    base = next(iter(figures.values()))
    return table(
        ("contender", "seconds", "rows per second", "times as fast", "client memory"),
        (
            (
                name,
                f"{found.seconds:.1f}",
                f"{lapsed / found.seconds:,.0f}",
                f"{base.seconds / found.seconds:.2f}",
                f"{found.megabytes:.0f} MB",
            )
            for name, found in figures.items()
        ),
    )


def _waits(seen: Mapping[str, Sequence[Disturbance]], rows: int) -> list[str]:
    names = list(writers(rows))
    return table(
        ("contender", *names, "longest transaction"),
        (
            (
                name,
                *(f"{statistics.median(each.waits.longest(who) for each in found) * 1000:,.0f} ms" for who in names),
                f"{statistics.median(each.open for each in found):.1f} s",
            )
            for name, found in seen.items()
        ),
    )


if __name__ == "__main__":
    main()
