"""Retention on daily partitions: pg_partman drops them, Lapse archives and drops them.

Usage: python bench/partitions.py [--rows N] [--partitions N] [--rounds N] [--server MAJOR]
Four fifths of the partitions have lapsed. Needs the extension pg_partman 4 on the server.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from grounds import QUIET, Ground, Target, fill, ground, options, product
from measure import heading, interleaved, measured, table, write_section
from transactions import longest, transactions
from writing import Waits, writing

Commands = Callable[[Ground, Path], Sequence[Sequence[str]]]

_SCHEMA = """
CREATE TABLE public.events (id bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL, tenant text NOT NULL,
    actor text NOT NULL, note text) PARTITION BY RANGE (at)
"""
_PARENT = """
SELECT partman.create_parent('public.events', 'at', 'native', 'daily',
    p_start_partition := date_trunc('day', now() - interval '{days} days')::text)
"""
_RETENTION = """
UPDATE partman.part_config SET retention = '{kept} days', retention_keep_table = false
    WHERE parent_table = 'public.events'
"""
_ROWS = """
INSERT INTO public.events SELECT i, day + make_interval(secs => 86400.0 * i / {rows}),
    (ARRAY['LOGIN', 'VIEW', 'EDIT', 'LOGOUT'])[1 + i % 4], 'tenant-' || i % 5, 'user-' || i % 997,
    CASE WHEN i % 5 = 0 THEN 'note ' || md5(i::text) END
FROM generate_series(0, {days} - 1) d, generate_series(0, {rows} - 1) i,
    LATERAL (SELECT date_trunc('day', now()) - make_interval(days => {days} - d) AS day) b
