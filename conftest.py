"""In CI nothing is skipped: a test that does not run there proves nothing."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator, Iterator

import pytest
import typer.main
import typer.testing

# Tests that are written once and run for several stores: their assertions are told as those in test modules.
pytest.register_assert_rewrite("matrix", "shared_holds", "shared_ramps")
# Real servers, started when the first test asks for one.
pytest_plugins = ["servers.disks", "servers.fixtures", "servers.mariadb"]

# The program is put together once in a process, as it is in real life, and not for each call that a test makes.
typer.testing._get_command = functools.cache(typer.main.get_command)  # type: ignore[attr-defined]  # noqa: SLF001

_OF_A_RUN = ("LAPSE_STATE_DIR", "LAPSE_NOW")
_RAN = "ran"
_IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


@pytest.fixture(autouse=True)
def _no_settings_left_behind() -> Iterator[None]:
    """What a test sets for a run in its own process is not there for the next one."""
    before = {name: os.environ.get(name) for name in _OF_A_RUN}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _never_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI that is a failure: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure, in CI."""
    report = yield
    _never_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failure, in CI."""
    report = yield
    _never_skipped(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what tests recorded as the property `ran`: modes of a test that a machine may not have."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = (item for report in reports for item in getattr(report, "user_properties", ()))
    ran = sorted({str(text) for name, text in properties if name == _RAN})
    if ran:
        terminalreporter.section("what ran")
        for text in ran:
            terminalreporter.write_line(text)
