"""From the options of ``hold add`` to a hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import PolicyError, UsageError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.policy import Hold

_GLOB, _SET = "glob:", "set:"
_RANGE = re.compile(r"(-?[0-9]{1,40})?\.\.(-?[0-9]{1,40})?")
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
        matches: ``FIELD=VALUE`` texts, as `match_of` takes them.
        subtypes: Values of the role ``subtype``.
        actors: Values of the role ``actor``.
        keys: Keys of records.
        keys_from: File with more of them, one a line. None for none.
        records_from: Date or instant. None has no such bound.
        records_before: Date or instant. None has no such bound.
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
    subtypes: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    keys_from: Path | None = None
    records_from: str | None = None
    records_before: str | None = None
    since: str | None
    until: str | None
    everything: bool


def hold_of(ordered: Ordered) -> Hold:
    """The hold that was asked for.

    Raises:
        UsageError: If no scope was given, or one together with ``--all``; or if a text cannot be understood.
    """
    keys, roles = _keys(ordered), _roles(ordered)
    times = ordered.records_from, ordered.records_before
    scoped = ordered.dataset is not None or any(roles.values()) or ordered.matches or any(times)
    if not scoped and not ordered.everything:
        raise UsageError(
            "a hold needs a scope",
            hint="Name a --dataset, --tenant, --type, --match or times; or say --all, if everything is to be kept.",
        )
    if scoped and ordered.everything:
        raise UsageError("--all and a scope say two things", hint="Leave one of them out.")
    return Hold(
        matter=ordered.matter,
        reason=ordered.reason,
        dataset=ordered.dataset,
        match=match_of("--match", ordered.matches, roles),
        keys=keys,
        records_from=instant_of("--records-from", ordered.records_from),
        records_before=instant_of("--records-before", ordered.records_before),
        since=instant_of("--since", ordered.since),
        until=instant_of("--until", ordered.until),
    )


def _roles(ordered: Ordered) -> Mapping[str, Sequence[str]]:
    return {
        "tenant": ordered.tenants,
        "type": ordered.types,
        "subtype": ordered.subtypes,
        "actor": ordered.actors,
    }


def _keys(ordered: Ordered) -> tuple[str, ...]:
    """The keys that were typed, then those of the file."""
    named = ordered.keys or ordered.keys_from is not None
    if named and ordered.dataset is None:
        raise UsageError("keys name records of one dataset", hint="Say which, with --dataset.")
    keys = [*ordered.keys, *(() if ordered.keys_from is None else _lines(ordered.keys_from))]
    if any(not key.strip() for key in keys):
        raise UsageError("an empty key names no record", hint="Write the key as `lapse why` takes it.")
    if named and not keys:
        raise UsageError(f"there is no key in {ordered.keys_from}", hint="Write one a line.")
    return tuple(dict.fromkeys(keys))


def _lines(file: Path) -> list[str]:
    """The lines of a file; an empty one is left out."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", hint="Name a file with a key a line.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text", hint="Save it as UTF-8, a key a line.") from error
    return [line.removesuffix("\r") for line in text.split("\n") if line.removesuffix("\r")]


def match_of(option: str, texts: Iterable[str], more: Mapping[str, Sequence[str]] | None = None) -> Match:
    """The match of ``FIELD=VALUE`` texts; values of one field are alternatives.

    ``FIELD!=VALUE`` is all but that value; of several for one field, what is none of them. A value may be a pattern
    after ``glob:``, or a range of whole numbers such as ``400..499``, ``400..`` or ``..499``.

    Arguments:
        option: The option that they came by, for messages.
        texts: As typed.
        more: Values of further fields, before them.

    Raises:
        UsageError: If one cannot be understood.
    """
    wanted = {(field, False): list(values) for field, values in (more or {}).items()}
    for text in texts:
        before, separator, value = text.partition("=")
        field, negated = before.strip().removesuffix("!").strip(), before.strip().endswith("!")
        if not separator or not field:
            raise UsageError(f"{option} {text!r} is not FIELD=VALUE", hint=f"Write it like {option} caller=4711.")
        wanted.setdefault((field, negated), []).append(value)
    return Match(tuple(_condition(*key, values) for key, values in wanted.items() if values))


def _condition(field: str, negated: bool, values: list[str]) -> Condition:
    if any(value in ("", _GLOB) for value in values):
        raise UsageError(f"an empty value for {field} matches nothing that is meant", hint="Write the value.")
    named = next((value for value in values if value.startswith(_SET)), None)
    if named is not None:
        hint = f"Write its values out. A text that begins so is written {_GLOB}{named}."
        raise UsageError(f"{named!r} would be a set of the policy, which may change", hint=hint)
    ranges = {value: found for value in values if (found := _range(value)) is not None}
    return Condition(
        field=field,
        values=tuple(value for value in values if value not in ranges and not value.startswith(_GLOB)),
        globs=tuple(Glob(value.removeprefix(_GLOB)) for value in values if value.startswith(_GLOB)),
        role=field,
        ranges=tuple(ranges.values()),
        negated=negated,
    )


def _range(value: str) -> Range | None:
    """The range that a value is. None if it is something else."""
    found = _RANGE.fullmatch(value)
    if found is None or not any(found.groups()):
        return None
    first, last = (None if text is None else int(text) for text in found.groups())
    try:
        return Range(first, last)
    except PolicyError as error:
        raise UsageError(f"{value!r}: {error.message}", hint=f"A text like it is written {_GLOB}{value}.") from error


def is_date(text: str | None) -> bool:
    """Whether a text has the form of a date."""
    return text is not None and _DATE.fullmatch(text) is not None


def instant_of(option: str, text: str | None) -> Nanos | None:
    """The instant that *text* names, a date its first one in UTC; None for None.

    Raises:
        UsageError: If it is neither.
    """
    if text is None:
        return None
    try:
        return parse_rfc3339(f"{text}T00:00:00Z" if is_date(text) else text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no date and no instant",
            hint="Write a date (its first instant in UTC) like 2026-10-01, or 2026-10-01T08:00:00Z.",
        ) from error
