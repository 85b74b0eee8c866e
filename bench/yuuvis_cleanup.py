"""Cleaning an audit trail of many tenants up on PostgreSQL: one DELETE per action and tenant, per action, and Lapse.

Usage: python bench/yuuvis_cleanup.py [--rows N] [--tenants N] [--tenant-index yes|no] [--rounds N] [--server MAJOR]
The configuration is the example of the documentation: 400 goes after a day, 100 never, all else after ten days.
Every contender works on its own copy of the same database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from grounds import MASTER, Ground, fill, ground, options, product
from measure import heading, interleaved, measured, table, write_section
from transactions import longest, transactions

_CONFIGURATION = """\
{"audit": {"defaultCleanupAfterDays": 10, "actions": [
    {"comment": "OBJECT_CREATED", "action": 100, "cleanupAfterDays": -1}, {"action": 400, "cleanupAfterDays": 1}]}}
"""
_SCHEMA = """
CREATE TABLE auditentry (objectid bigint PRIMARY KEY, referredobjectid varchar(36) NOT NULL,
    creationdate timestamptz NOT NULL, createdby varchar(256), tenant varchar(256), action int, traceid varchar(64),
    detail varchar(256), versionnumber int, subaction int)
"""
_ROWS = """
INSERT INTO auditentry SELECT i, md5(i::text),
    '{now}'::timestamptz - make_interval(secs => 40 * 86400.0 * i / {rows}), 'user-' || i % 997,
    'tenant-' || (i::bigint * 7919) % {tenants}, (ARRAY{actions})[1 + (i / 3) % {kinds}], md5((i + 1)::text),
    'name=' || md5((i + 2)::text) || ';size=' || i % 4096, 1 + i % 9, NULL FROM generate_series(1, {rows}) i
"""
_INDEXES = (
    "CREATE INDEX ON auditentry (creationdate)",
    "CREATE INDEX ON auditentry (referredobjectid)",
)
_TENANT_INDEX = "CREATE INDEX ON auditentry (tenant, action)"
_DAYS = {101: 10, 300: 10, 301: 10, 400: 1, 401: 10, 10000: 10}
_KEPT = (100,)

Command = Callable[[Ground, Path], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One measured cleanup.

    Attributes:
        seconds: Wall time of the client program.
        megabytes: Its peak memory.
        removing: Seconds of the longest transaction that removed rows.
        read: How often the server read a row of the table, on average.
    """

    seconds: float
    megabytes: float
    removing: float
    read: float


def _lapsed(place: Ground) -> Iterator[str]:
    """What rows of each action must fulfil to go."""
    for action, days in _DAYS.items():
        yield f"action = {action} AND creationdate < '{(place.now - timedelta(days=days)).isoformat(sep=' ')}'"


def _statements(place: Ground, scratch: Path, tenants: int | None) -> Sequence[str]:
    """The command that deletes action by action, and tenant by tenant unless that is None."""
    whose = ["TRUE"] if tenants is None else [f"tenant = 'tenant-{number}'" for number in range(tenants)]
    script = scratch / "deletes.sql"
    each = (f"DELETE FROM auditentry WHERE {tenant} AND {lapsed};\n" for tenant in whose for lapsed in _lapsed(place))
    script.write_text("".join(each))
    return [*place.psql(), "-f", str(script)]


def _lapse(place: Ground, scratch: Path, *more: str) -> Sequence[str]:
    return [sys.executable, "-m", "lapse", "as", "yuuvis", "audit", "cleanup", "--store", place.url, "--quiet", *more]


def contenders(tenants: int) -> Mapping[str, Command]:
    """Who takes part."""
    return {
        "one `DELETE` per action and tenant (psql)": partial(_statements, tenants=tenants),
        "one `DELETE` per action (psql)": partial(_statements, tenants=None),
        "Lapse": _lapse,
        "Lapse, verified Parquet archive": lambda place, scratch: _lapse(place, scratch, "--archive", "archive"),
    }


def cleaned(place: Ground, command: Command, rows: int) -> Figures:
    """Let a contender clean a fresh copy up.

    Raises:
        RuntimeError: If it failed, or left something, or removed more.
    """
    scratch = place.refresh()
    configuration = scratch / "config" / "system" / "cleanupConfiguration.json"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(_CONFIGURATION)
    whole = command(place, scratch)
    said = place.server.log.stat().st_size
    sample = measured(whole, env=place.environment(scratch), cwd=scratch)
    with place.server.log.open(errors="replace") as log:
        log.seek(said)
        found = list(transactions(log))
    database = place.url.rpartition("/")[2]
    if (kept := _count(place, database)) != (wanted := _count(place, MASTER, _kept(place))):
        raise RuntimeError(f"{whole} left {kept} rows instead of {wanted}")
    read = place.server.execute(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'auditentry'",
        database,
    )
    return Figures(
        seconds=sample.seconds,
        megabytes=sample.megabytes,
        removing=longest(found, removes=True),
        read=int(read[0][0]) / rows,
    )


def _kept(place: Ground) -> str:
    return f"NOT ({' OR '.join(f'({lapsed})' for lapsed in _lapsed(place))})"


def _count(place: Ground, database: str, where: str = "TRUE") -> int:
    return int(place.server.execute(f"SELECT count(*) FROM auditentry WHERE {where}", database)[0][0])


def main() -> None:
    """Build, measure, write the section."""
    parser = options(__doc__, rows=2_000_000, rounds=3)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--tenant-index", choices=("yes", "no"), default="no", help="on tenant and action")
    chosen = parser.parse_args()
    indexes = [*_INDEXES, *([_TENANT_INDEX] if chosen.tenant_index == "yes" else [])]
    with ground(chosen.server) as place:
        actions = [*_KEPT, *_DAYS]
        rows = _ROWS.format(
            now=place.now.isoformat(), rows=chosen.rows, tenants=chosen.tenants, actions=actions, kinds=len(actions)
        )
        fill(place, _SCHEMA, rows, *indexes)
        lapsed = chosen.rows - _count(place, MASTER, _kept(place))
        figures = interleaved(
            {
                name: partial(cleaned, place, command, chosen.rows)
                for name, command in contenders(chosen.tenants).items()
            },
            chosen.rounds,
        )
        section = [
            *heading("yuuvis_cleanup.py", chosen, product=product(place)),
            f"{chosen.rows:,} entries of {chosen.tenants} tenants and {len(actions)} actions, {lapsed:,} lapsed.",
            f"{len(indexes) + 1} indexes, that of the key included; medians of {chosen.rounds}.",
            "A run of Lapse ends with a `VACUUM (ANALYZE)` of its own, whose time is in its figures.",
            "",
            *_rows(figures, lapsed),
        ]
    having = "with" if chosen.tenant_index == "yes" else "without"
    title = f"PostgreSQL {chosen.server}: an audit trail of many tenants, {having} an index on them"
    write_section(title, "\n".join(section))


def _rows(figures: Mapping[str, Figures], lapsed: int) -> list[str]:
    base = next(iter(figures.values()))
    titles = ("contender", "seconds", "ratio", "rows per second", "longest transaction that removes",
              "reads of a row", "client memory")  # fmt: skip
    return table(
        titles,
        (
            (
                name,
                f"{found.seconds:.1f}",
                f"{found.seconds / base.seconds:.2f}",
                f"{lapsed / found.seconds:,.0f}",
                f"{found.removing:.2f} s",
                f"{found.read:.1f}",
                f"{found.megabytes:.0f} MB",
            )
            for name, found in figures.items()
        ),
    )


if __name__ == "__main__":
    main()
