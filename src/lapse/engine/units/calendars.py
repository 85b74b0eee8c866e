"""Cron fields to the calendar of systemd, which means the same instants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from lapse.model.policy import Schedule

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_WHENEVER = datetime(2024, 1, 1, tzinfo=UTC)


def on_calendar(schedule: Schedule) -> tuple[str, ...]:
    """What stands after ``OnCalendar=``, one or two times: cron joins day of month and day of week by *or*."""
    from cronsim import CronSim

    fields = CronSim(schedule.cron, _WHENEVER)
    clock = f"{_numbers(fields.hours, 24)}:{_numbers(fields.minutes, 60)}:00"
    zone = "" if schedule.zone is None else f" {schedule.zone}"
    months, days = _numbers(fields.months, 12), _numbers(fields.days, 31)
    weekdays = _weekdays({day % 7 for day in fields.weekdays if isinstance(day, int)})
    if fields.day_and:
        return (f"{weekdays}*-{months}-{days} {clock}{zone}",)
    return (f"*-{months}-{days} {clock}{zone}", f"{weekdays}*-{months}-* {clock}{zone}")


def _numbers(values: set[int], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(f"{value:02}" for value in sorted(values))


def _weekdays(days: set[int]) -> str:
    names: Iterator[str] = (_DAYS[day] for day in sorted(days))
    return "" if len(days) == len(_DAYS) else f"{','.join(names)} "
