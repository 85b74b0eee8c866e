"""The full counts: every test marked `soak`, and what came of each, into bench/SOAK.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import lapse
from measure import machine

RESULTS = Path(__file__).parent / "SOAK.md"


@dataclass(slots=True)
class Row:
    """A line of the table: one test, all the cases it was run with.

    Attributes:
        results: How many cases ended how.
        seconds: What they took together.
    """

    results: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        total = self.results.total()
        ends = ", ".join(f"{count} {result}" for result, count in self.results.items())
        return f"{ends if total > 1 else next(iter(self.results))} | {self.seconds:.0f} s"


def rows(report: Path) -> Iterator[str]:
    """A line of the table for each test in a JUnit report."""
    found: dict[str, Row] = defaultdict(Row)
    for case in ElementTree.parse(report).iter("testcase"):
        bad = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)
        row = found[f"{case.get('classname')}.{str(case.get('name')).partition('[')[0]}"]
        row.results[bad or "passed"] += 1
        row.seconds += float(case.get("time", "0"))
    for name, row in sorted(found.items()):
        yield f"| {name} | {row} |"


def ran(report: Path) -> Iterator[str]:
    """What tests recorded of themselves as the property `ran`: what was done, how often, and what was not here."""
    properties = ElementTree.parse(report).iterfind(".//property[@name='ran']")
    yield from sorted(f"- {each.get('value')}" for each in properties)


def main() -> int:
    """Run them and write the page; returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Properties of tests have no place in the family that is the default.
        into = ["-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", "-n", "auto", "--timeout=0", "-m", "soak", *into]
        code = subprocess.run(command, check=False).returncode
        table, listed = "\n".join(rows(report)), "\n".join(ran(report))
    RESULTS.write_text(
        f"# Full counts\n\nWritten by `make soak` on {datetime.now(UTC):%Y-%m-%d} with Lapse {lapse.__version__}"
        f" on {machine()}.\n\n| test | result | time |\n|---|---|---|\n{table}\n\n## What ran\n\n{listed}\n",
        encoding="utf-8",
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
