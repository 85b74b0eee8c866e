"""Metrics for Prometheus: a status report in, the text that node_exporter's textfile collector reads out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lapse.errors import LapseError, UsageError
from lapse.instant import SECOND, Nanos
from lapse.model.status import DatasetStatus, Ended, Growth, Measured, PastRun, StatusReport
from lapse.ports import Event

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric

_MODE = 0o644  # the collector runs as another user; here are counts and times of datasets, never a record's content
_PLACE = "Name a file in a folder that this user can write, such as node_exporter's textfile folder."
_ENDS = ("run.ended", "run.refused", "run.failed")


class PrometheusFile:
    """A hook that writes the metrics of a policy into a file whenever a run has ended.

    Attributes:
        trouble: Why the last write failed. None if it did not; metrics never change what a run does or answers.
    """

    def __init__(self, file: Path, report: Callable[[], StatusReport]) -> None:
        """Write into *file* what *report* says at the end of a run."""
        self.trouble: str | None = None
        self._file = file
        self._report = report

    def on(self, event: Event) -> None:
        """Write, if *event* is the end of a run."""
        if event.name not in _ENDS:
            return
        try:
            write_metrics(self._report(), self._file)
        except LapseError as error:
            self.trouble = f"the metrics were not written: {error}"


def write_metrics(report: StatusReport, file: Path) -> None:
    """Make the metrics of *report* the content of *file*, which readers see whole or not at all.

    Raises:
        UsageError: If it cannot be written, or something else than a file stands there.
    """
    text = metrics_text(report)
    try:
        _require_replaceable(file)
        _replace(file, text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", hint=_PLACE) from error


def _require_replaceable(file: Path) -> None:
    """Refuse what must not give way to a file: a folder, a pipe, or a device such as ``/dev/null``."""
    if not os.path.lexists(file):
        return
    mode = file.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise UsageError(f"{file} is there and is no file, which metrics could replace", hint=_PLACE)


def _replace(file: Path, text: bytes) -> None:
    # The collector takes every `*.prom`, so a half-written file must have another ending.
    staged = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    staged.unlink(missing_ok=True)  # of a process that was killed, and had the same number
    try:
        with staged.open("xb") as out:  # never through a link that somebody has put there
            out.write(text)
        staged.chmod(_MODE)
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)


def metrics_text(report: StatusReport) -> bytes:
    """The metrics of *report* in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(report))
    return generate_latest(registry)


