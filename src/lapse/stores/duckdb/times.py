"""The record time of a row as SQL: nanoseconds in a BIGINT, NULL where it cannot be read.

What `lapse.model.timetext` says in Python is said here in SQL, for DuckDB calls no Python on rows.
"""

from __future__ import annotations

from zoneinfo import available_timezones

from lapse.errors import PolicyError, UnsupportedError
from lapse.model.policy import TimeFormat
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.duckdb.catalog import INTEGERS, TableColumn

_TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")
_UTC = "NULL::VARCHAR"
_DAY_US = 86_400_000_000
_SAFE_US = MAX_INT64 // 1000 - 2 * _DAY_US
_ISO = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,9})?"
    "([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)

MACROS = (
    # Nanoseconds that a BIGINT cannot hold are beyond every cutoff; the nearest one it holds decides the same.
    f"lapse_clamp(ns) AS CAST(least(greatest(ns, {MIN_INT64}::HUGEINT), {MAX_INT64}::HUGEINT) AS BIGINT)",
    "lapse_micros(us) AS lapse_clamp(CAST(us AS HUGEINT) * 1000)",
    # What the clocks of a zone show at an instant; both are microseconds, the first as if it were UTC.
    "lapse_shown(us, zone) AS epoch_us(timezone(zone, timezone('UTC', make_timestamp(us))))",
    "lapse_offset(us, zone) AS lapse_shown(us, zone) - us",
    f"lapse_low(w, zone) AS least(lapse_offset(w - {_DAY_US}, zone), lapse_offset(w + {_DAY_US}, zone))",
    f"lapse_high(w, zone) AS greatest(lapse_offset(w - {_DAY_US}, zone), lapse_offset(w + {_DAY_US}, zone))",
    # The instant at which clocks showed w: the later of two readings, and the later guess where they showed it never.
    # Without a zone it is UTC.
    f"lapse_read(w, zone) AS CASE WHEN zone IS NULL OR w NOT BETWEEN {-_SAFE_US} AND {_SAFE_US} THEN w "
    "WHEN lapse_shown(w - lapse_low(w, zone), zone) = w THEN w - lapse_low(w, zone) "
    "WHEN lapse_shown(w - lapse_high(w, zone), zone) = w THEN w - lapse_high(w, zone) "
    "ELSE w - lapse_low(w, zone) END",
    # The last nanosecond of a day.
    "lapse_day(d, zone) AS lapse_clamp(CAST(lapse_read((CAST(date_diff('day', DATE '1970-01-01', d) AS BIGINT) + 1) "
    f"* {_DAY_US}, zone) AS HUGEINT) * 1000 - 1)",
    # The wall clock time of an ISO text in whole seconds, as microseconds.
    "lapse_wall(s) AS date_diff('day', DATE '1970-01-01', TRY_CAST(substr(s, 1, 10) AS DATE)) * 86400000000 "
    "+ (TRY_CAST(substr(s, 12, 2) AS BIGINT) * 3600 + TRY_CAST(substr(s, 15, 2) AS BIGINT) * 60 "
    "+ TRY_CAST(substr(s, 18, 2) AS BIGINT)) * 1000000",
    "lapse_fraction(s) AS coalesce(TRY_CAST(rpad(regexp_extract(s, '[.,]([0-9]+)', 1), 9, '0') AS BIGINT), 0)",
    "lapse_zone_text(s) AS regexp_extract(s, '([+-][0-9]{2}:?[0-9]*|[Zz])$', 1)",
    "lapse_zone_hours(z) AS TRY_CAST(substr(z, 2, 2) AS BIGINT)",
    "lapse_zone_minutes(z) AS coalesce(TRY_CAST(replace(substr(z, 4), ':', '') AS BIGINT), 0)",
    "lapse_zone_us(z) AS CASE WHEN z IN ('Z', 'z') THEN 0 "
    "WHEN lapse_zone_hours(z) > 23 OR lapse_zone_minutes(z) > 59 THEN NULL "
    "ELSE (lapse_zone_hours(z) * 60 + lapse_zone_minutes(z)) * CASE WHEN z[1] = '-' THEN -60000000 ELSE 60000000 END END",
    "lapse_moment(s, zone) AS CASE "
    "WHEN TRY_CAST(substr(s, 12, 2) AS BIGINT) > 23 OR TRY_CAST(substr(s, 15, 2) AS BIGINT) > 59 "
    "OR TRY_CAST(substr(s, 18, 2) AS BIGINT) > 59 THEN NULL "
    "WHEN lapse_zone_text(substr(s, 20)) = '' THEN lapse_read(lapse_wall(s), zone) "
    "ELSE lapse_wall(s) - lapse_zone_us(lapse_zone_text(substr(s, 20))) END",
    f"lapse_text(s, zone) AS CASE WHEN NOT regexp_full_match(s, '{_ISO}') OR substr(s, 1, 4) = '0000' THEN NULL "
    "WHEN strlen(s) = 10 THEN lapse_day(TRY_CAST(s AS DATE), zone) "
    "ELSE lapse_clamp(CAST(lapse_moment(s, zone) AS HUGEINT) * 1000 + lapse_fraction(s)) END",
)
"""Temporary macros that `instant_sql` uses; each builds on those before it."""


