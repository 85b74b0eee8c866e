"""How everything stands between runs: ``status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode

MetricsOption = Annotated[
    Path | None,
    typer.Option(
        "--metrics", metavar="FILE", help="Write metrics for Prometheus' node_exporter (textfile collector) into FILE."
    ),
]
SurveyOption = Annotated[
    bool,
    typer.Option(
        "--survey", help="Look at every store now, read-only, instead of telling what the last run found there."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "status",
        examples=["lapse status", "lapse status --survey", "lapse status --json", "lapse status --metrics lapse.prom"],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE),
    )(status)


def status(call: Invocation, survey: SurveyOption = False, metrics: MetricsOption = None) -> View:
    """Show how everything stands between runs, and exit 1 if someone must look.

    Shows the last run and the last success of each dataset, what the last run left past its deadline, the holds in
    force, the head of the ledger and its checkpoints. Problems come last, each with the command to look with:
    missed runs, by the policy's `schedule`; failed and refused ones; records past their deadline though a run
    should have taken them; unsettled slices; log files that have come to their `warn at`. No database is opened
    without --survey, so that this is cheap; of log files only the sizes and the ends of the newest one are looked at.
    """
    from lapse.cli.views.statuses import StatusView
    from lapse.engine.session import open_session
    from lapse.engine.status import status as current_status

    report = current_status(open_session(call.policy), survey=survey)
    if metrics is not None:
        from lapse.observe.prometheus import write_metrics

        write_metrics(report, metrics)
    return StatusView(report)
