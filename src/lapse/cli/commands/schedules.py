"""Making runs happen without anybody: ``schedule``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode, UsageError
from lapse.model.forms import Form

FormArgument = Annotated[Form, typer.Argument(help="What starts the runs.")]
ArgumentsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN-ARGUMENTS", help="What `lapse run` gets, after `--`.", show_default=False),
]
InstallOption = Annotated[
    bool, typer.Option("--install", help="Install and start it, instead of printing it: systemd and cron.")
]
UninstallOption = Annotated[bool, typer.Option("--uninstall", help="Stop it and take it away again.")]
UserOption = Annotated[bool, typer.Option("--user", help="For your own systemd manager, not the machine's.")]
RunAsOption = Annotated[
    str | None,
    typer.Option(
        "--run-as",
        metavar="USER",
        help="User that the service runs as. [default: you; as root: lapse]",
        show_default=False,
    ),
]
NameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the units.")]
ImageOption = Annotated[
    str | None,
    typer.Option("--image", metavar="IMAGE", help="Container image with Lapse: kubernetes and compose."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "schedule",
        examples=[
            "lapse schedule systemd",
            "lapse schedule systemd --install --run-as mxcp",
            "lapse schedule systemd --install -- --for 2h --metrics /srv/prometheus/lapse.prom",
            "lapse schedule systemd --uninstall",
            "lapse schedule cron --install",
            "lapse schedule kubernetes --image registry.example/lapse:1 > lapse-cronjob.yaml",
            "lapse schedule compose --image registry.example/lapse:1 > compose.lapse.yaml",
        ],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE, ExitCode.REFUSED),
    )(schedule)


def schedule(
    call: Invocation,
    form: FormArgument,
    arguments: ArgumentsArgument = None,
    install: InstallOption = False,
    uninstall: UninstallOption = False,
    user: UserOption = False,
    run_as: RunAsOption = None,
    name: NameOption = "lapse",
    image: ImageOption = None,
) -> View:
    """Print or install what runs Lapse at the times of the policy's `schedule`.

    For systemd, a service that may write only where the policy needs it, and a timer that makes up for runs that
    were due while the machine was off. For cron, lines for the user's crontab. For Kubernetes, a CronJob with the
    policy in a ConfigMap. For Compose, a service in which `lapse daemon` works. Secrets stand in none of them: what
    the policy writes as ${NAME} comes from a file or Secret that you make. Files that are not Lapse's own, or that
    somebody has changed, are never overwritten nor removed.
    """
    from lapse.cli.views.schedules import ScheduleView
    from lapse.engine.session import open_session
    from lapse.engine.units import ordering

    if install and uninstall:
        raise UsageError("--install and --uninstall say two things", hint="Leave one of them out.")
    order = ordering.Order(
        form=form, name=name, arguments=run_arguments(arguments), system=not user, run_as=run_as, image=image
    )
    session = open_session(call.policy)
    if uninstall:
        return ScheduleView(form, (), ordering.uninstall(session, order), removed=True)
    made = ordering.make(session, order)
    return ScheduleView(form, made.units, ordering.install(session, order, made) if install else None, made.warnings)


def run_arguments(given: Sequence[str] | None) -> tuple[str, ...]:
    """What `lapse run` gets, once it is seen that it takes them: with a slip every night's run would fail.

    Raises:
        UsageError: If a budget cannot be read.
        TyperException: If there is no such option, or its value is none.
    """
    from lapse import clock
    from lapse.cli.budgets import limits_of, span_of
    from lapse.cli.main import app

    program: Any = typer.main.get_command(app)
    words = tuple(given or ())
    found = program.get_command(None, "run").make_context("run", list(words)).params
    limits_of(
        rows=found["rows"], lasting=found["lasting"], until=found["until"], stop_file=None, real_now=clock.real_now()
    )
    if found["jitter"] is not None:
        span_of("--jitter", found["jitter"])
    return words
