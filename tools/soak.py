"""Run the soak tests, the full counts of what `make test` runs in short form, and record them in bench/SOAK.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "bench" / "SOAK.md"


def main() -> int:
    """Run, record, and answer with pytest's exit code."""
    sys.path.insert(0, str(ROOT / "bench"))
    from measure import machine

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-m", "soak", "-n", "2", f"--junitxml={results}", *sys.argv[1:]]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        rows = [_row(case) for case in ElementTree.parse(results).iter("testcase")]
    minutes = (time.monotonic() - started) / 60
    REPORT.write_text(
        "# Soak\n\n"
        f"`make soak`, {datetime.now(UTC):%Y-%m-%d}, {machine()}; {minutes:.0f} minutes.\n\n"
        "| promise | seconds | result |\n|---|---:|---|\n" + "\n".join(rows) + "\n"
    )
    return code


def _row(case: ElementTree.Element) -> str:
    failed = case.find("failure") is not None or case.find("error") is not None
    result = "FAILED" if failed else "skipped" if case.find("skipped") is not None else "passed"
    name = case.get("name", "").removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
    return f"| {name} | {float(case.get('time', 0)):.0f} | {result} |"


if __name__ == "__main__":
    raise SystemExit(main())
