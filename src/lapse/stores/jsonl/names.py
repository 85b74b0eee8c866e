"""The names of Lapse's own files beside a log: they carry the log's name and the slice they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

LOCK = ".lapse.lock"
"""Lock file of a folder: who has it may change the logs there."""

MARK = ".lapse-"
"""What every name of a working file has in it."""

_OWN = re.compile(r"\.(?P<log>.+)\.lapse-(?P<slice>[^/]+)\.(?P<kind>tmp|old|journal|journal\.new)", re.DOTALL)
_RESERVED = re.compile(r"\..*lapse.*", re.DOTALL)


class Kind(Enum):
    """What a file of Lapse's own is for."""

    TEMPORARY = "tmp"
    ASIDE = "old"
    JOURNAL = "journal"
    JOURNAL_DRAFT = "journal.new"


@dataclass(frozen=True, slots=True)
class OwnName:
    """The name of a file of Lapse's own, taken apart.

    Attributes:
        log: Name of the log file it belongs to.
        slice: Run and slice, as in ``<run>-<slice>``.
        kind: What it is for.
    """

    log: str
    slice: str
    kind: Kind

    def __str__(self) -> str:
        return f".{self.log}.lapse-{self.slice}.{self.kind.value}"


def parse(name: str) -> OwnName | None:
    """Take a file name apart. None if it is none of Lapse's working files."""
    found = _OWN.fullmatch(name)
    if found is None:
        return None
    return OwnName(found["log"], found["slice"], Kind(found["kind"]))


def is_reserved(name: str) -> bool:
    """Whether a name could be Lapse's own: such files are never taken for logs."""
    return _RESERVED.fullmatch(name) is not None
