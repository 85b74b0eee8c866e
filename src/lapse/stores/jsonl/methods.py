"""How lapsed lines would leave the files of a dataset, in a few sentences for the plan. Writes nothing."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lapse.errors import StoreError
from lapse.model.policy import Dataset
from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.probing import block_to_collapse, is_odd
from lapse.stores.jsonl.writers import Standing, stand

_LOOKED_AT = 50
"""Files that are looked at, the newest: others hardly have writers, and there may be very many."""


def method_notes(logs: LogSet, files: Sequence[LogFile], dataset: Dataset) -> Iterator[str]:
    """A sentence for each way, with the files that it is for."""
    newest = heapq.nlargest(_LOOKED_AT, files, key=lambda file: file.mtime_ns)
    found: dict[str, list[Path]] = {}
    for file in newest:
        found.setdefault(_way(file.path, dataset), []).append(file.path)
    for way, paths in found.items():
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield f"{logs.relative(paths[0])}{others}: {way}"
    if len(files) > len(newest):
        yield f"{len(files) - len(newest):,} older files were not looked at for writers yet; a run does, one by one"


def _way(path: Path, dataset: Dataset) -> str:
    try:
        descriptor = open_log(path)
    except (OSError, StoreError):
        return "cannot be opened now"  # whoever reads it next says what is wrong
    try:
        plain = encoding_of(descriptor) is Encoding.PLAIN
        standing = stand(descriptor, path, promise=dataset.writers)
        collapses = plain and not is_odd(descriptor) and _collapses(path.parent)
    finally:
        os.close(descriptor)
    if standing.quiet:
        return _quiet(plain=plain, collapses=collapses)
    return _live(standing, dataset, plain=plain, collapses=collapses)


def _collapses(folder: Path) -> bool:
    return block_to_collapse(folder, read_only=True) is not None


def _quiet(*, plain: bool, collapses: bool) -> str:
    if not plain:
        return "nobody writes to it; it is compressed, so that lines leave by a new file"
    if collapses:
        return "nobody writes to it; lines leave in place at its head or while it is in use, else by a new file"
    return "nobody writes to it; this file system cannot cut a file's head, so that lines leave by a new file"


def _live(standing: Standing, dataset: Dataset, *, plain: bool, collapses: bool) -> str:
    trouble = standing.trouble
    if not plain:
        trouble = "it is compressed"
    elif not collapses:
        trouble = "this file system cannot cut a file's head"
    if trouble is None:
        reading = standing.sight.reading
        readers = f"; pid {reading[0]} reads it, and sees it get shorter" if reading else ""
        return f"it is written to by appending, and lines leave in place{readers}"
    if dataset.reopen is not None:
        return f"it is written to; lines leave by a new file, which its writers are told to open ({trouble})"
    return f"it is written to, and its lines stay: {trouble}"
