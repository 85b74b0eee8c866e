"""When runs are due: the words of a policy, cron's fields and systemd's calendar mean the same instants."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from unattended_world import POLICY, World
from unattended_world import world_fixture as world_fixture

from lapse.engine.units.calendars import on_calendar
from lapse.errors import PolicyError
from lapse.instant import DAY, SECOND, Nanos, parse_rfc3339, rfc3339, to_datetime
from lapse.model.schedule import Schedule, parse_cron, parse_daily, parse_every
from lapse.policyfile import load

NOON = parse_rfc3339("2026-11-22T12:00:00Z")
_ELAPSE = re.compile(r"(?:Next elapse|Iter\. #\d+): \w{3} (\S+ \S+) UTC")


def schedule(cron: str, **more: float | str) -> Schedule:
    """A schedule of these fields."""
    return Schedule(text=f"cron {cron}", cron=cron, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (parse_daily("02:00"), "0 2 * * *"),
        (parse_daily("23:59"), "59 23 * * *"),
        (parse_every("15 minutes"), "*/15 * * * *"),
        (parse_every("1 minute"), "* * * * *"),
        (parse_every("1h"), "0 * * * *"),
        (parse_every("6 hours"), "0 */6 * * *"),
        (parse_every("1 day"), "0 0 * * *"),
        (parse_cron(" 5  4 * * sun "), "5 4 * * sun"),
    ],
)
def test_every_form_is_five_fields(value: str, fields: str) -> None:
    """One meaning for everybody who starts runs."""
    assert value == fields


@pytest.mark.parametrize("text", ["24:00", "2", 2, None, "02:60", "2 am"])
def test_what_is_no_time_of_day_is_refused(text: object) -> None:
    """With an example."""
    with pytest.raises(PolicyError, match="no time of day"):
        parse_daily(text)


@pytest.mark.parametrize("text", ["7 hours", "90m", "30 s", "2 days", "45 minutes"])
def test_a_span_that_does_not_divide_the_day_is_refused(text: str) -> None:
    """It would begin anew at midnight."""
    with pytest.raises(PolicyError, match="does not divide"):
        parse_every(text)


@pytest.mark.parametrize(
    "text", ["@daily", "* * * *", "0 0 2 * * *", "61 * * * *", "0 0 30 2 *", "0 0 L * *", "0 0 * * 5#2", "", None, 5]
)
def test_what_not_every_cron_reads_is_refused(text: object) -> None:
    """Nicknames, seconds, `L`, `#`, and days that never come."""
    with pytest.raises(PolicyError):
        parse_cron(text)


def test_due_times_lie_on_both_sides_of_an_instant() -> None:
    """The last one may be the instant itself, the next one not."""
    noon = schedule("0 12 * * *")

    assert noon.last_until(NOON, local=UTC) == NOON
    assert noon.next_after(NOON, local=UTC) == NOON + DAY
    assert noon.last_until(Nanos(NOON - 1), local=UTC) == NOON - DAY


def test_a_time_zone_keeps_its_clock_through_the_change_of_the_clock() -> None:
    """02:00 in Berlin is 01:00 UTC in winter and midnight UTC in summer."""
    nightly = schedule("0 2 * * *", zone="Europe/Berlin")
    due = [
        nightly.next_after(parse_rfc3339(day), local=UTC) for day in ("2026-01-10T12:00:00Z", "2026-07-10T12:00:00Z")
    ]

    assert [rfc3339(each)[11:16] for each in due] == ["01:00", "00:00"]


def test_the_machines_zone_counts_without_one() -> None:
    """As cron has it."""
    tokyo = schedule("0 9 * * *").next_after(NOON, local=ZoneInfo("Asia/Tokyo"))

    assert rfc3339(tokyo) == "2026-11-23T00:00:00Z"


def test_missed_runs_are_those_that_should_be_over() -> None:
    """A run that is due may begin late by its jitter and last for the slack."""
    hourly = schedule("0 * * * *", jitter=600.0, slack=3000.0)
    since = Nanos(NOON - 3 * 3600 * SECOND)

    assert [rfc3339(each)[11:13] for each in hourly.missed(since=since, now=NOON, local=UTC)] == ["10", "11"]
    assert len(hourly.missed(since=since, now=Nanos(NOON - 1), local=UTC)) == 1
    assert len(hourly.missed(since=Nanos(0), now=NOON, local=UTC)) == 1000


CRONS = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["0", "30", "*/15", "5,35", "10-12"]),
        st.sampled_from(["*", "2", "*/6", "9-17", "0,12"]),
        st.sampled_from(["*", "1", "1,15", "*/10", "28-31"]),
        st.sampled_from(["*", "1", "2", "jan-mar", "6,12"]),
        st.sampled_from(["*", "0", "7", "1-5", "sun,wed", "*/2"]),
    ),
)


@settings(max_examples=25, deadline=None)
@given(cron=CRONS)
def test_systemd_elapses_when_cron_would(cron: str) -> None:
    """systemd's own reading of our calendar lines agrees with the fields, also where cron joins days by `or`."""
    lines = on_calendar(schedule(cron))
    ours = [each.strftime("%F %T") for each, _ in zip(CronSim(cron, to_datetime(NOON)), range(4), strict=False)]
    said = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time=2026-11-22 12:00:00", "--iterations=4", *lines],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert sorted(set(_ELAPSE.findall(said)))[:4] == ours


