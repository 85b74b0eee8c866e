"""What a PostgreSQL server's log says of transactions: exactly how long each was open.

The server logs every statement with its end and its duration (``log_min_duration_statement = 0``,
``log_line_prefix = '%n|%c|'``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<at>\d+\.\d+)\|(?P<session>[^|]+)\|LOG:  duration: (?P<took>[\d.]+) ms  (statement|execute.*?): (?P<text>.*)"
)
_ENDS = re.compile(r"(COMMIT|END|ROLLBACK(?! TO)|ABORT)\b", re.IGNORECASE)
_BEGINS = re.compile(r"(BEGIN|START TRANSACTION)\b", re.IGNORECASE)
_REMOVES = re.compile(r"\b(DELETE|DROP|DETACH|run_maintenance)\b")
_MAINTAINS = re.compile(r"(VACUUM|ANALYZE)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One that has ended.

    Attributes:
        began: Seconds since 1970.
        ended: Seconds since 1970.
        removes: Whether a statement of it removed something.
    """

    began: float
    ended: float
    removes: bool

    @property
    def seconds(self) -> float:
        """How long it was open."""
        return self.ended - self.began


def transactions(log: Iterable[str]) -> Iterator[Transaction]:
    """Every transaction of the *log*, single statements included.

    VACUUM and ANALYZE are left out: nobody waits for them.
    """
    opened: dict[str, tuple[float, bool]] = {}
    for line in log:
        found = _LINE.match(line)
        if found is None:
            continue
        session, text, ended = found["session"], found["text"], float(found["at"])
        began = ended - float(found["took"]) / 1000
        removes = _REMOVES.search(text) is not None
        if _BEGINS.match(text):
            opened[session] = (began, False)
        elif _ENDS.match(text) and session in opened:
            first, removed = opened.pop(session)
            yield Transaction(first, ended, removed)
        elif session in opened:
            first, removed = opened[session]
            opened[session] = (first, removed or removes)
        elif not _MAINTAINS.match(text):
            yield Transaction(began, ended, removes)


def longest(found: Iterable[Transaction], *, removes: bool) -> float:
    """Seconds of the longest transaction that removed something, or that did not. 0 without any."""
    return max((each.seconds for each in found if each.removes is removes), default=0.0)