class _Collector:
    """Hands the families to the library, which escapes labels and writes numbers."""

    def __init__(self, report: StatusReport) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Every family that has a sample."""
        families = (*_of_datasets(self._report), *_of_parts(self._report), *_of_policy(self._report))
        return (family for family in families if family.samples)


def _gauge(name: str, text: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    """A family; each sample says of which policy it is, since several may write for one collector."""
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"lapse_{name}", text, labels=("policy", *labels))


def _of_datasets(report: StatusReport) -> Iterator[Metric]:
    for name, text, value in _OF_A_DATASET:
        family = _gauge(name, text, ("dataset",))
        for each in report.datasets:
            number = value(each)
            if number is not None:
                family.add_metric((report.policy, each.dataset), number)
        yield family


def _of_parts(report: StatusReport) -> Iterator[Metric]:
    """What a dataset has several of: the states it could be in, its rules, and all that ever went."""
    from prometheus_client.core import CounterMetricFamily

    status = _gauge("last_run_status", "1 for the way in which the last run ended.", ("dataset", "status"))
    overdue = _gauge(
        "oldest_past_deadline_seconds",
        "How long the oldest record of a rule is past its deadline, as found by the last run; 0 if there is none.",
        ("dataset", "rule"),
    )
    removed = CounterMetricFamily(
        "lapse_removed_records", "Records removed, by the ledger.", labels=("policy", "dataset")
    )
    for each in report.datasets:
        last, measured = each.past.last, each.past.measured
        for ended in () if last is None else Ended:
            status.add_metric(
                (report.policy, each.dataset, ended.value), float(last is not None and last.ended is ended)
            )
        for rule in () if measured is None else measured.overdue:
            overdue.add_metric((report.policy, each.dataset, rule.rule), rule.seconds(report.now))
        removed.add_metric((report.policy, each.dataset), each.total_records)
    yield from (status, overdue, removed)


def _of_policy(report: StatusReport) -> Iterator[Metric]:
    values = (
        ("problems", "Problems that `lapse status` names.", float(len(report.problems))),
        ("active_holds", "Legal holds in force.", float(len(report.holds))),
        ("ledger_entries", "Entries in the ledger.", float(report.ledger_entries)),
        ("next_run_timestamp_seconds", "When the schedule wants the next run.", _seconds(report.next_run)),
    )
    for name, text, value in values:
        family = _gauge(name, text)
        if value is not None:
            family.add_metric((report.policy,), value)
        yield family
    head = _gauge("ledger_head_info", "The hash of the ledger's last entry, as a label.", ("ledger", "head"))
    if report.ledger is not None and report.head is not None:
        head.add_metric((report.policy, report.ledger, report.head), 1.0)
    yield head
    behind = _gauge("checkpoint_entries", "Ledger entries that an archive's newest checkpoint covers.", ("archive",))
    for archive, number in report.archives.items():
        behind.add_metric((report.policy, archive), float(number or 0))
    yield behind


def _seconds(instant: Nanos | None) -> float | None:
    return None if instant is None else instant / SECOND


def _last(read: Callable[[PastRun], float]) -> Callable[[DatasetStatus], float | None]:
    return lambda status: None if status.past.last is None else read(status.past.last)


def _found(read: Callable[[Measured], float]) -> Callable[[DatasetStatus], float | None]:
    return lambda status: None if status.past.measured is None else read(status.past.measured)


def _grown(read: Callable[[Growth], float | None]) -> Callable[[DatasetStatus], float | None]:
    return lambda status: None if status.growth is None else read(status.growth)


_OF_A_DATASET: tuple[tuple[str, str, Callable[[DatasetStatus], float | None]], ...] = (
    ("last_run_timestamp_seconds", "When the last run began.", _last(lambda run: run.began / SECOND)),
    ("last_run_success", "Whether the last run was a success.", _last(lambda run: float(run.ended.is_success))),
    ("last_run_exit_code", "Exit code of the last run.", _last(lambda run: float(run.exit))),
    ("last_run_duration_seconds", "Wall time that the last run spent on it.", _last(lambda run: run.seconds)),
    ("last_run_removed_records", "Records that the last run removed.", _last(lambda run: float(run.records))),
    ("last_run_removed_bytes", "Bytes of content that the last run removed.", _last(lambda run: float(run.size))),
    (
        "last_success_timestamp_seconds",
        "When the last run that was a success ended; 0 if there was none.",
        lambda status: 0.0 if status.past.success is None else status.past.success.at / SECOND,
    ),
    ("missed_runs", "Due times at which no run succeeded.", lambda status: float(len(status.missed))),
    (
        "unsettled_slices",
        "Slices of an interrupted run that the next one settles.",
        lambda status: float(status.pending),
    ),
    ("measured_timestamp_seconds", "When the store was looked at last.", _found(lambda found: found.at / SECOND)),
    ("records", "Records in the store, then.", _found(lambda found: float(found.records))),
    ("content_bytes", "Bytes of their content.", _found(lambda found: float(found.size))),
    ("remaining_records", "Lapsed records that were left there.", _found(lambda found: float(found.remaining))),
    (
        "doubtful_records",
        "Records that could not be judged, and are kept.",
        _found(lambda found: float(found.doubtful)),
    ),
    ("held_records", "Records that a hold keeps.", _found(lambda found: float(found.held))),
    ("files_bytes", "Bytes of its files.", _grown(lambda growth: float(growth.size))),
    ("lines_per_day", "Lines that come in a day.", _grown(lambda growth: growth.lines_a_day)),
    ("bytes_per_day", "Bytes that come in a day.", _grown(lambda growth: growth.bytes_a_day)),
    ("days_to_full_disk", "Days until its disk is full.", _grown(lambda growth: growth.days_to_full)),
    ("growth_warning", "Whether it has come to what the policy warns at.", _grown(lambda growth: float(growth.over))),
)
"""Gauges with one sample a dataset: name, help, and the value; None is no sample."""
