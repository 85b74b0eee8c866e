"""Purging MXCP's audit trails: Lapse, what people use today, and what the machine can do at best.

Usage: python bench/jsonl_purge.py [--rows N] [--rounds N] [--files N] [--dry N] [--folder DIR]
Half of the records have lapsed; in one trail they are the first half, in the other they stand among others.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path

import lapse
from jsonl_ground import KEY, Ground, bytes_read, ground, into, on_cores
from jsonl_rivals import Mxcp, cut_into_segments, mxcp, rivals
from measure import Sample, heading, interleaved, measured, table, write_section
from trails import MIXED, ONE, Schema, trail

Contender = Callable[[], Sample]

_GREP = "`grep -c` of the key"
_CP = "`cp`"
_ZSTD = "`zstd -3` of the lapsed lines"
_COLD_ONE, _COLD_TWO, _WARM = "plan, index cold, one core", "plan, index cold, two cores", "plan, index warm"
_HEAD, _HEAD_COLD = "run, no archive, index warm", "run, no archive, index cold"
_ARCHIVED, _ARCHIVED_COLD = "run, verified zstd archive, index warm", "run, verified zstd archive, index cold"
_SPLIT = "run on segments, no archive, index cold"
_MIXED = "run, mixed rules, no archive, index warm"
_ONE_FILE, _SEGMENTS = "`mxcp log-cleanup` 0.12.0, one file", "`mxcp log-cleanup` 0.12.3, segments"
_NIGHT = timedelta(days=182) / 200  # a hundredth of the half that stays
_BEFORE = timedelta(days=92)  # nothing has lapsed so long before the end of a trail


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised, and what came of it.

    Attributes:
        what: The promise.
        figure: What was measured.
        limit: The highest figure that keeps it; the lowest where it `is_floor`.
        unit: What follows the figures.
        is_floor: Whether more is better.
    """

    what: str
    figure: float
    limit: float
    unit: str = "×"
    is_floor: bool = False

    @property
    def row(self) -> tuple[str, str, str, str]:
        """A line of the table."""
        met = self.figure >= self.limit if self.is_floor else self.figure <= self.limit
        sign = "≥" if self.is_floor else "≤"
        return (
            self.what,
            f"{sign} {self.limit:g}{self.unit}",
            f"{self.figure:.2f}{self.unit}",
            "met" if met else "MISSED",
        )


@dataclass(frozen=True, slots=True)
class Night:
    """What the run of a second night read, with 1 % new records behind the log and 1 % more lapsed in it.

    Attributes:
        read: Bytes that the run read of the log and of its own files; what the program reads to start is not counted.
        size: Bytes of the log before it.
    """

    read: int
    size: int

    @property
    def percent(self) -> float:
        """Of the log."""
        return 100 * self.read / self.size


def planned(place: Ground, cores: int, *, warm: bool = False) -> Sample:
    """`lapse plan` of the head trail."""
    if not place.log.exists() or place.log.stat().st_size != place.head.stat().st_size:
        place.fresh(place.head)
    place.policy()
    place.forget()
    if warm:
        _remember(place)
    return measured(on_cores(cores, place.lapse("plan")), env=place.env)


def purged(
    place: Ground, *, warm: bool, master: Path | None = None, schemas: Sequence[Schema] = ONE, archive: str = "none"
) -> Sample:
    """`lapse run` on a fresh copy of a trail.

    Raises:
        RuntimeError: If it failed, or left something.
    """
    place.fresh(master or place.head)
    place.policy(schemas, archive=archive)
    if warm:
        _remember(place)
    sample = measured(place.lapse("run"), env=place.env)
    if (left := place.log.stat().st_size) >= (master or place.head).stat().st_size * 0.6:
        raise RuntimeError(f"the run left {left} bytes")
    return sample


def _remember(place: Ground) -> None:
    """Let Lapse see the log as in the nights before: by a run at a time when nothing has lapsed yet."""
    measured(place.lapse("run"), env=place.env_at(place.now - _BEFORE))