"""
_INDEXES = ("CREATE INDEX ON public.events (at)", "CREATE INDEX ON public.events (actor)")
_LAPSED = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = 'public.events'::regclass
AND substring(pg_get_expr(c.relpartbound, c.oid) FROM $x$TO \\('([^']+)'\\)$x$)::timestamptz <= '{cutoff}' ORDER BY 1
"""
_MAINTAIN = "SELECT partman.run_maintenance('public.events')"
_WRITER = "insert"
_INSERT = "INSERT INTO public.events VALUES (0, now(), 'VIEW', 'tenant-1', 'bench', NULL)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One measured retention.

    Attributes:
        seconds: Wall time of the client programs.
        megabytes: The peak memory of the largest of them.
        removing: Seconds of the longest transaction that removed something.
    """

    seconds: float
    megabytes: float
    removing: float


CONTENDERS: Mapping[str, Commands] = {
    "pg_partman's `run_maintenance`": lambda place, _: [place.psql(_MAINTAIN)],
    "`pg_dump` of what goes, unverified, then `run_maintenance`": lambda place, scratch: [
        _dump(place, scratch), place.psql(_MAINTAIN),
    ],
    "Lapse, `archive: none`": lambda place, scratch: [place.lapse(scratch, "none")],
    "Lapse, verified Parquet archive": lambda place, scratch: [place.lapse(scratch, "cold")],
}  # fmt: skip

_DISTURBED_SECONDS = 15
DISTURBED: Mapping[str, Commands] = {
    **CONTENDERS,
    "Lapse, `archive: none`": lambda place, scratch: [_ended(place.lapse(scratch, "none"))],
    "Lapse, verified Parquet archive": lambda place, scratch: [_ended(place.lapse(scratch, "cold"))],
}


def _ended(command: list[str]) -> list[str]:
    """A run that rests for others takes long; what they feel of it shows early."""
    return [*command, "--for", f"{_DISTURBED_SECONDS}s"]


def _dump(place: Ground, scratch: Path) -> Sequence[str]:
    tables = [part for name in lapsed_partitions(place) for part in ("-t", name)]
    return [place.program("pg_dump"), "-Fc", "-f", str(scratch / "dump"), *tables, place.url]


def lapsed_partitions(place: Ground) -> list[str]:
    """The partitions that hold nothing but lapsed rows."""
    with psycopg.connect(place.url, options=QUIET) as connection:
        return [name for (name,) in connection.execute(_LAPSED.format(cutoff=place.cutoff).encode())]


def dropped(place: Ground, commands: Commands) -> Figures:
    """Let a contender work on a fresh copy.

    Raises:
        RuntimeError: If it failed, or left a lapsed partition.
    """
    scratch = place.refresh()
    whole = commands(place, scratch)
    said = place.server.log.stat().st_size
    samples = [measured(command, env=place.environment(scratch)) for command in whole]
    with place.server.log.open(errors="replace") as log:
        log.seek(said)
        found = list(transactions(log))
    if left := lapsed_partitions(place):
        raise RuntimeError(f"{whole[-1]} left {left}")
    return Figures(
        seconds=sum(sample.seconds for sample in samples),
        megabytes=max(sample.megabytes for sample in samples),
        removing=longest(found, removes=True),
    )


def disturbed(place: Ground, commands: Commands) -> Waits:
    """Let a contender work on a fresh copy while a session inserts."""
    scratch = place.refresh()
    whole = commands(place, scratch)
    with writing(lambda: psycopg.connect(place.url, options=QUIET), {_WRITER: _insert}) as waits:
        for command in whole:
            measured(command, env=place.environment(scratch))
    return waits


def _insert(session: psycopg.Connection[tuple[object, ...]]) -> None:
    session.execute(_INSERT)


def main() -> None:
    """Build, measure, write the section."""
    parser = options(__doc__, rows=100_000, rounds=5)
    parser.add_argument("--partitions", type=int, default=100)
    chosen = parser.parse_args()
    kept = chosen.partitions // 5
    target = Target(table="events", time="at", fields={"type": "kind", "tenant": "tenant"}, days=kept)
    with ground(chosen.server, target) as place:
        _fill(place, rows=chosen.rows, days=chosen.partitions, kept=kept)
        place.refresh()
        partman = place.server.execute("SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'", "contender")
        going, lapsed = len(lapsed_partitions(place)), place.lapsed()
        figures = interleaved({name: partial(dropped, place, each) for name, each in CONTENDERS.items()}, chosen.rounds)
        waits = {name: [disturbed(place, each) for _ in range(chosen.rounds)] for name, each in DISTURBED.items()}
        section = [
            *heading("partitions.py", chosen, product=f"{product(place)}, pg_partman {partman[0][0]}"),
            f"{chosen.partitions} daily partitions of {chosen.rows:,} rows with 2 indexes; {lapsed:,} rows lapsed.",
            f"{going} partitions go whole; medians of {chosen.rounds}.",
            "",
            *_retentions(figures, waits, lapsed),
            "",
            "The longest insert is of runs of their own, in which a session inserts every 5 ms. Lapse rests while",
            f"others are busy, as its default pace says, and those runs of it are ended after {_DISTURBED_SECONDS} s.",
        ]
    write_section(f"PostgreSQL {chosen.server}: retention on partitions", "\n".join(section))


def _fill(place: Ground, *, rows: int, days: int, kept: int) -> None:
    extension = "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman"
    made = [extension, _SCHEMA, _PARENT.format(days=days), _RETENTION.format(kept=kept)]
    fill(place, *made, _ROWS.format(rows=rows, days=days), *_INDEXES)


def _retentions(figures: Mapping[str, Figures], waits: Mapping[str, Sequence[Waits]], lapsed: int) -> list[str]:
    base = next(iter(figures.values()))
    titles = ("contender", "seconds", "ratio", "rows per second", "longest transaction that removes",
              "longest insert meanwhile", "client memory")  # fmt: skip
    return table(
        titles,
        (
            (
                name,
                f"{found.seconds:.1f}",
                f"{found.seconds / base.seconds:.2f}",
                f"{lapsed / found.seconds:,.0f}",
                f"{found.removing:.2f} s",
                f"{statistics.median(each.longest(_WRITER) for each in waits[name]) * 1000:,.0f} ms",
                f"{found.megabytes:.0f} MB",
            )
            for name, found in figures.items()
        ),
    )


if __name__ == "__main__":
    main()
