"""How a time column is written, found by looking where the policy leaves it open; and the SQL that reads it.

The SQL gives BIGINT nanoseconds, clamped to 64 bits, or NULL: exactly what `lapse.model.timetext` gives. Texts
of the layout that most rows have are read by SQLite's own functions; the layout is a matter of speed only, since
everything else goes to Python.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lapse.model.policy import TimeFormat
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64

_LAYOUT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ])[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.([0-9]{1,9}))?(Z|\+00:00)?")
_LARGEST_MICROS = 9.2e15  # a thousand times as much still fits 64 bits
_NO_NUMBER = 2.0**62
_LEAST = f"({MIN_INT64 + 1} - 1)"  # SQLite reads the smallest integer itself as a real


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to write an ISO text that SQLite reads by itself.

    Attributes:
        separator: Between date and time.
        digits: Digits of the fraction, 0 to 9.
        suffix: ``Z``, ``+00:00`` or nothing.
    """

    separator: str
    digits: int
    suffix: str

    @property
    def length(self) -> int:
        """Characters of such a text."""
        return 19 + (self.digits + 1 if self.digits else 0) + len(self.suffix)

    @property
    def glob(self) -> str:
        """A pattern for what unixepoch() does not check itself."""
        fraction = "." + "[0-9]" * self.digits if self.digits else ""
        return f"????-??-??{self.separator}??:??:??{fraction}{self.suffix}"


def commonest_layout(texts: Iterable[str]) -> Layout | None:
    """The layout that most of *texts* have. None if none has one."""
    found = Counter(
        Layout(match[1], len(match[2] or ""), match[3] or "") for text in texts if (match := _LAYOUT.fullmatch(text))
    )
    return found.most_common(1)[0][0] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeReading:
    """How the values of a time column are understood.

    Attributes:
        texts: Whether ISO texts are.
        numbers: The format of numbers. None if they are not understood.
        layout: What most texts look like. None leaves all of them to Python.
        naive_is_utc: Whether texts without offset are UTC.
    """

    texts: bool
    numbers: TimeFormat | None
    layout: Layout | None
    naive_is_utc: bool

    def sql(self, column: str) -> str:
        """The instant of *column*, a quoted column reference."""
        kinds = []
        if self.texts:
            kinds.append(f"WHEN 'text' THEN {self._text(column)}")
        if self.numbers is not None:
            kinds.append(f"WHEN 'integer' THEN {_integer(column, self.numbers)}")
            kinds.append(f"WHEN 'real' THEN {_real(column, self.numbers)}")
        return f"CASE typeof({column}) {' '.join(kinds)} END"

    def _text(self, column: str) -> str:
        slow = f"lapse_instant(CAST({column} AS BLOB))"
        layout = self.layout
        if layout is None or not (layout.suffix or self.naive_is_utc):
            return slow
        # A NUL hides the rest of a text from most functions, hence the length in bytes. unixepoch() takes 24:00
        # and 31 February, and rounds the last half millisecond of a second up.
        checks = [
            f"{column} GLOB '{layout.glob}'",
            f"length(CAST({column} AS BLOB)) = {layout.length}",
            f"{column} >= '1678' COLLATE BINARY AND {column} < '2262' COLLATE BINARY",
            f"substr({column}, 12, 2) < '24'",
            f"(substr({column}, 9, 2) < '29' OR date(substr({column}, 1, 10), '+0 days') = substr({column}, 1, 10))",
        ]
        fraction = f"CAST(substr({column}, 21, {layout.digits}) AS INTEGER)"
        if layout.digits > 3:
            checks.append(f"substr({column}, 20, 5) < '.9995'")
        nanos = f" + {fraction} * {10 ** (9 - layout.digits)}" if layout.digits else ""
        fast = f"unixepoch({column}) * 1000000000{nanos}"
        return f"CASE WHEN {' AND '.join(checks)} THEN coalesce({fast}, {slow}) ELSE {slow} END"


def _integer(column: str, form: TimeFormat) -> str:
    unit = form.unit or 1
    shift = form.epoch // unit  # the epoch of WebKit in nanoseconds would not fit 64 bits
    least, most = -(-MIN_INT64 // unit) - shift, MAX_INT64 // unit - shift
    return (
        f"CASE WHEN {column} BETWEEN {max(least, MIN_INT64 + 1)} AND {min(most, MAX_INT64)} "
        f"THEN ({column} + {shift}) * {unit} "
        f"WHEN {column} > {min(most, MAX_INT64)} THEN {MAX_INT64} ELSE {_LEAST} END"
    )


def _real(column: str, form: TimeFormat) -> str:
    micros = f"{column} * {(form.unit or 1) / 1000!r}"
    shift = form.epoch // 1000
    return (
        f"CASE WHEN abs({micros} + {shift}) <= {_LARGEST_MICROS!r} "
        f"THEN (CAST(round({micros}) AS INTEGER) + {shift}) * 1000 "
        f"WHEN abs({micros}) < {_NO_NUMBER!r} "
        f"THEN CASE WHEN {micros} + {shift} > 0 THEN {MAX_INT64} ELSE {_LEAST} END END"
    )
