"""What stderr gets: text for people, or log lines in JSON; and from which level on."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from lapse.errors import UsageError

if TYPE_CHECKING:
    from lapse.observe.logs import JsonLog

ChoiceT = TypeVar("ChoiceT", bound=Enum)


class LogFormat(Enum):
    """In which form stderr tells what happens."""

    TEXT = "text"
    JSON = "json"


class LogLevel(Enum):
    """The least level of a JSON line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def from_environment(variable: str, kind: type[ChoiceT], default: ChoiceT) -> ChoiceT:
    """The choice that *variable* names; *default* if it is not set.

    Raises:
        UsageError: If it names none.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        return kind(text)
    except ValueError as error:
        known = ", ".join(str(each.value) for each in kind)
        raise UsageError(f"{variable}={text!r} is none of its values", hint=f"It can be: {known}.") from error


def json_log(level: LogLevel) -> JsonLog:
    """A log whose lines go to stderr."""
    from lapse.cli.output import print_log_line
    from lapse.observe.logs import JsonLog

    return JsonLog(lambda line: print_log_line(line, on_stderr=True), level.value)


def json_line(event: str, message: str) -> str:
    """One line by itself, for signal handlers, where the log may be in the middle of another."""
    import json

    from lapse import clock
    from lapse.instant import rfc3339

    return json.dumps({"timestamp": rfc3339(clock.real_now()), "level": "info", "event": event, "message": message})