def is_number(column: TableColumn) -> bool:
    """Whether a column holds numbers."""
    return column.type in (*INTEGERS, "FLOAT", "DOUBLE") or column.type.startswith("DECIMAL(")


def is_naive(column: TableColumn) -> bool:
    """Whether a column holds wall clock times, of which a zone makes instants."""
    return column.type in (*_TIMESTAMPS, "TIMESTAMP_NS", "DATE")


def instant_sql(column: TableColumn, time_format: TimeFormat, zone: str | None) -> str:
    """The instant of a row, of a time column in *time_format*; numbers in AUTO are no times.

    Raises:
        UnsupportedError: If the column's type names no instant in that format.
        PolicyError: If the zone is unknown.
    """
    name, kind = quote(column.name), column.type
    if is_number(column):
        return _number(name, column, time_format)
    if time_format not in (TimeFormat.AUTO, TimeFormat.ISO):
        raise _wrong(column, time_format)
    place = _zone(zone)
    if kind == "TIMESTAMP_NS":
        return f"CASE WHEN isfinite({name}) THEN {_nanos(name, place)} END"
    if kind in _TIMESTAMPS:
        micros = f"TRY(epoch_us(TRY_CAST({name} AS TIMESTAMP)))"
        shifted = micros if zone is None else f"lapse_read({micros}, {place})"
        return f"CASE WHEN isfinite(TRY_CAST({name} AS TIMESTAMP)) THEN lapse_micros({shifted}) END"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN isfinite({name}) THEN lapse_micros(epoch_us({name})) END"
    if kind == "DATE":
        return f"CASE WHEN isfinite({name}) THEN lapse_day({name}, {place}) END"
    if kind == "VARCHAR":
        return f"lapse_text({name}, {place})"
    raise _wrong(column, time_format)


def _nanos(name: str, place: str) -> str:
    if place == _UTC:
        return f"epoch_ns({name})"
    return (
        f"lapse_clamp(CAST(lapse_read(CAST(floor(epoch_ns({name}) / 1000) AS BIGINT), {place}) AS HUGEINT) * 1000 "
        f"+ ((epoch_ns({name}) % 1000) + 1000) % 1000)"
    )


def _number(name: str, column: TableColumn, time_format: TimeFormat) -> str:
    unit, epoch = time_format.unit, int(time_format.epoch)
    if time_format is TimeFormat.AUTO:
        return "NULL::BIGINT"
    if unit is None:
        raise _wrong(column, time_format)
    if column.type in INTEGERS:
        # Beyond 21 digits the product would leave HUGEINT; no unit makes a time of such a number.
        whole = f"CAST(TRY_CAST({name} AS DECIMAL(21,0)) AS HUGEINT)"
        return f"lapse_clamp({whole} * {unit} + ({epoch})::HUGEINT)"
    micros = f"(CAST({name} AS DOUBLE) * {unit / 1000!r})"
    rounded = f"lapse_clamp(CAST(round({micros}) AS HUGEINT) * 1000 + ({epoch})::HUGEINT)"
    return f"CASE WHEN isfinite({micros}) AND abs({micros}) < {2**62} THEN {rounded} END"


def _wrong(column: TableColumn, time_format: TimeFormat) -> UnsupportedError:
    said = "" if time_format is TimeFormat.AUTO else f" as {time_format.value}"
    return UnsupportedError(
        f"time column {column.name} is {column.type}, which cannot be read{said}",
        hint="Name a timestamp, date or ISO text column, or say `time format:` for numbers.",
    )


def _zone(zone: str | None) -> str:
    if zone is None:
        return _UTC
    if zone not in available_timezones():
        raise PolicyError(f"time zone {zone!r} is unknown", hint="Write an IANA name, like Europe/Paris or UTC.")
    return "'" + zone.replace("'", "''") + "'"
