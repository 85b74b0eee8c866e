"""The full counts: every test marked `soak`, and what came of each, into bench/SOAK.md.

Usage: python bench/soak.py [REPORT ...]
Without arguments all of them are run. With JUnit reports of parts that were run before, the page is made of these; of a
test that is in several of them, the last one counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Case:
    """One test with one set of parameters.

    Attributes:
        test: Module, class and function.
        result: How it ended.
        seconds: What it took.
        ran: What it recorded of itself as the property `ran`: what was done, how often, and what was not here.
    """

    test: str
    result: str
    seconds: float
    ran: tuple[str, ...]


def cases(reports: Sequence[Path]) -> Iterator[Case]:
    """Each case of some JUnit reports once."""
    found: dict[tuple[str, str], Case] = {}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            name = str(case.get("name"))
            bad = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)
            said = case.iterfind(".//property[@name='ran']")
            found[str(case.get("classname")), name] = Case(
                test=f"{case.get('classname')}.{name.partition('[')[0]}",
                result=bad or "passed",
                seconds=float(case.get("time", "0")),
                ran=tuple(str(each.get("value")) for each in said),
            )
    yield from found.values()


def rows(found: Sequence[Case]) -> Iterator[str]:
    """A line of the table for each test."""
    lines: dict[str, Row] = defaultdict(Row)
    for case in found:
        lines[case.test].results[case.result] += 1
        lines[case.test].seconds += case.seconds
    for name, row in sorted(lines.items()):
        yield f"| {name} | {row} |"


def write_page(reports: Sequence[Path], how: str) -> None:
    """Write the page of some reports, which were made *how*."""
    found = list(cases(reports))
    table, listed = "\n".join(rows(found)), "\n".join(sorted(f"- {each}" for case in found for each in case.ran))
    RESULTS.write_text(
        f"# Full counts\n\nWritten by {how} on {datetime.now(UTC):%Y-%m-%d} with Lapse {lapse.__version__}"
        f" on {machine()}.\n\n| test | result | time |\n|---|---|---|\n{table}\n\n## What ran\n\n{listed}\n",
        encoding="utf-8",
    )


def main() -> int:
    """Run them and write the page; returns pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="*", type=Path, metavar="REPORT")
    reports = parser.parse_args().reports
    if reports:
        write_page(reports, f"`python bench/soak.py` from {len(reports)} parts")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Properties of tests have no place in the family that is the default.
        into = ["-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", "-n", "auto", "--timeout=0", "-m", "soak", *into]
        code = subprocess.run(command, check=False).returncode
        write_page([report], "`make soak`")
    return code


if __name__ == "__main__":
    sys.exit(main())
