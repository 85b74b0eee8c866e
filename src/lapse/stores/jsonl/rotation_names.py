"""The names that logs are rotated to, and those of the working files of a rotation.

The working files are none that `names.parse` knows: what clears away leftovers of removals leaves them alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from lapse.instant import Nanos, from_datetime, to_datetime

MARK = ".rotation"
"""What every name of a working file has in it."""
_STAMP = "%Y%m%dT%H%M%S"
_ROTATED = re.compile(
    r"(?P<stem>.+)-(?P<stamp>[0-9]{8}T[0-9]{6})(?:-[0-9]+)?(?P<suffix>\.[^.]+)?(?P<packed>\.zst|\.gz)?",
    re.DOTALL,
)
_WORKING = re.compile(r"\.(?P<log>.+)\.lapse-(?P<id>[^/.]+)\.rotation(?P<kind>|-new|-fresh|-packed|-aside)", re.DOTALL)


class Kind(Enum):
    """What a working file of a rotation is for."""

    JOURNAL = ""
    JOURNAL_DRAFT = "-new"
    FRESH = "-fresh"
    PACKED = "-packed"
    ASIDE = "-aside"


@dataclass(frozen=True, slots=True)
class WorkingName:
    """The name of a working file, taken apart.

    Attributes:
        log: Name of the log.
        id: Which rotation of it.
        kind: What the file is for.
    """

    log: str
    id: str
    kind: Kind

    def __str__(self) -> str:
        return f".{self.log}.lapse-{self.id}.rotation{self.kind.value}"


def parse_working(name: str) -> WorkingName | None:
    """Take a file name apart. None if it is no working file of a rotation."""
    found = _WORKING.fullmatch(name)
    return None if found is None else WorkingName(found["log"], found["id"], Kind(found["kind"]))


@dataclass(frozen=True, slots=True)
class RotatedName:
    """The name of a rotated file, taken apart.

    Attributes:
        log: Name of the log that it was.
        at: When it was rotated.
    """

    log: str
    at: Nanos


def parse_rotated(name: str) -> RotatedName | None:
    """Take a file name apart. None if no log is rotated to such a name."""
    found = _ROTATED.fullmatch(name)
    if found is None:
        return None
    suffix, packed = found["suffix"] or "", found["packed"]
    if packed is None and suffix in (".zst", ".gz"):
        suffix = ""
    try:
        at = from_datetime(datetime.strptime(found["stamp"], _STAMP).replace(tzinfo=UTC))
    except ValueError:
        return None
    return RotatedName(found["stem"] + suffix, at)


def stamp(now: Nanos) -> str:
    """How the instant of a rotation stands in names: UTC, to the second."""
    return to_datetime(now).strftime(_STAMP)


def names_at(log: str, stamp: str, packed: str = "") -> Iterator[str]:
    """Names for a rotated log, the best one first; they go on for ever.

    Arguments:
        log: Name of the log.
        stamp: Of `stamp`.
        packed: Suffix of a compressed file; empty for a plain one.
    """
    path = Path(log)
    yield f"{path.stem}-{stamp}{path.suffix}{packed}"
    for number in itertools.count(1):
        yield f"{path.stem}-{stamp}-{number}{path.suffix}{packed}"
