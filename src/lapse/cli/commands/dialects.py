"""``lapse as``: the drop-ins, which are called, configured and answer as the systems that they replace."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lapse.cli.commands import mxcp, yuuvis
from lapse.cli.helptext import Command, Group, epilog
from lapse.cli.invocation import Invocation, group, shown
from lapse.cli.links import LINKS
from lapse.cli.view import View
from lapse.dialects.xivo import NAMES
from lapse.dialects.xivo.exits import MEANINGS, exit_code_of
from lapse.dialects.xivo.schedule import Form
from lapse.errors import ExitCode, LapseError, UsageError

_XIVO = NAMES[0]
_EXITS = (ExitCode.DONE, ExitCode.INCOMPLETE, ExitCode.USAGE)
_USAGE = f"Usage: {_XIVO} [-h] [-d DAYS_TO_KEEP] [--dry-run] [--json] [policy | schedule | trust]"
_ABBREVIATED = ("--days_to_keep", "--help")
_DIGITS = re.compile(r"[0-9]+")
_LONGEST = 4000  # digits; the interpreter reads no longer number

DaysOption = Annotated[
    str | None,
    typer.Option(
        "-d", "--days_to_keep", metavar="DAYS_TO_KEEP", help="Days to keep, instead of `days_to_keep` in config.yml."
    ),
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Look only: check and count everything, change nothing.")]
PurgerArgument = Annotated[str, typer.Argument(metavar="PURGER", help="Whose table, like `queue-log`.")]
FormArgument = Annotated[Form, typer.Argument(help="What runs it.")]


class _XivoGroup(Group):
    """The drop-in, which is a command and has commands. Abbreviations are those that the original takes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; what they cannot mean is answered with the usage."""
        with _usage_told():
            return super().parse_args(ctx, _written_out(args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with."""
        with _usage_told():
            return super().resolve_command(ctx, args)


class _XivoCommand(Command):
    """A command of the drop-in."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; what they cannot mean is answered with the usage."""
        with _usage_told():
            return super().parse_args(ctx, _written_out(args))


@contextmanager
def _usage_told() -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        text = error.format_message().rstrip(".")
        raise UsageError(text[:1].lower() + text[1:], hint=_USAGE) from error


def add_to(app: typer.Typer) -> None:
    """Add the drop-ins to the program."""
    drop_ins = group(
        app,
        "as",
        text="Purge as another system's command does, with its configuration and exit codes.",
        examples=["lapse as xivo-purge-db --dry-run", "lapse as xivo-purge-db -d 365", "lapse as mxcp log-cleanup"],
    )
    made = typer.Typer(
        name=_XIVO,
        cls=_XivoGroup,
        help=inspect.getdoc(xivo_purge_db),
        epilog=epilog(
            ["lapse as xivo-purge-db --dry-run", "lapse as xivo-purge-db", "lapse as xivo-purge-db -d 90 --json"],
            _EXITS,
            MEANINGS,
        ),
        rich_markup_mode=None,
    )
    made.callback(invoke_without_command=True)(shown(xivo_purge_db))
    for work, examples in (
        (policy, ["lapse as xivo-purge-db policy > lapse.yaml", "lapse as xivo-purge-db policy -d 90"]),
        (schedule, ["lapse as xivo-purge-db schedule cron", "lapse as xivo-purge-db schedule systemd"]),
        (trust, ["lapse as xivo-purge-db trust queue-log"]),
    ):
        text = epilog(examples, _EXITS, MEANINGS)
        made.command(work.__name__, cls=_XivoCommand, help=inspect.getdoc(work), epilog=text)(shown(work))
    drop_ins.add_typer(made)
    mxcp.add_to(drop_ins)
    yuuvis.add_to(drop_ins)


