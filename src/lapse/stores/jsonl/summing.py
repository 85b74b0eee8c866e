"""Lines of one outcome added up: how many, how long, from when to when, and a checksum that tells them from others."""

from __future__ import annotations

from typing import NamedTuple

import stringzilla as sz

from lapse.instant import Nanos
from lapse.stores.jsonl.judging import Values

UNUSED = 20
"""Bits of a hash that are left out, so that a million of them can be added up in 64."""


class Sum(NamedTuple):
    """Lines with the same outcome and the same values of the fields that decide.

    Attributes:
        code: The outcome.
        tenant: The tenant they are counted under.
        values: The values, as `Judge.values` tells them.
        records: How many; further pieces of a long line do not count.
        size: Their bytes.
        oldest: Earliest time. None if none could be read.
        newest: Latest time. None if none could be read.
        checksum: Sum of what `number_of` says of each.
    """

    code: int
    tenant: str | None
    values: Values
    records: int
    size: int
    oldest: Nanos | None
    newest: Nanos | None
    checksum: int


def number_of(line: bytes, instant: Nanos | None) -> int:
    """What a line adds to a checksum: 44 bits of a hash of all its bytes. Nothing if it has no time."""
    return 0 if instant is None else sz.hash(line) >> UNUSED
