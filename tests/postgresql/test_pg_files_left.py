"""Files of rows that are gone, which are left where they are, reported, and tried again."""

from __future__ import annotations

import shutil

import pytest
from pg_calls import Calls, world

from lapse.model.report import Status

__all__ = ["world"]


def test_what_is_no_file_is_left_reported_and_tried_again(world: Calls) -> None:
    """A folder in its place: the run is incomplete and says why without the path; the next one succeeds."""
    (world.spool / "a.wav" / "inside").mkdir(parents=True)
    good = world.file("b.wav")
    world.call("a.wav")
    world.call("b.wav")

    first = world.purge()
    shutil.rmtree(world.spool / "a.wav")
    world.file("a.wav")
    second = world.purge()

    assert (first.status, first.records, first.files, first.files_left) == (Status.INCOMPLETE, 2, 1, 1)
    assert first.trouble is not None
    assert "1 file is still there, though their rows are gone: a folder (1)" in first.trouble.message
    assert "a.wav" not in first.trouble.message
    assert not good.exists()
    assert (second.status, second.records, second.files) == (Status.DONE, 0, 1)
    assert world.pending() == []


def test_nothing_beyond_the_folder_is_touched(world: Calls) -> None:
    """Whatever rows say, and whatever symbolic links lie below the folder; the reasons are counted."""
    outside = world.folder / "outside.wav"
    outside.write_text("precious")
    (world.spool / "linked").symlink_to(world.folder)
    (world.spool / "link.wav").symlink_to(outside)
    inside = world.file("inside.wav")
    for path in ("../outside.wav", str(outside), "linked/outside.wav", "link.wav", "inside.wav", f"{world.spool}/"):
        world.call(path)

    report = world.purge()

    assert (report.status, report.files, report.files_left) == (Status.INCOMPLETE, 1, 5)
    assert report.trouble is not None
    assert report.trouble.message.endswith(
        ": `..` in its path (1), a symbolic link (1), a symbolic link on its way (1), no path of a file (1), "
        "outside of the folder (1)"
    )
    assert len(world.pending()) == 5
    assert outside.exists()
    assert not inside.exists()


def test_a_folder_that_is_away_says_nothing_of_its_files(world: Calls) -> None:
    """Where a disk is not mounted no file is taken for gone."""
    world.file("a.wav")
    world.call("a.wav")
    world.spool.rename(world.folder / "away")

    first = world.purge()
    (world.folder / "away").rename(world.spool)
    second = world.purge()

    assert first.status is Status.INCOMPLETE
    assert first.trouble is not None
    assert "cannot be opened" in first.trouble.message
    assert (second.status, second.files) == (Status.DONE, 1)


@pytest.mark.parametrize("spelling", ["a/x.wav", "./a/x.wav", "a//x.wav", "{spool}/a/x.wav", "{spool}//a/./x.wav"])
def test_a_file_that_a_row_still_names_stays(world: Calls, spelling: str) -> None:
    """However that row spells it; it goes with the last one."""
    file = world.file("a/x.wav")
    world.call("a/x.wav")
    last = world.call(spelling.format(spool=world.spool), days=1)

    first = world.purge()
    there = file.exists()
    world.execute(f"UPDATE call SET at = '2026-01-01Z' WHERE id = {last}")
    second = world.purge()

    assert (first.status, first.records, first.files) == (Status.DONE, 1, 0)
    assert there
    assert (second.records, second.files) == (1, 1)
    assert not file.exists()


def test_files_of_another_folder_are_not_looked_for_in_this_one(world: Calls) -> None:
    """A relative path means the folder of the policy that noted it; the plan says that it waits."""
    (world.spool / "a.wav").mkdir()
    world.call("a.wav")
    assert world.purge().files_left == 1
    twin = world.folder / "other" / "a.wav"
    twin.parent.mkdir()
    twin.write_text("precious")
    world.policy(under="other")

    report = world.purge()

    assert report.plan is not None
    assert f"1 files of rows that are gone wait for a dataset whose files lie `under` {world.spool}" in (
        report.plan.identity.notes
    )
    assert twin.exists()
    assert world.pending() == ["a.wav"]
