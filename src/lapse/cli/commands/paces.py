"""The command that changes the pace of runs while they go on: ``pace``."""

from __future__ import annotations

from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode, UsageError

TransactionOption = Annotated[
    str | None, typer.Option("--transaction", metavar="SPAN", help="How long a transaction lasts at most: `500ms`.")
]
RateOption = Annotated[
    str | None, typer.Option("--rows-per-second", metavar="N", help="Records a second at most; `none`: no throttle.")
]
RestOption = Annotated[
    str | None,
    typer.Option(
        "--rest", metavar="SHARE", help="Share of the time to rest: `50%`, `none`, or `auto`: while others work."
    ),
]
PauseOption = Annotated[bool, typer.Option("--pause", help="Let runs wait, those to come too, until --resume.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Let runs go on.")]
ResetOption = Annotated[bool, typer.Option("--reset", help="Forget everything said here: the policy counts again.")]
ShowOption = Annotated[bool, typer.Option("--show", help="Only show the pace of each dataset; so without any option.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "pace",
        examples=[
            "lapse pace",
            "lapse pace --rows-per-second 500 --transaction 250ms",
            "lapse pace --pause",
            "lapse pace --resume",
            "lapse pace --reset",
        ],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE),
    )(pace)


def pace(
    call: Invocation,
    transaction: TransactionOption = None,
    rows_per_second: RateOption = None,
    rest: RestOption = None,
    pause: PauseOption = False,
    resume: ResumeOption = False,
    reset: ResetOption = False,
    show: ShowOption = False,
) -> View:
    """Change how gently runs of the policy work, also while one goes on.

    A running run hears it between slices. What is said here counts for every dataset of the policy and for
    later runs, until --reset; every run and `lapse status` remind of it.
    """
    from lapse.cli.views.paced import PaceView
    from lapse.engine import retuning
    from lapse.engine.session import open_session
    from lapse.model.pace import Tuning

    change = Tuning(transaction=transaction, rows_per_second=rows_per_second, rest=rest)
    _refuse_contradictions(changes=bool(change.words), pause=pause, resume=resume, reset=reset, show=show)
    session = open_session(call.policy)
    if reset:
        return PaceView(retuning.reset(session))
    if change.words or pause or resume:
        return PaceView(retuning.retune(session, change, paused=pause if pause or resume else None))
    return PaceView(retuning.tuned(session))


def _refuse_contradictions(*, changes: bool, pause: bool, resume: bool, reset: bool, show: bool) -> None:
    if pause and resume:
        raise UsageError("--pause and --resume cannot stand together", hint="Choose one.")
    if (reset or show) and (changes or pause or resume or (reset and show)):
        raise UsageError(f"{'--reset' if reset else '--show'} stands alone", hint="Call `lapse pace` twice.")
