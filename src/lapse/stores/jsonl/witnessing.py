"""What a log file is recognised by before a commit, so that it can be told later whether there was one."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from lapse.stores.jsonl.disk import open_log
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.settling import find_inode
from lapse.stores.jsonl.trouble import translated

_LOOKED_AT = 4096
_PLACE = re.compile(r"(?P<inode>[0-9]+)(?::(?P<size>[0-9]+):(?P<digest>[0-9a-f]+))? (?P<path>.+)", re.DOTALL)


def place_of(extent: Extent) -> str:
    """Inode and path of a file, with the size that was judged and a digest of its beginning and of that end.

    A commit in place changes one or the other: it puts blanks at the beginning, or moves what stays.
    """
    with translated("look at it", extent.path):
        digest = _digest(extent.path, extent.inode, extent.size)
    return f"{extent.inode}:{extent.size}:{digest} {extent.path}"


def is_untouched(place: str) -> bool:
    """Whether the file of a place is in its folder, under its name or a rotated one, and as it was.

    Raises:
        StoreError: If its folder cannot be read.
    """
    found = _PLACE.fullmatch(place)
    if found is None:
        return False
    path, inode = Path(found["path"]), int(found["inode"])
    with translated("look into the folder", path.parent):
        if not path.parent.is_dir():
            return False
        there = find_inode(path.parent, path.name, inode)
        if there is None:
            return False
        return found["digest"] is None or _digest(there, inode, int(found["size"])) == found["digest"]


def _digest(path: Path, inode: int, size: int) -> str:
    """A digest of the first bytes, and of the last ones below *size*. Empty if another file is there."""
    try:
        descriptor = open_log(path)
    except FileNotFoundError:
        return ""
    try:
        if os.fstat(descriptor).st_ino != inode:
            return ""
        head = os.pread(descriptor, min(size, _LOOKED_AT), 0)
        tail = os.pread(descriptor, min(size, _LOOKED_AT), max(0, size - _LOOKED_AT))
    finally:
        os.close(descriptor)
    return hashlib.sha256(head + b"\0" + tail).hexdigest()
