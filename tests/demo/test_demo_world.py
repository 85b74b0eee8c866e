"""The demo's world, and the steps through it."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lapse.demo import build_world, open_world, steps
from lapse.errors import UsageError
from lapse.policyfile import load


def rows_of(folder: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "data" / "calls.db")) as connection:
        return connection.execute("SELECT * FROM call_event ORDER BY id").fetchall()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world."""
    return build_world(tmp_path_factory.mktemp("demo") / "world", calls=2000, audit_records=600).folder


def test_the_world_has_a_policy_that_can_be_followed(folder: Path) -> None:
    """The policy has ordered rules, a hold, a floor, a waiver and an archive, and loads."""
    policy = load(folder / "lapse.yaml")

    assert {name: len(dataset.rules) for name, dataset in policy.datasets.items()} == {"calls": 3, "tool-audit": 4}
    assert (len(policy.holds), len(policy.floors), list(policy.archives)) == (1, 1, ["cold"])
    assert any(rule.waived for rule in policy.datasets["tool-audit"].rules)


def test_the_call_log_spans_two_years_of_two_tenants(folder: Path) -> None:
    """As many rows as asked for, ascending times, and five without a usable time."""
    rows = rows_of(folder)

    times = [str(row[1]) for row in rows[:-5]]
    assert len(rows) == 2000
    assert times == sorted(times)
    assert int(times[-1][:4]) - int(times[0][:4]) == 2
    assert {row[3] for row in rows} == {"acme", "globex"}
    assert [row[1] for row in rows[-5:-1]] == [None, "", "yesterday", "0000-00-00 00:00:00"]


def test_the_audit_files_are_one_trail_in_three_files(folder: Path) -> None:
    """The newest is plain, the next is gzip, the oldest is zstd; all have MXCP's 23 fields."""
    audit = folder / "data" / "audit"
    (zipped,) = audit.glob("*.gz")
    (packed,) = audit.glob("*.zst")
    plain = (audit / "logs-default.jsonl").read_text(encoding="utf-8").splitlines()
    middle = gzip.decompress(zipped.read_bytes()).decode().splitlines()

    assert packed.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    assert len(plain) == len(middle) == 200
    assert {len(json.loads(line)) for line in plain} == {23}
    assert json.loads(middle[-1])["timestamp"] < json.loads(plain[0])["timestamp"]


def test_the_same_world_comes_out_each_time(folder: Path, tmp_path: Path) -> None:
    """Only the times move with the clock; a world that is there is replaced."""
    target = tmp_path / "again"
    build_world(target, calls=50, audit_records=30)
    (target / "archive").mkdir()

    build_world(target, calls=2000, audit_records=600)

    assert [row[:1] + row[2:] for row in rows_of(target)] == [row[:1] + row[2:] for row in rows_of(folder)]
    assert not (target / "archive").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    """Only a folder that carries the demo's mark is replaced."""
    (tmp_path / "thesis.txt").write_text("two years of work")

    with pytest.raises(UsageError, match="has other things in it"):
        build_world(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="is no demo world"):
        open_world(tmp_path)


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the demo's place is refused, and what it points to stays."""
    build_world(tmp_path / "real", calls=20, audit_records=3)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(UsageError, match="is no folder"):
        build_world(tmp_path / "link")

    assert (tmp_path / "real" / "lapse.yaml").is_file()


def test_the_steps_ask_about_a_record_that_is_held(folder: Path) -> None:
    """The key that `why` is asked about belongs to the tenant of the hold."""
    (why,) = [step for step in steps(folder) if step.argv[0] == "why"]

    held = {row[0] for row in rows_of(folder) if row[3] == "globex"}
    assert int(why.argv[2]) in held
