"""``lapse as yuuvis``: the cleanup of an audit trail, with the command that it is done by today."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer

from lapse.cli.helptext import Command, Group, epilog
from lapse.cli.invocation import Invocation, group, shown
from lapse.cli.output import print_help
from lapse.cli.view import View
from lapse.dialects.yuuvis import NAME
from lapse.dialects.yuuvis.exits import MEANINGS, exit_code_of
from lapse.errors import UsageError

_HELP = ("-h", "--help")
_VALUED = ("-t", "--tenant", "--store", "--archive", "--ledger")
_EXITS = tuple(MEANINGS)
_EXAMPLES = (
    "lapse as yuuvis audit cleanup --dry-run",
    "lapse as yuuvis audit cleanup",
    "lapse as yuuvis audit cleanup -t acme --json",
    "lapse as yuuvis audit cleanup --store postgresql://audit@db/one --store postgresql://audit@db/two",
)

TenantOption = Annotated[
    list[str] | None,
    typer.Option(
        "-t", "--tenant", metavar="TENANT", show_default=False, help="Only entries of this tenant.  [default: all]"
    ),
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Look only: count what would go, change nothing.")]
StoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="URL",
        show_default=False,
        help="A database with an audit trail; may be repeated.  [env: LAPSE_STORE, separated by commas; default: those "
        "of application-dbs.yml]",
    ),
]
ArchiveOption = Annotated[
    str | None,
    typer.Option("--archive", metavar="FOLDER", help="Seal entries into this archive first.  [default: none]"),
]
LedgerOption = Annotated[
    str | None, typer.Option("--ledger", metavar="FOLDER", help="The ledger.  [default: in the state folder]")
]


class _Spoken:
    """Help wins over everything, and an option without its value does not take the next option for it."""

    def _begin(self, ctx: Any, args: Sequence[str]) -> bool:
        """Note how to answer; whether help is all that is wanted."""
        call = ctx.find_root().obj
        ours = args[: args.index("--")] if "--" in args else args
        if isinstance(call, Invocation):  # else the help is being written down
            from lapse.cli.views.yuuvis import YuuvisOutput

            call.voice = YuuvisOutput(as_json=call.as_json or "--json" in ours)
            call.exits = exit_code_of
        return any(each in _HELP for each in ours)


class _YuuvisGroup(_Spoken, Group):
    """The drop-in, or its commands for the audit trail: what a timer calls by half its name must not look done."""

    helps = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, up to the name of a command."""
        wants_help = self._begin(ctx, args)
        if wants_help and (args[0].startswith("-") or args[0] not in self.commands):
            _print_help(ctx)
        return super().parse_args(ctx, args)


