"""Commands about legal holds: ``hold add``, ``release``, ``list``."""

from __future__ import annotations

from pathlib import Path
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
    typer.Option(
        "--match",
        metavar="FIELD=VALUE",
        help="Hold records with this value; `glob:` begins a pattern, `400..499` is a range, `FIELD!=VALUE` is not it.",
    ),
]
SubtypeOption = Annotated[
    list[str] | None, typer.Option("--subtype", metavar="T", help="Hold records of this subtype. May be repeated.")
]
ActorOption = Annotated[
    list[str] | None, typer.Option("--actor", metavar="A", help="Hold what this actor caused. May be repeated.")
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="K", help="Hold the record of this key, as `lapse why` takes it. May be repeated."),
]
KeysFromOption = Annotated[
    Path | None, typer.Option("--keys-from", metavar="FILE", help="Hold the records of the keys in FILE, one a line.")
]
FromOption = Annotated[
    str | None, typer.Option("--records-from", metavar="WHEN", help="Hold only records of this time or later.")
]
BeforeOption = Annotated[
    str | None, typer.Option("--records-before", metavar="WHEN", help="Hold only records earlier than this.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Date or instant from which the order applies.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="From when it no longer does. Open without it.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Hold everything. A hold without a scope must say so.")]
HereOnlyOption = Annotated[
    bool,
    typer.Option("--here-only", help="Runs of no other host work on the databases: they may be out of reach."),
]
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
            "lapse hold add --matter 2026-22 --match status=400..499 --match 'zone!=test' --reason audit",
            "lapse hold add --matter 2026-19 --dataset calls --key 4711 --key 4712 --reason complaint",
            "lapse hold add --matter 2026-20 --records-before 2026-02-01 --reason audit",
            "lapse hold add --matter 2026-21 --all --reason 'preservation order' --until 2027-07-01",
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
    subtype: SubtypeOption = None,
    actor: ActorOption = None,
    match: MatchOption = None,
    key: KeyOption = None,
    keys_from: KeysFromOption = None,
    records_from: FromOption = None,
    records_before: BeforeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: AllOption = False,
    here_only: HereOnlyOption = False,
) -> View:
    """Order that records are kept, whatever a rule says.

    Writes a file into `holds/` beside the policy and an entry into the ledger, and puts the hold into the
    databases that it concerns, where runs of other hosts see it. Once the command returns, no run removes what
    the hold covers, not even one that is under way. Different fields must all match; of several values for one
    field, any. A dataset without the field is held whole. Adding the same hold again does what was missing.
    """
    from lapse.cli.scope import Ordered, hold_of
    from lapse.cli.views.held import HoldAddView
    from lapse.engine.ordering import add_hold
    from lapse.engine.session import open_session

    hold = hold_of(
        Ordered(
            matter=matter,
            reason=reason,
            dataset=dataset,
            tenants=tuple(tenant or ()),
            types=tuple(type_ or ()),
            subtypes=tuple(subtype or ()),
            actors=tuple(actor or ()),
            matches=tuple(match or ()),
            keys=tuple(key or ()),
            keys_from=keys_from,
            records_from=records_from,
            records_before=records_before,
            since=since,
            until=until,
            everything=everything,
        )
    )
    session = open_session(call.policy)
    added = add_hold(session, hold, here_only=here_only)
    return HoldAddView(hold, session.holds_folder, session.real_now, added)


def release(call: Invocation, matter: Matter, here_only: HereOnlyOption = False) -> View:
    """End a hold.

    Takes it out of the databases, removes its file from `holds/` and records the release in the ledger. What it
    kept follows the rules again: look at `lapse plan` before the next run.
    """
    from lapse.cli.views.held import HoldReleaseView
    from lapse.engine.ordering import release_hold
    from lapse.engine.session import open_session

    unreached = release_hold(open_session(call.policy), matter, here_only=here_only)
    return HoldReleaseView(matter, tuple(map(str, unreached)))


def list_(call: Invocation) -> View:
    """List the holds.

    Prints every hold of the policy, of `holds/` and of the databases, what it covers, and whether it is in force.
    """
    from lapse.cli.views.held import HoldListView
    from lapse.engine.holding import hold_errors
    from lapse.engine.ordering import list_holds
    from lapse.engine.session import open_session

    session = open_session(call.policy)
    listed, unreached = list_holds(session)
    lost = tuple(f"{error}. {error.hint}" for error in hold_errors(session, session.holds()))
    return HoldListView(listed, session.real_now, tuple(map(str, unreached)), lost)
