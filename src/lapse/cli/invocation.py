"""One call of the program: its common options, and how a function becomes a command with them.

A command is a function from its options to a view. The common options stand before or after the name of
the command; what stands after wins.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapse.cli.failure import InterruptedByUserError
from lapse.cli.helptext import Command, epilog
from lapse.cli.output import JsonOutput, Output, TextOutput
from lapse.cli.view import View
from lapse.errors import ExitCode

if TYPE_CHECKING:
    from lapse.ports import Hook

POLICY = "lapse.yaml"

PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        "-p",
        metavar="FILE",
        show_default=False,
        help=f"The policy. [env: LAPSE_POLICY; default: {POLICY}]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, whatever happens.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


@dataclass(slots=True)
class Invocation:
    """The common options of one call, as far as they are parsed.

    Attributes:
        command: Path of the command, such as ``archive query``; empty until it is known.
        policy: Policy file.
        as_json: Whether to print JSON.
        quiet: Whether to leave progress and notes out.
        debug: Whether to show tracebacks.
    """

    command: str = ""
    policy: str = ""
    as_json: bool = False
    quiet: bool = False
    debug: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Invocation:
        """A call with *arguments*. Flags are seen at once, so that a bad option is answered in the right form."""
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return cls(policy=os.environ.get("LAPSE_POLICY") or POLICY, as_json="--json" in ours, debug="--debug" in ours)

    def note(self, *, policy: str | None, as_json: bool, quiet: bool, debug: bool) -> None:
        """Take the common options in; what is not given stays as it is."""
        self.policy = policy or self.policy
        self.as_json = self.as_json or as_json
        self.quiet = self.quiet or quiet
        self.debug = self.debug or debug

    @property
    def output(self) -> Output:
        """Where answers go."""
        return JsonOutput() if self.as_json else TextOutput()

    @contextmanager
    def watched(self) -> Iterator[tuple[Hook, ...]]:
        """Hooks that show progress on a terminal, until the block is left; none elsewhere."""
        from lapse.cli.progress import progress_bar

        with progress_bar(wanted=not (self.quiet or self.as_json)) as hooks:
            yield hooks


def current(context: typer.Context) -> Invocation:
    """The call that *context* belongs to."""
    found = context.find_root().obj
    if not isinstance(found, Invocation):
        raise TypeError("the program was started without an invocation")
    return found


def command(
    app: typer.Typer, name: str, *, examples: Sequence[str], exits: Sequence[ExitCode]
) -> Callable[[Callable[..., View]], Callable[..., View]]:
    """Make a function the command *name* of *app*: the common options are added, its view is shown.

    Arguments:
        app: The program, or a group of commands.
        name: As it is typed.
        examples: Command lines for the help, most useful first.
        exits: The exit codes it can end with.
    """

    def register(work: Callable[..., View]) -> Callable[..., View]:
        app.command(name, cls=Command, help=inspect.getdoc(work), epilog=epilog(examples, exits))(_shown(work))
        return work

    return register


def _shown(work: Callable[..., View]) -> Callable[..., None]:
    @wraps(work)
    def run(
        *,
        ctx: typer.Context,
        policy: PolicyOption = None,
        as_json: JsonOption = False,
        quiet: QuietOption = False,
        debug: DebugOption = False,
        **arguments: Any,
    ) -> None:
        call = current(ctx)
        call.command = ctx.command_path.partition(" ")[2]
        call.note(policy=policy, as_json=as_json, quiet=quiet, debug=debug)
        try:
            view = work(call, **arguments)
        except KeyboardInterrupt as error:
            raise InterruptedByUserError from error
        call.output.show(call.command, view)
        raise typer.Exit(int(view.exit_code))

    own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
    common = inspect.signature(run, follow_wrapped=False, eval_str=True).parameters.values()
    parameters = [*(p.replace(kind=p.KEYWORD_ONLY) for p in own), *(p for p in common if p.kind is p.KEYWORD_ONLY)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # type: ignore[attr-defined]  # the options are those of the signature above
    return run
