"""How large log files are, and how fast the newest one grows by the times of its records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from lapse.instant import DAY, Nanos
from lapse.model.growth import SHORTEST, Footprint
from lapse.model.policy import Dataset
from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.fields import Doubtful, FieldReader
from lapse.stores.jsonl.judging import instant_of
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.scanning import Extent, opened
from lapse.stores.jsonl.trouble import translated

_LOOK = 64 * 1024
"""Bytes at each end of a file that are looked at."""


def footprint(files: Sequence[LogFile], dataset: Dataset) -> Footprint:
    """What a look at the files, and at both ends of the newest one with lines, tells.

    Raises:
        StoreError: If that one cannot be read.
    """
    with translated("see how much room is there", files[0].path):
        facts = os.statvfs(files[0].path.parent)
    newest = sorted((file for file in files if file.size), key=lambda file: file.mtime_ns, reverse=True)
    line, rate = next(_looks(newest, dataset), (None, None))
    return Footprint(
        size=sum(file.size for file in files),
        files=len(files),
        free=facts.f_bavail * facts.f_frsize,
        line=line,
        rate=rate,
    )


def _looks(newest: Iterable[LogFile], dataset: Dataset) -> Iterator[tuple[float, float | None]]:
    """Bytes a line, and bytes a day, of each plain file."""
    for file in newest:
        extent = Extent(path=file.path, inode=file.inode, size=file.size)
        with opened(extent) as descriptor, translated("read it", file.path):
            if encoding_of(descriptor) is not Encoding.PLAIN:
                continue
            head = os.pread(descriptor, min(_LOOK, file.size), 0)
            start = max(0, file.size - _LOOK)
            tail = os.pread(descriptor, file.size - start, start)
        lines = head.count(b"\n") + tail.count(b"\n")
        if lines:
            yield (len(head) + len(tail)) / lines, _rate(head, tail, file.size, dataset)


def _rate(head: bytes, tail: bytes, size: int, dataset: Dataset) -> float | None:
    """Bytes a day between the first and the last record with a readable time. None if less than an hour is."""
    first = next(_instants(head.splitlines(keepends=True), dataset), None)
    last = next(_instants(reversed(tail.splitlines(keepends=True)), dataset), None)
    if first is None or last is None or last - first < SHORTEST:
        return None
    return size * DAY / (last - first)


def _instants(lines: Iterable[bytes], dataset: Dataset) -> Iterator[Nanos]:
    reader = FieldReader([dataset.time])
    for line in lines:
        fields = reader.read(line) if line.endswith(b"\n") else Doubtful.TORN
        instant = fields if isinstance(fields, Doubtful) else instant_of(fields[dataset.time], dataset)
        if not isinstance(instant, Doubtful):
            yield instant
