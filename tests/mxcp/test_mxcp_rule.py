"""What goes and what stays: the registry, the age, the spelling of times, and the lines that stay as they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mxcp_world import OLD, YOUNG, Site, record, schema
from mxcp_world import site_fixture as site_fixture

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def at(moment: str | None, **more: object) -> str:
    """A record of that time."""
    return json.dumps({"schema_name": "mxcp.endpoints", "schema_version": 2, "timestamp": moment, **more})


@pytest.mark.parametrize(
    ("days", "age", "goes"),
    [
        (90, 91 * DAY, True),
        (90, 91 * DAY - timedelta(microseconds=1), False),
        (90, 90 * DAY, False),
        (90, 91 * DAY + timedelta(microseconds=1), True),
        (1, 2 * DAY, True),
        (1, 2 * DAY - timedelta(microseconds=1), False),
        (0, DAY, True),
        (0, DAY - timedelta(microseconds=1), False),
        (0, timedelta(0), False),
        (3_700_000, 700_000 * DAY, False),
        (10**30, 91 * DAY, False),
    ],
)
def test_whole_days_of_age_decide(
    site: Site, days: int, age: timedelta, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More whole days than the schema keeps: at 90, what is 91 times 86,400 s old, to the microsecond."""
    monkeypatch.setenv("LAPSE_NOW", NOW.isoformat())
    site.register(schema(days=days))
    site.write(at((NOW - age).isoformat()), at(NOW.isoformat()))

    assert site.deleted() == ({"mxcp.endpoints:v2": 1} if goes else {})


@pytest.mark.parametrize(
    "moment",
    [
        "2020-01-01T00:00:00Z", "2020-01-01T00:00:00+00:00", "2020-01-01 00:00:00+00:00", "2020-01-01T00:00:00.1Z",
        "2020-01-01T00:00:00.123Z", "2020-01-01T00:00:00.123456Z", "2020-01-01T00:00:00.123456789Z",
        "2020-01-01T00:00:00+14:00", "2020-01-01T00:00:00-12:00", "2020-01-01T00:00:00+05:45",
        "2020-01-01T00:00:00+0530", "2020-02-29T23:59:59Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00-05:00",
        "0999-12-31T23:59:59.999999999Z", "1677-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1989-12-31T00:00:00Z",
    ],
)  # fmt: skip
def test_every_spelling_of_an_old_time_counts(site: Site, moment: str) -> None:
    """Any offset, a blank for the T, up to nine digits of a second, any year from 1; also into an archive."""
    site.write(at(moment), record(YOUNG))

    assert site.deleted("--archive", str(site.state / "cold")) == {"mxcp.endpoints:v2": 1}


