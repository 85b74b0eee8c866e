"""Run a command and take its wall time and peak memory; write result tables."""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Figures = TypeVar("Figures", bound="DataclassInstance")
"""A dataclass of numbers."""

RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run.

    Attributes:
        seconds: Wall time.
        megabytes: Peak resident memory of the process, in units of 1,000,000 bytes.
            Never below that of the script that started it, as Linux counts it.
    """

    seconds: float
    megabytes: float


def measured(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Sample:
    """Run *command* to its end.

    Raises:
        RuntimeError: If it fails; its output is in the message.
    """
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}, cwd=cwd
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            out.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {out.read().decode()[-2000:]}")
    return Sample(seconds, usage.ru_maxrss * 1024 / 1e6)


def median(samples: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    first = samples[0]
    medians = {each.name: statistics.median(getattr(sample, each.name) for sample in samples) for each in fields(first)}
    return replace(first, **medians)


def interleaved(contenders: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, Figures]:
    """Measure every contender once a round, so that a change of the machine's speed hits all of them."""
    taken: dict[str, list[Figures]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            taken[name].append(contender())
            print(f"  {name}: {_shown(taken[name][-1])}", flush=True)
    return {name: median(samples) for name, samples in taken.items()}


def _shown(figures: DataclassInstance) -> str:
    return ", ".join(f"{each.name} {getattr(figures, each.name):.3g}" for each in fields(figures))


def machine() -> str:
    """What the figures were taken on."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*: (.*)", info.read_text())):
        model = found[1]
    return (
        f"{os.cpu_count()} cores, {model}, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def heading(script: str, chosen: argparse.Namespace, *, product: str) -> list[str]:
    """How the figures of a section were made: the command with all its options, the day, machine and *product*."""
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in vars(chosen).items())
    return [f"`python bench/{script} {flags}`.", f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, {product}."]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; the first column is of text, the others of figures."""
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def write_section(title: str, text: str) -> None:
    """Put a section into RESULTS.md, in place of an earlier one of the same title."""
    head = "# Results\n\nEvery section is written by one command in this folder; ratios count.\n"
    old = RESULTS.read_text() if RESULTS.exists() else head
    sections = re.split(r"(?m)^(?=## )", old)
    kept = [section for section in sections if not section.startswith(f"## {title}\n")]
    RESULTS.write_text("".join([*(part.rstrip() + "\n\n" for part in kept), f"## {title}\n\n{text.strip()}\n"]))
