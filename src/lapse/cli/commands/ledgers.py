"""Commands about the ledger: ``ledger show``, ``verify``, ``adopt``."""

from __future__ import annotations

from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command, group
from lapse.cli.view import View
from lapse.errors import ExitCode

_TOLD = (ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE)

LastOption = Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N entries.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    ledger = group(
        app,
        "ledger",
        text="The record of what was disposed of: show it, check it.",
        examples=["lapse ledger verify", "lapse ledger show --last 10"],
    )
    command(
        ledger,
        "show",
        examples=["lapse ledger show", "lapse ledger show --last 10", "lapse ledger show --json"],
        exits=_TOLD,
    )(show)
    command(ledger, "verify", examples=["lapse ledger verify", "lapse ledger verify --json"], exits=_TOLD)(verify)
    command(ledger, "adopt", examples=["lapse ledger adopt"], exits=(*_TOLD, ExitCode.LEASED))(adopt)


def show(call: Invocation, last: LastOption = None) -> View:
    """Show the entries of the ledger.

    Prints the entries in order: disposals, runs, policies, holds, restores. --json prints them whole, as they
    are written; docs/format.md describes them.
    """
    from collections import deque

    from lapse.cli.views.ledgers import LedgerShowView
    from lapse.engine import ledgering
    from lapse.engine.session import open_session

    return LedgerShowView(tuple(deque(ledgering.entries(open_session(call.policy)), maxlen=last)))


def verify(call: Invocation) -> View:
    """Check that nobody tampered with the ledger.

    Checks every entry's hash, signature and place in the chain, the sidecars, and the checkpoints that lie in
    the archives. What was edited, removed, inserted or put in another order, and a tail that was cut, is
    named. Nothing is written.
    """
    from lapse.cli.views.ledgers import LedgerVerifyView
    from lapse.engine import ledgering
    from lapse.engine.session import open_session

    return LedgerVerifyView(ledgering.verify(open_session(call.policy)))


def adopt(call: Invocation) -> View:
    """Begin a new ledger where the old one is lost.

    Stores and archives remember the ledger that worked on them, and a run without it is refused. Put it back
    from a backup if you can. If it is lost for good, this begins a new one that says which it takes over from.
    """
    from lapse.cli.views.ledgers import LedgerAdoptView
    from lapse.engine import ledgering
    from lapse.engine.session import open_session

    return LedgerAdoptView(ledgering.adopt(open_session(call.policy)))
