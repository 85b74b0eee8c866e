"""Logs with segments: which files belong to a profile, and what becomes of each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mxcp_world import OLD, YOUNG, Site, record
from mxcp_world import site_fixture as site_fixture

FIRST, SECOND, THIRD = (f"logs-default-2026010{day}T000000.jsonl" for day in (1, 2, 3))


def test_records_go_one_by_one_in_every_segment(site: Site) -> None:
    """The original drops or keeps a segment as a whole; here each file keeps what is to stay."""
    young = record(YOUNG)
    for name in ("logs-default.jsonl", FIRST, SECOND):
        site.write(record(OLD), young, record(OLD), to=name)

    assert site.clean("--dry-run").stdout.splitlines()[2] == "  mxcp.endpoints (retention: 90 days): 6 records"
    assert site.deleted() == {"mxcp.endpoints:v2": 6}
    assert [site.lines(name) for name in ("logs-default.jsonl", FIRST, SECOND)] == [[young]] * 3


def test_a_segment_that_has_wholly_lapsed_is_removed(site: Site) -> None:
    """So is the old single log, once there are segments; nothing empty is left behind."""
    for name in ("logs-default.jsonl", FIRST, SECOND):
        site.write(record(OLD), to=name)
    site.write(record(YOUNG), to=THIRD)

    assert site.deleted() == {"mxcp.endpoints:v2": 3}
    assert site.names() == [THIRD, "logs-default_schemas.jsonl"]


def test_the_newest_segment_is_never_removed(site: Site) -> None:
    """It is the writer's current file; it is emptied at most. The name says which is the newest, not the time."""
    for name in (FIRST, SECOND, THIRD):
        site.write(record(OLD), to=name)
    os.utime(site.folder / "audit" / THIRD, (1, 1))

    assert site.deleted() == {"mxcp.endpoints:v2": 3}
    assert site.names() == [THIRD, "logs-default_schemas.jsonl"]
    assert site.lines(THIRD) == []


def test_numbers_behind_the_time_count_as_numbers(site: Site) -> None:
    """The tenth segment of a second is newer than its ninth."""
    names = [f"logs-default-20260101T000000{number}.jsonl" for number in ("", "-2", "-9", "-10")]
    for name in names:
        site.write(record(OLD), to=name)

    assert site.deleted() == {"mxcp.endpoints:v2": 4}
    assert site.names() == [names[-1], "logs-default_schemas.jsonl"]


@pytest.mark.parametrize(
    "name",
    [
        "logs-default-eu.jsonl", "logs-default-eu-20260101T000000.jsonl", "logs-default2.jsonl",
        "logs-default-20260101.jsonl", "logs-default-20260101T0000.jsonl", "logs-default-20260101T000000-.jsonl",
        "logs-default-20260101T000000-1x.jsonl", "logs-default-20260101T000000-1-2.jsonl",
        "logs-default-20260101T000000.jsonl.bak", "logs-default-20260101t000000.jsonl",
        "logs-default--20260101T000000.jsonl", "xlogs-default-20260101T000000.jsonl", "logs-default-.jsonl",
        "logs-default-2026010١T000000.jsonl", "logs-default.jsonl.1", "logs-default.tmp", "logs-default.jsonl~",
    ],
)  # fmt: skip
def test_other_files_belong_to_others(site: Site, name: str) -> None:
    """Only names of exactly the writer's form are the profile's; the original deletes another profile's."""
    site.write(record(OLD))
    other = site.write(record(OLD), to=name)
    before = (other.stat().st_ino, other.stat().st_mtime_ns, other.read_bytes())

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert (other.stat().st_ino, other.stat().st_mtime_ns, other.read_bytes()) == before
    assert site.log.exists()


def test_empty_segments_of_others_stay(site: Site) -> None:
    """Every call of the original leaves one; they are its own business."""
    site.write(record(OLD), to=FIRST)
    site.write(to=SECOND)
    site.write(to=THIRD)

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert site.names() == [SECOND, THIRD, "logs-default_schemas.jsonl"]


def test_a_site_may_change_to_segments(site: Site) -> None:
    """The dataset is the same one for Lapse before and after the upgrade of the server."""
    site.write(record(OLD), record(YOUNG))
    assert site.deleted() == {"mxcp.endpoints:v2": 1}

    site.write(record(OLD), record(YOUNG), to=FIRST)
    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert [len(site.lines(name)) for name in ("logs-default.jsonl", FIRST)] == [1, 1]


def test_only_segments_are_a_log_too(site: Site) -> None:
    """A site that never had the single log."""
    site.write(record(OLD), record(YOUNG), to=FIRST)

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert site.names() == [FIRST, "logs-default_schemas.jsonl"]


def test_a_link_to_the_log_is_followed_and_kept(site: Site, tmp_path: Path) -> None:
    """The user named it; its segments lie beside the link, and the log that it leads to is never removed."""
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    (elsewhere / "real.jsonl").write_text(record(OLD) + "\n", encoding="utf-8")
    site.log.symlink_to(elsewhere / "real.jsonl")
    assert site.deleted() == {"mxcp.endpoints:v2": 1}

    (elsewhere / "real.jsonl").write_text(record(OLD) + "\n", encoding="utf-8")
    site.write(record(OLD), to=FIRST)
    site.write(record(YOUNG), to=SECOND)
    assert site.deleted() == {"mxcp.endpoints:v2": 2}
    assert site.names() == [SECOND, "logs-default.jsonl", "logs-default_schemas.jsonl"]
    assert site.log.is_symlink()
    assert (elsewhere / "real.jsonl").read_bytes() == b""


def test_a_link_that_a_writer_would_never_make_is_refused(site: Site, tmp_path: Path) -> None:
    """A segment is found, not named, and what is found may be no link: exit 1, nothing goes."""
    (tmp_path / "other.jsonl").write_text(record(OLD) + "\n", encoding="utf-8")
    site.write(record(OLD))
    (site.folder / "audit" / FIRST).symlink_to(tmp_path / "other.jsonl")
    result = site.clean()

    assert result.exit_code == 1
    assert "is a symbolic link" in result.stderr
    assert len(site.lines()) == 1


def test_what_was_removed_can_be_restored(site: Site, tmp_path: Path) -> None:
    """With the policy that the drop-in prints: into the log without segments, else into a segment of its own."""
    from typer.testing import CliRunner

    from lapse.cli.main import app

    def lapse(*arguments: str) -> None:
        policy = str(tmp_path / "lapse.yaml")
        result = CliRunner().invoke(app, [*arguments, "-p", policy], env=site.env())
        assert result.exit_code == 0, result.output

    archive = str(tmp_path / "cold")
    first, second = record(OLD), record(OLD + 1)
    site.write(first, second)
    site.clean("--archive", archive)
    (tmp_path / "lapse.yaml").write_text(site.call("policy", "--archive", archive).stdout, encoding="utf-8")

    lapse("archive", "restore", "--dataset", "audit-default")
    assert sorted(site.lines()) == sorted([first, second])
    site.write()
    site.write(record(YOUNG), to=THIRD)
    lapse("archive", "restore", "--dataset", "audit-default")
    (restored,) = (name for name in site.names() if name.startswith("logs-default-19700101T000000-"))
    assert sorted(site.lines(restored)) == sorted([first, second])
