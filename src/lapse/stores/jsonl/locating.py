"""Lines of a log file in, and commits made since; where the same lines are now out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lapse.stores.jsonl.inplace import InPlace
from lapse.stores.jsonl.redo import Journalled
from lapse.stores.jsonl.scanning import Extent


def followed(extent: Extent, commits: Iterable[Journalled]) -> Extent:
    """The same lines after some commits, in order; those made to another file change nothing."""
    for redo in commits:
        if extent.inode != redo.inode:
            continue
        if isinstance(redo, InPlace):
            extent = replace(extent, size=max(0, extent.size - redo.layout.cut))
        elif redo.replacement is not None:
            size = redo.kept + max(0, extent.size - redo.judged)
            extent = Extent(path=extent.path, inode=redo.replacement.inode, size=size)
    return extent