class _YuuvisCommand(_Spoken, Command):
    """A command of the drop-in."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        if self._begin(ctx, args):
            _print_help(ctx)
        for word, following in pairwise([*args, "-"]):
            if word == "--":
                break
            if word in _VALUED and following.startswith("-"):
                long = "--tenant" if word == "-t" else word
                raise UsageError(
                    f"option {word!r} has no value", hint=f"If the value begins with a dash, write {long}=VALUE."
                )
        return super().parse_args(ctx, args)


def _print_help(ctx: Any) -> None:
    print_help(ctx.get_help())
    raise typer.Exit


def add_to(drop_ins: typer.Typer) -> None:
    """Add the drop-in to the others."""
    made = group(
        drop_ins,
        NAME,
        text="Clean the audit trail of a yuuvis system up, as its configuration says.\n\n"
        "Reads config/system/cleanupConfiguration.json below the working folder. Also called by a link to lapse with "
        "the name commander.",
        examples=_EXAMPLES,
        cls=_YuuvisGroup,
        meanings=MEANINGS,
    )
    audit = group(
        made, "audit", text="What is done with the audit trail.", examples=_EXAMPLES[:3], cls=_YuuvisGroup,
        meanings=MEANINGS,
    )  # fmt: skip
    for parent, name, work, examples in (
        (audit, "cleanup", cleanup, _EXAMPLES),
        (made, "audit-cleanup", cleanup, ("lapse as yuuvis audit-cleanup --dry-run",)),
        (made, "policy", policy, ("lapse as yuuvis policy > lapse.yaml",)),
        (made, "trust", trust, ("lapse as yuuvis trust",)),
    ):
        text = epilog(examples, _EXITS, MEANINGS)
        parent.command(name, cls=_YuuvisCommand, help=inspect.getdoc(work), epilog=text)(shown(work))


def cleanup(
    call: Invocation,
    tenant: TenantOption = None,
    dry_run: DryOption = False,
    store: StoreOption = None,
    archive: ArchiveOption = None,
    ledger: LedgerOption = None,
) -> View:
    """Delete entries of the audit trail that are older than the configuration keeps them.

    Each action has its days, counted as 86,400 seconds; entries that cannot be judged are kept and counted. Without
    a configuration nothing is deleted. Nothing is ever asked.
    """
    from lapse.cli.stopping import stopping
    from lapse.cli.views.yuuvis import YuuvisView
    from lapse.dialects.yuuvis.cleanup import Order
    from lapse.dialects.yuuvis.cleanup import cleanup as clean
    from lapse.dialects.yuuvis.wording import cleanup_lines, cleanup_object, unfinished_line

    only = _tenant(tenant or [])
    with call.watched() as hooks, stopping(call.say_at_once) as asked:
        done = clean(
            Order(
                tenant=only, stores=tuple(store or ()), dry=dry_run, archive=archive, ledger=ledger, hooks=hooks,
                stopping=asked,
            )
        )  # fmt: skip
    return YuuvisView(
        lines=tuple(cleanup_lines(done)),
        document=cleanup_object(done),
        warnings=done.warnings,
        troubles=tuple((unfinished_line(left), left.trouble.hint) for left in done.unfinished),
        exit_code=done.exit_code,
    )


def policy(
    call: Invocation, store: StoreOption = None, archive: ArchiveOption = None, ledger: LedgerOption = None
) -> View:
    """Print the configuration as a lapse.yaml.

    What the cleanup does is what `lapse run --allow-empty` does with this policy. Passwords are left out: the policy
    names environment variables in their place.
    """
    from lapse.cli.views.yuuvis import YuuvisView
    from lapse.dialects.yuuvis.cleanup import Order
    from lapse.dialects.yuuvis.cleanup import policy as made_of
    from lapse.dialects.yuuvis.wording import policy_object

    printed = made_of(Order(stores=tuple(store or ()), archive=archive, ledger=ledger))
    made = printed.made
    variables = (f"set {name} where lapse runs: {what}" for name, what in made.variables.items())
    return YuuvisView(
        lines=tuple(made.text.splitlines()), document=policy_object(made), warnings=(*printed.warnings, *variables)
    )


def trust(call: Invocation, store: StoreOption = None, ledger: LedgerOption = None) -> View:
    """Accept that a database is another one than before.

    The first cleanup pins which database stands behind an address, and later ones refuse to work on another. If
    another one is meant, say so with this command. The ledger records it.
    """
    from lapse.cli.views.yuuvis import YuuvisView
    from lapse.dialects.yuuvis.cleanup import Order
    from lapse.dialects.yuuvis.cleanup import trust as trust_stores
    from lapse.dialects.yuuvis.wording import trust_object

    found = trust_stores(Order(stores=tuple(store or ()), ledger=ledger))
    lines = tuple(f"Trusted as {each}, and the ledger says so." for each in found)
    return YuuvisView(lines=lines, document=trust_object(found))


def _tenant(given: Sequence[str]) -> str | None:
    """The tenant of the command line. None if there is none.

    Raises:
        UsageError: If it is given twice, or blank: that must never mean all of them.
    """
    if not given:
        return None
    if len(given) > 1:
        raise UsageError("option '--tenant' is given more than once", hint="One tenant, or leave it out for all.")
    if not given[0].strip():
        raise UsageError("option '--tenant' is blank", hint="Name a tenant, or leave the option out for all.")
    return given[0]
