"""Which logs are to be rotated now, and why."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from lapse.instant import Nanos, to_datetime
from lapse.model.bytesize import size_text
from lapse.model.policy import Dataset
from lapse.model.rotation import Every, Rotation
from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.fields import Doubtful, FieldReader
from lapse.stores.jsonl.judging import instant_of
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.listed import LogFile, LogFiles
from lapse.stores.jsonl.quiet import is_written
from lapse.stores.jsonl.rotation_names import parse_rotated
from lapse.stores.jsonl.scanning import Extent, opened, reading

_LOOKED_AT = 20
"""Lines at the beginning of a log among which one with a readable time is looked for."""


def logs_in_use(files: LogFiles) -> list[LogFile]:
    """The plain logs that writers append to: the newest, and those that somebody has open for writing.

    A file with the name of a rotated one is none while the log that it was is there.
    """
    newest: LogFile | None = None
    written: list[LogFile] = []
    for file in files:
        if _is_rotated(file, files) or not _is_plain(file):
            continue
        if newest is None or file.mtime_ns >= newest.mtime_ns:
            newest = file
        if is_written(file.path):
            written.append(file)
    found = written if newest is None or newest in written else [*written, newest]
    return sorted(found, key=lambda file: (file.mtime_ns, file.name))


def reason(rotation: Rotation, file: LogFile, dataset: Dataset, now: Nanos) -> str | None:
    """Why a log is to be rotated at *now*, as a phrase. None if it is not; an empty one never is."""
    if not file.size:
        return None
    if rotation.size is not None and file.size >= rotation.size:
        return f"{size_text(file.size)}, to be rotated at {size_text(rotation.size)}"
    if rotation.every is None:
        return None
    begun = _begun(file, dataset, now)
    first = _first_day(rotation.every, begun, dataset.zone)
    if first >= _first_day(rotation.every, now, dataset.zone):
        return None
    return f"{rotation.every.value}, begun {to_datetime(begun):%Y-%m-%d %H:%M} UTC"


def first_instant(file: LogFile, dataset: Dataset) -> Nanos | None:
    """The time of the first record of a file. None if none of its first lines says one."""
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    reader = FieldReader([dataset.time])
    with opened(extent) as descriptor, reading(descriptor, extent) as (_, found):
        for line in itertools.islice(found, _LOOKED_AT):
            fields = reader.read(line.data) if line.shape is Shape.WHOLE else Doubtful.TORN
            instant = fields if isinstance(fields, Doubtful) else instant_of(fields[dataset.time], dataset)
            if not isinstance(instant, Doubtful):
                return instant
    return None


def _is_rotated(file: LogFile, files: LogFiles) -> bool:
    """Whether a file has the name of a rotated one, and the log that it was is among *files*."""
    name = parse_rotated(file.path.name)
    return name is not None and files.named(str(file.path.with_name(name.log))) is not None


def _is_plain(file: LogFile) -> bool:
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    with opened(extent) as descriptor:
        return encoding_of(descriptor) is Encoding.PLAIN


def _begun(file: LogFile, dataset: Dataset, now: Nanos) -> Nanos:
    """When a log was begun: by its first record, but not before it was rotated last; else when it was last changed."""
    instants = [rotated for rotated in _rotated(file) if rotated <= now]
    first = first_instant(file, dataset)
    if first is not None and first <= now:
        instants.append(first)
    return max(instants, default=Nanos(file.mtime_ns))


def _rotated(file: LogFile) -> Iterator[Nanos]:
    """When a log was rotated, by the names beside it."""
    with os.scandir(file.path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(f"{file.path.stem}-")]
    for name in map(parse_rotated, names):
        if name is not None and name.log == file.path.name:
            yield name.at


def _first_day(every: Every, instant: Nanos, zone: str | None) -> date:
    """The day, or the Monday, at which the time that *instant* belongs to begins."""
    day = to_datetime(instant).astimezone(ZoneInfo(zone or "UTC")).date()
    return day if every is Every.DAY else day - timedelta(days=day.weekday())
