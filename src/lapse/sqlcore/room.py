"""Room on disks: what a piece of work needs where, against what is free there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Room:
    """What is needed, and what there is.

    Attributes:
        needs: Bytes needed: on the disk where it is tightest, or in all where that cannot be seen.
        free: Bytes free there for ordinary users. None if it cannot be seen.
    """

    needs: int
    free: int | None


def room(needs: Mapping[Path, int]) -> Room:
    """The disk where it is tightest.

    Arguments:
        needs: Bytes by a folder or file that lies on the disk; several may lie on the same one.
    """
    by_disk: dict[int, tuple[int, Path]] = {}
    try:
        for place, size in needs.items():
            disk = place.stat().st_dev
            by_disk[disk] = (by_disk.get(disk, (0, place))[0] + size, place)
        rooms = [Room(size, _free(place)) for size, place in by_disk.values()]
    except OSError:
        return Room(sum(needs.values()), None)  # a folder that this user may not see: unknown is unknown
    return min(rooms, key=lambda one: (one.free or 0) - one.needs, default=Room(0, None))


def _free(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
