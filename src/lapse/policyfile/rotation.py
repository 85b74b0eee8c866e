"""The shape of the keys `rotate`, `reopen` and `warn at`: what each may hold, and what it means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, Tag, WithJsonSchema

from lapse.errors import PolicyError, UsageError
from lapse.model.bytesize import parse_size
from lapse.model.reopening import parse_signal
from lapse.model.rotation import Every, Packing
from lapse.policyfile import words

_EVERY = {each.value: each for each in Every}
_SIZE = r"^[0-9]{1,9}(\.[0-9]{1,6})? ?([kKMGTP]i?)?B$"
_AT = "Write an amount of bytes with its unit, like `1 GB`, or `daily` or `weekly`."


def amount(value: Any) -> int:
    """An amount of bytes with its unit, 1 or more."""
    try:
        found = parse_size(value) if isinstance(value, str) else 0
    except UsageError as error:
        raise words.wrong(f"{words.kind_of(value)} is no amount of bytes", error.hint) from error
    if not found:
        raise words.wrong(
            f"must be an amount of bytes, not {words.kind_of(value)}", "Write it with its unit, like `1 GB`."
        )
    return found


def rotate_at(value: Any) -> int | Every:
    """A size from which on, or a time after which a log is rotated."""
    if isinstance(value, str) and value in _EVERY:
        return _EVERY[value]
    try:
        found = parse_size(value) if isinstance(value, str) else 0
    except UsageError:
        found = 0
    if not found:
        raise words.wrong(f"cannot be {words.kind_of(value)}", _AT)
    return found


def signal(value: Any) -> str:
    """The name of a signal."""
    try:
        return parse_signal(words.text(value))
    except PolicyError as error:
        raise words.wrong(error.message, error.hint) from error


_PACKINGS = [each.value for each in Packing]
Amount = Annotated[
    int, PlainValidator(amount), WithJsonSchema({"type": "string", "pattern": _SIZE, "examples": ["1 GB", "512 MiB"]})
]
At = Annotated[
    int | Every,
    PlainValidator(rotate_at),
    WithJsonSchema({"anyOf": [{"enum": [*_EVERY]}, {"type": "string", "pattern": _SIZE}], "examples": ["1 GB"]}),
]
PackingWord = Annotated[str, PlainValidator(words.one_of(*_PACKINGS)), WithJsonSchema({"enum": _PACKINGS})]
Signal = Annotated[str, PlainValidator(signal), WithJsonSchema({"type": "string", "examples": ["HUP", "USR1"]})]


class ReopenShape(BaseModel):
    """How a writer of these log files is told to open them anew: a `signal` with its `pid file`, or a `command`."""

    model_config = words.STRICT | ConfigDict(title="Reopen")

    signal: Signal | None = None
    """Name of the signal, like `HUP`."""

    pid_file: words.Text | None = Field(default=None, alias="pid file")
    """File that holds the number of the process. A relative path starts at the policy."""

    command: words.CommandLine | None = None
    """Program and arguments, as a list. No shell is involved."""


class RotateShape(ReopenShape):
    """When the log that a writer appends to is set aside under another name. `signal`, `pid file` and `command` are
    short for the same keys in `reopen`.
    """

    model_config = words.STRICT | ConfigDict(title="Rotate")

    at: Annotated[
        Annotated[At, Tag(words.ONE)] | Annotated[list[At], Field(min_length=1), Tag(words.MANY)], words.ONE_OR_LIST
    ]
    """A size with its unit, `daily` or `weekly`; of a list, whichever comes first."""

    compress: PackingWord = "none"
    """How rotated files are compressed, once nobody writes to them: `zstd`, `gzip` or `none`."""