def xivo_purge_db(call: Invocation, days_to_keep: DaysOption = None, dry_run: DryOption = False) -> View:
    """Purge a XiVO or Wazo database as xivo-purge-db does.

    Reads /etc/wazo-purge-db or /etc/xivo-purge-db, calls the archive plug-ins, then removes call events, queue
    logs, statistics and what else is enabled, one table after the other. Log lines go to the log file and to
    stdout, errors to stderr. Also called by a link to lapse with the name xivo-purge-db or wazo-purge-db.
    """
    from lapse.cli.output import print_log_line
    from lapse.cli.stopping import stopping
    from lapse.cli.views.dropins import PurgeView
    from lapse.dialects.xivo.purge import Order, purge

    call.exits = exit_code_of
    days = _days(days_to_keep)

    def voice(line: str, *, is_error: bool) -> None:
        print_log_line(line, on_stderr=is_error or call.as_json)

    with stopping() as asked:
        try:
            return PurgeView(purge(Order(days=days, dry=dry_run, stopping=asked), voice=voice))
        except LapseError as error:
            if call.as_json:
                raise
            raise typer.Exit(exit_code_of(error)) from error  # the log has said what and why


def policy(call: Invocation, days_to_keep: DaysOption = None) -> View:
    """Print the configuration as a lapse.yaml.

    What the purge does is what `lapse run` does with this policy. The database is asked for its time zone and
    columns, and read for the tenants' own days; nothing is changed. Passwords are left out: the policy names an
    environment variable in their place.
    """
    from lapse.cli.views.dropins import PolicyView
    from lapse.dialects.xivo.purge import Order, meaning_of, read_settings, text_of

    call.exits = exit_code_of
    settings = read_settings(Order(days=_days(days_to_keep or call.above.get("days_to_keep"))))
    meaning = meaning_of(settings)
    return PolicyView(text_of(settings, meaning), (*settings.warnings, *meaning.warnings))


def schedule(call: Invocation, form: FormArgument = Form.CRON, days_to_keep: DaysOption = None) -> View:
    """Print the line for cron, or the units for systemd, that run the purge every night.

    It runs at 03:25, moved by up to half an hour at random. What it says is never thrown away.
    """
    from lapse.cli.views.dropins import ScheduleView
    from lapse.dialects.xivo.schedule import schedule as text_for

    call.exits = exit_code_of
    days = _days(days_to_keep or call.above.get("days_to_keep"))
    return ScheduleView(form, text_for(form, command=_program(), days=days))


def trust(call: Invocation, purger: PurgerArgument) -> View:
    """Accept that a table is another one than before.

    The first purge pins which table of which server a purger works on, and later ones refuse to work on another: the
    address in the configuration may be a slip. After an upgrade that changed its columns, or a move to another
    server, say so with this command. The ledger records it.
    """
    from lapse.cli.views.accepted import TrustView
    from lapse.dialects.xivo.purge import trust as trust_table

    call.exits = exit_code_of
    return TrustView(purger, trust_table(purger))


def _program() -> str:
    """How to call the drop-in from anywhere: by the link that it was called by, or by where lapse is."""
    if Path(sys.argv[0]).name in LINKS:
        return shlex.quote(str(Path(sys.argv[0]).absolute()))
    from lapse.engine.units.needs import program

    return shlex.join([*program(), "as", _XIVO])


def _days(text: str | None) -> int | None:
    if text is None:
        return None
    if not _DIGITS.fullmatch(text.strip().removeprefix("+")):
        what = "is negative" if text.strip().startswith("-") else "is no whole number"
        raise UsageError(f"argument -d/--days_to_keep: {text!r} {what}", hint=_USAGE)
    return int(text.strip()[:_LONGEST])


def _written_out(arguments: Sequence[str]) -> list[str]:
    """The arguments with abbreviated options of the original in full; Lapse's own are not abbreviated."""
    ours = list(arguments)
    for index, argument in enumerate(ours):
        if argument == "--":
            break
        name, equals, value = argument.partition("=")
        if name == "-d" and equals:
            name = "--days_to_keep"  # `-d=5` is 5 to the original
        full = next((option for option in _ABBREVIATED if len(name) > 2 and option.startswith(name)), name)
        ours[index] = f"{full}{equals}{value}"
    return ours
