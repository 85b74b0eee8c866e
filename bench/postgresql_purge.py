"""Purging call events from PostgreSQL: one DELETE, DELETE and VACUUM, batches, Lapse with and without archive.

Usage: python bench/postgresql_purge.py [--rows N] [--rounds N] [--server MAJOR]
Four fifths of the rows have lapsed. Every contender works on its own copy of the same database.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from grounds import QUIET, Ground, fill_with_calls, ground, options, product
from measure import heading, interleaved, measured, table, write_section
from transactions import longest, transactions
from writing import Waits, Write, writing

Command = Callable[[Ground, Path], Sequence[str]]

_BATCHES = """
import sys, psycopg
url, cutoff = sys.argv[1:]
with psycopg.connect(url, autocommit=True) as connection:
    while connection.execute(
        "DELETE FROM cel WHERE id IN (SELECT id FROM cel WHERE eventtime < %s ORDER BY id LIMIT 5000)", (cutoff,)
    ).rowcount:
        pass
"""
_INSERT = (
    "INSERT INTO cel (eventtype, eventtime, userdeftype, cid_name, cid_num, cid_ani, cid_rdnis, cid_dnid, exten,"
    " context, channame, appname, appdata, amaflags, accountcode, peeraccount, uniqueid, linkedid, userfield, peer)"
    " VALUES ('ANSWER', now(), '', '', '1001', '', '', '', '2001', 'internal', 'PJSIP/1', 'Dial', '', 3, '', '',"
    " %s, 'bench', '', '')"
)
_UPDATE = "UPDATE cel SET userfield = userfield || 'x' WHERE id = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One measured purge.

    Attributes:
        seconds: Wall time of the client program.
        megabytes: Its peak memory.
        wal: Bytes of write-ahead log.
        removing: Seconds of the longest transaction that removed rows.
        reading: Seconds of the longest other one.
    """

    seconds: float
    megabytes: float
    wal: float
    removing: float
    reading: float


def _delete(place: Ground) -> str:
    return f"DELETE FROM cel WHERE eventtime < '{place.cutoff}'"


CONTENDERS: Mapping[str, Command] = {
    "one `DELETE` (psql)": lambda place, _: place.psql(_delete(place)),
    "`DELETE`, then `VACUUM (ANALYZE)` (psql)": lambda place, _: place.psql(_delete(place), "VACUUM (ANALYZE) cel"),
    "`DELETE` of 5,000 by `LIMIT`, repeated (Python script)": lambda place, _: [
        sys.executable, "-c", _BATCHES, place.url, place.cutoff,
    ],
    "Lapse, `archive: none`": lambda place, scratch: place.lapse(scratch, "none"),
    "Lapse, verified Parquet archive": lambda place, scratch: place.lapse(scratch, "cold"),
}  # fmt: skip


_DISTURBED_SECONDS = 15
DISTURBED: Mapping[str, Command] = {
    **CONTENDERS,
    "Lapse, `archive: none`": lambda place, scratch: _ended(place.lapse(scratch, "none")),
    "Lapse, verified Parquet archive": lambda place, scratch: _ended(place.lapse(scratch, "cold")),
}


def _ended(command: list[str]) -> list[str]:
    """A run that rests for others takes long; what they feel of it shows early."""
    return [*command, "--for", f"{_DISTURBED_SECONDS}s"]


def purged(place: Ground, command: Command) -> Figures:
    """Let a contender purge a fresh copy.

    Raises:
        RuntimeError: If it failed, or left something.
    """
    scratch = place.refresh()
    whole = command(place, scratch)
    wal, said = place.written(), place.server.log.stat().st_size
    sample = measured(whole, env=place.environment(scratch))
    wal = place.written() - wal
    with place.server.log.open(errors="replace") as log:
        log.seek(said)
        found = list(transactions(log))
    if left := place.lapsed():
        raise RuntimeError(f"{whole} left {left} rows")
    return Figures(
        seconds=sample.seconds,
        megabytes=sample.megabytes,
        wal=wal,
        removing=longest(found, removes=True),
        reading=longest(found, removes=False),
    )


def disturbed(place: Ground, command: Command, rows: int) -> Waits:
    """Let a contender purge a fresh copy while others write into it."""
    scratch = place.refresh()
    whole = command(place, scratch)
    with writing(lambda: psycopg.connect(place.url, options=QUIET), writers(rows)) as waits:
        measured(whole, env=place.environment(scratch))
    return waits


def writers(rows: int) -> dict[str, Write]:
    """Who writes: new rows, rows that are kept, rows that have lapsed."""
    kept = rows * 4 // 5
    return {
        "insert": lambda session: session.execute(_INSERT, (str(random.random()),)),
        "update of a kept row": lambda session: session.execute(_UPDATE, (random.randint(kept + 1, rows),)),
        "update of a lapsed row": lambda session: session.execute(_UPDATE, (random.randint(1, kept),)),
    }


def main() -> None:
    """Build, measure, write the section."""
    chosen = options(__doc__, rows=2_000_000, rounds=5).parse_args()
    with ground(chosen.server) as place:
        fill_with_calls(place, chosen.rows)
        place.refresh()
        lapsed = place.lapsed()
        figures = interleaved({name: partial(purged, place, each) for name, each in CONTENDERS.items()}, chosen.rounds)
        waits: dict[str, list[Waits]] = {name: [] for name in CONTENDERS}
        for _ in range(chosen.rounds):
            for name, command in DISTURBED.items():
                waits[name].append(disturbed(place, command, chosen.rows))
        section = [
            *heading("postgresql_purge.py", chosen, product=product(place)),
            f"{chosen.rows:,} rows with 5 indexes, {lapsed:,} lapsed; medians of {chosen.rounds}.",
            "A run of Lapse ends with a `VACUUM (ANALYZE)` of its own, whose time and log are in its figures.",
            "",
            *_purges(figures, lapsed),
            "",
            "The longest that a statement of another session took meanwhile, its commit not counted.",
            "Three sessions write, each every 5 ms; Lapse rests while others are busy, as its default pace says,",
            f"and its runs are ended after {_DISTURBED_SECONDS} s.",
            "",
            *_waits(waits, chosen.rows),
        ]
    write_section(f"PostgreSQL {chosen.server}: purging call events", "\n".join(section))


def _purges(figures: Mapping[str, Figures], lapsed: int) -> list[str]:
    base = next(iter(figures.values()))
    titles = ("contender", "seconds", "ratio", "rows per second", "longest transaction that removes", "longest other",
              "WAL", "ratio", "client memory")  # fmt: skip
    return table(
        titles,
        (
            (
                name,
                f"{found.seconds:.1f}",
                f"{found.seconds / base.seconds:.2f}",
                f"{lapsed / found.seconds:,.0f}",
                f"{found.removing:.2f} s",
                f"{found.reading:.2f} s",
                f"{found.wal / 1e6:,.0f} MB",
                f"{found.wal / base.wal:.2f}",
                f"{found.megabytes:.0f} MB",
            )
            for name, found in figures.items()
        ),
    )


def _waits(waits: Mapping[str, Sequence[Waits]], rows: int) -> list[str]:
    names = list(writers(rows))
    return table(
        ("contender", *names),
        (
            (name, *(f"{statistics.median(each.longest(who) for each in found) * 1000:,.0f} ms" for who in names))
            for name, found in waits.items()
        ),
    )


if __name__ == "__main__":
    main()
