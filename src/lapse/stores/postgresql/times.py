"""The record time of a row as SQL, compared in the column's own type: that is cheap, and an index serves.

What `lapse.model.timetext` says in Python is said here for PostgreSQL. A column's values are ordered as the
instants they stand for, so that each comparison is one with a literal, the border. Two kinds of times are not:
wall clock times of a zone (`ZonedTime`), and texts (`lapse.stores.postgresql.timetexts`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from lapse.instant import DAY, Nanos
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64, clamped

QUICK = (Nanos(-70 * 365 * DAY), Nanos(130 * 365 * DAY))
FAR = 16 * 3600 * 1_000_000_000
"""Clocks are never further from UTC than this; nanoseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1)


class RecordTime(Protocol):
    """The time column of a table, for rows with the alias ``r``.

    Attributes:
        lateral: What joins the time to the rows; `compare`, `missing` and `raw` need it. Often nothing.
        raw: An expression whose least and greatest value are those of the earliest and latest record.
        hashed: A number made of the column, never NULL.
    """

    @property
    def lateral(self) -> str: ...

    @property
    def raw(self) -> str: ...

    @property
    def hashed(self) -> str: ...

    def missing(self) -> Fragment:
        """Whether no time can be read; never NULL."""
        ...

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        """Whether the time is ``<``, ``<=``, ``>`` or ``>=`` *instant*; not true where there is none, but for texts."""
        ...

    def bound(self, operator: str, instant: Nanos) -> Fragment | None:
        """The same or more, as a comparison of the column alone. None if there is none."""
        ...

    def nanos(self, raw: str) -> str:
        """BIGINT nanoseconds of a value of `raw`, clamped, NULL if it is no time."""
        ...

    def once(self, expression: Fragment) -> Fragment:
        """An expression made of `missing` and `compare`, for rows without `lateral`."""
        ...


class ColumnTime:
    """What times have in common that are compared as the column is."""

    lateral = ""

    def once(self, expression: Fragment) -> Fragment:
        """The expression as it is."""
        return expression


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedTime(ColumnTime):
    """Values in the order of their instants.

    Attributes:
        raw: The column.
        border: The least value whose instant is not before the given one, as a literal.
        is_time: Whether a value is a time; true, or else false or NULL.
        convert: Nanoseconds of a value that is a time, as a numeric that may leave 64 bits.
        quick: The same of a time in the years 1900 to 2100, as a bigint.
        hashed: A number made of it.
        micros: Whether a value that is a time is a timestamp whose microseconds, as UTC, are the instant.
    """

    raw: str
    border: Callable[[Nanos], str]
    is_time: Callable[[str], str]
    convert: Callable[[str], str]
    quick: Callable[[str], str]
    hashed: str
    micros: bool = False

    def missing(self) -> Fragment:
        """Whether no time can be read; never NULL."""
        return Fragment(f"({self.is_time(self.raw)}) IS NOT TRUE")

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        """Whether the time is so; not true where there is none."""
        first = first_of(operator, instant)
        side = "<" if operator.startswith("<") else ">="
        return Fragment(
            _always(side, first, f"({self.is_time(self.raw)})") or f"{self.raw} {side} {self.border(first)}"
        )

    def bound(self, operator: str, instant: Nanos) -> Fragment | None:
        """The comparison itself."""
        return self.compare(operator, instant)

    def nanos(self, raw: str) -> str:
        """BIGINT nanoseconds of a value, clamped, NULL if it is no time."""
        near = f"{raw} >= {self.border(QUICK[0])} AND {raw} < {self.border(QUICK[1])}"
        far = f"WHEN {self.is_time(raw)} THEN {clamp(self.convert(raw))}"
        return f"(CASE WHEN {near} THEN {self.quick(raw)} {far} END)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonedTime(ColumnTime):
    """Wall clock times of a zone: converted by the server where the zone matters, which is near the border only.

    Of a wall clock time that came twice or never the server takes the smaller offset, so the later instant:
    as `lapse.model.timetext` does. Such a time can be later than a greater one.

    Attributes:
        column: The column.
        zone: The zone's name as a literal.
        dates: Whether it holds dates, each of which stands for the last nanosecond of its day.
        hashed: A number made of it.
    """

    column: str
    zone: str
    dates: bool
    hashed: str

    @property
    def raw(self) -> str:
        """The instant as timestamptz, which for a date ends its day; far times as if they were UTC."""
        wall, near = self._wall, f"{self.column} > '1677-01-01' AND {self.column} < '2263-01-01'"
        if self.dates:
            # A date may be too far away for a timestamp.
            far = f"CASE WHEN isfinite({self.column}) AND {self.column} > '2000-01-01' THEN '3000-01-01' "
            far += f"WHEN isfinite({self.column}) THEN '1000-01-01' END::timestamptz"
        else:
            far = f"timezone('UTC', {wall})"
        return f"(CASE WHEN {near} THEN timezone({self.zone}, {wall}) ELSE {far} END)"

    @property
    def _wall(self) -> str:
        return f"({self.column} + 1)::timestamp" if self.dates else self.column

    def missing(self) -> Fragment:
        """Whether no time can be read; never NULL."""
        return Fragment(f"isfinite({self.column}) IS NOT TRUE")

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        """Whether the time is so; not true where there is none."""
        first = first_of(operator, instant)
        low, high = self._near(first)
        border = timestamp_border(Nanos(clamped(first) + self.dates), "timestamptz")
        if operator.startswith("<"):
            side, near = "<", f"{self.column} < {high}"
            sure = f"{self.column} < {low}"
        else:
            side, near = ">=", f"{self.column} >= {low}"
            sure = f"{self.column} >= {high}"
        exact = f"timezone({self.zone}, {self._wall}) {side} {border}"
        return Fragment(_always(side, first, f"isfinite({self.column})") or f"({sure} OR ({near} AND {exact}))")

    def bound(self, operator: str, instant: Nanos) -> Fragment | None:
        """Whether the column is so, by the clocks that differ most."""
        first = first_of(operator, instant)
        low, high = self._near(first)
        side, border = ("<", high) if operator.startswith("<") else (">=", low)
        return Fragment(_always(side, first, f"isfinite({self.column})") or f"{self.column} {side} {border}")

    def _near(self, first: Nanos) -> tuple[str, str]:
        """Columns below the one are earlier than *first* and those from the other on are not, whatever the zone."""
        first = clamped(first)
        if self.dates:
            return day_border(Nanos(first - 2 * DAY)), day_border(Nanos(first + 2 * DAY))
        return timestamp_border(Nanos(first - FAR), "timestamp"), timestamp_border(Nanos(first + FAR), "timestamp")

    def nanos(self, raw: str) -> str:
        """BIGINT nanoseconds of an instant, clamped, NULL if it is none."""
        return timestamp_time(raw, "timestamptz", hashed=self.hashed, shift=" - 1" if self.dates else "").nanos(raw)


