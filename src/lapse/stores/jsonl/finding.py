"""One line looked up: by ``file:line``, or by the text of the dataset's key field."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lapse.model.match import text_of
from lapse.model.selection import Selection
from lapse.ports import Found
from lapse.stores.jsonl.files import LogFile, LogSet
from lapse.stores.jsonl.judging import Judge, Judged
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.scanning import Extent, opened, reading

_PLACE = re.compile(r"(?P<file>.+):(?P<line>[1-9][0-9]{0,18})", re.DOTALL)


def find(logs: LogSet, selection: Selection, key: str) -> Iterator[Found]:
    """The lines that *key* names: the one at ``file:line``, else those whose key field has that text.

    The file may be given by its path, absolute or relative to the dataset's folder or to the working folder, or
    by its name alone.
    """
    files = logs.files()
    place = _PLACE.fullmatch(key)
    named = [file for file in files if place is not None and _means(place["file"], logs, file)]
    if place is not None and named:
        wanted = int(place["line"])
        for file in named:
            yield from _search(file, selection, lambda number, _: number == wanted)
        return
    field = selection.dataset.key
    if field is not None:
        for file in files:
            yield from _search(file, selection, lambda _, judged: text_of(judged.fields.get(field)) == key)


def _means(name: str, logs: LogSet, file: LogFile) -> bool:
    return name in (logs.relative(file.path), file.path.name) or os.path.normpath(Path.cwd() / name) == str(file.path)


def _search(file: LogFile, selection: Selection, wanted: Callable[[int, Judged], bool]) -> Iterator[Found]:
    judge = Judge(selection)
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    number = 0
    with opened(extent) as descriptor, reading(descriptor, extent) as (_, lines):
        for line in lines:
            if line.shape is Shape.LONG_REST:
                continue
            number += 1
            judged = judge.judge(line)
            if wanted(number, judged):
                yield Found(
                    key=f"{file.path}:{number}",
                    code=judged.code,
                    instant=judged.instant,
                    values={name: text_of(judged.fields.get(name)) for name in selection.dataset.fields},
                )
