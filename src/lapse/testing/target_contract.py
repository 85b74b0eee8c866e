"""The promises of lapse.ports.ArchiveTarget. Subclass, override the fixture ``target``, run."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import pytest

from lapse.errors import TargetError
from lapse.ports import ArchiveTarget

PATH = "6f1c/calls/2026/11/run-1/000001-abc.parquet"
"""An object's path as segments have it."""


class ArchiveTargetContract(ABC):
    """What every archive target keeps; an adapter is done when all of it passes."""

    @pytest.fixture
    @abstractmethod
    def target(self) -> ArchiveTarget:
        """A target without any object."""

    @abstractmethod
    def again(self, target: ArchiveTarget) -> ArchiveTarget:
        """The same place opened anew, as another process would."""

    def test_a_published_file_is_an_object(self, target: ArchiveTarget) -> None:
        """Every byte is read back, seekable, and the staged file is gone."""
        staged = target.staging("run-1-000001.0")
        staged.write_bytes(b"segment" * 100_000)

        target.publish(staged, PATH)

        with target.open(PATH) as file:
            assert file.read() == b"segment" * 100_000
            file.seek(7)
            assert file.read(7) == b"segment"
        assert not staged.exists()

    def test_an_object_that_was_put_is_read_back(self, target: ArchiveTarget) -> None:
        """Small objects need no staged file, and another process sees them."""
        target.put(PATH, b"manifest")

        with self.again(target).open(PATH) as file:
            assert file.read() == b"manifest"

    def test_a_retry_of_the_same_bytes_is_done(self, target: ArchiveTarget) -> None:
        """Putting and publishing again what is there already succeeds and leaves nothing over."""
        target.put(PATH, b"same")
        staged = target.staging("run-1-000001.0")
        staged.write_bytes(b"same")

        target.put(PATH, b"same")
        target.publish(staged, PATH)

        assert not staged.exists()
        assert list(target.list("")) == [PATH]

    @pytest.mark.parametrize("other", [b"othe", b"other", b"sam", b""])
    def test_another_object_is_never_overwritten(self, target: ArchiveTarget, other: bytes) -> None:
        """Other bytes at the same path are an error, and the first object stays as it was."""
        target.put(PATH, b"same")
        staged = target.staging("run-1-000001.0")
        staged.write_bytes(other)

        with pytest.raises(TargetError, match="another object"):
            target.put(PATH, other)
        with pytest.raises(TargetError, match="another object"):
            target.publish(staged, PATH)

        with target.open(PATH) as file:
            assert file.read() == b"same"

    def test_of_many_writers_one_wins(self, target: ArchiveTarget) -> None:
        """Eight writers of one path: one object, whole, and an error for each of the others."""
        lost: list[bytes] = []
        start = threading.Barrier(8)

        def write(data: bytes) -> None:
            start.wait()
            try:
                self.again(target).put(PATH, data)
            except TargetError:
                lost.append(data)

        contents = [bytes([number]) * 50_000 for number in range(8)]
        writers = [threading.Thread(target=write, args=(data,)) for data in contents]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        with target.open(PATH) as file:
            won = file.read()
        assert sorted([won, *lost]) == contents

    def test_the_staging_path_of_a_name_is_always_the_same(self, target: ArchiveTarget) -> None:
        """A journal entry with the name is enough for another process to clear what a crash left."""
        staged = target.staging("run-1-000001.0")

        assert self.again(target).staging("run-1-000001.0") == staged
        assert target.staging("run-1-000002.0") != staged

    def test_what_is_staged_can_be_discarded(self, target: ArchiveTarget) -> None:
        """By its name, in another process, once and again, whether or not there is anything."""
        staged = target.staging("run-1-000001.0")
        staged.write_bytes(b"half")

        self.again(target).discard("run-1-000001.0")
        self.again(target).discard("run-1-000001.0")

        assert not staged.exists()

    def test_a_staged_file_is_no_object(self, target: ArchiveTarget) -> None:
        """What is not published is neither listed nor there."""
        target.staging("run-1-000001.0").write_bytes(b"half")

        assert list(target.list("")) == []
        assert not target.exists(PATH)

    def test_what_is_not_there_cannot_be_opened(self, target: ArchiveTarget) -> None:
        """Opening a missing object is a target error; asking for it is not."""
        assert not target.exists(PATH)
        with pytest.raises(TargetError):
            target.open(PATH)

    def test_a_folder_is_no_object(self, target: ArchiveTarget) -> None:
        """Only whole paths name objects."""
        target.put(PATH, b"x")

        assert target.exists(PATH)
        assert not target.exists(PATH.rpartition("/")[0])

    def test_a_listing_is_sorted_and_bounded_by_its_prefix(self, target: ArchiveTarget) -> None:
        """Paths come in the order of their text, folders or not; a prefix may end anywhere."""
        paths = ["a/b/c", "a/b-x", "a/b.json", "a/bb/c", "b/checkpoints/1.json", "zoë/x"]
        for path in reversed(paths):
            target.put(path, b"x")

        assert list(target.list("")) == sorted(paths)
        assert list(target.list("a/b/")) == ["a/b/c"]
        assert list(target.list("a/b")) == ["a/b-x", "a/b.json", "a/b/c", "a/bb/c"]
        assert list(target.list("b/checkpoints/1")) == ["b/checkpoints/1.json"]
        assert list(target.list("nothing/")) == []

    def test_a_removed_object_is_gone(self, target: ArchiveTarget) -> None:
        """Removing works once, and again, and for what never was; the path can be used afterwards."""
        target.put(PATH, b"orphan")

        target.remove(PATH)
        target.remove(PATH)

        assert not target.exists(PATH)
        target.put(PATH, b"new")
        assert target.exists(PATH)

    @pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "a//x", "./x", "a/.", "", "a/x\0", ".hidden"])
    def test_no_path_leads_elsewhere(self, target: ArchiveTarget, path: str) -> None:
        """A path out of a forged manifest or journal is refused, whatever is asked."""
        for act in (lambda: target.put(path, b"x"), lambda: target.open(path), lambda: target.remove(path)):
            with pytest.raises(TargetError):
                act()

    @pytest.mark.parametrize("name", ["", "../x", "a/b"])
    def test_a_staging_name_is_a_plain_name(self, target: ArchiveTarget, name: str) -> None:
        """A staged file lies nowhere but in the staging place."""
        for act in (target.staging, target.discard):
            with pytest.raises(TargetError):
                act(name)
