"""Record times of every type are read and compared as Python reads them, to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pg_rules_tools import clamp, connected, disagreements, instants, times_table

from lapse.errors import PolicyError, UnsupportedError
from lapse.instant import parse_rfc3339
from lapse.model.policy import TimeFormat
from lapse.model.timetext import number_instant, parse_time_text
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.postgresql import formats
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.formats import read_format
from servers.postgres import PostgresServer

_PARTS = st.tuples(
    st.sampled_from(["1677", "1678", "1990", "2024", "2026", "2262", "0000", "9999", "0001", "0099", "20a4"]),
    st.sampled_from(["-03-31", "-10-27", "-02-29", "-02-30", "-04-31", "-12-31", "-09-21", "-04-11", "-1-1", "-00-10"]),
    st.sampled_from(["", " ", "T", "t"]),
    st.sampled_from(
        ["", "02:30:00", "01:59:59", "23:47:16", "00:12:43", "23:59:59", "24:00:00", "12:60:00", "12:00", "12:00:60"]
    ),
    st.sampled_from(["", ".5", ",123456789", ".1234567890", ".", ".000001", ".854775807", ".145224192"]),
    st.sampled_from(
        ["", "Z", "z", "+00:00", "-03:30", "+0200", "+14", "-23:59", "+24:00", "-00:60", "+1", " UTC", "\n"]
    ),
).map("".join)
_CHANGES = [
    (None, []),
    ("Europe/Paris", ["2024-03-31", "2024-10-27", "1945-04-02"]),
    ("Europe/Dublin", ["2024-03-31", "2024-10-27", "1971-10-31"]),
    ("America/New_York", ["2024-03-10", "2024-11-03"]),
    ("Australia/Lord_Howe", ["2024-04-07", "2024-10-06"]),
    ("Pacific/Kiritimati", ["1994-12-31", "1995-01-01"]),
    ("Africa/Casablanca", ["2024-03-10", "2024-04-14"]),
    ("Asia/Kathmandu", ["1986-01-01"]),
]
_ZONES = [zone for zone, _ in _CHANGES]
# Its rules change so often that servers and Python may know different ones.
_SETTLED = [zone for zone in _ZONES if zone != "Africa/Casablanca"]
_ANY_EXAMPLE = [HealthCheck.too_slow]


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[Connection]:
    """A session in a database for these tests; each makes its own table."""
    with connected(postgres.create_database("pg_times")) as session:
        yield session
    postgres.drop_database("pg_times")


def _around(days: list[str]) -> list[str]:
    """Each half hour from the evening before each of the days to its noon."""
    found = []
    for day in days or ["2024-02-29"]:
        begin = datetime.fromisoformat(day) - timedelta(hours=2)
        found += [str(begin + timedelta(minutes=30 * count, seconds=1)) for count in range(30)]
    return found


@pytest.mark.parametrize("kind", ["text", "varchar(40)"])
@settings(max_examples=8, deadline=None, suppress_health_check=_ANY_EXAMPLE)
@given(texts=st.lists(_PARTS, min_size=60, max_size=60), zone=st.sampled_from(_SETTLED))
def test_texts_are_read_as_python_reads_them(
    connection: Connection, kind: str, zone: str | None, texts: list[str]
) -> None:
    """ISO texts with and without offset, in zones that change their clocks; everything else is no time."""
    texts += ["", " ", "garbage", "2024-02-29 10:00:00 ", "-infinity", "now", "2024-01-01 10:00:00.5\n", "٢٠٢٤-01-01"]
    table = times_table(connection, kind, texts)

    assert instants(connection, table, zone=zone) == [clamp(parse_time_text(text, zone)) for text in texts]


_SHAPES = st.builds(
    lambda text, place, char: text[:place] + char + text[place + (char != "") :],
    st.sampled_from(
        [
            "2024-02-28 10:00:00", "2024-04-30 23:59:59.999999", "2024-12-01T00:00:00.1", "2099-12-30 10:00:00.12Z",
            "1900-01-01T10:00:00Z", "2024-10-27T02:30:00.000001Z", "2024-02-30 02:30:00", "2023-02-29 00:00:00",
        ]
    ),
    st.integers(0, 27),
    st.sampled_from(["", "0", "1", "3", "6", "9", "-", " ", "T", ":", ".", "Z", "x", "é", "٣", "%", "_", "99"]),
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=_ANY_EXAMPLE)
@given(texts=st.lists(_SHAPES, min_size=150, max_size=150), zone=st.sampled_from([None, "Europe/Paris"]))
def test_texts_that_are_nearly_times_are_told_from_times(
    connection: Connection, zone: str | None, texts: list[str]
) -> None:
    """One character more, less or other than in a usual text: read as Python reads it, and no statement stops."""
    table = times_table(connection, "text", texts)

    assert instants(connection, table, zone=zone) == [clamp(parse_time_text(text, zone)) for text in texts]


def test_texts_of_the_telephone_exchange_are_read(connection: Connection) -> None:
    """The text era's queue_log: fractions of six digits or none, empty and broken texts."""
    texts = ["2019-05-01 12:00:00.123456", "2019-05-01 12:00:00", "", "2019-02-29 12:00:00", "2020-02-29 12:00:00.1"]
    table = times_table(connection, "varchar(26) DEFAULT ''", texts)

    assert instants(connection, table) == [parse_time_text(text, None) for text in texts]
    assert disagreements(connection, table) == []


