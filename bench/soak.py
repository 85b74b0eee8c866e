"""The full counts: every test marked `soak`, and what came of each, into bench/SOAK.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import lapse
from measure import machine

RESULTS = Path(__file__).parent / "SOAK.md"


def rows(report: Path) -> Iterator[str]:
    """A line of the table for each test in a JUnit report."""
    for case in ElementTree.parse(report).iter("testcase"):
        bad = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), None)
        seconds = float(case.get("time", "0"))
        yield f"| {case.get('classname')}.{case.get('name')} | {bad or 'passed'} | {seconds:.0f} s |"


def main() -> int:
    """Run them and write the page; returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "auto", "-m", "soak", f"--junitxml={report}"]
        code = subprocess.run(command, check=False).returncode
        table = "\n".join(rows(report))
    RESULTS.write_text(
        f"# Full counts\n\nWritten by `make soak` on {datetime.now(UTC):%Y-%m-%d} with Lapse {lapse.__version__}"
        f" on {machine()}.\n\n| test | result | time |\n|---|---|---|\n{table}\n",
        encoding="utf-8",
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
