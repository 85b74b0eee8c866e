"""Folders on the file systems that matter for text logs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lapse.stores.jsonl.probing import block_to_collapse


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[Path]:
    """An ext4 file system in a file."""
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def collapsing(tmp_path: Path) -> Iterator[Path]:
    """A folder where files can be collapsed: the usual one, else an ext4 image that is mounted for the test."""
    if block_to_collapse(tmp_path, read_only=False):
        yield tmp_path
        return
    with _mounted(tmp_path / "image", tmp_path / "mounted") as folder:
        yield folder


@pytest.fixture
def collapsing_fast(tmp_path: Path) -> Iterator[Path]:
    """The same, in memory where that can be had: syncing a disk thousands of times would take minutes."""
    if os.geteuid() or not os.access("/dev/shm", os.W_OK) or shutil.which("mkfs.ext4") is None:
        assert block_to_collapse(tmp_path, read_only=False)
        yield tmp_path
        return
    with (
        tempfile.TemporaryDirectory(prefix="lapse-test-", dir="/dev/shm") as name,
        _mounted(Path(name) / "image", tmp_path / "mounted") as folder,
    ):
        yield folder


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on tmpfs, where files cannot be collapsed."""
    with tempfile.TemporaryDirectory(prefix="lapse-test-", dir="/dev/shm") as name:
        assert block_to_collapse(Path(name), read_only=False) is None
        yield Path(name)
