"""Record times of every type are read as Python reads them, to the nanosecond."""

from __future__ import annotations

from pathlib import Path

import pytest
from duckdb_tools import DuckdbFile, instants, selection_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lapse.errors import PolicyError, UnsupportedError
from lapse.instant import parse_rfc3339
from lapse.model.policy import TimeFormat
from lapse.model.timetext import number_instant, parse_time_text
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64

_PARTS = st.tuples(
    st.sampled_from(["1677", "1990", "2024", "2026", "0000", "9999", "0001"]),
    st.sampled_from(["-03-31", "-10-25", "-10-27", "-02-29", "-02-30", "-12-31", "-1-1", ""]),
    st.sampled_from(["", " ", "T", "t"]),
    st.sampled_from(["", "02:30:00", "01:59:59", "03:00:00", "00:00:00", "23:59:59", "24:00:00", "12:60:00", "12:00"]),
    st.sampled_from(["", ".5", ",123456789", ".1234567890", ".", ".000001"]),
    st.sampled_from(["", "Z", "z", "+00:00", "-03:30", "+0200", "+14", "+24:00", "-00:60", "+1", " UTC"]),
).map("".join)
_ZONES = [None, "UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


def _clamped(instant: int | None) -> int | None:
    return None if instant is None else max(MIN_INT64, min(MAX_INT64, instant))


def _table(file: DuckdbFile, kind: str, literals: list[str]) -> None:
    file.path.unlink(missing_ok=True)
    rows = ", ".join(f"({number}, {literal})" for number, literal in enumerate(literals))
    file.run(f'CREATE TABLE "log" ("id" INTEGER, "at" {kind})', f'INSERT INTO "log" VALUES {rows}')


@pytest.mark.parametrize("zone", _ZONES)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(_PARTS, min_size=300, max_size=300))
def test_texts_are_read_as_python_reads_them(tmp_path: Path, zone: str | None, texts: list[str]) -> None:
    """ISO texts with and without offset, in zones that change their clocks; everything else is no time."""
    file = DuckdbFile(tmp_path)
    _table(file, "VARCHAR", ["'" + text + "'" for text in texts])

    read = instants(file, zone=zone)

    assert [read[number] for number in range(len(texts))] == [_clamped(parse_time_text(text, zone)) for text in texts]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"])
@pytest.mark.parametrize("zone", _ZONES)
def test_wall_clock_times_are_read_in_their_zone_the_later_of_two(tmp_path: Path, zone: str | None, kind: str) -> None:
    """Each quarter of an hour around both changes of clocks gives what the same text gives."""
    days = ["2024-03-10", "2024-03-31", "2024-04-07", "2024-10-06", "2024-10-27", "2024-11-03"]
    texts = [f"{day} {hour:02}:{minute:02}:01" for day in days for hour in range(5) for minute in (0, 15, 30, 45)]
    file = DuckdbFile(tmp_path)
    _table(file, kind, [f"'{text}'" for text in texts])

    read = instants(file, zone=zone)

    assert [read[number] for number in range(len(texts))] == [parse_time_text(text, zone) for text in texts]


def test_a_date_stands_for_its_last_nanosecond(tmp_path: Path) -> None:
    """A record of a day has lapsed when the whole day has, in the dataset's zone."""
    file = DuckdbFile(tmp_path)
    _table(file, "DATE", ["'2024-10-27'", "'1969-12-31'"])

    assert instants(file) == {0: parse_rfc3339("2024-10-27T23:59:59.999999999Z"), 1: -1}
    assert instants(file, zone="Europe/Paris")[0] == parse_rfc3339("2024-10-27T22:59:59.999999999Z")


def test_a_time_with_zone_is_that_instant_whatever_the_dataset_says(tmp_path: Path) -> None:
    """`zone` is for naive times only."""
    file = DuckdbFile(tmp_path)
    _table(file, "TIMESTAMPTZ", ["'2024-07-01 12:00:00.000001+02'"])

    expected = {0: parse_rfc3339("2024-07-01T10:00:00.000001Z")}
    assert instants(file) == expected
    assert instants(file, zone="America/New_York") == expected


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "TIMESTAMPTZ", "DATE"])
def test_infinity_is_no_time(tmp_path: Path, kind: str) -> None:
    """Neither infinity is older or newer than anything: doubtful, both."""
    file = DuckdbFile(tmp_path)
    _table(file, kind, ["'infinity'", "'-infinity'", "NULL"])

    assert instants(file) == {0: None, 1: None, 2: None}
    assert instants(file, zone="Europe/Paris") == {0: None, 1: None, 2: None}


