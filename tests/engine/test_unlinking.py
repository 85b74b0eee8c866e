"""lapse.stages.filing: of the paths that others wrote only regular files below one folder go."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapse.errors import StoreError
from lapse.model.files import PendingFile
from lapse.stages.filing import Unlinked, unlink

_NOBODY = 65_534


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A folder with files and traps, beside precious files."""
    make(tmp_path)
    return tmp_path / "spool"


def make(folder: Path) -> None:
    """Lay out the files."""
    for name in ("spool/a.wav", "spool/in/a.wav", "spool/zoë.wav", "outside.wav", "spool-other/outside.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("sound")
    (folder / "spool" / "linked").symlink_to(folder)
    (folder / "spool" / "in" / "linked").symlink_to(folder / "spool-other")
    (folder / "spool" / "link.wav").symlink_to(folder / "outside.wav")
    os.mkfifo(folder / "spool" / "pipe")


def files(folder: Path) -> set[str]:
    """Everything that is no folder, links not followed."""
    return {
        str(Path(place, name).relative_to(folder))
        for place, folders, names in os.walk(folder)
        for name in (*names, *(each for each in folders if Path(place, each).is_symlink()))
    }


def unlinked(spool: Path, *paths: str) -> Unlinked:
    """What became of files with these paths."""
    return unlink([PendingFile(number, path) for number, path in enumerate(paths)], under=str(spool))


@pytest.mark.parametrize("path", ["a.wav", "{spool}/a.wav", "./a.wav", "{spool}//./a.wav", "a.wav/"])
def test_a_file_goes_by_any_spelling(spool: Path, path: str) -> None:
    """Absolute or relative, tidy or not."""
    done = unlinked(spool, path.format(spool=spool))

    assert (done.removed, len(done.gone), dict(done.left)) == (1, 1, {})
    assert not (spool / "a.wav").exists()


def test_files_of_many_folders_go_at_once(spool: Path) -> None:
    """Names outside of ASCII among them; one that is named twice counts once."""
    done = unlinked(spool, "a.wav", "in/a.wav", "zoë.wav", "in/a.wav", "in/none.wav", "none/none.wav")

    assert (done.removed, len(done.gone), dict(done.left)) == (3, 6, {})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../outside.wav", "`..` in its path"),
        ("in/../../outside.wav", "`..` in its path"),
        ("in/../a.wav", "`..` in its path"),
        ("{spool}/../outside.wav", "`..` in its path"),
        ("{spool}-other/outside.wav", "outside of the folder"),
        ("{folder}/outside.wav", "outside of the folder"),
        ("/", "outside of the folder"),
        ("{spool}", "no path of a file"),
        ("{spool}/", "no path of a file"),
        (".", "no path of a file"),
        ("a.wav\0", "no path of a file"),
        ("\ud800.wav", "no path of a file"),
        ("linked/outside.wav", "a symbolic link on its way"),
        ("in/linked/outside.wav", "a symbolic link on its way"),
        ("linked/spool/a.wav", "a symbolic link on its way"),
        ("link.wav", "a symbolic link"),
        ("linked", "a symbolic link"),
        ("pipe", "no regular file"),
        ("in", "a folder"),
        ("a.wav/b.wav", "not a directory"),
        ("x" * 300, "file name too long"),
    ],
)
def test_whatever_else_stays_with_its_reason(spool: Path, path: str, reason: str) -> None:
    """Nothing changes anywhere."""
    before = files(spool.parent)

    done = unlinked(spool, path.format(spool=spool, folder=spool.parent))

    assert {why: len(found) for why, found in done.left.items()} == {reason: 1}
    assert (done.removed, done.gone) == (0, [])
    assert files(spool.parent) == before


_STEPS = st.sampled_from(
    ["..", ".", "", "a.wav", "in", "linked", "link.wav", "pipe", "outside.wav", "spool", "zoë.wav"]
)


