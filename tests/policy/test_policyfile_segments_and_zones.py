"""``{segments}`` in an address of text logs, and ``time zone: required``, in a policy file."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_helpers import complaints, dataset, only, write

from lapse.model.match import Condition
from lapse.policyfile import load
from lapse.policyfile.patterns import meet

_DATABASE = "sqlite:///a.db\n    table: t"


def test_a_time_without_a_zone_can_be_doubtful(tmp_path: Path) -> None:
    """`required` is no zone; what is written as it always was has the hash that it always had."""
    text = "keep: 1 day\narchive: cold\n"
    required = load(dataset(tmp_path, f"{text}time zone: required", store=_DATABASE)).datasets["log"]
    plain = load(dataset(tmp_path, text, store=_DATABASE)).datasets["log"]

    assert (required.zone, required.zone_required) == (None, True)
    assert (plain.zone, plain.zone_required) == (None, False)
    assert "zone_required" not in str(plain.facts())
    assert required.facts() != plain.facts()


@pytest.mark.parametrize(
    ("line", "zone", "required"),
    [("", None, True), ("time zone: required", None, True), ("time zone: UTC", "UTC", False)],
)
def test_text_logs_require_a_zone_unless_one_is_named(
    tmp_path: Path, line: str, zone: str | None, required: bool
) -> None:
    """No column tells whose clock a line has."""
    log = load(dataset(tmp_path, f"keep: 1 day\narchive: cold\n{line}")).datasets["log"]

    assert (log.zone, log.zone_required) == (zone, required)


def test_a_store_that_does_not_look_for_zones_cannot_require_them(tmp_path: Path) -> None:
    """DuckDB and MariaDB read what has none in the zone of the policy."""
    path = write(
        tmp_path,
        "version: 1\ndatasets:\n"
        "  q: {store: 'duckdb:///a.db', table: t, time: at, time zone: required, keep: 1 day, archive: none}\n",
    )

    assert only(path).message.startswith("`time zone: required` means nothing here")


@pytest.mark.parametrize(
    ("one", "other", "could"),
    [
        ("/a/x{segments}.jsonl", "/a/x.jsonl", True),
        ("/a/x{segments}.jsonl", "/a/x-20260101T000000.jsonl", True),
        ("/a/x{segments}.jsonl", "/a/x*.jsonl", True),
        ("/a/x{segments}.jsonl", "/a/x{segments}.jsonl", True),
        ("/a/x{segments}.jsonl", "/a/x-eu{segments}.jsonl", True),
        ("/a/x{segments}.jsonl", "/a/y{segments}.jsonl", False),
        ("/a/x{segments}.jsonl", "/b/x.jsonl", False),
        ("/a/x{segments}.jsonl", "/a/x.jsonl.gz", False),
    ],
)
def test_addresses_with_segments_may_name_the_same_file(one: str, other: str, could: bool) -> None:
    """On doubt they do."""
    assert meet(one, other) is could
    assert meet(other, one) is could


def test_two_datasets_on_a_log_and_its_segments_are_refused(tmp_path: Path) -> None:
    """They could decide about the same records in two ways."""
    lines = "time: at, keep: 1 day, archive: none"
    path = write(
        tmp_path,
        f"version: 1\ndatasets:\n  a: {{store: 'x{{segments}}.jsonl', {lines}}}\n  b: {{store: x.jsonl, {lines}}}\n",
    )

    assert any("could decide about the same records" in each.message for each in complaints(path))


def test_a_number_is_matched_by_a_number_only() -> None:
    """Not by its digits as text, nor by what Python takes for it."""
    condition = Condition(field="version", values=(), numbers=(1, 2))

    assert [condition.matches(value) for value in (1, 2, 3, "1", True, 1.0, None, [1])] == [True, True, *[False] * 6]
    assert str(condition) == "version 1, 2"
    assert condition.excludes(Condition(field="version", values=("9",)))
    assert not condition.excludes(Condition(field="version", values=("9", "1")))