def purged_segments(place: Ground) -> Sample:
    """`lapse run` on a fresh copy of the head trail, cut into segments as MXCP 0.12.3 does.

    Raises:
        RuntimeError: If it failed, or left something.
    """
    place.fresh(place.head)
    cut_into_segments(place.log)
    place.settle()
    place.policy()
    sample = measured(place.lapse("run"), env=place.env)
    if (left := sum(path.stat().st_size for path in place.log.parent.iterdir())) >= place.head.stat().st_size * 0.6:
        raise RuntimeError(f"the run left {left} bytes")
    return sample


def copied(place: Ground) -> Sample:
    """`cp` of the head trail."""
    place.fresh(None)
    return measured(["cp", str(place.head), str(place.log)])


def packed(place: Ground) -> Sample:
    """`zstd -3` of what an archive has to take."""
    place.fresh(None)
    return measured(["zstd", "-3", "-q", "-f", str(place.gone), "-o", str(place.scratch / "gone.zst")])


def second_night(place: Ground) -> Night:
    """Two runs, 1 % of the trail apart."""
    place.fresh(None)
    place.policy()
    _write(place, place.rows - 10_000, place.rows)  # enough for every module to be read
    at_start = bytes_read(place.lapse("run"), env=place.env) - place.log.stat().st_size
    first = place.rows - place.rows // 200  # half of them are gone by then
    place.fresh(None)
    place.policy()
    _write(place, 0, first)
    measured(place.lapse("run"), env=place.env_at(place.now - _NIGHT))
    _write(place, first, place.rows)
    place.settle()
    size = place.log.stat().st_size
    return Night(bytes_read(place.lapse("run"), env=place.env) - at_start, size)


def _write(place: Ground, start: int, end: int) -> None:
    """Append records *start* to *end* of the trail to the log."""
    with place.log.open("ab") as file:
        file.writelines(islice(trail(place.rows, now=place.now, start=start), end - start))