@settings(max_examples=150, deadline=None)
@given(paths=st.lists(st.lists(_STEPS, max_size=6).map("/".join), max_size=5), absolute=st.booleans())
def test_no_path_reaches_beyond_the_folder(paths: list[str], absolute: bool) -> None:
    """Whatever is made of these steps: outside nothing changes, and inside only regular files go."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder)
        before = files(folder)

        done = unlinked(folder / "spool", *(f"{folder}/spool/{path}" if absolute else path for path in paths))

        assert before - files(folder) <= {"spool/a.wav", "spool/in/a.wav", "spool/zoë.wav"}
        assert len(before) - len(files(folder)) == done.removed


def test_a_folder_that_was_given_as_a_link_is_followed(spool: Path) -> None:
    """The policy names it: spools are often moved to another disk like this."""
    moved = spool.parent / "moved"
    moved.symlink_to(spool)

    assert unlinked(moved, f"{moved}/in/a.wav").removed == 1


def test_what_lies_elsewhere_and_is_not_there_is_gone(tmp_path: Path) -> None:
    """There is nothing to remove, whether the folder is there or not."""
    done = unlink([PendingFile(1, str(tmp_path / "nowhere" / "a.wav"))], under=str(tmp_path / "away"))

    assert (len(done.gone), done.removed, dict(done.left)) == (1, 0, {})


def test_a_folder_that_is_away_says_nothing_of_its_files(tmp_path: Path) -> None:
    """Where a disk is not mounted no file is taken for gone."""
    with pytest.raises(StoreError, match="cannot be opened: No such file or directory"):
        unlinked(tmp_path / "away", "a.wav")


@contextmanager
def somebody_else() -> Iterator[None]:
    """Within the block this process may do as little as others; without root's rights it does so anyway."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_on_the_way_need_not_be_listed() -> None:
    """As those above a spool often cannot be by others than their owner."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        (inner := folder / "closed" / "in").mkdir(parents=True)
        (file := inner / "a.wav").write_text("sound")
        inner.chmod(0o777)
        (folder / "closed").chmod(0o311)
        with somebody_else():
            done = unlinked(folder, "closed/in/a.wav")
        (folder / "closed").chmod(0o700)

        assert (done.removed, dict(done.left), file.exists()) == (1, {}, False)


def test_what_this_user_may_not_remove_stays() -> None:
    """In a folder that is closed to it, and below one; the others go."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        make(folder)
        (folder / "spool" / "open").mkdir()
        (folder / "spool" / "open" / "a.wav").write_text("sound")
        (folder / "spool" / "open").chmod(0o777)
        (folder / "spool" / "in").chmod(0o700 if os.geteuid() == 0 else 0)
        (folder / "spool").chmod(0o555)

        with somebody_else():
            done = unlinked(folder / "spool", "a.wav", "in/a.wav", "open/a.wav")

        (folder / "spool").chmod(0o755)
        (folder / "spool" / "in").chmod(0o755)
        assert {why: len(found) for why, found in done.left.items()} == {"permission denied": 2}
        assert done.removed == 1


def test_where_the_policy_names_an_ending_no_other_file_goes(spool: Path) -> None:
    """In whatever case, and also below the root; what is not there is gone, whatever it ends in."""
    (spool / "b.WAV").write_text("sound")
    (spool / "b.txt").write_text("text")
    paths = [f"{spool}/{name}" for name in ("a.wav", "b.WAV", "b.txt", "awav", "none.txt", "link.wav")]

    done = unlink([PendingFile(number, path) for number, path in enumerate(paths)], under="/", ending=".wav")

    assert (done.removed, {file.number for file in done.gone}) == (2, {0, 1, 3, 4})
    left = {reason: [file.number for file in files] for reason, files in done.left.items()}
    assert left == {"another ending than the policy's": [2], "a symbolic link": [5]}
    assert (spool / "b.txt").exists()
