"""A run that is killed in the middle of a ramp: nothing is lost, and the next one goes on with it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from guarded_world import Guarded, fresh, old

from lapse.engine.running import Wishes, run
from lapse.model.report import Status
from lapse.ports import Event


class Killer:
    """A hook that kills its own process at the event of that name and number."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._left = number

    def on(self, event: Event) -> None:
        """Die, if it is the one."""
        self._left -= event.name == self._name
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(log: Guarded, name: str, number: int) -> None:
    """Run in a process of its own that dies at the event of that name and number."""
    child = os.fork()
    if child == 0:
        try:
            run(replace(log.session(), hooks=(Killer(name, number),)), Wishes())
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.crash
@pytest.mark.parametrize(
    ("name", "number", "again"),
    [
        ("disposal.committed", 1, [1, 1, 2, 3, 4]),
        ("canary.checking", 1, [1, 1, 2, 3, 4]),
        ("canary.verified", 1, [1, 1, 2, 3, 4]),
        ("disposal.committed", 2, [1, 2, 3, 4, 5]),
        ("disposal.committed", 4, [1, 2, 3, 4, 5]),
    ],
)
def test_the_next_run_goes_on_with_the_ramp(tmp_path: Path, name: str, number: int, again: list[int]) -> None:
    """A canary of which nobody knows whether it was checked comes again; what was proven is not done twice."""
    log = Guarded(tmp_path)
    log.fill(old(300), fresh())
    log.policy(top="guards: {ramp: 10}")

    killed(log, name, number)
    report = log.run()

    assert [step for _, step in log.steps()][:5] == again
    assert sum(records for records, _ in log.steps()) == 300
    assert (report.status, log.records()) == (Status.DONE, 1)


@pytest.mark.crash
@pytest.mark.parametrize("name", ["disposal.committed", "canary.checking", "canary.verified"])
def test_a_text_log_loses_nothing_either(tmp_path: Path, name: str) -> None:
    """The head of the file is gone by then; the rest follows a canary of its own."""
    log = Guarded(tmp_path, "jsonl")
    log.fill(old(100), fresh())
    log.policy(top="guards: {ramp: 10}")

    killed(log, name, 1)
    assert log.records() == 91
    report = log.run()

    assert log.steps() == [(10, 1), (10, 1), (80, 2)]
    assert (report.status, log.records()) == (Status.DONE, 1)
