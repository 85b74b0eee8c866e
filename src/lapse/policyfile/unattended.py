"""The shape of the keys `schedule` and `notify`: what each may hold, and what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from lapse.model.schedule import parse_cron, parse_daily, parse_every
from lapse.model.span import parse_span
from lapse.policyfile import words


@dataclass(frozen=True, slots=True)
class Due:
    """When runs are due.

    Attributes:
        text: As it is written, on one line.
        cron: The five fields that it means.
    """

    text: str
    cron: str


def _due(parse: Callable[[object], str]) -> PlainValidator:
    return PlainValidator(words.single(lambda value: Due(text=" ".join(str(value).split()), cron=parse(value))))


def _text(*examples: str, **schema: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **schema, "examples": list(examples)})


Wall = Annotated[Due, _due(parse_daily), _text("02:00", pattern="^([01]?[0-9]|2[0-3]):[0-5][0-9]$")]
Every = Annotated[Due, _due(parse_every), _text("6 hours", "15 minutes")]
Cron = Annotated[Due, _due(parse_cron), _text("0 2 * * *")]
Span = Annotated[float, PlainValidator(words.single(parse_span)), _text("1 hour", "30m")]


class ScheduleShape(BaseModel):
    """When runs are to happen: exactly one of `daily at`, `every` and `cron`."""

    model_config = words.STRICT | ConfigDict(title="Schedule")

    daily_at: Wall | None = Field(default=None, alias="daily at")
    """Time of day."""

    every: Every | None = None
    """Span that divides an hour or a day, counted from midnight: `15 minutes`, `6 hours`, `1 day`."""

    cron: Cron | None = None
    """Five fields that every cron reads: minute, hour, day of month, month, day of week."""

    time_zone: words.Zone | None = Field(default=None, alias="time zone")
    """Time zone that it is meant in. Without it, the machine's own."""

    jitter: Span | None = None
    """A run starts up to this much later, at random, so that many machines do not begin at once. Without it, none."""

    slack: Span | None = None
    """A run that has not succeeded this long after it was due counts as missed, the jitter aside. Without it,
    `2 hours`."""


class NotifyShape(BaseModel):
    """Programs that are told how a run ended: the JSON report on standard input, `LAPSE_RUN` and `LAPSE_EXIT` in the
    environment. No shell is involved.
    """

    model_config = words.STRICT | ConfigDict(title="Notify")

    on_failure: words.CommandLine | None = Field(default=None, alias="on failure")
    """Program and arguments, called after a run that failed or was refused: exit 1, 2 or 3."""

    on_success: words.CommandLine | None = Field(default=None, alias="on success")
    """Program and arguments, called after a run that ended with exit 0."""
