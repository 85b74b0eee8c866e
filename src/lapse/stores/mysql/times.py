"""The record time of a row as SQL: nanoseconds in a BIGINT, NULL where it cannot be read.

What `lapse.model.timetext` says in Python is said here in SQL. Times before year 1, ``0000-00-00`` and days that
no calendar has are no times.
"""

# ruff: noqa: S608 - names are quoted, numbers are ours

from __future__ import annotations

from lapse.errors import UnsupportedError
from lapse.instant import MAX, MIN, SECOND, Nanos
from lapse.model.policy import TimeFormat
from lapse.sqlcore.numeric_times import NUMERIC, one_format, plausible
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.mysql.catalog import INTEGERS, TEXTS, Table, TableColumn
from lapse.stores.mysql.comparing import calendar
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.zones import offset_sql

_EPOCH = "'1970-01-01 00:00:00'"
_MOST_MICROS = MAX_INT64 // 1000
_DAY = 86_400
_ISO = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,9})?"
    "([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?\\\\z"
)
_NUMBERS = (*INTEGERS, "decimal", "float", "double")


def is_number(column: TableColumn) -> bool:
    """Whether a column holds numbers."""
    return column.type in _NUMBERS


def is_naive(column: TableColumn) -> bool:
    """Whether a column holds wall clock times, of which a zone makes instants."""
    return column.type in ("datetime", "date")


def is_text(column: TableColumn) -> bool:
    """Whether a column holds texts that may be times."""
    return column.type in TEXTS and column.type not in ("enum", "set", "json") and column.charset != "binary"


def instant_sql(column: TableColumn, time_format: TimeFormat, zone: str | None) -> str:
    """The expression.

    Arguments:
        column: The column.
        time_format: How it is written. Numbers in AUTO are no times.
        zone: IANA zone of wall clock times. None reads them as UTC.

    Raises:
        UnsupportedError: If the column's type names no instant in that format.
        PolicyError: If the zone is unknown.
    """
    if is_number(column):
        return _number(column, time_format)
    if time_format not in (TimeFormat.AUTO, TimeFormat.ISO):
        raise _wrong(column, time_format)
    name = column.sql
    if column.type == "timestamp":
        # Within the session's time zone, UTC. The zero of a TIMESTAMP has no TIMESTAMPDIFF.
        return _from_micros(f"TIMESTAMPDIFF(MICROSECOND, {_EPOCH}, {name})")
    if column.type == "datetime":
        ahead = "" if zone is None else f" - ({offset_sql(zone, name)})"
        return _real(name, _from_micros(f"TIMESTAMPDIFF(MICROSECOND, {_EPOCH}, {name}){ahead}"))
    if column.type == "date":
        ahead = "" if zone is None else f" - ({offset_sql(zone, _day_after(name))})"
        seconds = f"(TIMESTAMPDIFF(SECOND, {_EPOCH}, {name}) + {_DAY}) * 1000000"
        return _real(name, f"({_from_micros(f'{seconds}{ahead}')} - 1)")
    if is_text(column):
        return _text(f"(CONVERT({name} USING utf8mb4) COLLATE utf8mb4_bin)", zone)
    raise _wrong(column, time_format)


def _day_after(moment: str) -> str:
    """A day later; after the last day of the calendar there is none, and the server would warn of it."""
    return f"({moment} + INTERVAL IF({moment} < '9999-12-31', 1, 0) DAY)"


def _real(name: str, instant: str) -> str:
    """Nothing for a day that is not in the calendar; ALLOW_INVALID_DATES lets them in."""
    return f"IF({calendar(name)}, {instant}, NULL)"


def _from_micros(micros: str) -> str:
    """What a BIGINT of nanoseconds cannot hold is beyond every cutoff: the nearest one it holds decides the same."""
    return f"(LEAST(GREATEST({micros}, {-_MOST_MICROS}), {_MOST_MICROS}) * 1000)"


def _from_decimal(nanos: str) -> str:
    return f"CAST(LEAST(GREATEST({nanos}, {MIN_INT64}), {MAX_INT64}) AS SIGNED)"


