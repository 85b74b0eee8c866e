"""How instants are written into columns of any kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from judging_worlds import Clock, Write

from lapse.instant import SECOND, Nanos
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.timetext import is_naive, number_instant, parse_time_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = Nanos(-9_000_000_000 * SECOND), Nanos(90_000_000_000 * SECOND)  # within the calendar in any zone

NO_TIMES = ("", " ", "now", "2026-02-30 00:00:00", "2026-11-01 24:00:00", "0000-00-00", "12345", "2026-11-22T10:00")
ODD_TIMES = (
    "2026-11-22", "2024-02-29", "2026-03-29", "9999-12-31 23:59:59Z", "0001-01-01T00:00:00Z", "2026-10-25 02:30:00",
    "2026-03-29 02:30:00", "2026-11-01 01:30:00", "2026-03-08 02:30:00.5", "1994-12-31 12:00:00", "1500-01-01",
    "2026-11-22T10:00:00,123456789+14", "2026-11-22t10:00:00Z", "2026-11-22 10:00:00-0930", "1960-01-01 00:00:00z",
    "9999-12-31", "0001-01-01",
)  # fmt: skip


def moment(instant: Nanos, zone: str | None) -> tuple[str, int]:
    """What clocks of a zone show, to the second, with a blank between; and the nanoseconds beyond it."""
    whole, rest = divmod(max(_FIRST, min(_LAST, instant)), SECOND)
    wall = (_EPOCH + timedelta(seconds=whole)).astimezone(ZoneInfo(zone or "UTC"))
    return wall.replace(tzinfo=None).isoformat(" "), rest


def text(digits: int, *, separator: str = " ", tail: str = "") -> Write:
    """Texts of one layout; with a *tail* they are UTC, else wall clock times."""

    def write(_: Random, instant: Nanos, zone: str | None) -> str:
        shown, rest = moment(instant, None if tail else zone)
        return shown.replace(" ", separator) + (f".{rest:09d}"[: digits + 1] if digits else "") + tail

    return write


def any_text(rng: Random, instant: Nanos, zone: str | None) -> object:
    """A text in any layout, with or without an offset."""
    digits, separator = rng.choice((0, 1, 3, 6, 9)), rng.choice((" ", "T"))
    tail = rng.choice(("", "", "Z", "z", "+00:00", "offset"))
    if tail != "offset":
        return text(digits, separator=separator, tail=tail)(rng, instant, zone)
    minutes = rng.choice((-720, -570, -60, 60, 330, 765, 840))
    shown, rest = moment(Nanos(instant + minutes * 60 * SECOND), None)
    joint = rng.choice((":", ""))
    written = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{joint}{abs(minutes) % 60:02d}"
    return shown.replace(" ", separator) + rng.choice((".", ",")) + f"{rest:09d}" + written


def day(_: Random, instant: Nanos, zone: str | None) -> str:
    """The date that calendars of a zone show."""
    return moment(instant, zone)[0][:10]


def whole_number(form: TimeFormat, least: int = -(2**63), most: int = 2**63 - 1) -> Write:
    """Whole numbers, within what the column holds."""
    return lambda _, instant, __: max(least, min(most, (instant - form.epoch) // (form.unit or 1)))


def floating(form: TimeFormat) -> Write:
    """Floating point numbers."""
    return lambda _, instant, __: (instant - form.epoch) / (form.unit or 1)


def read_text(value: object, dataset: Dataset) -> Nanos | None:
    """Texts, by the definition; everything else is no time."""
    if not isinstance(value, str) or (dataset.zone_required and is_naive(value)):
        return None
    if value == "" and dataset.empty_time is not None:
        return dataset.empty_time
    return parse_time_text(value, dataset.zone)


def read_zoned(value: object, _: Dataset) -> Nanos | None:
    """Texts of a column whose times are instants: UTC, whatever the dataset's zone."""
    return parse_time_text(value, None) if isinstance(value, str) else None


def read_number(value: object, dataset: Dataset) -> Nanos | None:
    """Numbers in the dataset's unit."""
    if isinstance(value, Decimal):
        return Nanos(int(value * (dataset.time_format.unit or 1)) + dataset.time_format.epoch)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return number_instant(value, dataset.time_format)


def counted(form: TimeFormat, kind: str, *, strange: tuple[object, ...] = (0, -1, 2**63 - 1, -(2**63))) -> Clock:
    """A clock of whole numbers of 64 bits."""
    return Clock(
        name=form.value.replace(" ", "_"),
        kind=kind,
        write=whole_number(form),
        read=read_number,
        form=form,
        strange=strange,
    )


NUMBERS = tuple(form for form in TimeFormat if form.unit is not None)
"""Formats of numbers."""
