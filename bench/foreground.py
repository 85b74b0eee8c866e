"""What a foreground load feels of a purge: pgbench at a fixed rate on tables of its own, quiet and during purges.

Usage: python bench/foreground.py [--rows N] [--rounds N] [--rate N] [--quiet SECONDS] [--server MAJOR]
The load is pgbench's own (TPC-B-like: five statements that write and read four tables, and a commit that waits for the
disk), in the database that is purged. Its transactions are due at random moments of a fixed average rate, and their
latency counts from the moment at which they were due; the rate must leave the machine mostly idle while nobody purges.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grounds import MASTER, QUIET, Ground, fill_with_calls, ground, options, product
from measure import heading, measured, median, table, write_section

Command = Callable[[Ground, Path], Sequence[str]]

_SCALE = 10
_CLIENTS = 4
_WARM_UP = 1.5
_LOG = "latencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the foreground felt of one purge, or of none.

    Attributes:
        p50: Milliseconds within which half of the transactions were done.
        p99: The same of 99 in 100.
        worst: Milliseconds of the slowest one.
        ratio: The p99, by that of all quiet times of the same round.
        seconds: How long it took.
    """

    p50: float
    p99: float
    worst: float
    ratio: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Felt:
    """Latencies in milliseconds, before a purge and during it, and how many seconds that took."""

    before: list[float]
    during: list[float]
    seconds: float


def _paced(archive: str, pace: str) -> Command:
    return lambda place, scratch: place.lapse(scratch, archive, pace=pace)


CONTENDERS: Mapping[str, Command] = {
    "Lapse, verified archive, default pace": _paced("cold", "{}"),
    "Lapse, `archive: none`, default pace": _paced("none", "{}"),
    "Lapse, verified archive, `rest: none`": _paced("cold", "{rest: none}"),
    "Lapse, `archive: none`, `rest: none`": _paced("none", "{rest: none}"),
    "one `DELETE` (psql)": lambda place, _: place.psql(f"DELETE FROM cel WHERE eventtime < '{place.cutoff}'"),
}


def felt(place: Ground, command: Command, *, rate: int, quiet: float) -> _Felt:
    """Purge a fresh copy under load, after a quiet time.

    Raises:
        RuntimeError: If the purge failed or left something, or the load could not go on.
    """
    scratch = place.refresh()
    whole = command(place, scratch)
    with _load(place, scratch, rate=rate):
        time.sleep(_WARM_UP)
        began = time.time()
        time.sleep(quiet)
        purging = time.time()
        measured(whole, env=place.environment(scratch))
        ended = time.time()
    if left := place.lapsed():
        raise RuntimeError(f"{whole} left {left} rows")
    return _Felt(
        before=_between(scratch, began, purging),
        during=_between(scratch, purging, ended),
        seconds=ended - purging,
    )


@contextmanager
def _load(place: Ground, scratch: Path, *, rate: int) -> Iterator[None]:
    """Run pgbench until the block ends; it writes each latency into *scratch*."""
    process = subprocess.Popen(
        [
            place.program("pgbench"), "-n", "-M", "prepared", "-c", str(_CLIENTS), "-j", "1", "-R", str(rate),
            "-T", "86400", "-l", f"--log-prefix={scratch / _LOG}", place.url,
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PGOPTIONS": QUIET},
    )  # fmt: skip
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"pgbench ended with {process.returncode}")
    finally:
        # Its log is buffered: SIGINT would lose the end of it, so its sessions are ended instead.
        place.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'"
        )
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _between(scratch: Path, began: float, ended: float) -> list[float]:
    """Milliseconds of each transaction that was due from *began* on and before *ended*."""
    found = []
    for file in scratch.glob(f"{_LOG}.*"):
        for line in file.read_text().splitlines():
            _, _, micros, _, seconds, fraction, *_ = line.split()
            due = int(seconds) + (int(fraction) - int(micros)) / 1e6
            if began <= due < ended:
                found.append(int(micros) / 1000)
    return found


def _share(latencies: Sequence[float], share: float) -> float:
    return statistics.quantiles(latencies, n=1000, method="inclusive")[round(share * 1000) - 1]


def _figures(latencies: Sequence[float], seconds: float, *, quiet: float) -> Figures:
    p99 = _share(latencies, 0.99)
    return Figures(p50=_share(latencies, 0.5), p99=p99, worst=max(latencies), ratio=p99 / quiet, seconds=seconds)


def one_round(place: Ground, *, rate: int, quiet: float) -> dict[str, Figures]:
    """Every contender once, and all quiet times together, by name."""
    found = {name: felt(place, command, rate=rate, quiet=quiet) for name, command in CONTENDERS.items()}
    before = [latency for one in found.values() for latency in one.before]
    base = _share(before, 0.99)
    figures = {"quiet": _figures(before, quiet * len(found), quiet=base)}
    figures |= {name: _figures(one.during, one.seconds, quiet=base) for name, one in found.items()}
    for name, one in figures.items():
        print(f"  {name}: p50 {one.p50:.2f}, p99 {one.p99:.2f}, ratio {one.ratio:.2f}, {one.seconds:.1f} s", flush=True)
    return figures


def main() -> None:
    """Build, measure, write the section."""
    parser = options(__doc__, rows=250_000, rounds=5)
    parser.add_argument("--rate", type=int, default=200, help="transactions a second")
    parser.add_argument("--quiet", type=float, default=3, help="seconds before each purge")
    chosen = parser.parse_args()
    with ground(chosen.server) as place:
        fill_with_calls(place, chosen.rows)
        measured(
            [place.program("pgbench"), "-i", "-q", "-s", str(_SCALE), place.server.url(MASTER)],
            env={"PGOPTIONS": QUIET},
        )
        place.refresh()
        lapsed = place.lapsed()
        rounds = [one_round(place, rate=chosen.rate, quiet=chosen.quiet) for _ in range(chosen.rounds)]
        figures = {name: median([each[name] for each in rounds]) for name in rounds[0]}
        section = [
            *heading("foreground.py", chosen, product=product(place)),
            f"{chosen.rows:,} call events, {lapsed:,} lapsed; medians of {chosen.rounds}.",
            f"pgbench's own load at scale {_SCALE}, on tables of its own in the same database.",
            f"{chosen.rate} transactions a second by {_CLIENTS} clients; latencies count from when each was due.",
            "A run of Lapse begins with a survey and ends with a `VACUUM (ANALYZE)`, whose times are in its figures.",
            "",
            *_latencies(figures, lapsed),
        ]
    write_section(f"PostgreSQL {chosen.server}: a foreground load during a purge", "\n".join(section))


def _latencies(figures: Mapping[str, Figures], lapsed: int) -> list[str]:
    return table(
        ("meanwhile", "p50", "p99", "p99 by quiet", "slowest", "seconds", "rows per second"),
        (
            (
                name,
                f"{found.p50:.2f} ms",
                f"{found.p99:.2f} ms",
                f"{found.ratio:.2f}",
                f"{found.worst:.0f} ms",
                f"{found.seconds:.1f}",
                "" if name == "quiet" else f"{lapsed / found.seconds:,.0f}",
            )
            for name, found in figures.items()
        ),
    )


if __name__ == "__main__":
    main()
