"""The program ``lapse``: its commands, its common options, and the one place where errors become answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

import lapse
from lapse.cli.commands import (
    archives,
    daemons,
    demos,
    dialects,
    holds,
    ledgers,
    paces,
    policies,
    reclaims,
    rotations,
    runs,
    schedules,
    statuses,
    whys,
)
from lapse.cli.helptext import Group, epilog
from lapse.cli.invocation import (
    DebugOption,
    Invocation,
    JsonOption,
    LogFormatOption,
    LogLevelOption,
    PolicyOption,
    QuietOption,
    current,
    raise_without_command,
)
from lapse.cli.links import called_as
from lapse.cli.output import print_traceback
from lapse.cli.process import prepare
from lapse.errors import LapseError, UsageError

_HELP = """Keep logs and audit trails for as long as a policy says, and no longer.

What has lapsed is sealed into a verified archive, removed from its store, and recorded in a ledger that proves
it. Begin with `lapse init` on a log of yours, or with `lapse demo`."""
_EXAMPLES = (
    "lapse demo",
    "lapse init calls.db",
    "lapse check",
    "lapse plan",
    "lapse run --dry-run",
    "lapse run",
    "lapse ledger verify",
)


class Root(Group):
    """The program: every error leaves it as an answer with an exit code, never as a traceback."""

    def main(self, args: Sequence[str] | None = None, *_ignored: Any, **_also_ignored: Any) -> NoReturn:
        """Run the command line *args* and end the process."""
        given = list(sys.argv[1:] if args is None else args)
        call = Invocation.of(given)
        run = super().main
        sys.exit(_answered(lambda: run(_texts(given), "lapse", standalone_mode=False, obj=call), call))


def _texts(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments, if all are UTF-8: others can stand in no ledger, policy or answer.

    Raises:
        UsageError: If one is not.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"argument {argument!r} is not UTF-8 text", hint="Write it in UTF-8.") from error
    return arguments


def _answered(work: Callable[[], Any], call: Invocation) -> int:
    """The exit code of *work*; what it raises is told."""
    try:
        return int(work() or 0)
    except (LapseError, typer.TyperException) as error:
        return _failed(call, error)
    except Exception as error:  # noqa: BLE001  # the last door: whatever comes here is a defect, and is told as one
        return _failed(call, error)


def _failed(call: Invocation, error: Exception) -> int:
    code = call.exit_code_of(error)
    if call.debug:
        print_traceback(error, call.log)
    call.output.fail(call.command or _command_of(error), error, code)
    return code


def _command_of(error: Exception) -> str:
    """The command that a usage error is about; empty if it was not recognised."""
    context = getattr(error, "ctx", None)
    return "" if context is None else str(context.command_path).partition(" ")[2]


app = typer.Typer(
    name="lapse",
    cls=Root,
    help=_HELP,
    epilog=epilog(_EXAMPLES),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(ctx: typer.Context, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from lapse.cli.views.accepted import VersionView

    current(ctx).output.show("", VersionView(lapse.__version__))
    raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    call = current(ctx)
    call.note(policy=policy, as_json=as_json, quiet=quiet, debug=debug, log_format=log_format, log_level=log_level)
    if ctx.invoked_subcommand is None:
        raise_without_command(call, ctx)


policies.add_to(app)
runs.add_to(app)
whys.add_to(app)
statuses.add_to(app)
schedules.add_to(app)
daemons.add_to(app)
paces.add_to(app)
reclaims.add_to(app)
rotations.add_to(app)
holds.add_to(app)
archives.add_to(app)
ledgers.add_to(app)
policies.add_trust_to(app)
policies.add_refreshed_to(app)
demos.add_to(app)
dialects.add_to(app)


def main() -> None:
    """The whole program, without the short way that `lapse.cli.entry` has."""
    prepare()
    app(called_as(sys.argv))
