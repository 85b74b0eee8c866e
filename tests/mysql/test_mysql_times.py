"""MariaDB reads the time of a record as the definition reads it, whatever the type of its column."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mysql_judged import DATABASE, judged, server

from lapse.instant import Nanos, to_datetime
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import select
from lapse.model.timetext import number_instant, parse_time_text
from lapse.sqlcore.rules import clamped
from lapse.testing.harness import NOW
from servers.mariadb import MariadbServer

__all__ = ["server"]

ZONES = [None, "UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Monrovia"]
CHANGES = [datetime(2026, 3, 29, 2), datetime(2026, 10, 25, 3), datetime(1995, 4, 2, 2), datetime(2026, 10, 4, 2)]  # noqa: DTZ001
walls = st.builds(
    lambda base, shift: base + timedelta(microseconds=shift),
    st.sampled_from([*CHANGES, datetime(1901, 1, 1), datetime(1972, 1, 7), datetime(2040, 6, 1)]),  # noqa: DTZ001
    st.sampled_from([0, -1, 1, 3_600_000_000, -3_600_000_000, 1_800_000_000, -1_800_000_001, 86_400_000_000 * 3]),
)
tails = st.sampled_from(["", "Z", "z", "+00:00", "+02", "-0530", "+23:59", "+24:00", "+02:60", " ", "\n", "x"])
fractions = st.sampled_from(["", ".5", ",123456789", ".000000001", ".1234567890", "."])
iso = st.builds(
    lambda wall, joint, fraction, tail: wall.strftime(f"%Y-%m-%d{joint}%H:%M:%S") + fraction + tail,
    walls.map(lambda wall: wall.replace(microsecond=0)),
    st.sampled_from([" ", "T", "t"]),
    fractions,
    tails,
)
STRANGE = """|now|2026-02-30 00:00:00|2028-02-29|2026-02-29|2026-11-01 24:00:00|2026-11-01|0000-01-01|12345|2026-00-01
|9999-12-31 23:59:59|1500-01-01 00:00:00|2026-11-01 23:59:60|2026-11-01 10:00Z|2026-11-01 1a:00:00|0000-00-00
|2026-11-01Z|20:30:00.000 +05:00|2026-1-1|２０２６-01-01|2026-11-01
"""
strange = st.sampled_from([*STRANGE.split("|"), *STRANGE.replace("\n", "").split("|")])


def instants(server: MariadbServer, kind: str, values: Sequence[object], **more: Any) -> list[Nanos | None]:
    """What the store reads from a column of that kind."""
    with server.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute("DROP TABLE IF EXISTS times")
        cursor.execute(
            f"CREATE TABLE times (id INT AUTO_INCREMENT PRIMARY KEY, at {kind}, every CHAR(3) DEFAULT 'row')"
        )
        cursor.executemany("INSERT INTO times (at) VALUES (%s)", [(value,) for value in values])
    dataset = Dataset(name="log", store="", shown="", table="times", time="at", **more)
    selection = select(dataset, floors=(), holds=(), now=NOW, real_now=NOW)
    return [found.instant for found in judged(server, selection, "times")]


FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@example(values=["2026-11-01 10:00:00-0530", "2026-11-01 10:00:00+05:30"], zone="Europe/Paris")
@given(values=st.lists(iso | strange, min_size=1, max_size=20), zone=st.sampled_from(ZONES))
def test_a_text_is_read_as_the_definition_reads_it(server: MariadbServer, values: list[str], zone: str | None) -> None:
    """To the nanosecond, in every zone, and nothing where it is no time."""
    expected = [parse_time_text(value, zone) for value in values]
    found = instants(server, "VARCHAR(60)", values, zone=zone)
    assert found == [None if instant is None else clamped(instant) for instant in expected]


@FEW
@given(values=st.lists(walls, min_size=1, max_size=20), zone=st.sampled_from(ZONES))
def test_a_wall_clock_time_is_that_of_its_zone(server: MariadbServer, values: list[datetime], zone: str | None) -> None:
    """Of a time that came twice or never, the later reading; a date stands for its last nanosecond."""
    found = instants(server, "DATETIME(6)", values, zone=zone)
    days = instants(server, "DATE", [value.date() for value in values], zone=zone)

    assert found == [parse_time_text(value.isoformat(sep=" "), zone) for value in values]
    assert days == [parse_time_text(value.date().isoformat(), zone) for value in values]


def test_a_timestamp_is_an_instant_whatever_the_zones_are(server: MariadbServer) -> None:
    """Neither the server's zone nor the dataset's moves it."""
    moment = datetime(2026, 3, 29, 1, 30, 0, 7, tzinfo=UTC)
    server.execute("SET GLOBAL time_zone = '+05:30'")
    try:
        found = instants(server, "TIMESTAMP(6) NULL", ["2026-03-29 01:30:00.000007"], zone="Europe/Paris")
    finally:
        server.execute("SET GLOBAL time_zone = 'SYSTEM'")

    assert [None if instant is None else to_datetime(instant) for instant in found] == [moment]


@pytest.mark.parametrize("kind", ["DATETIME(6)", "DATE"])
def test_a_day_that_no_calendar_has_is_no_time(server: MariadbServer, kind: str) -> None:
    """Zeros, the 31st of February and the year 0."""
    days = ["0000-00-00", "2020-00-01", "2020-01-00", "2020-02-31", "2021-02-29", "0000-05-05", None]
    assert instants(server, kind, days) == [None] * 7
    assert None not in instants(server, kind, ["2020-02-29", "2021-12-31", "0001-01-01", "9999-12-31"])


@pytest.mark.parametrize(
    "form", [TimeFormat.SECONDS, TimeFormat.MILLISECONDS, TimeFormat.NANOSECONDS, TimeFormat.WEBKIT]
)
def test_a_number_is_read_as_the_definition_reads_it(server: MariadbServer, form: TimeFormat) -> None:
    """Whole numbers exactly, others to the microsecond."""
    whole = [0, 1, -1, 1_700_000_000, 1_700_000_000_123, 13_300_000_000_000_000, 2**63 - 1, -(2**63)]
    broken = [0.5, -0.5, 1.5e9, 1_700_000_000.123456, 1e300, -2.5, 1.7e18, 4503599627370497.5]

    def expected(values: Sequence[int | float]) -> list[Nanos | None]:
        found = [number_instant(value, form) for value in values]
        return [None if instant is None else clamped(instant) for instant in found]

    assert instants(server, "BIGINT", whole, time_format=form) == expected(whole)
    assert instants(server, "DOUBLE", broken, time_format=form) == expected(broken)
