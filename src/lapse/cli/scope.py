"""From the options of ``hold add`` to a hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lapse.errors import UsageError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.match import Condition, Glob, Match
from lapse.model.policy import Hold

_GLOB = "glob:"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What was asked to be held, as typed.

    Attributes:
        matter: Case reference.
        reason: Why.
        dataset: Dataset name. None for all of them.
        tenants: Values of the role ``tenant``.
        types: Values of the role ``type``.
        matches: ``FIELD=VALUE`` texts.
        since: Date or instant. None is from always.
        until: Date or instant. None is open.
        everything: Whether everything was asked for in so many words.
    """

    matter: str
    reason: str
    dataset: str | None
    tenants: tuple[str, ...]
    types: tuple[str, ...]
    matches: tuple[str, ...]
    since: str | None
    until: str | None
    everything: bool


def hold_of(ordered: Ordered) -> Hold:
    """The hold that was asked for.

    Raises:
        UsageError: If no scope was given, or one together with ``--all``; or if a text cannot be understood.
    """
    scoped = ordered.dataset is not None or ordered.tenants or ordered.types or ordered.matches
    if not scoped and not ordered.everything:
        raise UsageError(
            "a hold needs a scope",
            hint="Name a --dataset, --tenant, --type or --match; or say --all, if everything is to be kept.",
        )
    if scoped and ordered.everything:
        raise UsageError("--all and a scope say two things", hint="Leave one of them out.")
    return Hold(
        matter=ordered.matter,
        reason=ordered.reason,
        dataset=ordered.dataset,
        match=Match(tuple(_conditions(ordered))),
        since=_instant("--since", ordered.since),
        until=_instant("--until", ordered.until),
    )


def _conditions(ordered: Ordered) -> Iterator[Condition]:
    wanted: dict[str, list[str]] = {"tenant": list(ordered.tenants), "type": list(ordered.types)}
    for text in ordered.matches:
        field, separator, value = text.partition("=")
        if not separator or not field.strip():
            raise UsageError(f"--match {text!r} is not FIELD=VALUE", hint="Write it like --match caller=4711.")
        wanted.setdefault(field.strip(), []).append(value)
    for field, values in wanted.items():
        if values:
            yield _condition(field, values)


def _condition(field: str, values: list[str]) -> Condition:
    if any(value in ("", _GLOB) for value in values):
        raise UsageError(f"an empty value for {field} matches nothing that is meant", hint="Write the value.")
    return Condition(
        field=field,
        values=tuple(value for value in values if not value.startswith(_GLOB)),
        globs=tuple(Glob(value.removeprefix(_GLOB)) for value in values if value.startswith(_GLOB)),
        role=field,
    )


def _instant(option: str, text: str | None) -> Nanos | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no date and no instant",
            hint="Write a date (its first instant in UTC) like 2026-10-01, or 2026-10-01T08:00:00Z.",
        ) from error
