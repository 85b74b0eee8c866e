"""The command that sets logs aside: ``rotate``."""

from __future__ import annotations

from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode

Datasets = Annotated[
    list[str] | None, typer.Argument(metavar="DATASET", help="Names in the policy; without any, all with `rotate:`.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Rotate every log that is not empty, due or not.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be rotated.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "rotate",
        examples=["lapse rotate", "lapse rotate tool-audit --dry-run", "lapse rotate tool-audit --force"],
        exits=tuple(code for code in ExitCode if code is not ExitCode.REFUSED),
    )(rotate)


def rotate(call: Invocation, datasets: Datasets = None, force: ForceOption = False, dry_run: DryOption = False) -> View:
    """Set logs aside that have grown large or old, as `rotate:` in the policy says.

    A log gets another name, and a new empty one stands in its place. Its writer is told to open it anew if the policy
    says how. Once nobody writes to the old one, it is compressed, read back, and only then is the plain file removed.
    `lapse run` does the same after it has removed what lapsed. No record is ever removed by this command.
    """
    from lapse.cli.views.rotated import RotationView
    from lapse.engine.rotating import rotate as rotated
    from lapse.engine.session import open_session

    with call.watched() as hooks:
        session = open_session(call.policy, hooks=hooks)
        return RotationView(rotated(session, datasets or (), force=force, dry=dry_run))