@pytest.mark.parametrize("kind", ["timestamp", "text", "char(40)", "date"])
@pytest.mark.parametrize(("zone", "days"), _CHANGES, ids=[str(zone) for zone in _ZONES])
def test_wall_clock_times_are_read_in_their_zone_the_later_of_two(
    connection: Connection, zone: str | None, days: list[str], kind: str
) -> None:
    """Half hours around changes of clocks give what the same text gives in Python, and compare so."""
    texts = _around(days)
    if kind == "date":
        texts = sorted({str(date.fromisoformat(text[:10]) + timedelta(days=n)) for text in texts for n in (-1, 0, 1)})
    table = times_table(connection, kind, texts)

    assert instants(connection, table, zone=zone) == [parse_time_text(text, zone) for text in texts]
    assert disagreements(connection, times_table(connection, kind, texts[::3]), zone=zone) == []


_EDGES = ["1677-09-21 00:12:43.145224", "1677-09-21 00:12:43.145225", "2262-04-11 23:47:16.854775"]
_EDGES += ["2262-04-11 23:47:16.854776", "1899-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"]
_EDGES += ["2026-11-22 10:00:00.123456", "2099-12-31 23:59:59.999999", "2200-06-01 00:00:00.000001"]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "timestamp(3)", "date"])
@pytest.mark.parametrize("zone", [None, "Europe/Paris", "Etc/UTC"])
def test_every_time_compares_to_the_nanosecond(connection: Connection, kind: str, zone: str | None) -> None:
    """A cutoff a microsecond, or a nanosecond, before and after each time decides as it does in Python."""
    table = times_table(connection, kind, [*_EDGES, None, "infinity", "-infinity", "4000-01-01", "0044-03-15 BC"])

    read = instants(connection, table, zone=zone)

    if kind == "timestamptz" or (kind == "timestamp" and zone != "Europe/Paris"):
        assert read[:9] == [clamp(parse_time_text(text, None)) for text in _EDGES]
    assert read[9:] == [None, None, None, MAX_INT64, MIN_INT64]
    assert disagreements(connection, table, zone=zone) == []


