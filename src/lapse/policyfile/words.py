"""The single values of a policy: periods, instants, names and shares.

Each type reads one plain value and complains in plain words; pydantic only carries the complaint, with the
path to the value, and the JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError
from whenever import Instant, TimeZoneNotFoundError

from lapse.errors import PolicyError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.files import parse_ending
from lapse.model.pace import parse_lag, parse_rate, parse_rest, parse_transaction
from lapse.model.period import Period, parse_period
from lapse.model.policy import TimeFormat
from lapse.policyfile.similar import did_you_mean as did_you_mean
from lapse.policyfile.similar import nearest as nearest

ValueT = TypeVar("ValueT")

STRICT = ConfigDict(
    extra="forbid",
    strict=True,
    frozen=True,
    hide_input_in_errors=True,
    arbitrary_types_allowed=True,
)
"""How every shape of a policy reads: no unknown key, no value bent into another type."""
GLOB = "glob:"
SET = "set:"
NEVER = "never"
REQUIRED = "required"
CRLF = "crlf"
ONE, MANY, PARTS = "<one>", "<many>", "<parts>"
"""Names of the forms a value may have, as pydantic puts them into the path of an error."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIELD_PATH = re.compile(r"\$(\.[^.\[\]*'\"\s]+)+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DATE.pattern + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")
_SHARE = re.compile(r"(?P<number>[0-9]{1,3}(\.[0-9]{1,6})?) ?%")
SHARE_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,6})? ?%$"
"""What a share looks like, for the JSON Schema."""
_LIMIT = 2**53  # the ledger's canonical JSON writes no larger whole number


def wrong(what: str, hint: str | None = None) -> PydanticCustomError:
    """A complaint about one value, to raise from a validator."""
    return PydanticCustomError("lapse", "{what}", {"what": what, "hint": hint})


def kind_of(value: object) -> str:
    """What a plain value is, with its text where it is short, for messages."""
    match value:
        case None:
            return "empty"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case bool():
            return str(value).lower()
        case str():
            return f"`{value}`"
        case _:
            return str(value)


def text(value: Any) -> str:
    """Any text but the empty one. Whole numbers are names here, as in ``matter: 2026``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        quotes = None if isinstance(value, (list, dict)) else "Put it in quotes if it is meant as text."
        raise wrong(f"must be text, not {kind_of(value)}", quotes)
    if not value.strip():
        raise wrong("is empty")
    return value


def name(value: Any) -> str:
    """A name that is safe as a folder name."""
    found = text(value)
    if not _NAME.fullmatch(found):
        raise wrong(
            f"{kind_of(found)} cannot be a name",
            "Use ASCII letters, digits, `.`, `_` and `-`; begin with a letter or digit.",
        )
    return found


def record_field(value: Any) -> str:
    """A column, a top-level key, or a path into JSON such as ``$.detail.user``.

    ``$.name`` is the field ``name`` itself, also where the bare word means something else in a policy.
    """
    found = text(value)
    if not found.startswith("$"):
        return found
    if not _FIELD_PATH.fullmatch(found):
        raise wrong(
            f"{kind_of(found)} is not a path into JSON",
            "Write it like `$.detail.user`: `$`, then `.key` for each level.",
        )
    return found if found.count(".") > 1 else found.removeprefix("$.")


def period(value: Any) -> Period:
    """A retention period with its unit, or ``forever``."""
    if isinstance(value, (list, dict)):
        raise wrong(f"must be a retention period, not {kind_of(value)}", "Write it like `90 days` or `forever`.")
    try:
        return _period(value) if isinstance(value, str) else parse_period(value)
    except PolicyError as error:
        raise wrong(error.message, error.hint) from error


@lru_cache(maxsize=1024)
def _period(text: str) -> Period:
    """Rules are many, their periods few."""
    return parse_period(text)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a pace that somebody wrote.

    Attributes:
        value: As in `lapse.model.pace.Pace`, where None means something, too.
    """

    value: float | None


def single(parse: Callable[[Any], ValueT]) -> Callable[[Any], ValueT]:
    """A reader of one value; what *parse* refuses becomes a complaint."""

    def read(value: Any) -> ValueT:
        if isinstance(value, (list, dict)):
            raise wrong(f"must be a single value, not {kind_of(value)}")
        try:
            return parse(value)
        except PolicyError as error:
            raise wrong(error.message, error.hint) from error

    return read


def paced(parse: Callable[[object], float | None]) -> Callable[[Any], Setting]:
    """A reader of one setting of a pace."""
    return single(lambda value: Setting(parse(value)))


def instant(value: Any) -> Nanos:
    """A date (its first instant, UTC) or an RFC 3339 instant."""
    hint = "Write a date like 2026-10-01, or an instant with its zone like 2026-10-01T08:00:00Z."
    written = value if isinstance(value, str) else ""
    try:
        if _DATE.fullmatch(written):
            return parse_rfc3339(f"{written}T00:00:00Z")
        if _INSTANT.fullmatch(written):
            return parse_rfc3339(written.upper())
    except (ValueError, OverflowError) as error:
        raise wrong(f"{kind_of(value)} is not a date that exists", hint) from error
    raise wrong(f"{kind_of(value)} is not a date or instant", hint)


@dataclass(frozen=True, slots=True)
class DoubtBefore:
    """A bound of belief.

    Attributes:
        instant: Earlier record times are doubtful. None doubts none for their age.
    """

    instant: Nanos | None


