"""Which record time a column of a table gives, by its type and the format of the policy."""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from zoneinfo import available_timezones

from lapse.errors import PolicyError, UnsupportedError
from lapse.instant import DAY, Nanos
from lapse.model.policy import TimeFormat
from lapse.model.timetext import number_instant
from lapse.stores.postgresql.catalog import INTEGERS, TableColumn
from lapse.stores.postgresql.dialect import is_text
from lapse.stores.postgresql.times import (
    OrderedTime,
    RecordTime,
    ZonedTime,
    day_border,
    timestamp_time,
)
from lapse.stores.postgresql.timetexts import TextTime

_FLOATS = ("real", "double precision")
_WITH_ZONE, _WITHOUT_ZONE = "timestamp with time zone", "timestamp without time zone"
_BELIEVED = 2.0**62  # as `lapse.model.timetext.number_instant` has it
_INFINITE = 0x7FF0_0000_0000_0000  # the bits of the infinite number
_UTC = frozenset(
    {"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal", "GMT", "Etc/GMT"}
)
_ABBREVIATIONS = frozenset({"CET", "EET", "EST", "HST", "MET", "MST", "WET"})


def is_number(column: TableColumn) -> bool:
    """Whether a column holds numbers."""
    return column.base in (*INTEGERS, *_FLOATS, "numeric")


def record_time(
    column: TableColumn, time_format: TimeFormat, zone: str | None, *, empty: Nanos | None = None
) -> RecordTime:
    """How the times of a column are compared.

    Arguments:
        column: The column.
        time_format: How it is written. Numbers in AUTO are no times.
        zone: IANA zone of wall clock times. None reads them as UTC.
        empty: What an empty text stands for. None reads it as no time.

    Raises:
        UnsupportedError: If the column's type names no instant in that format, or the server knows the zone by
            another meaning; or if an empty text stands for a time, and the column holds no texts.
        PolicyError: If the zone is unknown.
    """
    if empty is not None and not is_text(column):
        raise UnsupportedError(
            f"time column {column.name} is {column.type}, which is never an empty text", hint="Remove `empty time:`."
        )
    if is_number(column):
        return _number(column, time_format)
    if time_format not in (TimeFormat.AUTO, TimeFormat.ISO):
        raise _wrong(column, time_format)
    name, place = column.sql, _zone(zone)
    if is_text(column):
        return TextTime(f"({name}::text)", place, empty)
    if column.base == "date":
        return _date(name, place)
    if column.base == _WITH_ZONE:
        return timestamp_time(name, "timestamptz", hashed=_hashed("timestamp", f"{name}::timestamp"))
    if column.base != _WITHOUT_ZONE:
        raise _wrong(column, time_format)
    if place is None:
        return timestamp_time(name, "timestamp", hashed=_hashed("timestamp", name))
    return ZonedTime(column=name, zone=place, dates=False, hashed=_hashed("timestamp", name))


def check_zoned(column: TableColumn) -> None:
    """See that the times of a column say by their type which instant they are.

    Raises:
        UnsupportedError: If they do not: then every row would be doubtful.
    """
    if column.base != _WITH_ZONE and not is_number(column):
        raise UnsupportedError(
            f"time column {column.name} is {column.type}, which says no zone, and `time zone: required`",
            hint="Name the zone that its times are meant in, or make it a timestamp with time zone.",
        )


def _zone(zone: str | None) -> str | None:
    """The zone as a literal. None is UTC."""
    if zone is None or zone in _UTC:
        return None
    if zone not in available_timezones():
        raise PolicyError(f"time zone {zone!r} is unknown", hint="Write an IANA name, like Europe/Paris or UTC.")
    if zone in _ABBREVIATIONS:
        raise UnsupportedError(
            f"PostgreSQL takes {zone} for a fixed offset, without summer time",
            hint="Name a place, like Europe/Paris or Etc/GMT-1.",
        )
    return f"'{zone}'"