def timestamp_time(raw: str, kind: str, *, hashed: str, shift: str = "") -> OrderedTime:
    """Times that are ``timestamptz`` or, as UTC, ``timestamp``; *shift* is added to their nanoseconds."""
    return OrderedTime(
        raw=raw,
        border=lambda first: timestamp_border(first, kind),
        is_time="isfinite({})".format,
        convert=lambda moment: f"({_exact_nanos(moment)}{shift})",
        # Exact although old servers give floating point numbers here.
        quick=lambda moment: f"((extract(epoch FROM {moment}) * 1000000)::bigint * 1000{shift})",
        hashed=hashed,
        micros=not shift,
    )


def first_of(operator: str, instant: Nanos) -> Nanos:
    """The first instant at which ``>`` or ``>=`` *instant* begins to be true, and ``<`` or ``<=`` ceases to be."""
    return Nanos(clamped(instant) + (operator in (">", "<=")))


def _always(side: str, first: Nanos, present: str) -> str | None:
    """What ``<`` or ``>=`` *first* is where clamping decides. None where it does not."""
    if first <= MIN_INT64:
        return "FALSE" if side == "<" else present
    if first > MAX_INT64:
        return present if side == "<" else "FALSE"
    return None


def clamp(nanos: str) -> str:
    """What a BIGINT cannot hold is beyond every cutoff: the nearest number it holds decides the same."""
    return (
        f"(CASE WHEN {nanos} > {MAX_INT64} THEN {MAX_INT64} WHEN {nanos} < {MIN_INT64} THEN {MIN_INT64} "
        f"ELSE ({nanos})::bigint END)"
    )


def timestamp_border(first: Nanos, kind: str) -> str:
    """The least timestamp that is not before an instant, of ``timestamptz`` or, as UTC, ``timestamp``."""
    moment = _EPOCH + timedelta(microseconds=-(-first // 1000))
    zone = "+00" if kind == "timestamptz" else ""
    return f"'{moment.replace(tzinfo=None).isoformat(' ')}{zone}'::{kind}"


def _exact_nanos(moment: str) -> str:
    """Nanoseconds of a finite timestamp as numeric; exact in every version, which ``extract(epoch)`` is not."""
    seconds = f"extract(epoch FROM date_trunc('second', {moment}))::numeric * 1000000000"
    return f"({seconds} + (extract(microseconds FROM {moment})::bigint %% 1000000) * 1000)"


def day_border(first: Nanos) -> str:
    """The least date whose last nanosecond, UTC, is not before an instant."""
    return f"'{(_FIRST_DAY + timedelta(days=first // DAY)).isoformat()}'::date"
