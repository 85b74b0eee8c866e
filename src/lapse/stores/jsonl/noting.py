"""Remarks about log files for the plan: what a look at a few lines, and at the folder, can tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from lapse.instant import SECOND
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.timetext import is_naive
from lapse.stores.jsonl.fields import Doubtful, FieldReader
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.methods import method_notes
from lapse.stores.jsonl.recovering import markers
from lapse.stores.jsonl.scanning import Extent, opened, reading

_SAMPLE = 20
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_UNITS = (TimeFormat.SECONDS, TimeFormat.MILLISECONDS, TimeFormat.MICROSECONDS, TimeFormat.NANOSECONDS)


def notes(logs: LogSet, files: Sequence[LogFile], dataset: Dataset) -> tuple[str, ...]:
    """What people should know before they read a plan of these files. Writes nothing."""
    newest = max(files, key=lambda file: file.mtime_ns)
    return (*_unfinished(logs), *method_notes(logs, files, dataset), *_times(newest, dataset))


def _unfinished(logs: LogSet) -> Iterator[str]:
    for marker in markers(logs):
        if marker.pending:
            yield f"{marker.log}: a removal was interrupted; the next run finishes it, until then counts may be off"


def _times(newest: LogFile, dataset: Dataset) -> Iterator[str]:
    values = list(_sample(newest, dataset.time))
    texts = [value for value in values if isinstance(value, str)] if dataset.time_format.unit is None else []
    if dataset.zone is None and any(map(is_naive, texts)):
        yield unzoned(dataset.time) if dataset.zone_required else f"{dataset.time} has no time zone: read as UTC"
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers and dataset.time_format.unit is None:
        guess = format_of_number(numbers[0])
        yield f"{dataset.time} is a number, so nothing lapses; say its unit: `time format: {guess or 'unix seconds'}`"


def unzoned(field: str) -> str:
    """What to write where times have no offset."""
    return f"{field} has no time zone, so such lines stay; say the one that is meant: `time zone: UTC`"


def _sample(file: LogFile, field: str) -> Iterator[object]:
    reader = FieldReader([field])
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    with opened(extent) as descriptor, reading(descriptor, extent) as (_, found):
        for line in itertools.islice(found, _SAMPLE):
            fields = reader.read(line.data) if line.shape is Shape.WHOLE else Doubtful.TORN
            if not isinstance(fields, Doubtful):
                yield fields[field]


def format_of_number(number: float) -> str | None:
    """The format under which a number is a time between 1990 and 2100. None if there is none."""
    for unit in _UNITS:
        if _EARLIEST <= number * (unit.unit or 0) / SECOND < _LATEST:
            return unit.value
    return None