def doubt_before(value: Any) -> DoubtBefore:
    """A date, an instant, or ``never``."""
    return DoubtBefore(None if value == NEVER else instant(value))


def zone(value: Any) -> str:
    """An IANA time zone."""
    found = text(value)
    try:
        Instant.from_timestamp(0).to_tz(found)
    except (TimeZoneNotFoundError, ValueError) as error:
        raise wrong(f"{kind_of(found)} is not a time zone", "Use an IANA name, like Europe/Paris or UTC.") from error
    return found


def zone_or_required(value: Any) -> str:
    """An IANA time zone, or ``required``."""
    return REQUIRED if value == REQUIRED else zone(value)


def share(value: Any) -> float:
    """A share of all records with its percent sign, as a fraction of 1."""
    hint = "Write it with its sign, like 90%; more than 0% and at most 100%."
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < float(found["number"]) <= 100:
        raise wrong(f"must be a share, not {kind_of(value)}", hint)
    return float(found["number"]) / 100


def count(value: Any) -> int:
    """A number of records, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < _LIMIT:
        raise wrong(f"must be a whole number of 1 or more, not {kind_of(value)}")
    return value


def one_of(*words: str) -> Callable[[Any], str]:
    """A reader of one of a few words."""

    def read(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise wrong(f"cannot be {kind_of(value)}", did_you_mean(str(value), words))

    return read


def version(value: Any) -> int:
    """The version of the policy's form; there is only 1."""
    if isinstance(value, bool) or value != 1 or not isinstance(value, int):
        raise wrong(f"must be 1, not {kind_of(value)}", "This program reads version 1 of the policy's form.")
    return 1


def _arity(value: Any) -> str:
    return MANY if isinstance(value, list) else ONE


def _shape(value: Any) -> str:
    return MANY if isinstance(value, (list, dict)) else ONE


def _schema(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


_FORMATS = [each.value for each in TimeFormat]
_FIELD = _schema(type="string", minLength=1, examples=["eventtime", "$.detail.user"])

Text = Annotated[str, PlainValidator(text), _schema(type=["string", "integer"], minLength=1)]
CommandLine = Annotated[list[Text], Field(min_length=1)]
Address = Annotated[str, PlainValidator(text), _schema(type="string", minLength=1)]
RecordField = Annotated[str, PlainValidator(record_field), _FIELD]
ArchiveName = Annotated[str, PlainValidator(text), _schema(type=["string", "integer"], examples=["cold"])]
PeriodText = Annotated[
    Period,
    PlainValidator(period),
    _schema(type="string", examples=["90 days", "6 years", "P90D", "forever", "90 whole days"]),
]
Moment = Annotated[
    Nanos, PlainValidator(instant), _schema(type="string", examples=["2026-10-01", "2026-10-01T08:00:00Z"])
]
DoubtText = Annotated[
    DoubtBefore, PlainValidator(doubt_before), _schema(type="string", examples=["1990-01-01", "never"])
]
Zone = Annotated[str, PlainValidator(zone), _schema(type="string", examples=["Europe/Paris"])]
ZoneOrRequired = Annotated[
    str, PlainValidator(zone_or_required), _schema(type="string", examples=["Europe/Paris", "required"])
]
Transaction = Annotated[
    Setting, PlainValidator(paced(parse_transaction)), _schema(type="string", examples=["1 s", "500 ms"])
]
Rate = Annotated[
    Setting,
    PlainValidator(paced(parse_rate)),
    _schema(anyOf=[{"type": "integer", "minimum": 1}, {"const": "none"}], examples=[2000, "none"]),
]
Rest = Annotated[Setting, PlainValidator(paced(parse_rest)), _schema(type="string", examples=["auto", "none", "50%"])]
Lag = Annotated[Setting, PlainValidator(paced(parse_lag)), _schema(type="string", examples=["10 s", "none"])]
Ending = Annotated[str, PlainValidator(single(parse_ending)), _schema(type="string", examples=[".wav"])]
Query = Annotated[str, PlainValidator(text), _schema(type="string", minLength=1, examples=["never"])]
Version = Annotated[int, PlainValidator(version), _schema(const=1)]
FormatWord = Annotated[str, PlainValidator(one_of(*_FORMATS)), _schema(enum=_FORMATS)]
SegmentFormat = Annotated[
    str,
    PlainValidator(one_of("auto", "parquet", "jsonl.zst")),
    _schema(enum=["auto", "parquet", "jsonl.zst"]),
]
Writers = Annotated[str, PlainValidator(one_of("none", "append-only")), _schema(enum=["none", "append-only"])]
EmptyTime = Annotated[str, PlainValidator(one_of("doubtful", "oldest")), _schema(enum=["doubtful", "oldest"])]
Allowed = Annotated[str, PlainValidator(one_of("no time", CRLF)), _schema(enum=["no time", CRLF])]
Everything = Annotated[str, PlainValidator(one_of("all")), _schema(const="all")]

ArchiveNames: TypeAlias = Annotated[
    Annotated[ArchiveName, Tag(ONE)] | Annotated[list[ArchiveName], Field(min_length=1), Tag(MANY)],
    Discriminator(_arity),
]
ONE_OR_LIST = Discriminator(_arity)
ONE_OR_PARTS = Discriminator(_shape)
