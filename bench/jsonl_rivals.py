"""What people use on JSONL trails today: MXCP's own command, jq, DuckDB, mawk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from jsonl_ground import Ground, into
from measure import Sample, measured
from trails import ONE, registry, trail

sys.path.append(str(Path(__file__).parent / "real"))

from environments import environment

_REQUIREMENTS = {"0.12.0": ["mxcp==0.12.0", "dbt-core<1.11"], "0.12.3": ["mxcp==0.12.3", "dbt-core<1.11"]}
_SITE = """\
mxcp: 1
project: bench
profile: default
profiles:
  default:
    audit: {enabled: true, path: logs/logs-default.jsonl}
"""
_USER = "mxcp: 1\nprojects: {bench: {profiles: {default: {}}}}\n"
_SEGMENT = 50 * 1024 * 1024
_DUCKDB = r"""
import sys, duckdb
source, target, cutoff = sys.argv[1:]
raw = "delim = '\x01', quote = '', escape = '', header = false"
duckdb.sql(
    f"COPY (SELECT line FROM read_csv('{source}', columns = {{line: 'VARCHAR'}}, auto_detect = false, {raw},"
    " max_line_size = 33554432)"
    f" WHERE CAST(line ->> '$.timestamp' AS TIMESTAMPTZ) >= TIMESTAMPTZ '{cutoff}')"
    f" TO '{target}' (FORMAT csv, DELIMITER '\x01', QUOTE '', ESCAPE '', HEADER false)"
)
"""
_MAWK = r"""{ at = index($0, "\"timestamp\": \""); if (substr($0, at + 14, 19) >= cutoff) print }"""


@dataclass(frozen=True, slots=True)
class Mxcp:
    """MXCP of one version, in an environment of its own.

    Attributes:
        place: Where it works.
        version: ``0.12.0`` keeps one file, ``0.12.3`` segments.
        program: Its command.
    """

    place: Ground
    version: str
    program: Path

    def clean_up(self, *options: str, rows: int | None = None) -> Sample:
        """`mxcp log-cleanup` on a fresh trail.

        Arguments:
            options: Of the command.
            rows: Use a trail of so many records. None takes the master.

        Raises:
            RuntimeError: If it failed, or left what had to go. Segments with one young record stay, as MXCP has it.
        """
        place = self.place
        place.fresh(place.head if rows is None else None)
        if rows is not None:
            with place.log.open("wb") as file:
                file.writelines(trail(rows, now=place.now))
        if self.version != "0.12.0":
            cut_into_segments(place.log)
        (place.log.parent / "logs-default_schemas.jsonl").write_text(registry(ONE, place.now))
        (place.scratch / "mxcp-site.yml").write_text(_SITE)
        (place.scratch / "config.yml").write_text(_USER)
        settings = {"MXCP_CONFIG": str(place.scratch / "config.yml"), "HOME": str(place.scratch)}
        sample = measured([str(self.program), "log-cleanup", *options], env=settings, cwd=place.scratch)
        if self.version == "0.12.0" and not options and place.log.stat().st_size > place.head.stat().st_size * 0.6:
            raise RuntimeError("mxcp log-cleanup left what had to go")
        return sample


def mxcp(place: Ground, version: str) -> Mxcp:
    """Install it where it is missing."""
    python = environment(place.folder.parent / f"mxcp-{version}", _REQUIREMENTS[version])
    return Mxcp(place, version, python.with_name("mxcp"))


def cut_into_segments(log: Path) -> None:
    """Put a trail into segment files of 50 MiB at most, with names as MXCP gives them."""
    start = datetime(2026, 1, 1)  # noqa: DTZ001  only names
    # Another program's work: what this one needs of memory would count as that of the contenders.
    piece = f"{log.stem}-piece-"
    subprocess.run(["split", f"--line-bytes={_SEGMENT}", log.name, piece], cwd=log.parent, check=True)
    log.unlink()
    for number, path in enumerate(sorted(log.parent.glob(f"{piece}*"))):
        stamp = (start + timedelta(minutes=number)).strftime("%Y%m%dT%H%M%S")
        path.rename(log.with_name(f"{log.stem}-{stamp}.jsonl"))


def rivals(place: Ground) -> dict[str, Callable[[], Sample]]:
    """Contenders that write a new file of the lines that stay; those that are not installed are left out."""
    cutoff = (place.now - timedelta(days=91)).isoformat().replace("+00:00", "Z")
    kept = place.folder / "kept"
    head = str(place.head)
    found: dict[str, Callable[[], Sample]] = {
        "DuckDB, bytes kept": lambda: measured([sys.executable, "-c", _DUCKDB, head, str(kept), cutoff]),
    }
    if shutil.which("jq"):
        found["`jq -c`, bytes not kept"] = lambda: into(kept, ["jq", "-c", f'select(.timestamp >= "{cutoff}")', head])
    if shutil.which("mawk"):
        found["mawk, not safe"] = lambda: into(kept, ["mawk", "-v", f"cutoff={cutoff[:19]}", _MAWK, head])
    return found