def many_files(place: Ground, files: int, *, nested: bool) -> Sample:
    """`lapse plan` of files of 100 records each, in one folder or in a tree of a hundred at a level."""
    place.fresh(None)
    lines = trail(files * 100, now=place.now)
    for number in range(files):
        folder = place.log.parent / (f"{number // 10_000:02d}/{number // 100 % 100:02d}" if nested else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.jsonl").write_bytes(b"".join(next(lines) for _ in range(100)))
    os.sync()
    place.policy(store="logs/**/*.jsonl" if nested else "logs/*.jsonl")
    return measured(place.lapse("plan"), env=place.env)


def contenders(place: Ground, originals: Sequence[Mxcp]) -> dict[str, Contender]:
    """Everything that is measured once a round."""
    kept = place.folder / "kept"
    return {
        _GREP: lambda: into(kept, on_cores(1, ["grep", "-c", KEY, str(place.head)])),
        _CP: lambda: copied(place),
        _COLD_ONE: lambda: planned(place, 1),
        _COLD_TWO: lambda: planned(place, 2),
        _WARM: lambda: planned(place, 2, warm=True),
        _HEAD: lambda: purged(place, warm=True),
        _HEAD_COLD: lambda: purged(place, warm=False),
        _ZSTD: lambda: packed(place),
        _ARCHIVED: lambda: purged(place, warm=True, archive="cold"),
        _ARCHIVED_COLD: lambda: purged(place, warm=False, archive="cold"),
        _SPLIT: lambda: purged_segments(place),
        _MIXED: lambda: purged(place, warm=True, master=place.mixed, schemas=MIXED),
        **rivals(place),
        **{name: each.clean_up for name, each in zip((_ONE_FILE, _SEGMENTS), originals, strict=False)},
    }


def dry_runs(place: Ground, original: Mxcp, rows: int) -> list[tuple[int, Sample]]:
    """`mxcp log-cleanup --dry-run` once each on half of *rows* records and on all: its time grows faster than they."""
    return [(count, original.clean_up("--dry-run", rows=count)) for count in (rows // 2, rows)]


def targets(
    place: Ground, found: dict[str, Sample], night: Night, dry: Sequence[tuple[int, Sample]], files: Sequence[Sample]
) -> Iterable[Target]:
    """The promises, with what was measured."""

    def ratio(one: str, other: str) -> float:
        return found[one].seconds / found[other].seconds

    yield Target("plan, index cold, one core, against `grep -c`", ratio(_COLD_ONE, _GREP), 2.5)
    yield Target("plan, index cold, two cores, against `grep -c`", ratio(_COLD_TWO, _GREP), 1.5)
    yield Target("head removal, no archive, index warm, against `cp`", ratio(_HEAD, _CP), 0.1)
    yield Target("with verified zstd archive, against `zstd -3`", ratio(_ARCHIVED, _ZSTD), 1.3)
    yield Target("mixed rules, against `cp`", ratio(_MIXED, _CP), 3)
    yield Target("a second night reads, of the log", night.percent, 3, unit=" %")
    if _ONE_FILE in found:
        yield Target("run, index cold: faster than `mxcp log-cleanup`", ratio(_ONE_FILE, _HEAD_COLD), 30, is_floor=True)
    whole = dict(dry).get(place.rows)
    if whole is not None:
        faster = whole.seconds / found[_COLD_TWO].seconds
        yield Target("plan, index cold: faster than its dry run", faster, 500, is_floor=True)
    for name in ("DuckDB, bytes kept", "mawk, not safe"):
        if name in found:
            yield Target(f"run, index cold: faster than {name}", ratio(name, _HEAD_COLD), 1, is_floor=True)
    ours = [each for name, each in found.items() if name.startswith(("plan", "run"))]
    most = max(each.megabytes for each in [*ours, *files])
    yield Target("peak memory of Lapse", most, 80, unit=" MB")


def _table(found: dict[str, Sample], size: float) -> list[str]:
    rows = [
        (name, f"{each.seconds:.2f}", f"{each.seconds / found[_GREP].seconds:.2f}",
         f"{each.seconds / found[_CP].seconds:.2f}", f"{size / each.seconds:,.0f}", f"{each.megabytes:.0f} MB")
        for name, each in found.items()
    ]  # fmt: skip
    titles = ("contender", "seconds", "of `grep -c`", "of `cp`", "MB of the trail per second", "peak memory")
    return table(titles, rows)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=100_000, help="files of 100 records each; 0 leaves them out")
    parser.add_argument("--dry", type=int, default=200_000, help="records for MXCP's dry run; 0 leaves MXCP out")
    parser.add_argument("--folder", type=Path, default=None, help="keep masters and environments there")
    return parser


def main() -> None:
    """Build, measure, write the section."""
    chosen = _options().parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="lapse-bench-"))
    place = ground(folder, chosen.rows)
    originals = [mxcp(place, version) for version in ("0.12.0", "0.12.3")] if chosen.dry else []
    found = interleaved(contenders(place, originals), chosen.rounds)
    dry = dry_runs(place, originals[0], chosen.dry) if originals else []
    files = {nested: many_files(place, chosen.files, nested=nested) for nested in (False, True)} if chosen.files else {}
    night = second_night(place)
    size = place.head.stat().st_size
    promised = [each.row for each in targets(place, found, night, dry, list(files.values()))]
    del chosen.folder
    section = [
        *heading("jsonl_purge.py", chosen, product=f"Lapse {lapse.__version__}"),
        f"{chosen.rows:,} records of {size / chosen.rows:.0f} bytes, half of them lapsed; medians of {chosen.rounds}.",
        "Times include the start of each program.",
        "Files are in the page cache; copies are written to the disk before each run.",
        "",
        *_table(found, size / 1e6),
        "",
        *(f"- {aside}" for aside in _asides(chosen.files, files, dry, night)),
        "",
        *table(("promise", "target", "measured", ""), promised),
    ]
    write_section(f"JSONL: purging {chosen.rows:,} audit records", "\n".join(section))
    shutil.rmtree(place.scratch)
    if folder.name.startswith("lapse-bench-"):
        shutil.rmtree(folder)


def _asides(count: int, files: dict[bool, Sample], dry: Sequence[tuple[int, Sample]], night: Night) -> Iterable[str]:
    for nested, sample in files.items():
        where = "in a tree of folders" if nested else "in one folder"
        yield f"plan of {count:,} files of 100 records {where}: {sample.seconds:.1f} s, {sample.megabytes:.0f} MB"
    for rows, sample in dry:
        took = f"{sample.seconds:.1f} s, {sample.megabytes:.0f} MB"
        yield f"`mxcp log-cleanup --dry-run` 0.12.0, {rows:,} records, once: {took}"
    yield f"a second night, with 1 % new and 1 % more lapsed: {night.read:,} of {night.size:,} bytes read"


if __name__ == "__main__":
    main()