def complaints(folder: Path, text: str) -> list[str]:
    """What is said about a policy with *text* at its end; the place without the file."""
    file = folder / "lapse.yaml"
    file.write_text(POLICY + text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load(file)
    return [f"{each.origin.line}:{each.origin.column} {each.message}" for each in caught.value.complaints]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule: {dayly at: 02:00}", "11:12 unknown key `dayly at`"),
        ("schedule: {daily at: 25:00}", "11:22 `daily at`: '25:00' is no time of day"),
        ("schedule: {every: 7 hours}", "11:19 `every`: '7 hours' does not divide a day into equal parts"),
        ("schedule: {jitter: 1 hour}", "11:1 `schedule` does not say when"),
        ("schedule: {every: 1 hour, cron: 0 2 * * *}", "11:27 `cron`: `every` says when already"),
        (
            "schedule: {every: 1 hour, jitter: 60m}",
            "11:35 `jitter`: 3600 s is no less than the 3600 s between two runs",
        ),
        ("schedule: {every: 1 hour, time zone: Mars/X}", "11:38 `time zone`: `Mars/X` is not a time zone"),
        ("schedule: {daily at: 02:00, slack: 3}", "11:36 `slack`: 3 is not a span of time"),
        ("schedule: 02:00", "11:11 `schedule`: must be a mapping of keys, not `02:00`"),
        ("notify: {on fail: [a]}", "11:10 unknown key `on fail`"),
        ("notify: {on failure: mail}", "11:22 `on failure`: must be a list, not `mail`"),
        ("notify: {on failure: []}", "11:22 `on failure`: the list is empty"),
        ("notify: {on success: ['']}", "11:23 `on success`: is empty"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, text: str, message: str) -> None:
    """One complaint, at its line and column."""
    assert complaints(tmp_path, f"{text}\n") == [message]


def test_a_second_schedule_in_conf_d_is_a_second_time(world: World) -> None:
    """The keys of all files add up; two that say when are told."""
    (world.folder / "conf.d").mkdir()
    (world.folder / "conf.d" / "x.yaml").write_text("schedule: {every: 1 hour}\n", encoding="utf-8")

    result = world.call("check")

    assert result.exit_code == 2
    assert "`daily at` says when already" in result.stderr


def test_the_published_schema_knows_both_keys(world: World) -> None:
    """For editors."""
    found = world.call("check", "--schema").stdout

    assert '"daily at"' in found
    assert '"on failure"' in found
