"""What happens once a run has ended, well or not: metrics are written, somebody is told. Neither changes the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lapse.cli.failure import InterruptedByUserError
from lapse.cli.invocation import Invocation
from lapse.cli.output import answer, encoded, no_answer, print_note
from lapse.cli.views.ran import RunView
from lapse.cli.wording import plain
from lapse.engine import notifying
from lapse.engine.session import Session
from lapse.engine.status import status
from lapse.observe.prometheus import PrometheusFile
from lapse.ports import Event

if TYPE_CHECKING:
    from lapse.cli.shapes import Envelope


class AfterRun:
    """A run to be followed up; it watches for the run's id.

    Attributes:
        session: The session for the run, with everybody who watches it.
        view: What the run did. None until it is set, and for good if the run failed.
    """

    def __init__(self, session: Session, metrics: Path | None) -> None:
        self._metrics = None if metrics is None else PrometheusFile(metrics, lambda: status(session))
        self._run = ""
        own = (self,) if self._metrics is None else (self, self._metrics)
        self.session = replace(session, hooks=(*session.hooks, *own))
        self.view: RunView | None = None

    def on(self, event: Event) -> None:
        """Note the id of the run."""
        if event.name.startswith("run."):
            self._run = str(event.facts.get("run", self._run))

    def told(self, code: int, report: Callable[[], Envelope]) -> tuple[str, ...]:
        """Tell whom the policy names that the run ended with exit *code*; a warning for each follow-up that failed."""
        policy, facts = self.session.policy, {"LAPSE_RUN": self._run, "LAPSE_EXIT": str(code)}
        command = notifying.command_for(policy.notify, code)
        trouble = None if self._metrics is None else self._metrics.trouble
        failed = None
        if command:
            facts["LAPSE_POLICY"] = self.session.scope
            failed = notifying.call(command, encoded(report()).encode(), folder=policy.folder, facts=facts)
        return tuple(text for text in (trouble, failed) if text is not None)


@contextmanager
def after_run(call: Invocation, session: Session, metrics: Path | None) -> Iterator[AfterRun]:
    """Follow up the run of the block, whatever becomes of it.

    Arguments:
        call: How the program was called.
        session: The session for the run.
        metrics: File for the metrics. None writes none.
    """
    after = AfterRun(session, metrics)
    try:
        yield after
    finally:
        error = sys.exception()
        if isinstance(error, KeyboardInterrupt):
            error = InterruptedByUserError()
        if error is not None:
            code = call.exit_code_of(error)
            for text in after.told(code, partial(no_answer, call.command, error, code)):
                _warn(call, text)
        elif after.view is not None:
            view = after.view
            more = after.told(int(view.exit_code), partial(answer, call.command, view))
            after.view = replace(view, report=replace(view.report, warnings=(*view.report.warnings, *more)))


def _warn(call: Invocation, text: str) -> None:
    if call.log is None:
        print_note(f"Warning: {plain(text)}")
    else:
        call.log.say("command.warning", "warning", {"command": call.command, "message": text})
