"""The keys `schedule` and `notify` to the values of the model, and what is wrong with them as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from lapse.errors import Complaint
from lapse.model.policy import Notify
from lapse.model.schedule import SLACK, Schedule
from lapse.model.span import span_text
from lapse.policyfile.models import keys_of
from lapse.policyfile.shape import shaped
from lapse.policyfile.tree import Mapped
from lapse.policyfile.unattended import NotifyShape, ScheduleShape

_KINDS = ("daily at", "every", "cron")
_ONE_KIND = "Write one of `daily at: 02:00`, `every: 6 hours` and `cron: 0 2 * * *`."


def bad_schedule(root: Mapped) -> Iterator[Complaint]:
    """A schedule that says no time, or two, or whose jitter would carry a run into the next one."""
    entry = root.entry("schedule")
    if entry is None or not isinstance(entry.node, Mapped):
        return  # the shape complains about it
    said = [each for each in entry.node.entries if each.key in _KINDS]
    if not said and all(each.key in keys_of(ScheduleShape) for each in entry.node.entries):
        yield Complaint(entry.origin, "`schedule` does not say when", _ONE_KIND)
    for extra in said[1:]:
        yield Complaint(extra.origin, f"`{extra.key}`: `{said[0].key}` says when already", _ONE_KIND)
    if len(said) == 1:
        yield from _bad_jitter(entry.node)


def _bad_jitter(node: Mapped) -> Iterator[Complaint]:
    jitter, shape = node.get("jitter"), shaped(ScheduleShape, node)
    if jitter is None or shape is None:
        return
    schedule = schedule_of(shape)
    gap = schedule.shortest_gap()
    if schedule.jitter >= gap:
        what = f"`jitter`: {span_text(schedule.jitter)} is no less than the {span_text(gap)} between two runs"
        yield Complaint(jitter.origin, what, "Write a shorter one.")


def schedule_of(shape: ScheduleShape) -> Schedule:
    """The schedule, its words kept for people."""
    for word, due in zip(_KINDS, (shape.daily_at, shape.every, shape.cron), strict=True):
        if due is not None:
            return Schedule(
                text=f"{word} {due.text}",
                cron=due.cron,
                jitter=shape.jitter or 0.0,
                slack=SLACK if shape.slack is None else shape.slack,
                zone=shape.time_zone,
            )
    raise ValueError("a schedule without a time")  # `bad_schedule` has refused it


def notify_of(shape: NotifyShape) -> Notify:
    """The commands."""
    return Notify(on_failure=tuple(shape.on_failure or ()), on_success=tuple(shape.on_success or ()))