@settings(max_examples=15, deadline=None, suppress_health_check=_ANY_EXAMPLE)
@given(
    moments=st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)), min_size=5, max_size=5),  # noqa: DTZ001
    zone=st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe"]),
)
def test_any_wall_clock_time_is_read_exactly(connection: Connection, moments: list[datetime], zone: str) -> None:
    """Centuries of clocks, as Python's own zone data has them."""
    texts = [str(moment) for moment in moments]
    table = times_table(connection, "timestamp", texts)

    assert instants(connection, table, zone=zone) == [parse_time_text(text, zone) for text in texts]
    assert disagreements(connection, table, zone=zone) == []


def test_a_time_with_zone_is_that_instant_whatever_the_dataset_says(connection: Connection) -> None:
    """`zone` is for naive times only."""
    table = times_table(connection, "timestamptz", ["2024-07-01 12:00:00.000001+02"])

    expected = [parse_rfc3339("2024-07-01T10:00:00.000001Z")]
    assert instants(connection, table) == expected
    assert instants(connection, table, zone="America/New_York") == expected


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_times_at_the_ends_of_the_calendar_stop_nothing(connection: Connection, zone: str | None) -> None:
    """The first and last times of each type are clamped; no conversion leaves its range."""
    for kind, first, last in (
        ("timestamp", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"),
        ("timestamptz", "4713-01-02 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00"),
        ("date", "4713-01-01 BC", "5874897-12-31"),
    ):
        table = times_table(connection, kind, [first, last])

        assert instants(connection, table, zone=zone) == [MIN_INT64, MAX_INT64]
        assert disagreements(connection, table, zone=zone) == []


_NUMBERS = [0, 1, -1, 1_700_000_000, 1_700_000_000_123, 13_300_000_000_000_000, 2**53 - 1, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("form", [form for form in TimeFormat if form.unit is not None])
@pytest.mark.parametrize("kind", ["smallint", "integer", "bigint", "numeric", "double precision", "real"])
def test_numbers_are_read_in_the_unit_the_policy_says(connection: Connection, form: TimeFormat, kind: str) -> None:
    """Seconds to nanoseconds and WebKit's microseconds, exactly; the largest do not overflow."""
    largest = {"smallint": 2**15, "integer": 2**31}.get(kind, 2**70)
    numbers = [str(number) for number in _NUMBERS if -largest <= number < largest]
    if kind in ("double precision", "real"):
        numbers = ["1e300", "-1e300", "1.5", "0.0000005", "1763805600.1234565"] if kind != "real" else ["1.5", "1e38"]
        numbers += [str(number) for number in _NUMBERS]
    table = times_table(connection, kind, [*numbers, None])

    read = instants(connection, table, time_format=form)

    floats = [found for (found,) in connection.rows("SELECT at::float8 FROM log WHERE at IS NOT NULL ORDER BY id")]
    asked = floats if kind in ("double precision", "real") else [int(number) for number in numbers]
    assert read == [*(clamp(number_instant(number, form)) for number in asked), None]
    assert disagreements(connection, table, time_format=form) == []


def test_decimal_numbers_are_read_to_the_nanosecond(connection: Connection) -> None:
    """``numeric`` loses nothing but what is finer than a nanosecond; NaN and infinities are no times."""
    values = ["1763805600.123456789", "1763805600.1234567899", "-0.5", "NaN", "1e60", "-1e60"]
    values += ["Infinity", "-Infinity"] if connection.version >= 140_000 else []
    table = times_table(connection, "numeric", values)

    read = instants(connection, table, time_format=TimeFormat.SECONDS)

    assert read[:6] == [1763805600123456789, 1763805600123456789, -500_000_000, None, MAX_INT64, MIN_INT64]
    assert read[6:] == [None] * len(read[6:])
    assert disagreements(connection, table, time_format=TimeFormat.SECONDS) == []


@pytest.mark.parametrize("kind", ["double precision", "real"])
def test_numbers_that_are_no_numbers_are_no_times(connection: Connection, kind: str) -> None:
    """NaN and infinity are doubtful."""
    table = times_table(connection, kind, ["NaN", "Infinity", "-Infinity", None])

    assert instants(connection, table, time_format=TimeFormat.SECONDS) == [None] * 4
    assert disagreements(connection, table, time_format=TimeFormat.SECONDS) == []


def _format(connection: Connection, values: list[str], said: TimeFormat = TimeFormat.AUTO) -> TimeFormat:
    table = times_table(connection, "bigint", values)
    return read_format(connection, table, table.column("at"), said, latest=parse_rfc3339("2026-12-01T00:00:00Z"))


def test_the_unit_of_numbers_is_found_if_there_is_one(connection: Connection) -> None:
    """Milliseconds are recognised although a stray 0 is there; of nothing but strays nothing is known."""
    assert _format(connection, ["1700000000000", "0", "1600000000123"]) is TimeFormat.MILLISECONDS
    assert _format(connection, ["0", "5"]) is TimeFormat.AUTO
    assert _format(connection, ["1700000000000"], TimeFormat.SECONDS) is TimeFormat.SECONDS
    with pytest.raises(PolicyError, match="several units"):
        _format(connection, ["1700000000000", "1700000000"])


@pytest.mark.parametrize("partitioned", [False, True])
def test_of_a_large_table_a_sample_tells_the_unit(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, partitioned: bool
) -> None:
    """One number in another unit among a hundred thousand is not looked for: as a time it is doubtful, never old."""
    monkeypatch.setattr(formats, "_PAGES", 3)
    connection.run("DROP TABLE IF EXISTS log")
    connection.run(f"CREATE TABLE log (id bigint, at bigint) {'PARTITION BY RANGE (id)' if partitioned else ''}")
    if partitioned:
        connection.run("CREATE TABLE log_old PARTITION OF log DEFAULT")
    number = "CASE i WHEN 1 THEN 1 ELSE 1000 END * bigint '1700000000'"
    connection.run(f"INSERT INTO log SELECT i, {number} FROM generate_series(1, 100000) i")
    table = find_table(connection, "log")

    found = read_format(
        connection, table, table.column("at"), TimeFormat.AUTO, latest=parse_rfc3339("2026-12-01T00:00:00Z")
    )

    assert found is TimeFormat.MILLISECONDS


def test_numbers_without_a_unit_are_no_times(connection: Connection) -> None:
    """All of them are doubtful, and the statement runs."""
    table = times_table(connection, "bigint", ["0", "1700000000"])

    assert instants(connection, table) == [None, None]


@pytest.mark.parametrize("kind", ["time", "timetz", "interval", "json", "bytea", "timestamptz[]", "tstzrange", "uuid"])
def test_a_column_that_names_no_instant_is_refused(connection: Connection, kind: str) -> None:
    """The type is named, and what would do instead."""
    table = times_table(connection, kind, [])

    with pytest.raises(UnsupportedError, match="time column at is") as raised:
        instants(connection, table)
    assert "timestamp" in str(raised.value.hint)


def test_a_zone_that_the_server_takes_for_an_offset_is_refused(connection: Connection) -> None:
    """PostgreSQL's CET has no summer time; Python's has."""
    table = times_table(connection, "timestamp", ["2024-07-01 12:00:00"])

    with pytest.raises(UnsupportedError, match="CET"):
        instants(connection, table, zone="CET")
    with pytest.raises(PolicyError, match="unknown"):
        instants(connection, table, zone="Europe/Atlantis")


def test_a_domain_is_read_as_what_it_is_of(connection: Connection) -> None:
    """Twice over."""
    connection.run("CREATE DOMAIN moment AS timestamptz(3); CREATE DOMAIN stamp AS moment NOT NULL")
    table = times_table(connection, "stamp", ["2024-07-01 12:00:00.0005+00"])

    assert instants(connection, table) == [int(datetime(2024, 7, 1, 12, tzinfo=UTC).timestamp()) * 10**9 + 10**6]
    assert disagreements(connection, table) == []
