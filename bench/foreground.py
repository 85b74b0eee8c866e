"""What a foreground load feels of a purge: pgbench at a fixed rate on the same table, quiet and during purges.

Usage: python bench/foreground.py [--rows N] [--rounds N] [--rate N] [--quiet SECONDS] [--server MAJOR]
A transaction's latency counts from the moment at which it was due, as pgbench's does at a fixed rate.
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
from functools import partial
from pathlib import Path

from grounds import QUIET, Ground, fill_with_calls, ground, options, product
from measure import heading, interleaved, measured, table, write_section

Command = Callable[[Ground, Path], Sequence[str]]

_INSERT = """\
\\set call random(1, :calls)
INSERT INTO cel (eventtype, eventtime, userdeftype, cid_name, cid_num, cid_ani, cid_rdnis, cid_dnid, exten, context,
    channame, appname, appdata, amaflags, accountcode, peeraccount, uniqueid, linkedid, userfield, peer)
    VALUES ('ANSWER', now(), '', 'Caller', '1001', '', '', '', '2001', 'internal', 'PJSIP/1', 'Dial', '', 3, '', '',
    'bench-' || :call, 'bench-' || :call, '', '');
"""
_SELECT = """\
\\set call random(:calls * 8 / 10, :calls)
SELECT * FROM cel WHERE linkedid = 'call-' || :call ORDER BY eventtime;
"""
_SELECTS = 3
"""Selects for each insert."""
_CLIENTS = 8
_WARM_UP = 5
_LOG = "latencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the foreground felt.

    Attributes:
        quiet_p50: Milliseconds within which half of the transactions were done before the purge.
        quiet_p99: The same of 99 in 100.
        p50: Milliseconds within which half of them were done during the purge.
        p99: The same of 99 in 100.
        worst: Milliseconds of the slowest one during the purge.
        seconds: How long the purge took.
    """

    quiet_p50: float
    quiet_p99: float
    p50: float
    p99: float
    worst: float
    seconds: float


def _paced(archive: str, pace: str) -> Command:
    return lambda place, scratch: place.lapse(scratch, archive, pace=pace)


CONTENDERS: Mapping[str, Command] = {
    "one `DELETE` (psql)": lambda place, _: place.psql(f"DELETE FROM cel WHERE eventtime < '{place.cutoff}'"),
    "Lapse, `archive: none`, default pace": _paced("none", "{}"),
    "Lapse, `archive: none`, `rest: none`": _paced("none", "{rest: none}"),
    "Lapse, verified archive, default pace": _paced("cold", "{}"),
    "Lapse, verified archive, `rest: none`": _paced("cold", "{rest: none}"),
}


def felt(place: Ground, command: Command, *, calls: int, rate: int, quiet: float) -> Figures:
    """Purge a fresh copy under load, and compare with the time just before."""
    scratch = place.refresh()
    whole = command(place, scratch)
    with _load(place, scratch, calls=calls, rate=rate):
        time.sleep(_WARM_UP)
        began = time.time()
        time.sleep(quiet)
        purging = time.time()
        measured(whole, env=place.environment(scratch))
        ended = time.time()
    before, during = _between(scratch, began, purging), _between(scratch, purging, ended)
    return Figures(
        quiet_p50=_share(before, 0.5),
        quiet_p99=_share(before, 0.99),
        p50=_share(during, 0.5),
        p99=_share(during, 0.99),
        worst=max(during),
        seconds=ended - purging,
    )


@contextmanager
def _load(place: Ground, scratch: Path, *, calls: int, rate: int) -> Iterator[None]:
    """Run pgbench until the block ends; it writes each latency into *scratch*."""
    scripts = {"insert": (_INSERT, 1), "select": (_SELECT, _SELECTS)}
    for name, (text, _) in scripts.items():
        (scratch / name).write_text(text)
    files = [part for name, (_, weight) in scripts.items() for part in ("-f", f"{scratch / name}@{weight}")]
    process = subprocess.Popen(
        [
            place.program("pgbench"), "-n", "-M", "prepared", "-c", str(_CLIENTS), "-j", "1", "-R", str(rate),
            "-T", "86400", "-D", f"calls={calls}", "-l", f"--log-prefix={scratch / _LOG}", *files, place.url,
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


def main() -> None:
    """Build, measure, write the section."""
    parser = options(__doc__, rows=2_000_000, rounds=5)
    parser.add_argument("--rate", type=int, default=200, help="transactions a second")
    parser.add_argument("--quiet", type=float, default=20, help="seconds before each purge")
    chosen = parser.parse_args()
    with ground(chosen.server) as place:
        fill_with_calls(place, chosen.rows)
        place.refresh()
        lapsed = place.lapsed()
        feel = partial(felt, place, calls=max(1, chosen.rows // 8), rate=chosen.rate, quiet=chosen.quiet)
        figures = interleaved({name: partial(feel, each) for name, each in CONTENDERS.items()}, chosen.rounds)
        section = [
            *heading("foreground.py", chosen, product=product(place)),
            f"{chosen.rows:,} call events, {lapsed:,} lapsed; medians of {chosen.rounds}.",
            f"{chosen.rate} transactions a second by {_CLIENTS} clients, {_SELECTS} selects of a call for each insert.",
            "",
            *_latencies(figures, lapsed),
        ]
    write_section(f"PostgreSQL {chosen.server}: a foreground load during a purge", "\n".join(section))


def _latencies(figures: Mapping[str, Figures], lapsed: int) -> list[str]:
    titles = ("purge", "p50 quiet", "p50 during", "p99 quiet", "p99 during", "ratio of p99", "slowest", "seconds",
              "rows per second")  # fmt: skip
    return table(
        titles,
        (
            (
                name,
                f"{found.quiet_p50:.2f} ms",
                f"{found.p50:.2f} ms",
                f"{found.quiet_p99:.2f} ms",
                f"{found.p99:.2f} ms",
                f"{found.p99 / found.quiet_p99:.2f}",
                f"{found.worst:.0f} ms",
                f"{found.seconds:.1f}",
                f"{lapsed / found.seconds:,.0f}",
            )
            for name, found in figures.items()
        ),
    )


if __name__ == "__main__":
    main()
