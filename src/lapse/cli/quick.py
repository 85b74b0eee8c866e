"""The short way to ``mxcp log-cleanup``: parsing options the usual way takes longer than a small log does.

Only what is spelled plainly goes this way. Everything else, help and mistakes included, goes the usual one, and
answers the same where both could.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lapse.cli.output import Output

_COMMAND = ["as", "mxcp", "log-cleanup"]
_VALUES = ("--profile", "--archive", "--ledger")
_FLAGS = ("--dry-run", "--json", "--json=flat")


@dataclass(frozen=True, slots=True)
class _Plain:
    """A command line that says nothing but what it means."""

    values: Mapping[str, str]
    flags: frozenset[str]


def quick(arguments: Sequence[str]) -> int | None:
    """Run the command line. None if it is none for the short way, and nothing was done."""
    plain = _understood(arguments)
    if plain is None or _is_watched():
        return None
    from lapse.cli.dropins import clean
    from lapse.cli.views.mxcp import MxcpOutput
    from lapse.dialects.mxcp import usage_of
    from lapse.dialects.mxcp.exits import exit_code_of
    from lapse.dialects.mxcp.wording import Form
    from lapse.errors import ExitCode, LapseError

    form = Form.FLAT if "--json=flat" in plain.flags else Form.JSON if "--json" in plain.flags else Form.TEXT
    output = MxcpOutput(form, usage_of("log-cleanup"))
    try:
        view = clean(
            silent=form is not Form.TEXT,
            dry="--dry-run" in plain.flags,
            profile=plain.values.get("--profile"),
            archive=plain.values.get("--archive"),
            ledger=plain.values.get("--ledger"),
        )
    except LapseError as error:
        return _failed(output, error, exit_code_of(error))
    except KeyboardInterrupt:
        from lapse.cli.failure import InterruptedByUserError

        return _failed(output, InterruptedByUserError(), int(ExitCode.INCOMPLETE))
    except Exception as error:  # noqa: BLE001  # the last door, as in lapse.cli.main
        return _failed(output, error, int(ExitCode.INCOMPLETE))
    output.show(" ".join(_COMMAND), view)
    return int(view.exit_code)


def _failed(output: Output, error: Exception, code: int) -> int:
    output.fail(" ".join(_COMMAND), error, code)
    return code


def _understood(arguments: Sequence[str]) -> _Plain | None:
    rest = list(arguments)
    if rest[: len(_COMMAND)] != _COMMAND or not all(map(_is_text, rest)):
        return None
    values: dict[str, str] = {}
    flags: set[str] = set()
    words = iter(rest[len(_COMMAND) :])
    for word in words:
        if word in _FLAGS:
            flags.add(word)
            continue
        value = next(words, "-") if word in _VALUES else "-"
        if value.startswith("-"):
            return None
        values[word] = value
    return _Plain(values, frozenset(flags))


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_watched() -> bool:
    """Whether a person looks on, who gets a progress bar, or log lines are asked for."""
    return sys.stderr.isatty() or any(name.startswith("LAPSE_LOG") for name in os.environ)