def _text(text: str, zone: str | None) -> str:
    """An ISO text; a date stands for its last nanosecond."""
    moment = f"CAST(REPLACE(SUBSTR({text}, 1, 19), 'T', ' ') AS DATETIME)"
    is_date = f"CHAR_LENGTH({text}) = 10"
    fraction = (
        f"IF(SUBSTR({text}, 20, 1) IN ('.', ','), "
        f"CAST(RPAD(REGEXP_SUBSTR(SUBSTR({text}, 21), '^[0-9]+'), 9, '0') AS SIGNED), 0)"
    )
    tail = f"REGEXP_SUBSTR(SUBSTR({text}, 20), '[+-].*$')"
    offset = (
        f"(CAST(SUBSTR({tail}, 2, 2) AS SIGNED) * 3600 + CAST(CONCAT('0', REPLACE(SUBSTR({tail}, 4), ':', '')) "
        f"AS SIGNED) * 60) * IF(LEFT({tail}, 1) = '-', -1000000, 1000000)"
    )
    naive = "0" if zone is None else offset_sql(zone, f"IF({is_date}, {_day_after(moment)}, {moment})")
    ahead = (
        f"CASE WHEN RIGHT({text}, 1) IN ('Z', 'z') THEN 0 WHEN SUBSTR({text}, 20) REGEXP '[+-]' THEN {offset} "
        f"ELSE {naive} END"
    )
    seconds = f"TIMESTAMPDIFF(SECOND, {_EPOCH}, {moment}) + IF({is_date}, {_DAY}, 0)"
    nanos = f"(CAST({seconds} AS DECIMAL(30, 0)) * 1000000 - ({ahead})) * 1000 + IF({is_date}, -1, {fraction})"
    month = f"LAST_DAY(CONCAT(SUBSTR({text}, 1, 8), '01'))"
    calendar = f"CAST(SUBSTR({text}, 9, 2) AS SIGNED) <= DAYOFMONTH({month})"
    # In UTC, too, a time is one of the years 1 to 9999; the end of the last day is far in the future anyway.
    years = f"SUBSTR({text}, 1, 4) NOT IN ('0001', '9999')"
    within = f"({years} OR {is_date} OR {nanos} BETWEEN {int(MIN)} AND {int(MAX + SECOND - 1)})"
    # Only what is true counts: a comparison that the server cannot make gives NULL, and so no time.
    return (
        f"CASE WHEN {text} REGEXP '{_ISO}' AND SUBSTR({text}, 1, 4) <> '0000' "
        f"THEN CASE WHEN {calendar} AND {within} THEN {_from_decimal(nanos)} END END"
    )


def _number(column: TableColumn, time_format: TimeFormat) -> str:
    name, unit, epoch = column.sql, time_format.unit, int(time_format.epoch)
    if time_format is TimeFormat.AUTO:
        return "CAST(NULL AS SIGNED)"
    if unit is None:
        raise _wrong(column, time_format)
    if column.type in INTEGERS:
        return _from_decimal(f"(CAST({name} AS DECIMAL(30, 0)) * {unit} + {epoch})")
    micros = f"({name} * {unit / 1000!r}e0)"
    half = f"IF({micros} < 0, -0.5e0, 0.5e0)"
    # From 2^52 on every number is whole already; a half more would round to a neighbour.
    rounded = f"TRUNCATE(IF(ABS({micros}) >= {2**52}, {micros}, {micros} + {half}), 0)"
    nanos = f"(CAST(CAST({rounded} AS SIGNED) AS DECIMAL(30, 0)) * 1000 + {epoch})"
    return f"IF(ABS({micros}) < {2**62}, {_from_decimal(nanos)}, NULL)"


def _wrong(column: TableColumn, time_format: TimeFormat) -> UnsupportedError:
    said = "" if time_format is TimeFormat.AUTO else f" as {time_format.value}"
    return UnsupportedError(
        f"time column {column.name} is {column.full}, which cannot be read{said}",
        hint="Name a timestamp, date or ISO text column, or say `time format:` for numbers.",
    )


def read_format(
    connection: Connection,
    table: Table,
    column: TableColumn,
    said: TimeFormat,
    *,
    latest: Nanos,
    rows: str | None = None,
) -> TimeFormat:
    """The format of a time column: as *said*; of numbers the one unit that makes times of them until *latest*.

    AUTO for numbers means that none of them is a time that could be believed. *rows* is the SQL of what is looked
    at; None looks at the whole table.

    Raises:
        PolicyError: If numbers are times in several units.
    """
    if said is not TimeFormat.AUTO or not is_number(column):
        return said
    borders = [plausible(form, latest) for form in NUMERIC]
    counts = ", ".join(f"SUM({column.sql} BETWEEN {first} AND {last})" for first, last in borders)
    (found,) = connection.rows(f"SELECT {counts} FROM {rows or table.sql}")
    return one_format(dict(zip(NUMERIC, (int(n or 0) for n in found), strict=True)), column.name) or TimeFormat.AUTO
