"""Lines looked up: by ``file:line``, by the text of the dataset's key field, or by their values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lapse.model.match import Match, text_of
from lapse.model.newest import Newest
from lapse.model.plan import Tally
from lapse.model.selection import Selection
from lapse.ports import Found, Matched
from lapse.sqlcore.tallying import Running
from lapse.stores.jsonl.fields import Doubtful, FieldReader
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.judging import Judge, Judged, used_fields
from lapse.stores.jsonl.lines import Line, Shape
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.scanning import Extent, opened, reading

_PLACE = re.compile(r"(?P<file>.+):(?P<line>[1-9][0-9]{0,18})", re.DOTALL)


def find(logs: LogSet, selection: Selection, key: str, *, newest: Newest | None = None) -> Iterator[Found]:
    """The lines that *key* names: the one at ``file:line``, else those whose key field has that text.

    The file may be given by its path, absolute or relative to the dataset's folder or to the working folder, or
    by its name alone.
    """
    files, judge = logs.files(), Judge(selection, newest)
    place = _PLACE.fullmatch(key)
    named = [file for file in files if place is not None and _means(place["file"], logs, file)]
    if place is not None and named:
        wanted = int(place["line"])
        for file in named:
            yield from _search(file, judge, lambda number, *_: number == wanted)
        return
    field = selection.dataset.key
    if field is not None:
        for file in files:
            yield from _search(file, judge, lambda _, __, judged: text_of(judged.fields.get(field)) == key)


def search(logs: LogSet, selection: Selection, match: Match, *, limit: int, newest: Newest | None = None) -> Matched:
    """The lines that *match* matches: counted by outcome, and the first *limit* of them, file by file."""
    judge, reader, running = Judge(selection, newest), FieldReader(match.fields), Running()
    first: list[Found] = []

    def wanted(_: int, line: Line, __: Judged) -> bool:
        values = reader.read(line.data) if line.shape is Shape.WHOLE else Doubtful.TORN
        return not isinstance(values, Doubtful) and match.matches(values.get)

    for file in logs.files():
        for found in _search(file, judge, wanted):
            one = Tally(code=found.code, tenant=None, records=1, size=0, oldest=found.instant, newest=found.instant)
            running.add([one])
            if len(first) < limit:
                first.append(found)
    return Matched(tallies=running.merged(), first=tuple(first))


def _means(name: str, logs: LogSet, file: LogFile) -> bool:
    return name in (logs.relative(file.path), file.path.name) or os.path.normpath(Path.cwd() / name) == str(file.path)


def _search(file: LogFile, judge: Judge, wanted: Callable[[int, Line, Judged], bool]) -> Iterator[Found]:
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    fields = used_fields(judge.selection)
    number = 0
    with opened(extent) as descriptor, reading(descriptor, extent) as (_, lines):
        for line in lines:
            if line.shape is Shape.LONG_REST:
                continue
            number += 1
            judged = judge.judge(line)
            if wanted(number, line, judged):
                yield Found(
                    key=f"{file.path}:{number}",
                    code=judged.code,
                    instant=judged.instant,
                    values={name: text_of(judged.fields.get(name)) for name in fields},
                    doubt=None if judged.doubt is None else judged.doubt.value,
                )
