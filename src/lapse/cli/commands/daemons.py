"""Runs without cron or a service manager: ``daemon``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapse.cli.commands.schedules import ArgumentsArgument, run_arguments
from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode

if TYPE_CHECKING:
    from lapse.engine.daemon import Tell

EveryOption = Annotated[
    str | None,
    typer.Option("--every", metavar="SPAN", help="Run so often, instead of by the policy's `schedule`: `6 hours`."),
]
HealthOption = Annotated[
    Path | None,
    typer.Option("--health", metavar="FILE", help="Give signs of life in FILE. [default: one in the state folder]"),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Start nothing: exit 0 if a daemon lives, else 1.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "daemon",
        examples=[
            "lapse daemon",
            "lapse daemon --log-format json -- --for 2h --metrics /metrics/lapse.prom",
            "lapse daemon --every '6 hours'",
            "lapse daemon --check",
        ],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE),
    )(daemon)


def daemon(
    call: Invocation,
    arguments: ArgumentsArgument = None,
    every: EveryOption = None,
    health: HealthOption = None,
    check: CheckOption = False,
) -> View:
    """Stay, and run at the times of the policy's `schedule`, one run at a time.

    For containers and other places with neither cron nor systemd. Each run is `lapse run` in a process of its own.
    A run that was due while no daemon was there is made up for once, at the start. SIGTERM and Ctrl-C are passed on
    to the run under way, and end the daemon after it, with exit 0; SIGHUP makes it read the policy again. A run that
    fails is told and shown by `lapse status`; the daemon goes on.
    """
    from lapse.cli.budgets import span_of
    from lapse.cli.views.daemons import DaemonView
    from lapse.engine.daemon import Daemon, sign_of_life
    from lapse.engine.pulse import health_file, plan_of
    from lapse.engine.session import open_session
    from lapse.engine.units.needs import program

    seconds = None if every is None else span_of("--every", every)
    file = health_file(open_session(call.policy)) if health is None else health.absolute()
    if check:
        return DaemonView(sign_of_life(file))
    words = run_arguments(arguments)
    level = "info" if call.log_level is None else call.log_level.value
    logged = () if call.log is None else ("--log-format", "json", "--log-level", level)
    run = (*program(), "--policy", call.policy, *logged, "run", *words)
    Daemon(run, plan=lambda: plan_of(open_session(call.policy), seconds), health=file, tell=_teller(call)).run()
    return DaemonView(None, ended=True)


def _teller(call: Invocation) -> Tell:
    """Tells what the daemon does, in the form that stderr has."""
    from lapse.cli.output import print_note
    from lapse.cli.wording import plain

    log = call.log
    if log is not None:
        return lambda name, facts: log.say(name, "error" if "error" in facts else "info", facts)
    return lambda name, facts: print_note(
        plain(
            " ".join([name.replace(".", ": ").replace("_", " "), *(f"{key}={value}" for key, value in facts.items())])
        )
    )
