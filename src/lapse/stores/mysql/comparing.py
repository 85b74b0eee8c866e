"""Record times compared as the column holds them: one comparison with a literal instead of arithmetic for each row."""

from __future__ import annotations

from dataclasses import dataclass

from lapse.instant import Nanos, to_datetime
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.rules import Instant, clamped
from lapse.stores.mysql.catalog import TableColumn

_MICRO = 1000
_BEYOND = (Nanos(-(2**62)), Nanos(2**62))
"""Instants that a literal is written for, the years 1824 to 2116; for others the nanoseconds are compared."""


def comparing(column: TableColumn, zone: str | None, nanos: str) -> Instant | str:
    """How to compare the record time.

    Arguments:
        column: The time column.
        zone: IANA zone of wall clock times. None reads them as UTC.
        nanos: The SQL of its nanoseconds, which is what is left for columns that are no times by themselves.
    """
    if column.type == "timestamp":
        # The zero of a TIMESTAMP is before the first one there can be.
        return _Native(column.sql, f"{column.sql} > TIMESTAMP'1970-01-01 00:00:00'", nanos)
    if column.type == "datetime" and zone in (None, "UTC"):
        return _Native(column.sql, calendar(column.sql), nanos)
    return nanos


def calendar(name: str) -> str:
    """Whether a DATE or DATETIME is in the calendar: not a zero, and not the 31st of February."""
    day = f"DAYOFMONTH({name})"
    return (
        f"{name} >= '0001-01-01' AND MONTH({name}) > 0 AND {day} > 0 "
        f"AND ({day} <= 28 OR {day} <= DAYOFMONTH(LAST_DAY({name})))"
    )


@dataclass(frozen=True, slots=True)
class _Native:
    """A column of instants.

    Attributes:
        name: The column.
        real: Whether a value is a time.
        nanos: The SQL of its nanoseconds.
    """

    name: str
    real: str
    nanos: str

    def missing(self) -> Fragment:
        """Whether there is no time."""
        return Fragment(f"({self.real}) IS NOT TRUE")

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        """Whether the time is ``<``, ``<=``, ``>`` or ``>=`` *instant*: columns have microseconds at most."""
        first, last = _BEYOND
        if not first < instant < last:
            return Fragment(f"{self.nanos} {operator} {clamped(instant)}")
        down = instant // _MICRO
        micros = down if operator in ("<=", ">") else -(-instant // _MICRO)
        literal = to_datetime(Nanos(micros * _MICRO)).strftime("%Y-%m-%d %H:%M:%S.%f")
        return Fragment(f"{self.name} {operator} TIMESTAMP'{literal}'")
