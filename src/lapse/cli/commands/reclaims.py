"""The command that gives space back: ``reclaim``."""

from __future__ import annotations

from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode

Datasets = Annotated[list[str] | None, typer.Argument(metavar="DATASET", help="Names in the policy; all without any.")]
RunOption = Annotated[bool, typer.Option("--run", help="Do it. Without this, only say what it would do.")]
FreeOption = Annotated[
    str | None,
    typer.Option("--free-space", metavar="SIZE", help="What is free on the server's disk, such as 20GB."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "reclaim",
        examples=[
            "lapse reclaim",
            "lapse reclaim calls",
            "lapse reclaim calls --run",
            "lapse reclaim calls --run --free-space 20GB",
            "lapse reclaim --json",
        ],
        exits=tuple(ExitCode),
    )(reclaim)


def reclaim(call: Invocation, datasets: Datasets = None, run: RunOption = False, free_space: FreeOption = None) -> View:
    """Give freed space back to the file system, or say what that would take.

    What a run removes stays allocated: the store uses that space again, but its files get no shorter. This says
    what writing them anew would give back, how much disk it needs meanwhile, how long it takes and what it
    locks. With --run it does so, one dataset after the other. It is refused where the disk cannot hold it, or
    where nobody can say. No record is ever removed by this command.
    """
    from lapse.cli.byteprogress import byte_bar
    from lapse.cli.views.reclaimed import ReclaimView
    from lapse.engine import reclaiming
    from lapse.engine.session import open_session
    from lapse.model.bytesize import parse_size

    told = None if free_space is None else parse_size(free_space)
    with byte_bar(wanted=not (call.quiet or call.as_json)) as hooks:
        session = open_session(call.policy, hooks=hooks)
        work = reclaiming.reclaim if run else reclaiming.predict
        return ReclaimView(work(session, datasets or (), told=told))
