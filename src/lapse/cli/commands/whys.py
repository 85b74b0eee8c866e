"""The command that explains: ``why``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lapse.cli.invocation import Invocation, command
from lapse.cli.view import View
from lapse.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lapse.engine.searching import Clues

OneDataset = Annotated[str, typer.Argument(metavar="DATASET", help="Its name in the policy.")]
Key = Annotated[
    str | None,
    typer.Argument(metavar="KEY", help="The record: its key, or FILE:LINE for log files.", show_default=False),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=VALUE",
        help="Instead of a key: records with this value, as `hold add --match` takes it. May be repeated.",
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, help="With --where: how many records to explain one by one.")
]
NotOption = Annotated[bool, typer.Option("--not", help="Why is nothing, or less than expected, being removed?")]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="WHEN", help="Day or instant of a record that is gone, where somebody knows it."),
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="T", help="Tenant of a record that is gone, where somebody knows it.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(
        app,
        "why",
        examples=[
            "lapse why calls 4711",
            "lapse why tool-audit logs-2026-01.jsonl:17",
            "lapse why calls --where tenant=acme --where type=CALL",
            "lapse why --not calls",
            "lapse why calls 4711 --at 2026-01-05 --tenant acme",
        ],
        exits=(ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE),
    )(why)


def why(
    call: Invocation,
    dataset: OneDataset,
    key: Key = None,
    where: WhereOption = None,
    limit: LimitOption = 10,
    hindered: NotOption = False,
    at: AtOption = None,
    tenant: TenantOption = None,
) -> View:
    """Explain what becomes of a record, what became of it, or why nothing goes.

    With a key, or with --where, it shows every layer that was looked at, in the order that decides: doubt, holds,
    rules, floors, cutoff. The one that decided is marked, with the day on which the record lapses. A record that
    is gone is looked up in the ledger and in the archive: when it was disposed of, by which run, under which rule,
    and in which segment its copy lies.

    With --not it looks at the whole dataset, read-only, and lists what stands in the way, ranked: first what stops
    runs, then what keeps most records; each with a command that changes it or shows more.
    """
    from lapse.engine.session import open_session

    if sum((key is not None, bool(where), hindered)) != 1:
        raise UsageError(
            "ask for one thing: a record's key, --where FIELD=VALUE, or --not", hint="See: lapse why --help"
        )
    session = open_session(call.policy)
    if hindered:
        from lapse.cli.views.hindered import WhyNotView
        from lapse.engine.hindering import why_not

        return WhyNotView(why_not(session, dataset))
    from lapse.cli.views.asked import WhyListView, WhyView
    from lapse.engine import asking

    if where:
        from lapse.cli.scope import match_of

        return WhyListView(asking.why_matching(session, dataset, match_of("--where", where), limit=limit))
    return WhyView(asking.why(session, dataset, key or "", clues=_clues(at, tenant)))


def _clues(at: str | None, tenant: str | None) -> Clues:
    """What is remembered: of a date the whole day, in UTC."""
    from lapse.cli.scope import instant_of, is_date
    from lapse.engine.searching import Clues
    from lapse.instant import DAY, Nanos

    first = instant_of("--at", at)
    last = Nanos(first + DAY - 1) if first is not None and is_date(at) else first
    return Clues(first=first, last=last, tenant=tenant)
