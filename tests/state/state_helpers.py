"""Makers of values and doubles for the tests of Lapse's state."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import pytest

from lapse.errors import TargetError
from lapse.instant import SECOND, Nanos
from lapse.model.disposal import Disposal, Method, Owner
from lapse.state.keys import Signer, load_signer, public_keys
from lapse.state.ledger import Ledger
from lapse.state.ledger_check import verify_ledger

NOW = Nanos(1_795_000_000 * SECOND)
RUN = "20261122T100000Z-3f9c1a"


def disposal(slice_name: str = "000001", *, run: str = RUN, tenants: dict[str, int] | None = None) -> Disposal:
    """A disposal of two records without an archive."""
    return Disposal(
        owner=Owner(ledger="l", run=run),
        slice=slice_name,
        dataset="calls",
        fingerprint="sqlite:calls",
        method=Method.ROW_DELETE,
        at=NOW,
        now=NOW,
        policy="p" * 64,
        rules_digest="r" * 64,
        rules={"0": "keep 90 days"},
        cutoffs={"0": "2026-08-24T00:00:00Z"},
        counts={"0": 2},
        tenants=tenants if tenants is not None else {"acme": 2},
        records=2,
        size=100,
        oldest=None,
        newest=None,
        segments=(),
        waiver=("keep 90 days",),
    )


class MemoryTarget:
    """An archive target in memory: objects are written once."""

    scheme: ClassVar[str] = "memory"

    def __init__(self, address: str = "memory:") -> None:
        self.address = address
        self.objects: dict[str, bytes] = {}

    def staging(self, name: str) -> Path:
        return Path("/nonexistent") / name

    def publish(self, staged: Path, path: str) -> None:
        self.put(path, staged.read_bytes())

    def discard(self, name: str) -> None:
        pass

    def put(self, path: str, data: bytes) -> None:
        if self.objects.setdefault(path, data) != data:
            raise TargetError(f"{path} is there already")

    def open(self, path: str) -> BinaryIO:
        if path not in self.objects:
            raise TargetError(f"{path} is not there")
        return io.BytesIO(self.objects[path])

    def exists(self, path: str) -> bool:
        return path in self.objects

    def list(self, prefix: str) -> Iterator[str]:
        return iter(sorted(path for path in self.objects if path.startswith(prefix)))

    def remove(self, path: str) -> None:
        self.objects.pop(path, None)

    def location(self) -> Path | None:
        return None


def start_python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process that runs *script*; its standard output is read as text."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    """The next line that *process* prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finished(process: subprocess.Popen[str]) -> str:
    """Everything that *process* still prints, when it has ended well."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.strip()


def files_below(folder: Path) -> list[str]:
    """Names of all files below *folder*, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def intact(root: Path) -> bool:
    """Whether the ledger below *root* passes its check."""
    return verify_ledger(root / "ledger", checkpoints=(), public_keys=public_keys(root / "keys")).ok


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """A key that was made just now."""
    return load_signer(tmp_path / "keys")


@pytest.fixture
def ledger(tmp_path: Path, signer: Signer) -> Ledger:
    """A ledger that is not there yet."""
    return Ledger(tmp_path / "ledger", signer)
