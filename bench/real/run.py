"""Lapse on data that no one here made up: real applications write, Lapse works, the applications read again.

    .venv/bin/python bench/real/run.py [--cache FOLDER] [--report FILE]

Installs django-auditlog and mxcp from PyPI, each into an environment of its own below the cache folder. Ends
with exit code 1 at the first thing that is not as it should be. Takes about a minute once they are installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cases import Case, chrome_case, django_case, firefox_case, mxcp_case
from program import FailedError, Program, expect

import lapse

_ROOT = Path(__file__).parents[2]
_HEAD = """\
# Data that no one here made up

Written by `bench/real/run.py`, which repeats all of it: `make real-data`.
Real applications write their records, and `lapse init` looks at them.
A period is written into the policy it proposed; Lapse works; the applications read their own data again.
Every figure below was compared with what was expected; the script ends with an error at the first difference.

Lapse {version}, Python {python}.
"""


def check(case: Case, folder: Path) -> str:
    """Work through one case; returns its part of the report.

    Raises:
        FailedError: At the first thing that is not as expected.
    """
    case.make(folder)
    original, seen = case.dump(folder), case.look(folder)
    program = Program(folder)
    proposed = program("init", case.address)
    text = _proposal_is_right(case, proposed)
    lapsed = _edited(case, program, folder / "lapse.yaml")
    removed = _run(case, program, lapsed)
    expect(f"{case.title}: records left in the store", len(case.dump(folder)), len(original) - removed)
    after = case.count(case.look(folder))
    expect(f"{case.title}: records the application still reads", after, len(original) - removed)
    _archive_has(case, program, removed)
    program("archive", "restore", "--dataset", case.dataset)
    expect(f"{case.title}: records after the restore", case.dump(folder), original)
    expect(f"{case.title}: what the application reads after the restore", case.look(folder), seen)
    expect(f"{case.title}: ledger", program("ledger", "verify")["ok"], True)
    return _report(case, program, text, (len(original), removed, after))


def _proposal_is_right(case: Case, proposed: dict[str, object]) -> str:
    datasets = proposed["datasets"]
    if not isinstance(datasets, list):
        raise FailedError(f"{case.title}: no datasets in {proposed}")
    expect(f"{case.title}: first dataset", datasets[0]["dataset"], case.dataset)
    for name, wanted in case.columns.items():
        expect(f"{case.title}: {name}", datasets[0][name], wanted)
    return str(proposed["text"])


def _edited(case: Case, program: Program, policy: Path) -> int:
    """Check that the policy removes nothing as proposed; then write the period; returns what would go."""
    program("check")
    expect(f"{case.title}: lapsed as proposed", _lapsed(program), 0)
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text.replace("    keep: forever\n", f"    keep: {case.keep}\n", 1), encoding="utf-8")
    program("check")
    lapsed = _lapsed(program)
    if not lapsed:
        raise FailedError(f"{case.title}: nothing has lapsed after {case.keep}")
    return lapsed


def _lapsed(program: Program) -> int:
    groups = (group for dataset in program("plan")["datasets"] for group in dataset["groups"])
    return sum(int(group["records"]) for group in groups if group["verdict"] == "lapsed")


def _run(case: Case, program: Program, lapsed: int) -> int:
    key = "logs-default.jsonl:1" if case.dataset == "logs-default" else "1"
    program("why", case.dataset, key)
    report = program("run")
    removed = sum(int(dataset["records"]) for dataset in report["datasets"])
    expect(f"{case.title}: removed", removed, lapsed)
    again = program("run")
    expect(f"{case.title}: removed by a second run", sum(each["records"] for each in again["datasets"]), 0)
    return removed


def _archive_has(case: Case, program: Program, removed: int) -> None:
    answer = program("archive", "query", f'SELECT count(*) AS records FROM "{case.dataset}"')
    expect(f"{case.title}: records in the archive", answer["rows"][0][0], removed)


def _report(case: Case, program: Program, text: str, counts: tuple[int, int, int]) -> str:
    total, removed, after = counts
    calls = "\n".join(program.calls)
    return (
        f"\n## {case.title}\n\nWritten by: {case.origin}.\n\n"
        f"{total:,} records; {removed:,} were older than {case.keep}, went into the archive and out of the store;"
        f" the application then read {after:,}, and all {total:,} after the restore.\n\n"
        f"```console\n{calls}\n```\n\nThe policy that `lapse init` proposed:\n\n```yaml\n{text}```\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every case and write the report; returns the exit code."""
    parser = argparse.ArgumentParser(description="Lapse on data that real applications write.")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lapse-real-data")
    parser.add_argument("--report", type=Path, default=_ROOT / "docs" / "real-data.md")
    options = parser.parse_args(arguments)
    cache = options.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    python = ".".join(map(str, sys.version_info[:3]))
    pages = [_HEAD.format(version=lapse.__version__, python=python)]
    for case in (django_case(cache), mxcp_case(cache), firefox_case(), chrome_case()):
        with tempfile.TemporaryDirectory() as folder:
            try:
                pages.append(check(case, Path(folder)))
            except FailedError as error:
                print(error, file=sys.stderr)
                return 1
        print(f"{case.title}: as expected")
    options.report.write_text("".join(pages), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