@pytest.mark.parametrize(
    "moment",
    [
        None, "", " ", "soon", 1577836800, 1577836800.5, True, [], {}, "2020-01-01", "2020-01-01T00:00:00",
        "2020-01-01 00:00:00", "2020-01-01T00:00:00.5", "2016-12-31T23:59:60Z", "2020-01-01T24:00:00Z",
        "2020-13-01T00:00:00Z", "2020-02-30T00:00:00Z", "2021-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
        "2020-01-01T00:00:00+24:00", "2020-01-01T00:00:00.Z", "2020-01-01T00:00:00.1234567890Z",
        "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "2999-01-01T00:00:00Z",
        " 2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z ", "2020-01-01T00:00:00Z\n", "20200101T000000Z",
        "٢٠٢٠-01-01T00:00:00Z", "2020-01-01T00:00:00 Z", "-2020-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_a_time_that_is_none_for_certain_keeps_its_record(site: Site, moment: str | None) -> None:
    """Missing zone, leap second, no such day, out of range, no text: kept."""
    line = at(moment)
    site.write(record(OLD), line, record(YOUNG))

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert line in site.lines()


@pytest.mark.parametrize(
    "change",
    [
        {"schema_name": "other"}, {"schema_name": "MXCP.endpoints"}, {"schema_name": None}, {"schema_name": ""},
        {"schema_name": 2}, {"schema_name": ["mxcp.endpoints"]}, {"schema_version": 3}, {"schema_version": None},
        {"schema_version": "2"}, {"schema_version": 2.5}, {"schema_version": "v2"}, {"schema_version": True},
        {"schema_version": [2]},
    ],
)  # fmt: skip
def test_a_record_of_no_registered_schema_stays(site: Site, change: dict[str, object]) -> None:
    """Name and version must be those of the registry; a text is no version, and true is not 1."""
    site.register(schema(), schema(version=1))
    line = at("2020-01-01T00:00:00Z", **change)
    site.write(line, record(OLD))

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert site.lines() == [line]


@pytest.mark.parametrize("key", ["schema_name", "schema_version", "timestamp"])
def test_a_record_that_lacks_a_key_stays(site: Site, key: str) -> None:
    """The original takes a missing version for 1; what is not written is not known here."""
    site.register(schema(version=1), schema(), schema("unknown", 1))
    found = json.loads(record(OLD))
    del found[key]
    site.write(json.dumps(found), record(OLD))

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert len(site.lines()) == 1


STAYING = [
    b"", b"   ", b"not json", b'{"schema_name": "mxcp.endpoints", "schema_version": 2, "timest',
    b"null", b"5", b'"text"', b"[1, 2]", b"\x00\x00\x00", b"\xff\xfe", b"{}", b'{"a": NaN}',
    b'{"schema_name": "mxcp.endpoints", "schema_version": 2, "timestamp": "2020-01-01T00:00:00Z", "x": "\xff"}',
    b'{"schema_name": "mxcp.endpoints", "schema_version": 2, "timestamp": "2020-01-01T00:00:00Z", "timestamp": null}',
    b'\xef\xbb\xbf{"schema_name": "mxcp.endpoints", "schema_version": 2, "timestamp": "2020-01-01T00:00:00Z"}',
]  # fmt: skip


def test_what_stays_stays_byte_for_byte(site: Site) -> None:
    """Malformed lines, other values, NULs, invalid text, CRLF, doubled keys, long lines, a torn end; in order."""
    young = record(YOUNG).encode()
    long = record(YOUNG, output_data="x" * 9_000_000).encode()
    kept = [*STAYING, young + b"\r", young + b"  ", long, young.replace(b'": ', b'":')]
    pieces = [piece + b"\n" for line in kept for piece in (line, record(OLD).encode())]
    site.log.write_bytes(b"".join(pieces) + b'{"torn": ')

    assert site.deleted() == {"mxcp.endpoints:v2": len(kept)}
    assert site.log.read_bytes() == b"".join(line + b"\n" for line in kept) + b'{"torn": '


def test_a_record_whose_line_ends_in_crlf_is_judged_as_the_original_does(site: Site) -> None:
    """An old one goes, a young one keeps its carriage return."""
    old, young = record(OLD).encode() + b"\r\n", record(YOUNG).encode() + b"\r\n"
    site.log.write_bytes(old + young + old)

    assert site.clean("--dry-run").stdout.splitlines()[2] == "  mxcp.endpoints (retention: 90 days): 2 records"
    assert site.deleted() == {"mxcp.endpoints:v2": 2}
    assert site.log.read_bytes() == young


def test_both_generations_of_records_go(site: Site) -> None:
    """With and without `execution_events`, with `Z` and with an offset, with and without a fraction."""
    old = [at("2020-01-01T00:00:00+00:00"), at("2020-01-01T00:00:00.5Z", execution_events=[])]
    site.write(*old, record(YOUNG))

    assert site.deleted() == {"mxcp.endpoints:v2": 2}


def test_where_everything_goes_the_empty_file_stays(site: Site) -> None:
    """The guard against emptying is off, and the writer finds its file."""
    site.write(record(OLD), record(OLD))

    assert site.deleted() == {"mxcp.endpoints:v2": 2}
    assert site.log.read_bytes() == b""
    assert site.deleted() == {}
    assert site.log.exists()


def test_the_last_line_about_a_schema_counts(site: Site) -> None:
    """Appended corrections hold, in both directions; blank lines say nothing."""
    site.register(schema(days=1), schema("debug", 1, None), "", "  ", schema(days=90), schema("debug", 1, 30))
    site.write(record(50), record(OLD), record(50, name="debug", version=1))

    assert site.deleted() == {"mxcp.endpoints:v2": 1, "debug:v1": 1}


def test_an_inactive_entry_still_applies_to_its_version(site: Site) -> None:
    """A schema that is retired keeps its records for as long as it said."""
    site.register(schema(active=False))
    site.write(record(OLD), record(YOUNG))

    assert site.clean("--dry-run").stdout.splitlines()[2] == "  mxcp.endpoints (retention: 90 days): 1 records"
    assert site.deleted() == {"mxcp.endpoints:v2": 1}


def test_records_of_keep_forever_schemas_stay(site: Site) -> None:
    """Null keeps for ever, and so does an entry that does not say."""
    line = schema(version=1)
    del line["retention_days"]
    site.register(schema(days=None), line)
    site.write(record(9999), record(9999, version=1))

    assert site.deleted() == {}


def test_without_a_registry_everything_stays(site: Site) -> None:
    """And an empty one says as little."""
    site.write(record(OLD))
    site.registry.write_text("\n", encoding="utf-8")
    assert site.deleted() == {}

    site.registry.unlink()
    assert site.deleted() == {}
    site.register(schema())
    assert site.deleted() == {"mxcp.endpoints:v2": 1}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "no JSON object"),
        ('{"schema_name": "a", "version": 1, "retention_days": 5', "no JSON object"),
        ("[]", "no object"),
        ('{"version": 1}', "`schema_name` must be text"),
        ('{"schema_name": "", "version": 1}', "`schema_name` must be text"),
        ('{"schema_name": "a", "version": "1"}', "`version` must be a whole number"),
        ('{"schema_name": "a", "version": true}', "`version` must be a whole number"),
        ('{"schema_name": "a", "version": 1.0}', "`version` must be a whole number"),
        ('{"schema_name": "a", "version": 1, "retention_days": "90"}', "`retention_days` must be"),
        ('{"schema_name": "a", "version": 1, "retention_days": -1}', "`retention_days` must be"),
        ('{"schema_name": "a", "version": 1, "retention_days": 1.5}', "`retention_days` must be"),
        ('{"schema_name": "a", "version": 1, "retention_days": true}', "`retention_days` must be"),
        ('{"schema_name": "a", "version": 1, "retention_days": 1, "retention_days": 2}', "twice"),
        ('{"schema_name": "a", "version": 1, "retention": 5}', "unknown key 'retention'"),
        ('{"schema_name": "a", "version": 1, "active": "no"}', "`active` must be"),
        ("\0\0", "no JSON object"),
    ],
)
def test_a_registry_line_that_is_not_understood_stops_everything(site: Site, line: str, what: str) -> None:
    """It could be the one that prolongs a retention: nothing goes, exit 1, with the file and the line."""
    site.register(schema(), line, schema("b", 1, 5))
    site.write(record(OLD), record(OLD, name="b", version=1))
    result = site.clean()

    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Error: {site.registry}:2:1: " in result.stderr
    assert what in result.stderr
    assert json.loads(site.clean("--dry-run", "--json").stdout)["status"] == "error"
    assert len(site.lines()) == 2


AGES = st.floats(min_value=0, max_value=400, allow_nan=False)
RECORDS = st.lists(
    st.tuples(AGES, st.sampled_from(["mxcp.endpoints", "debug", "other"]), st.sampled_from([1, 2])), max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=RECORDS, days=st.dictionaries(st.sampled_from([1, 2]), st.one_of(st.none(), st.integers(0, 200))))
def test_it_decides_as_the_rule_says(
    site: Site, found: list[tuple[float, str, int]], days: dict[int, int | None]
) -> None:
    """For any records and any registry: those stay whose whole days do not exceed their schema's, in order."""
    site.register(*(schema(version=version, days=each) for version, each in days.items()), schema("debug", 1, 30))
    keeps = {**{("mxcp.endpoints", version): each for version, each in days.items()}, ("debug", 1): 30}
    lines = [record(age, name=name, version=version) for age, name, version in found]
    site.write(*lines)

    site.deleted()

    expected = [
        line
        for line, (age, name, version) in zip(lines, found, strict=True)
        if keeps.get((name, version)) is None or int(age) <= (keeps[name, version] or 0)
    ]
    assert site.lines() == expected
