"""Commands about what goes and what stays: ``plan``, ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapse.cli.commands.statuses import MetricsOption
from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode, UsageError
from lapse.model.guards import Guard

Datasets = Annotated[list[str] | None, typer.Argument(metavar="DATASET", help="Names in the policy; all without any.")]
SealOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Seal the plan into FILE, for `lapse run --plan FILE`."),
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Look only: check and count everything, change nothing.")]
PlanOption = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="Do exactly what `lapse plan -o FILE` sealed.")
]
RowsOption = Annotated[int | None, typer.Option("--rows", metavar="N", min=1, help="Remove at most N records.")]
ForOption = Annotated[
    str | None, typer.Option("--for", metavar="SPAN", help="End after this long: `90m`, `1h30m`, `2 hours`.")
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="TIME", help="End when the clock of this machine next shows TIME, like 06:00; or an instant."
    ),
]
StopFileOption = Annotated[
    Path | None,
    typer.Option(
        "--stop-file",
        metavar="FILE",
        help="End as soon as FILE exists. So does the file `stop` in the state folder.",
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit 1 where a budget or stop file has left something behind.")
]
TidyOption = Annotated[
    bool,
    typer.Option(
        "--tidy/--no-tidy", help="Make freed space usable again afterwards, as PostgreSQL does by VACUUM (ANALYZE)."
    ),
]
RewriteOption = Annotated[
    bool,
    typer.Option("--rewrite", help="Write log files anew, even where lines could be removed in place."),
]
JitterOption = Annotated[
    str | None,
    typer.Option("--jitter", metavar="SPAN", help="Begin up to this much later, at random: `30m`, `1 hour`."),
]
RescanOption = Annotated[
    bool, typer.Option("--rescan", help="Read all of the logs, also what is remembered from earlier runs.")
]
EmptyOption = Annotated[
    bool, typer.Option("--allow-empty", help="Allow that a dataset is emptied: short for --allow empty.")
]
AllowOption = Annotated[
    list[Guard] | None,
    typer.Option("--allow", help="Pass a guard by, this once; the ledger records it. May be repeated."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(
        app,
        "plan",
        examples=["lapse plan", "lapse plan calls", "lapse plan -o plan.json", "lapse plan --json"],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE, ExitCode.REFUSED),
    )(plan)
    command(
        app,
        "run",
        examples=[
            "lapse run --dry-run",
            "lapse run",
            "lapse run calls tool-audit",
            "lapse run --plan plan.json",
            "lapse run --until 06:00",
            "lapse run --rows 1000000 --for 2h",
            "lapse run --json > report.json",
            "lapse run --metrics /var/lib/prometheus/node-exporter/lapse.prom",
        ],
        exits=tuple(ExitCode),
    )(run)


def plan(call: Invocation, datasets: Datasets = None, output: SealOption = None, rescan: RescanOption = False) -> View:
    """Show what a run would do, and why.

    Counts every record of the chosen datasets by verdict, reason and tenant. Stores are opened read-only and
    nothing is written, but for the sealed plan if -o asks for one: it binds a later run to these cutoffs,
    counts, this policy and this store.
    """
    from lapse.cli.views.planned import PlanView
    from lapse.engine import planning
    from lapse.engine.session import open_session

    with call.watched() as hooks:
        session = open_session(call.policy, hooks=hooks, rescan=rescan)
        made = planning.plan(session, datasets or ())
    if output is not None:
        planning.write_sealed(session, made, output)
    return PlanView(made, output)


def run(
    call: Invocation,
    datasets: Datasets = None,
    dry_run: DryOption = False,
    plan_file: PlanOption = None,
    allow: AllowOption = None,
    allow_empty: EmptyOption = False,
    rows: RowsOption = None,
    lasting: ForOption = None,
    until: UntilOption = None,
    stop_file: StopFileOption = None,
    strict: StrictOption = False,
    tidy: TidyOption = True,
    rescan: RescanOption = False,
    rewrite: RewriteOption = False,
    jitter: JitterOption = None,
    metrics: MetricsOption = None,
) -> View:
    """Archive, verify and remove what has lapsed.

    Settles what an interrupted run left, checks leases and guards of all chosen datasets before the first
    removal, then works slice by slice: the records are sealed into the archive and read back before their
    removal is committed, and the ledger records it. Ctrl-C or SIGTERM ends it after the slice under way, with
    exit 1. A budget (--rows, --for, --until) or a stop file ends it between slices with exit 0, and what remains
    is told. Running it again is always safe, and is how an interrupted run is finished.
    """
    from lapse.cli.afterwards import after_run
    from lapse.cli.budgets import limits_of, wait_at_random
    from lapse.cli.stopping import stopping
    from lapse.cli.views.ran import RunView
    from lapse.engine import running
    from lapse.engine.session import open_session
    from lapse.ports import Budget

    if dry_run and metrics is not None:
        raise UsageError("a dry run writes no metrics", hint="Write them with `lapse status --metrics FILE`.")
    with call.watched() as hooks, stopping(call.say_at_once) as asked:
        wait_at_random(jitter, stopping=asked)
        session = open_session(call.policy, hooks=hooks, rescan=rescan)
        wishes = running.Wishes(
            names=tuple(datasets or ()),
            allowed=frozenset([*(allow or ()), *([Guard.EMPTY] if allow_empty else [])]),
            plan_file=plan_file,
            budget=Budget(rewrite=rewrite),
            limits=limits_of(rows=rows, lasting=lasting, until=until, stop_file=stop_file, real_now=session.real_now),
            stopping=asked,
            tidy=tidy,
        )
        if dry_run:
            return RunView(running.dry_run(session, wishes), strict)
        with after_run(call, session, metrics) as after:
            after.view = RunView(running.run(after.session, wishes), strict)
        return after.view
