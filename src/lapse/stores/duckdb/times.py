"""The record time of a row as SQL: nanoseconds in a BIGINT, NULL where it cannot be read.

What `lapse.model.timetext` says in Python is said here in SQL, for DuckDB calls no Python on rows. A time is
read in steps, each a subquery around the one before it, so that no expression is written twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import available_timezones

from lapse.errors import PolicyError, UnsupportedError
from lapse.model.policy import TimeFormat
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.duckdb.catalog import INTEGERS, TableColumn

_TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")
_DAY_US = 86_400_000_000
_SAFE_US = MAX_INT64 // 1000 - 2 * _DAY_US
_ISO = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,9})?"
    "([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wall:
    """What a time column shows, as SQL expressions.

    Attributes:
        micros: The wall clock time in microseconds, as if it were UTC. NULL if there is no time.
        rest: Nanoseconds to add.
        offset: How far that wall clock is ahead of UTC, microseconds. NULL if the value does not say.
    """

    micros: str
    rest: str = "0"
    offset: str = "NULL::BIGINT"


def is_number(column: TableColumn) -> bool:
    """Whether a column holds numbers."""
    return column.type in (*INTEGERS, "FLOAT", "DOUBLE") or column.type.startswith("DECIMAL(")


def is_naive(column: TableColumn) -> bool:
    """Whether a column holds wall clock times, of which a zone makes instants."""
    return column.type in (*_TIMESTAMPS, "TIMESTAMP_NS", "DATE")


def instant_steps(column: TableColumn, time_format: TimeFormat, zone: str | None) -> tuple[Mapping[str, str], ...]:
    """The steps that read a time column: new columns with their expressions; the last is ``lapse_instant``.

    Arguments:
        column: The column.
        time_format: How it is written. Numbers in AUTO are no times.
        zone: IANA zone of wall clock times. None reads them as UTC.

    Raises:
        UnsupportedError: If the column's type names no instant in that format.
        PolicyError: If the zone is unknown.
    """
    if is_number(column):
        nanos = _number(column, time_format)
        return {"lapse_nanos": nanos}, {"lapse_instant": _clamped("lapse_nanos")}
    if time_format not in (TimeFormat.AUTO, TimeFormat.ISO):
        raise _wrong(column, time_format)
    wall = _wall(column, time_format)
    first = {"lapse_wall": wall.micros, "lapse_rest": wall.rest, "lapse_ahead": wall.offset}
    ahead = "lapse_ahead" if zone is None else "lapse_zoned"
    nanos = f"CAST(lapse_wall - coalesce({ahead}, 0) AS HUGEINT) * 1000 + lapse_rest"
    last = ({"lapse_nanos": nanos}, {"lapse_instant": _clamped("lapse_nanos")})
    return (first, *last) if zone is None else (first, *_zone_steps(zone), *last)


def timed(rows: str, steps: tuple[Mapping[str, str], ...]) -> str:
    """A subquery of *rows*, a table or subquery, with the columns of *steps* added."""
    for step in steps:
        added = ", ".join(f"{expression} AS {name}" for name, expression in step.items())
        rows = f"(SELECT *, {added} FROM {rows})"  # noqa: S608 - expressions made here
    return rows


def _clamped(nanos: str) -> str:
    """What a BIGINT cannot hold is beyond every cutoff: the nearest number it holds decides the same."""
    return (
        f"CASE WHEN {nanos} > {MAX_INT64} THEN {MAX_INT64} WHEN {nanos} < {MIN_INT64} THEN {MIN_INT64} "
        f"ELSE TRY_CAST({nanos} AS BIGINT) END"
    )


def _zone_steps(zone: str) -> tuple[Mapping[str, str], ...]:
    """Steps that say how far the clocks of *zone* are ahead: of two readings the one that gives the later instant.

    The offsets a day before and a day after are those around a change of clocks. A reading is right if clocks
    really show the wall time then; where they never do, the smaller offset stands.
    """
    if zone not in available_timezones():
        raise PolicyError(f"time zone {zone!r} is unknown", hint="Write an IANA name, like Europe/Paris or UTC.")

    def ahead(micros: str) -> str:
        return f"epoch_us(timezone('{zone}', timezone('UTC', make_timestamp({micros})))) - ({micros})"

    near = f"CASE WHEN lapse_ahead IS NULL AND lapse_wall BETWEEN {-_SAFE_US} AND {_SAFE_US} THEN lapse_wall END"
    before, after = ahead(f"lapse_near - {_DAY_US}"), ahead(f"lapse_near + {_DAY_US}")
    low, high = "least(lapse_before, lapse_after)", "greatest(lapse_before, lapse_after)"
    chosen = (
        "CASE WHEN lapse_near IS NULL THEN lapse_ahead WHEN lapse_low = lapse_high THEN lapse_low "
        f"WHEN {ahead('lapse_near - lapse_low')} = lapse_low THEN lapse_low "
        f"WHEN {ahead('lapse_near - lapse_high')} = lapse_high THEN lapse_high ELSE lapse_low END"
    )
    return (
        {"lapse_near": near},
        {"lapse_before": before, "lapse_after": after},
        {"lapse_low": low, "lapse_high": high},
        {"lapse_zoned": chosen},
    )


def _wall(column: TableColumn, time_format: TimeFormat) -> _Wall:
    name = quote(column.name)
    match column.type:
        case "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS":
            moment = f"TRY_CAST({name} AS TIMESTAMP)"
            return _Wall(micros=f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END")
        case "TIMESTAMP_NS":
            nanos = f"CASE WHEN isfinite({name}) THEN epoch_ns({name}) END"
            # The remainder has the sign of the number; both together are the number again.
            return _Wall(micros=f"({nanos}) // 1000", rest=f"({nanos}) % 1000")
        case "TIMESTAMP WITH TIME ZONE":
            return _Wall(micros=f"CASE WHEN isfinite({name}) THEN epoch_us({name}) END", offset="0")
        case "DATE":
            days = f"CASE WHEN isfinite({name}) THEN date_diff('day', DATE '1970-01-01', {name}) END"
            return _Wall(micros=f"(CAST({days} AS BIGINT) + 1) * {_DAY_US}", rest="-1")
        case "VARCHAR":
            return _text(name)
        case _:
            raise _wrong(column, time_format)


def _text(name: str) -> _Wall:
    """An ISO text; a date stands for its last nanosecond."""
    moment = f"epoch_us(TRY_CAST(substr({name}, 1, 19) AS TIMESTAMP))"
    shift = f"CASE WHEN strlen({name}) = 10 THEN {_DAY_US} ELSE 0 END"
    fraction = f"TRY_CAST(rpad(regexp_extract({name}, '[.,]([0-9]+)', 1), 9, '0') AS BIGINT)"
    zone = f"regexp_extract(substr({name}, 20), '[+-].*$')"
    minutes = (
        f"TRY_CAST(substr({zone}, 2, 2) AS BIGINT) * 60 "
        f"+ coalesce(TRY_CAST(nullif(replace(substr({zone}, 4), ':', ''), '') AS BIGINT), 0)"
    )
    sign = f"CASE WHEN {zone}[1] = '-' THEN -60000000 ELSE 60000000 END"
    return _Wall(
        micros=f"CASE WHEN regexp_full_match({name}, '{_ISO}') AND substr({name}, 1, 4) <> '0000' "
        f"THEN {moment} + {shift} END",
        rest=f"CASE WHEN strlen({name}) = 10 THEN -1 ELSE coalesce({fraction}, 0) END",
        offset=f"CASE WHEN right({name}, 1) IN ('Z', 'z') THEN 0 WHEN {zone} <> '' THEN ({minutes}) * {sign} END",
    )


def _number(column: TableColumn, time_format: TimeFormat) -> str:
    name, unit, epoch = quote(column.name), time_format.unit, f"({int(time_format.epoch)})::HUGEINT"
    if time_format is TimeFormat.AUTO:
        return "NULL::HUGEINT"
    if unit is None:
        raise _wrong(column, time_format)
    if column.type in INTEGERS:
        # Beyond 21 digits the product would leave HUGEINT; no unit makes a time of such a number.
        return f"CAST(TRY_CAST({name} AS DECIMAL(21,0)) AS HUGEINT) * {unit} + {epoch}"
    micros = f"(CAST({name} AS DOUBLE) * {unit / 1000!r})"
    rounded = f"CAST(round({micros}) AS HUGEINT) * 1000 + {epoch}"
    return f"CASE WHEN isfinite({micros}) AND abs({micros}) < {2**62} THEN {rounded} END"


def _wrong(column: TableColumn, time_format: TimeFormat) -> UnsupportedError:
    said = "" if time_format is TimeFormat.AUTO else f" as {time_format.value}"
    return UnsupportedError(
        f"time column {column.name} is {column.type}, which cannot be read{said}",
        hint="Name a timestamp, date or ISO text column, or say `time format:` for numbers.",
    )