def test_times_beyond_nanoseconds_are_the_nearest_that_fit(tmp_path: Path) -> None:
    """The year 3000 is in the future and the year 3000 BC is old; neither stops the survey."""
    file = DuckdbFile(tmp_path)
    _table(file, "TIMESTAMP", ["'3000-01-01'", "'3000-01-01 (BC)'", "'294247-01-10 04:00:54.775806'"])

    for zone in (None, "Europe/Paris"):
        assert instants(file, zone=zone) == {0: MAX_INT64, 1: MIN_INT64, 2: MAX_INT64}


@pytest.mark.parametrize("form", [form for form in TimeFormat if form.unit is not None])
@pytest.mark.parametrize("kind", ["BIGINT", "DOUBLE", "HUGEINT", "UBIGINT", "DECIMAL(20,0)"])
def test_numbers_are_read_in_the_unit_the_policy_says(tmp_path: Path, form: TimeFormat, kind: str) -> None:
    """Seconds to nanoseconds and WebKit's microseconds, exactly; the largest do not overflow."""
    numbers = [0, 1, 1_700_000_000, 1_700_000_000_123, 13_300_000_000_000_000, 2**53 - 1]
    if kind == "BIGINT":
        numbers += [-1, -(2**63), 2**63 - 1]
    file = DuckdbFile(tmp_path)
    _table(file, kind, [f"'{number}'" for number in numbers])

    read = instants(file, time_format=form)

    asked = [float(number) if kind in ("DOUBLE", "DECIMAL(20,0)") else number for number in numbers]
    assert [read[n] for n in range(len(numbers))] == [_clamped(number_instant(number, form)) for number in asked]


def test_numbers_that_are_no_numbers_are_no_times(tmp_path: Path) -> None:
    """NaN, infinity and the absurdly large are doubtful."""
    file = DuckdbFile(tmp_path)
    _table(file, "DOUBLE", ["'nan'", "'inf'", "'-inf'", "1e300", "NULL"])

    assert set(instants(file, time_format=TimeFormat.SECONDS).values()) == {None}


def test_the_unit_of_numbers_is_found_if_there_is_one(tmp_path: Path) -> None:
    """Milliseconds are recognised, and the identity says so; a stray 0 stays doubtful."""
    file = DuckdbFile(tmp_path)
    _table(file, "BIGINT", ["1700000000000", "1600000000000", "0", "NULL"])
    store = file.store()

    notes = store.identity().notes
    tallies = {tally.code: tally.records for tally in store.survey(selection_of(file.dataset()))}
    store.close()

    assert notes == ("at holds numbers and is read as unix milliseconds",)
    assert tallies == {0: 1, 1: 1, 3: 2}


def test_several_units_in_one_column_are_refused(tmp_path: Path) -> None:
    """Nothing is guessed where both seconds and milliseconds would be times."""
    file = DuckdbFile(tmp_path)
    _table(file, "BIGINT", ["1700000000000", "1600000000"])
    store = file.store()

    with pytest.raises(PolicyError, match="several units"):
        list(store.survey(selection_of(file.dataset())))
    store.close()


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("INTERVAL", TimeFormat.AUTO),
        ("TIMESTAMP", TimeFormat.SECONDS),
        ("BIGINT", TimeFormat.ISO),
        ("BLOB", TimeFormat.ISO),
    ],
)
def test_a_column_that_cannot_be_a_time_is_refused(tmp_path: Path, kind: str, form: TimeFormat) -> None:
    """The message names the column and its type."""
    file = DuckdbFile(tmp_path)
    _table(file, kind, ["NULL"])
    store = file.store(time_format=form)

    with pytest.raises(UnsupportedError, match=f"column at is {kind}"):
        list(store.survey(selection_of(file.dataset(time_format=form))))
    store.close()


def test_an_unknown_zone_is_refused(tmp_path: Path) -> None:
    """A zone is a name from the IANA list; nothing else reaches the database."""
    file = DuckdbFile(tmp_path)
    _table(file, "TIMESTAMP", ["'2020-01-01'"])

    with pytest.raises(PolicyError, match="time zone"):
        instants(file, zone="Europe/Pari's")


def test_naive_times_are_reported(tmp_path: Path) -> None:
    """Without a zone they are read as UTC, and the plan says so."""
    file = DuckdbFile(tmp_path)
    _table(file, "TIMESTAMP", ["'2020-01-01'"])
    store = file.store()

    (note,) = store.identity().notes
    store.close()

    assert note == "at is TIMESTAMP without time zone and is read as UTC"
