"""A folder of logs to rotate: what its files hold, whatever they are called and compressed with."""

from __future__ import annotations

import gzip
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lapse.errors import StoreError
from lapse.instant import Nanos, from_datetime
from lapse.model.policy import Dataset
from lapse.model.rotation import Packing, Rotation, Turn
from lapse.stores.jsonl import JsonlStore

NOW = from_datetime(datetime(2026, 11, 22, 10, 45, 1, tzinfo=UTC))
STAMP = "20261122T104501"
AT_ONCE = Rotation(size=1)


def line(n: int, *, at: str = "2026-11-22T09:00:00Z", writer: str = "w") -> bytes:
    """One record."""
    return json.dumps({"at": at, "writer": writer, "n": n}).encode() + b"\n"


@dataclass(frozen=True)
class Logs:
    """The logs ``audit*.jsonl*`` in a folder.

    Attributes:
        folder: Where they are.
        dataset: Their dataset.
    """

    folder: Path
    dataset: Dataset

    @property
    def log(self) -> Path:
        """The log that writers append to."""
        return self.folder / "audit.jsonl"

    def with_(self, **changes: Any) -> Logs:
        """The same logs in a dataset that says something else."""
        return Logs(self.folder, replace(self.dataset, **changes))

    def packed(self, packing: Packing) -> Logs:
        """The same logs, rotated at once and compressed."""
        return self.with_(rotation=Rotation(size=1, packing=packing))

    def write(self, *lines: bytes) -> None:
        """Append to the log as one does who opens it for each batch."""
        with self.log.open("ab") as file:
            file.write(b"".join(lines))

    def rotate(self, now: Nanos = NOW, *, force: bool = False) -> list[Turn]:
        """Rotate what is due, under the lease."""
        store = JsonlStore(self.dataset, read_only=False)
        with store.lease():
            return list(store.rotate(now, force=force))

    def refused(self, now: Nanos = NOW) -> StoreError:
        """Rotate, which must fail."""
        try:
            self.rotate(now)
        except StoreError as error:
            return error
        raise AssertionError("it was not refused")

    def recover(self) -> None:
        """What every run does before it looks at the logs."""
        store = JsonlStore(self.dataset, read_only=False)
        with store.lease():
            list(store.recover(lambda _: True))

    def names(self) -> list[str]:
        """All files there, Lapse's own included."""
        return sorted(path.name for path in self.folder.iterdir())

    def lines(self) -> list[bytes]:
        """Every line that the dataset's glob shows, sorted."""
        return sorted(each for path in self.folder.glob("audit*.jsonl*") for each in content(path).splitlines(True))


def content(path: Path) -> bytes:
    """What a file holds, read with other libraries than Lapse's own."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    return data


def logs(folder: Path, pattern: str = "audit*.jsonl*") -> Logs:
    """Logs that are rotated as soon as they hold a byte."""
    folder.mkdir(exist_ok=True)
    store = str(folder / pattern)
    return Logs(folder, Dataset(name="log", store=store, shown=store, time="at", rotation=AT_ONCE))


def numbers(found: Iterator[bytes] | list[bytes]) -> dict[str, list[int]]:
    """The numbers of each writer's lines, sorted."""
    seen: dict[str, list[int]] = {}
    for each in found:
        record = json.loads(each)
        seen.setdefault(record["writer"], []).append(record["n"])
    return {writer: sorted(them) for writer, them in seen.items()}


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may become larger than that, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
