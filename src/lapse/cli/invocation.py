"""One call of the program: its common options, and how a function becomes a command with them.

A command is a function from its options to a view. The common options stand before or after the name of
the command; what stands after wins.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapse.cli.failure import InterruptedByUserError, exit_code_of
from lapse.cli.helptext import MEANINGS, Command, Group, epilog
from lapse.cli.logged import LogFormat, LogLevel, from_environment, json_line, json_log
from lapse.cli.output import JsonOutput, Output, TextOutput, print_at_once, print_help
from lapse.cli.view import View
from lapse.errors import ExitCode, LapseError, UsageError

if TYPE_CHECKING:
    from lapse.observe.logs import JsonLog
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
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Draw no progress on stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        show_default=False,
        help="What stderr gets: text for people, or one JSON object a line. [env: LAPSE_LOG_FORMAT; default: text]",
    ),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level", show_default=False, help="Least level of JSON lines. [env: LAPSE_LOG_LEVEL; default: info]"
    ),
]


@dataclass(slots=True)
class Invocation:
    """The common options of one call, as far as they are parsed.

    Attributes:
        command: Path of the command, such as ``archive query``; empty until it is known.
        policy: Policy file.
        as_json: Whether to print JSON.
        quiet: Whether to leave progress out.
        debug: Whether to show tracebacks.
        log_format: What stderr gets. None until it is known.
        log_level: Least level of JSON lines. None until it is known.
        exits: What a drop-in answers after an error, in its own system's codes. None answers in Lapse's.
        voice: A drop-in's own way to answer, as its system does. None answers as Lapse does.
        above: Options of the group of commands that the command belongs to.
    """

    command: str = ""
    policy: str = ""
    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    log_format: LogFormat | None = None
    log_level: LogLevel | None = None
    exits: Callable[[LapseError], int] | None = None
    voice: Output | None = None
    above: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Invocation:
        """A call with *arguments*. Flags are seen at once, so that a bad option is answered in the right form."""
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return cls(policy=os.environ.get("LAPSE_POLICY") or POLICY, as_json="--json" in ours, debug="--debug" in ours)

    def note(
        self,
        *,
        policy: str | None,
        as_json: bool,
        quiet: bool,
        debug: bool,
        log_format: LogFormat | None = None,
        log_level: LogLevel | None = None,
    ) -> None:
        """Take the common options in; what is not given stays as it is.

        Raises:
            UsageError: If a variable that stands for one of them makes no sense.
        """
        self.policy = policy or self.policy
        self.as_json = self.as_json or as_json
        self.quiet = self.quiet or quiet
        self.debug = self.debug or debug
        usual = from_environment("LAPSE_LOG_FORMAT", LogFormat, LogFormat.TEXT)
        self.log_format = log_format or self.log_format or usual
        least = from_environment("LAPSE_LOG_LEVEL", LogLevel, LogLevel.INFO)
        self.log_level = log_level or self.log_level or least

    def exit_code_of(self, error: BaseException) -> int:
        """What the process answers after *error*."""
        if self.exits is not None and isinstance(error, LapseError):
            return self.exits(error)
        return exit_code_of(error)

    @property
    def output(self) -> Output:
        """Where answers go."""
        if self.voice is not None:
            return self.voice
        return JsonOutput() if self.as_json else TextOutput(self.log)

    @property
    def log(self) -> JsonLog | None:
        """Where log lines go. None if stderr gets text."""
        return json_log(self.log_level or LogLevel.INFO) if self.log_format is LogFormat.JSON else None

    def say_at_once(self, text: str) -> None:
        """Tell something on stderr from within a signal handler."""
        print_at_once(text if self.log_format is not LogFormat.JSON else json_line("run.stopping", text))

    @contextmanager
    def watched(self) -> Iterator[tuple[Hook, ...]]:
        """Hooks that show progress on a terminal, until the block is left, or write log lines."""
        from lapse.cli.progress import progress_bar

        log = self.log
        if log is not None:
            from lapse.observe.logs import LogHook

            yield (LogHook(log),)
            return
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
        app.command(name, cls=Command, help=inspect.getdoc(work), epilog=epilog(examples, exits))(shown(work))
        return work

    return register


def shown(work: Callable[..., View]) -> Callable[..., None]:
    """What typer calls for a command or for a group that is a command, too: the view of *work* is shown."""

    def run(
        *,
        ctx: typer.Context,
        policy: PolicyOption = None,
        as_json: JsonOption = False,
        quiet: QuietOption = False,
        debug: DebugOption = False,
        log_format: LogFormatOption = None,
        log_level: LogLevelOption = None,
        **arguments: Any,
    ) -> None:
        call = current(ctx)
        call.command = ctx.command_path.partition(" ")[2]
        call.note(policy=policy, as_json=as_json, quiet=quiet, debug=debug, log_format=log_format, log_level=log_level)
        if ctx.invoked_subcommand is not None:
            call.above = arguments
            return
        try:
            view = work(call, **arguments)
        except KeyboardInterrupt as error:
            raise InterruptedByUserError from error
        call.output.show(call.command, view)
        raise typer.Exit(int(view.exit_code))

    return _with_options_of(work, run)


def _with_options_of(work: Callable[..., View], run: Callable[..., None]) -> Callable[..., None]:
    """Let typer see the options of *work*, the invocation aside, and after them those of *run*."""
    own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
    common = [p for p in inspect.signature(run, eval_str=True).parameters.values() if p.kind is p.KEYWORD_ONLY]
    parameters = [*(each.replace(kind=each.KEYWORD_ONLY) for each in own), *common]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def group(
    app: typer.Typer,
    name: str,
    *,
    text: str,
    examples: Sequence[str],
    cls: type[Group] = Group,
    meanings: Mapping[ExitCode, str] = MEANINGS,
) -> typer.Typer:
    """A group of commands in *app*; without a command it prints its help.

    Arguments:
        app: The program, or a group of commands.
        name: As it is typed.
        text: What it is for.
        examples: Command lines for the help, most useful first.
        cls: The kind of group.
        meanings: Its exit codes, in words.
    """
    ending = epilog(examples, tuple(meanings), meanings)
    made = typer.Typer(name=name, cls=cls, help=text, epilog=ending, rich_markup_mode=None)
    made.callback(invoke_without_command=True)(_help_or_command)
    app.add_typer(made)
    return made


def _help_or_command(
    ctx: typer.Context,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = None,
) -> None:
    call = current(ctx)
    call.note(policy=policy, as_json=as_json, quiet=quiet, debug=debug, log_format=log_format, log_level=log_level)
    if ctx.invoked_subcommand is None:
        call.command = ctx.command_path.partition(" ")[2]
        raise_without_command(call, ctx)


def raise_without_command(call: Invocation, ctx: typer.Context) -> None:
    """Answer a call that names a group but no command: with its help, or with an error for programs.

    Raises:
        UsageError: With ``--json``, since help is no result; or if the group is never called without a command.
        typer.Exit: Else, after the help was printed.
    """
    if call.as_json or (isinstance(ctx.command, Group) and not ctx.command.helps):
        raise UsageError("there is no command", hint=f"See: {ctx.command_path} --help")
    print_help(ctx.get_help())
    raise typer.Exit