def _date(name: str, zone: str | None) -> RecordTime:
    hashed = f"coalesce(hashtextextended({name}::text, 0), 0)"
    if zone is not None:
        return ZonedTime(column=name, zone=zone, dates=True, hashed=hashed)
    return OrderedTime(
        raw=name,
        border=day_border,
        is_time="isfinite({})".format,
        convert=lambda day: f"(({day} - date '1970-01-01' + 1)::numeric * {DAY} - 1)",
        quick=lambda day: f"(({day} - date '1970-01-01' + 1)::bigint * {DAY} - 1)",
        hashed=hashed,
    )


def _number(column: TableColumn, time_format: TimeFormat) -> RecordTime:
    name, unit, epoch = column.sql, time_format.unit, time_format.epoch
    if time_format is TimeFormat.AUTO:
        return OrderedTime(
            raw=name,
            border=lambda _: "NULL",
            is_time=lambda _: "FALSE",
            convert=lambda _: "NULL",
            quick=lambda _: "NULL",
            hashed="0",
        )
    if unit is None:
        raise _wrong(column, time_format)
    if column.base in INTEGERS:
        return OrderedTime(
            raw=name,
            border=lambda first: f"{-((epoch - first) // unit)}::bigint",
            is_time="{} IS NOT NULL".format,
            convert=lambda number: f"({number}::numeric * {unit} + {epoch})",
            quick=lambda number: f"(({number}::bigint + {epoch // unit}) * {unit})",
            hashed=f"coalesce(hashint8extended({name}, 0), 0)",
        )
    if column.base == "numeric":
        return OrderedTime(
            raw=name,
            border=lambda first: f"{Decimal(first - epoch).scaleb(1 - len(str(unit))):f}::numeric",
            is_time="{0} - {0} = 0".format,  # not so for NaN and infinities
            convert=lambda number: f"(floor({number} * {unit}) + {epoch})",
            quick=lambda number: f"(floor({number} * {unit}) + {epoch})::bigint",
            hashed=f"coalesce(hash_numeric_extended({name}, 0), 0)",
        )
    return _float(name, time_format, unit)


def _hashed(kind: str, value: str) -> str:
    return f"coalesce({kind}_hash_extended({value}, 0), 0)"


def _float(name: str, time_format: TimeFormat, unit: int) -> RecordTime:
    """Floating point numbers, rounded to the microsecond as `number_instant` rounds them."""
    micros, limit = f"{unit / 1000!r}::float8", _least_float(lambda number: number * (unit / 1000) >= _BELIEVED)

    def reaches(first: Nanos) -> Callable[[float], bool]:
        def reached(number: float) -> bool:
            instant = number_instant(number, time_format)
            return number > 0 if instant is None else instant >= first

        return reached

    def convert(number: str) -> str:
        count = f"({number}::float8 * {micros})"
        rounded = f"CASE WHEN abs({count}) >= {2.0**52!r} THEN {count} ELSE trunc({count} + sign({count}) * 0.5) END"
        return f"(({rounded})::bigint::numeric * 1000 + {time_format.epoch})"

    return OrderedTime(
        raw=name,
        border=lambda first: f"'{_least_float(reaches(first))!r}'::float8",
        is_time=lambda number: f"abs({number}) < '{limit!r}'::float8",
        convert=convert,
        quick=lambda number: f"{convert(number)}::bigint",
        hashed=f"coalesce(hashfloat8extended({name}::float8, 0), 0)",
    )


def _least_float(true: Callable[[float], bool]) -> float:
    """The least number of which something is true that is true of all greater ones."""
    low, high = -_INFINITE, _INFINITE
    while low < high:
        middle = (low + high) // 2
        if true(_float_at(middle)):
            high = middle
        else:
            low = middle + 1
    return _float_at(low)


def _float_at(place: int) -> float:
    """The floating point number at a place in their order; 0 is at 0."""
    (number,) = struct.unpack("<d", struct.pack("<q", abs(place)))
    return float(number) if place >= 0 else -float(number)


def _wrong(column: TableColumn, time_format: TimeFormat) -> UnsupportedError:
    said = "" if time_format is TimeFormat.AUTO else f" as {time_format.value}"
    return UnsupportedError(
        f"time column {column.name} is {column.type}, which cannot be read{said}",
        hint="Name a timestamp, date or ISO text column, or say `time format:` for numbers.",
    )
