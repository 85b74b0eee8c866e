"""Commands about legal holds: ``hold add``, ``release``, ``list``."""

from __future__ import annotations

from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command, group
from lapse.cli.view import View
from lapse.errors import ExitCode

_TOLD = (ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE)

MatterOption = Annotated[str, typer.Option("--matter", metavar="M", help="Case reference; names the hold.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for people.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", metavar="D", help="Hold records of this dataset.")]
TenantOption = Annotated[
    list[str] | None, typer.Option("--tenant", metavar="T", help="Hold records of this tenant. May be repeated.")
]
TypeOption = Annotated[
    list[str] | None, typer.Option("--type", metavar="T", help="Hold records of this type. May be repeated.")
]
MatchOption = Annotated[
    list[str] | None,
    typer.Option("--match", metavar="FIELD=VALUE", help="Hold records with this value; `glob:` begins a pattern."),
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Date or instant from which the order applies.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="From when it no longer does. Open without it.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Hold everything. A hold without a scope must say so.")]
Matter = Annotated[str, typer.Argument(metavar="MATTER", help="Case reference of the hold.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    hold = group(
        app,
        "hold",
        text="Legal holds: orders to keep records, whatever a rule says.",
        examples=[
            "lapse hold list",
            "lapse hold add --matter 2026-17 --tenant acme --reason litigation",
            "lapse hold release 2026-17",
        ],
    )
    command(
        hold,
        "add",
        examples=[
            "lapse hold add --matter 2026-17 --tenant acme --reason litigation",
            "lapse hold add --matter 2026-18 --dataset calls --match caller=glob:+4930* --reason inquiry",
            "lapse hold add --matter 2026-19 --all --reason 'preservation order' --until 2027-07-01",
        ],
        exits=(*_TOLD, ExitCode.REFUSED),
    )(add)
    command(hold, "release", examples=["lapse hold release 2026-17"], exits=(*_TOLD, ExitCode.REFUSED))(release)
    command(hold, "list", examples=["lapse hold list", "lapse hold list --json"], exits=_TOLD)(list_)


def add(
    call: Invocation,
    matter: MatterOption,
    reason: ReasonOption,
    dataset: DatasetOption = None,
    tenant: TenantOption = None,
    type_: TypeOption = None,
    match: MatchOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
) -> View:
    """Order that records are kept, whatever a rule says.

    Writes a file into `holds/` beside the policy and an entry into the ledger. Once the command returns, no
    run removes what the hold covers, not even one that is under way. Different fields must all match; of
    several values for one field, any. A dataset without the field is held whole.
    """
    from lapse.cli.scope import Ordered, hold_of
    from lapse.cli.views.held import HoldAddView
    from lapse.engine.holding import add_hold
    from lapse.engine.session import open_session

    hold = hold_of(
        Ordered(
            matter=matter,
            reason=reason,
            dataset=dataset,
            tenants=tuple(tenant or ()),
            types=tuple(type_ or ()),
            matches=tuple(match or ()),
            since=since,
            until=until,
            everything=everything,
        )
    )
    session = open_session(call.policy)
    add_hold(session, hold)
    return HoldAddView(hold, session.holds_folder, session.real_now)


def release(call: Invocation, matter: Matter) -> View:
    """End a hold.

    Removes its file from `holds/` and records the release in the ledger. What it kept follows the rules again:
    look at `lapse plan` before the next run.
    """
    from lapse.cli.views.held import HoldReleaseView
    from lapse.engine.holding import release_hold
    from lapse.engine.session import open_session

    release_hold(open_session(call.policy), matter)
    return HoldReleaseView(matter)


def list_(call: Invocation) -> View:
    """List the holds.

    Prints every hold of the policy and of `holds/`, what it covers, and whether it is in force.
    """
    from lapse.cli.views.held import HoldListView
    from lapse.engine.session import open_session

    session = open_session(call.policy)
    return HoldListView(session.holds(), session.real_now)
