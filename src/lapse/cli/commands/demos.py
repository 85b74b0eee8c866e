"""The command ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", show_default=False, help="New, or an earlier demo's. [default: demo-world]")
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "demo",
        examples=["lapse demo", "lapse demo /tmp/lapse-demo"],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE),
    )(demo)


def demo(call: Invocation, folder: Folder = Path("demo-world")) -> View:
    """Build a world of logs and show what Lapse does with it.

    Makes a call log in SQLite, audit files and a policy in FOLDER, needs no server, and runs the commands one
    after the other: check, plan, run, status, ledger verify, archive query. It keeps its state in the folder,
    too. Run again, it begins anew.
    """
    from lapse.cli.demonstration import demonstrate

    return demonstrate(folder, spoken=not (call.as_json or call.quiet))
