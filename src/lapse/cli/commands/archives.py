"""Commands about the archive: ``archive list``, ``verify``, ``restore``, ``query``."""

from __future__ import annotations

from typing import Annotated

import typer

from lapse.cli.invocation import Invocation, command, group
from lapse.cli.view import View
from lapse.errors import ExitCode, UsageError

_TOLD = (ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE)

Paths = Annotated[
    list[str] | None, typer.Argument(metavar="PATH", help="Segments, as `lapse archive list` names them.")
]
ArchiveOption = Annotated[str | None, typer.Option("--archive", metavar="A", help="Only copies in this archive.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", metavar="D", help="Only segments of this dataset.")]
RunOption = Annotated[str | None, typer.Option("--run", metavar="R", help="Only segments of this run.")]
PreparedOption = Annotated[
    bool, typer.Option("--include-prepared", help="Also segments whose records may still be in their store.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="Restore into this store instead of their own.")
]
TableOption = Annotated[str | None, typer.Option("--table", metavar="T", help="Restore into this table.")]
HoldDaysOption = Annotated[
    int, typer.Option("--hold-days", metavar="N", min=1, help="Hold what came back for so many days.")
]
NoHoldOption = Annotated[bool, typer.Option("--no-hold", help="Hold nothing: the next run may take it again.")]
AllOption = Annotated[bool, typer.Option("--all", help="Restore everything. Without a selector, this must be said.")]
Sql = Annotated[str, typer.Argument(metavar="SQL", help="One statement that reads; each dataset is a table.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    archive = group(
        app,
        "archive",
        text="The archive: list, verify, ask and restore what was sealed.",
        examples=["lapse archive list", "lapse archive verify", "lapse archive query 'SELECT count(*) FROM calls'"],
    )
    command(archive, "list", examples=["lapse archive list", "lapse archive list --dataset calls --json"], exits=_TOLD)(
        list_
    )
    command(
        archive,
        "verify",
        examples=["lapse archive verify", "lapse archive verify --archive cold --dataset calls"],
        exits=_TOLD,
    )(verify)
    command(
        archive,
        "restore",
        examples=[
            "lapse archive restore --dataset calls --run 20261122T100000000000Z-3f9a1c",
            "lapse archive restore --dataset calls --to sqlite:///inquiry.db",
            "lapse archive restore --all --no-hold",
        ],
        exits=(*_TOLD, ExitCode.REFUSED, ExitCode.LEASED),
    )(restore)
    command(
        archive,
        "query",
        examples=[
            "lapse archive query 'SELECT tenant, count(*) FROM calls GROUP BY ALL'",
            "lapse archive query 'FROM \"tool-audit\" LIMIT 10' --json",
        ],
        exits=_TOLD,
    )(query)


def list_(
    call: Invocation,
    archive: ArchiveOption = None,
    dataset: DatasetOption = None,
    run: RunOption = None,
    include_prepared: PreparedOption = False,
) -> View:
    """List the segments in the archives.

    Prints each copy with its records, size and time range, as its manifest says, and the legal holds that may
    cover records in it. Segments are committed once the ledger entry of their disposal lies beside them.
    """
    from lapse.cli.views.archived import ArchiveListView
    from lapse.engine import archiving
    from lapse.engine.retaining import HeldSegments
    from lapse.engine.session import open_session

    session = open_session(call.policy)
    wanted = archiving.Wanted(archive=archive, dataset=dataset, run=run, include_prepared=include_prepared)
    found, held = tuple(archiving.list_segments(session, wanted)), HeldSegments(session)
    return ArchiveListView(
        found, {each.path: held.matters(each) for each in found}, tuple(map(str, held.unreached))
    )  # fmt: skip


def verify(
    call: Invocation,
    paths: Paths = None,
    archive: ArchiveOption = None,
    dataset: DatasetOption = None,
    run: RunOption = None,
    include_prepared: PreparedOption = False,
) -> View:
    """Read the archive back and compare it with what is said about it.

    Reads every byte of every copy and compares it with its manifest, the signed entry beside it and the
    ledger. A segment that the ledger names and no archive has is a problem too. Nothing is written.
    """
    from lapse.cli.views.archived import ArchiveVerifyView
    from lapse.engine import archiving
    from lapse.engine.session import open_session

    wanted = archiving.Wanted(
        archive=archive, dataset=dataset, run=run, paths=tuple(paths or ()), include_prepared=include_prepared
    )
    return ArchiveVerifyView(tuple(archiving.verify(open_session(call.policy), wanted)))


def restore(
    call: Invocation,
    paths: Paths = None,
    archive: ArchiveOption = None,
    dataset: DatasetOption = None,
    run: RunOption = None,
    to: ToOption = None,
    table: TableOption = None,
    hold_days: HoldDaysOption = 30,
    no_hold: NoHoldOption = False,
    include_prepared: PreparedOption = False,
    everything: AllOption = False,
) -> View:
    """Bring records back from the archive.

    Verifies the chosen segments and writes their records into the stores they came from, or into another one.
    It never overwrites, writes each segment wholly or not at all, and restores nothing twice. What came back
    into its own store is held for 30 days, or the next run would take it again. The ledger records it.
    """
    from lapse.cli.views.archived import RestoreView
    from lapse.engine import archiving
    from lapse.engine.session import open_session

    if not (paths or archive or dataset or run or everything):
        raise UsageError("nothing was chosen", hint="Name a PATH, --dataset, --run or --archive; or say --all.")
    wanted = archiving.Wanted(
        archive=archive, dataset=dataset, run=run, paths=tuple(paths or ()), include_prepared=include_prepared
    )
    days = None if no_hold else hold_days
    return RestoreView(archiving.restore(open_session(call.policy), wanted, to=to, table=table, hold_days=days))


def query(
    call: Invocation,
    sql: Sql,
    archive: ArchiveOption = None,
    dataset: DatasetOption = None,
    run: RunOption = None,
) -> View:
    """Ask the archive in SQL.

    Each dataset is a table (quote names with a dash: "tool-audit"). Lines of text logs have a column `line`
    and one for each JSON key. The statement is DuckDB's SQL, it can read nothing but the committed segments,
    and it can write nothing.
    """
    from lapse.cli.views.archived import QueryView
    from lapse.engine import archiving
    from lapse.engine.session import open_session

    wanted = archiving.Wanted(archive=archive, dataset=dataset, run=run)
    with archiving.query(open_session(call.policy), sql, wanted) as answer:
        return QueryView(answer.columns, tuple(answer.rows))
