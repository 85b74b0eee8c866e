"""The file target: the contract, and what only a folder can get wrong."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lapse.errors import PolicyError, TargetError
from lapse.ports import ArchiveTarget
from lapse.targets.file import FileTarget, _put_name
from lapse.testing.target_contract import PATH, ArchiveTargetContract


def no_links(*_: Any, **__: Any) -> None:
    """What FAT and some network mounts answer to link(2)."""
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class TestFileTarget(ArchiveTargetContract):
    """The contract on a folder."""

    @pytest.fixture
    def target(self, tmp_path: Path) -> ArchiveTarget:
        """A folder that is not there yet."""
        return FileTarget(str(tmp_path / "made" / "on the way"))

    def again(self, target: ArchiveTarget) -> ArchiveTarget:
        """The same folder."""
        return FileTarget(str(target.location()))


class TestFileTargetWithoutLinks(TestFileTarget):
    """The contract on a file system where a file cannot have two names."""

    @pytest.fixture(autouse=True)
    def _without_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "link", no_links)


def files_below(folder: Path) -> list[str]:
    """Every file and link below *folder*."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    """0600 and 0700 whatever the umask and the staged file's mode."""
    target = FileTarget(str(tmp_path / "archive"))
    staged = target.staging("s")
    staged.write_bytes(b"x")
    staged.chmod(0o666)

    target.publish(staged, PATH)
    target.put(PATH + ".manifest.json", b"{}")

    for path in (tmp_path / "archive").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_folder_may_be_a_link_that_the_user_gave(tmp_path: Path) -> None:
    """The address is the user's own choice; objects go where it leads."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    FileTarget(str(tmp_path / "link")).put("a/b", b"x")

    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"x"


def test_links_inside_the_folder_are_not_followed(tmp_path: Path) -> None:
    """A link in an object's way or place could lead writes and reads elsewhere: refused, not listed."""
    root, elsewhere = tmp_path / "archive", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "secret").write_bytes(b"secret")
    (root / "folder").symlink_to(elsewhere)
    (root / "object").symlink_to(elsewhere / "secret")
    target = FileTarget(str(root))

    for act in (
        lambda: target.put("folder/x", b"x"),
        lambda: target.put("object", b"x"),
        lambda: target.open("folder/secret"),
        lambda: target.open("object"),
        lambda: target.exists("folder/secret"),
    ):
        with pytest.raises(TargetError):
            act()
    assert not target.exists("object")
    assert list(target.list("")) == []
    assert files_below(elsewhere) == ["secret"]


def test_a_planted_staging_link_is_refused(tmp_path: Path) -> None:
    """Staged files are opened without following links."""
    target = FileTarget(str(tmp_path))
    target.staging("s").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"planted")

    with pytest.raises(TargetError):
        target.publish(target.staging("s"), "a/b")


def test_nothing_but_regular_files_is_opened(tmp_path: Path) -> None:
    """A pipe would hang the reader, a device would answer without end."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(TargetError, match="not a regular file"):
        FileTarget(str(tmp_path)).open("pipe")


def test_nothing_is_made_before_something_is_written(tmp_path: Path) -> None:
    """Looking at a target that is not there yet leaves no trace."""
    target = FileTarget(str(tmp_path / "archive"))

    assert list(target.list("")) == []
    assert not target.exists("a/b")
    assert not (tmp_path / "archive").exists()


def test_a_put_that_a_crash_cut_off_is_completed_by_its_retry(tmp_path: Path) -> None:
    """What lies under the temporary name, or claims the final one, is neither object nor obstacle."""
    target = FileTarget(str(tmp_path))
    target.staging(_put_name("a/b")).write_bytes(b"half a mani")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").touch()

    target.put("a/b", b"manifest")

    with target.open("a/b") as file:
        assert file.read() == b"manifest"
    assert files_below(tmp_path) == ["a/b"]


def test_removing_an_orphan_leaves_no_file_and_no_run_folder(tmp_path: Path) -> None:
    """Segment, manifest, the temporary file of an interrupted put and the run's folder go; the rest stays."""
    target = FileTarget(str(tmp_path))
    target.put("l/d/2026/11/run-1/s", b"x")
    target.staging(_put_name("l/d/2026/11/run-1/s.manifest.json")).write_bytes(b"half")
    target.put("l/d/2026/11/run-2/s", b"x")

    target.remove("l/d/2026/11/run-1/s")
    target.remove("l/d/2026/11/run-1/s.manifest.json")

    assert files_below(tmp_path) == ["l/d/2026/11/run-2/s"]
    assert not (tmp_path / "l/d/2026/11/run-1").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A file where a folder is needed is a target error with a hint."""
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(TargetError) as caught:
        FileTarget(str(tmp_path)).put("a/b", b"x")

    assert caught.value.hint is not None


LIMITED = """
import resource, sys
from lapse.errors import TargetError
from lapse.targets.file import FileTarget
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    FileTarget(sys.argv[1]).put("a/b", b"x" * 2000)
except TargetError as error:
    print(error, error.hint, sep="|")
"""


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    """A write that fails half-way is a target error with a hint, and no file is left."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "archive")], capture_output=True, text=True, check=True
    )

    assert "cannot write a/b" in done.stdout
    assert "ulimit" in done.stdout
    assert files_below(tmp_path) == []


UNPRIVILEGED = """
import os, sys
from lapse.errors import TargetError
from lapse.targets.file import FileTarget
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
target = FileTarget(sys.argv[1])
for name, *arguments in (("put", "a/b", b"x"), ("open", "a/b"), ("remove", "a/b"), ("exists", "a/b"), ("staging", "s")):
    try:
        getattr(target, name)(*arguments)
    except TargetError as error:
        print(error.hint)
"""


def test_a_folder_that_may_not_be_entered_is_a_target_error() -> None:
    """Every way to touch it says whom to let in, and none raises anything else."""
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o000)

        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, f"{closed}/archive"], capture_output=True, text=True, check=True
        )
        Path(closed).chmod(0o700)

    assert done.stdout.splitlines() == ["Let the user that runs lapse write there."] * 5


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("/srv/archive", "/srv/archive"),
        ("file:///srv/my%20archive", "/srv/my archive"),
        ("file://localhost/srv", "/srv"),
    ],
)
def test_an_address_is_a_folder(address: str, folder: str) -> None:
    """A path is taken as it is, a URL is decoded."""
    assert FileTarget(address).location() == Path(folder)


@pytest.mark.parametrize("address", ["archive", "./archive", "", "file://host/srv", "file:srv", "/a\0b"])
def test_an_address_that_names_no_local_folder_is_refused(address: str) -> None:
    """Relative paths and other hosts are mistakes in the policy."""
    with pytest.raises(PolicyError):
        FileTarget(address)
