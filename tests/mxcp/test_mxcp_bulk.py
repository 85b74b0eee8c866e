"""Many records at once decide as each by itself: a large log goes another way through the store than a small one."""

from __future__ import annotations

import json
import random

from mxcp_world import Site, schema
from mxcp_world import site_fixture as site_fixture

GOING = [
    "2020-01-01T00:00:00Z", "2020-01-01 00:00:00+00:00", "2020-01-01T00:00:00.123456Z", "0001-01-01T00:00:00Z",
    "1600-01-01T00:00:00.5+05:30", "2020-01-01T00:00:00.123456789-11:00", "2019-06-30T12:34:56.7+00:00",
]  # fmt: skip
STAYING = [
    "2020-01-01T00:00:00", "2020-01-01", None, "", 1577836800, True, "2016-12-31T23:59:60Z", "9999-01-01T00:00:00Z",
    "0001-01-01T00:00:00+05:00", "2020-02-30T00:00:00Z", "20200101T000000Z", "soon", ["2020-01-01T00:00:00Z"],
]  # fmt: skip
VERSIONS = [2, 1, "2", True, 2.0, None, 3, [2]]
NAMES = ["mxcp.endpoints", "debug", "other", "", None]
COUNT = 40_000


def test_a_large_log_is_judged_as_a_small_one(site: Site) -> None:
    """Every spelling of a time, every kind of version and name, in any order: those stay that are to stay."""
    chance = random.Random(4)
    site.register(schema(), schema("debug", 1, 30), schema("forever", 1, None))
    lines, kept, going = [], [], {"mxcp.endpoints:v2": 0, "debug:v1": 0}
    for number in range(COUNT):
        moment = chance.choice(GOING if chance.random() < 0.7 else STAYING)
        name, version = chance.choice(NAMES[:2] if chance.random() < 0.8 else NAMES), chance.choice(VERSIONS)
        line = json.dumps({"schema_name": name, "schema_version": version, "record_id": number, "timestamp": moment})
        lines.append(line)
        if moment in GOING and type(version) is int and f"{name}:v{version}" in going:
            going[f"{name}:v{version}"] += 1
        else:
            kept.append(line)
    site.write(*lines)

    assert json.loads(site.clean("--dry-run", "--json").stdout)["result"]["deleted_per_schema"] == going
    assert site.deleted() == going
    assert [line.lstrip() for line in site.lines()] == kept
