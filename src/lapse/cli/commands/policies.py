"""Commands about the policy: ``init``, ``check``, ``trust``, ``refreshed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode

_TOLD = (ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE)

Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="A file, a folder, a glob in quotes, or a store's URL.")
]
TableOption = Annotated[str | None, typer.Option("--table", metavar="NAME", help="Propose this table only.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a policy that is there already.")]
SchemaOption = Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a policy, for editors.")]
EffectiveOption = Annotated[bool, typer.Option("--effective", help="Print every value, with where it comes from.")]
DataOption = Annotated[
    bool, typer.Option("--data", help="Look at the stores, too: name what selects no record now. Writes nothing.")
]
OneDerived = Annotated[str, typer.Argument(metavar="NAME", help="What the policy calls it under `derived`.")]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", help="It holds all records of before this time, RFC 3339; else of now."),
]
OneDataset = Annotated[str, typer.Argument(metavar="DATASET", help="Its name in the policy.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(
        app,
        "init",
        examples=[
            "lapse init calls.db",
            "lapse init /var/log/mxcp",
            "lapse init 'logs/audit-*.jsonl*' -p audit.yaml",
            "lapse init duckdb:///events.duckdb --table events",
        ],
        exits=_TOLD,
    )(init)
    command(
        app,
        "check",
        examples=[
            "lapse check",
            "lapse check --data",
            "lapse check --effective",
            "lapse check --schema > lapse.schema.json",
        ],
        exits=(*_TOLD, ExitCode.REFUSED),
    )(check)


def add_trust_to(app: typer.Typer) -> None:
    """Add the command that accepts a changed store."""
    command(app, "trust", examples=["lapse trust calls"], exits=(*_TOLD, ExitCode.REFUSED))(trust)


def add_refreshed_to(app: typer.Typer) -> None:
    """Add the command that says what derived data holds."""
    command(
        app,
        "refreshed",
        examples=[
            "lapse refreshed calls 'daily totals'",
            "lapse refreshed calls 'daily totals' --until 2026-11-01T00:00:00Z",
        ],
        exits=(*_TOLD, ExitCode.REFUSED),
    )(refreshed)


def init(call: Invocation, address: Address, table: TableOption = None, force: ForceOption = False) -> View:
    """Look at a store and propose a policy.

    Finds the tables or log files that look like logs, their time, type and tenant, and writes a commented
    policy (`lapse.yaml`, or the file named with --policy). As written it keeps everything: nothing is removed
    until you edit its `keep:` lines. The store is only read.
    """
    from lapse.cli.views.policy import InitView
    from lapse.engine.inspecting import propose, write_proposal

    file = Path(call.policy)
    proposal = propose(address, table=table, folder=file.parent)
    write_proposal(file, proposal, force=force)
    return InitView(file, proposal)


def check(
    call: Invocation, data: DataOption = False, schema: SchemaOption = False, effective: EffectiveOption = False
) -> View:
    """Check the policy, and say what it means.

    Reads the policy, the `conf.d` beside it and the holds, and prints what they say in words. Everything that
    is wrong is reported at once, with file, line, column and the nearest right spelling. No store is opened,
    unless --data asks for it: then every store is read, and the rules, tenants, floors and holds that select no
    record now are named. One that is there to keep records is an error, exit 2: a slip in it would let them go.
    """
    from lapse import policyfile
    from lapse.cli.views.policy import CheckView, EffectiveView, SchemaView
    from lapse.engine.checking import check as check_policy
    from lapse.engine.session import open_session
    from lapse.registry import database_schemes, target_schemes

    if schema:
        return SchemaView(policyfile.json_schema())
    if effective:
        return EffectiveView(
            policyfile.effective(call.policy, schemes=database_schemes(), target_schemes=target_schemes())
        )
    session = open_session(call.policy)
    checked = check_policy(session)
    if not data:
        return CheckView(checked, session.real_now)
    from lapse.engine.looking import look

    return CheckView(checked, session.real_now, look(session, checked.holds))


def refreshed(call: Invocation, dataset: OneDataset, derived: OneDerived, until: UntilOption = None) -> View:
    """Say that what is derived from a dataset's records holds them.

    Where the policy names what is made of the records elsewhere, such as daily totals, runs are refused until this
    command has said that it holds everything that may go. Call it at the end of the job that refreshes it. The ledger
    records it, and what was said last counts.
    """
    from lapse.cli.scope import instant_of
    from lapse.cli.views.accepted import RefreshedView
    from lapse.engine.refreshing import refreshed as note_refreshed
    from lapse.engine.session import open_session

    found = note_refreshed(open_session(call.policy), dataset, derived, instant_of("--until", until))
    return RefreshedView(dataset, derived, found)


def trust(call: Invocation, dataset: OneDataset) -> View:
    """Accept that a dataset's store has changed.

    Lapse pins what a store is at the first run, and refuses to work on another one. After a migration or a
    change of its columns, look at the store, then say with this command that it is the right one. The ledger
    records it.
    """
    from lapse.cli.views.accepted import TrustView
    from lapse.engine.session import open_session
    from lapse.engine.trusting import trust as trust_store

    return TrustView(dataset, trust_store(open_session(call.policy), dataset))
