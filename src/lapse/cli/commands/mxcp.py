"""``lapse as mxcp``: the audit trail of an MXCP server, with the commands that it is kept by today."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from lapse.cli.helptext import Command, Group, epilog
from lapse.cli.invocation import Invocation, group, shown
from lapse.cli.view import View
from lapse.dialects.mxcp import NAME, usage_of
from lapse.dialects.mxcp.exits import MEANINGS, exit_code_of
from lapse.errors import ExitCode, UsageError

_EXITS = (ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE)
_FLAT = "--json=flat"

ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Profile of the site file.  [env: MXCP_PROFILE]")
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be deleted without actually deleting: nothing is written.")
]
ArchiveOption = Annotated[
    str | None,
    typer.Option("--archive", metavar="FOLDER", help="Seal records into this archive first.  [default: none]"),
]
LedgerOption = Annotated[
    str | None, typer.Option("--ledger", metavar="FOLDER", help="The ledger.  [default: in the state folder]")
]
ExportOption = Annotated[
    str | None, typer.Option("--export-duckdb", metavar="FILE", help="Export the records into this DuckDB file.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="SPAN", help="Only records of the last 10s, 5m, 2h or 30d.")
]


class _Spoken:
    """Answers as the original does, from the first argument on."""

    usage = f"{NAME} [OPTIONS] COMMAND [ARGS]..."

    def _prepared(self, ctx: Any, args: Sequence[str]) -> list[str]:
        from lapse.cli.views.mxcp import MxcpOutput
        from lapse.dialects.mxcp.wording import Form

        call = ctx.find_root().obj
        if not isinstance(call, Invocation):
            return list(args)  # the help is being written down
        ours = args[: args.index("--")] if "--" in args else args
        form = Form.JSON if call.as_json or "--json" in ours else Form.TEXT
        call.voice = MxcpOutput(Form.FLAT if _FLAT in ours else form, self.usage)
        call.exits = exit_code_of
        return ["--json" if each == _FLAT and number < len(ours) else each for number, each in enumerate(args)]


class _MxcpGroup(_Spoken, Group):
    """The drop-in."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        self._prepared(ctx, args)
        return super().parse_args(ctx, args)


class _MxcpCommand(_Spoken, Command):
    """A command of the drop-in."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        self.usage = usage_of(self.name or "")
        return super().parse_args(ctx, self._prepared(ctx, args))


def add_to(drop_ins: typer.Typer) -> None:
    """Add the drop-in to the others."""
    made = group(
        drop_ins,
        NAME,
        text="Keep the audit trail of an MXCP server as its schemas say.\n\n"
        "Reads mxcp-site.yml here or in a folder above, and the schema registry beside the log.",
        examples=["lapse as mxcp log-cleanup --dry-run", "lapse as mxcp log-cleanup"],
        cls=_MxcpGroup,
        meanings=MEANINGS,
    )
    for name, work, examples in (
        ("log-cleanup", log_cleanup, ["lapse as mxcp log-cleanup --dry-run", "lapse as mxcp log-cleanup --json"]),
        ("log", log, ["lapse as mxcp log --export-duckdb audit.duckdb --since 30d"]),
        ("policy", policy, ["lapse as mxcp policy > lapse.yaml"]),
        ("trust", trust, ["lapse as mxcp trust --profile prod"]),
    ):
        text = epilog(examples, _EXITS, MEANINGS)
        made.command(name, cls=_MxcpCommand, help=inspect.getdoc(work), epilog=text)(shown(work))


def log_cleanup(
    call: Invocation,
    profile: ProfileOption = None,
    dry_run: DryOption = False,
    archive: ArchiveOption = None,
    ledger: LedgerOption = None,
) -> View:
    """Apply retention policies to remove old audit records.

    What is older than its schema keeps it goes, record by record, from the log and its segments. `--json=flat`
    prints the object that MXCP's documentation shows, without the one around it.
    """
    from lapse.cli.dropins import clean

    with call.watched() as hooks:
        return clean(silent=call.as_json, dry=dry_run, profile=profile, archive=archive, ledger=ledger, hooks=hooks)


def log(
    call: Invocation,
    profile: ProfileOption = None,
    export_duckdb: ExportOption = None,
    since: SinceOption = None,
) -> View:
    """Export the audit records into a DuckDB file, the newest first.

    The table is `audit_logs`, with the columns of the original. To look at single records, call MXCP itself.
    """
    from lapse.cli.views.mxcp import MxcpView
    from lapse.dialects.mxcp.cleanup import Order
    from lapse.dialects.mxcp.exporting import export
    from lapse.dialects.mxcp.wording import export_line, export_object

    if export_duckdb is None:
        raise UsageError("Missing option '--export-duckdb'. To look at records, call MXCP's own `mxcp log`.")
    done = export(Order(profile=profile), path=export_duckdb, since=since)
    return MxcpView(lines=(export_line(done),), document=lambda form: export_object(done, form))


def policy(
    call: Invocation, profile: ProfileOption = None, archive: ArchiveOption = None, ledger: LedgerOption = None
) -> View:
    """Print the site's retention as a lapse.yaml.

    What the cleanup does is what `lapse run --allow-empty` does with this policy, as long as the schema registry
    stays as it is.
    """
    from lapse.cli.views.mxcp import MxcpView
    from lapse.dialects.mxcp.cleanup import Order, audit_of, meaning_of
    from lapse.dialects.mxcp.mapping import text_of
    from lapse.dialects.mxcp.wording import policy_object

    order = Order(profile=profile, archive=archive, ledger=ledger)
    audit = audit_of(order)
    made = text_of(meaning_of(order, audit)[0], audit)
    return MxcpView(lines=tuple(made.text.splitlines()), document=lambda form: policy_object(made, form))


def trust(call: Invocation, profile: ProfileOption = None, ledger: LedgerOption = None) -> View:
    """Accept that a profile's log is another one than before.

    The first cleanup pins which log it is, and later ones refuse to work on another: the path in the site file may
    be a slip. If it is meant, say so with this command. The ledger records it.
    """
    from lapse.cli.views.mxcp import MxcpView
    from lapse.dialects.mxcp.cleanup import Order
    from lapse.dialects.mxcp.cleanup import trust as trust_log
    from lapse.dialects.mxcp.wording import trust_line, trust_object

    found = trust_log(Order(profile=profile, ledger=ledger))
    return MxcpView(lines=(trust_line(found),), document=lambda form: trust_object(found, form))
