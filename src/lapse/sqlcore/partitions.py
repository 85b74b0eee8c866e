"""What a plan says of partitions: which of them go whole, and why the rows of others go one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from lapse.errors import StoreError

ROWS_STAY = "It stays; the rows that have lapsed are removed one by one."
"""What becomes of a partition that could not be dropped, for a hint."""

LEFT_ASIDE = re.compile(r"(?P<records>[0-9,]+) rows of partition .* are set aside ")
"""Matches what `left_aside` says."""

_NAMED = 3


class LeftAsideError(StoreError):
    """Rows are aside and could not be put back; the next run settles them."""


def left_aside(rows: int, *, partition: str, where: str) -> str:
    """That so many rows are not where they belong, but *where*, such as ``in table lapse_aside_1``."""
    return (
        f"{rows:,} rows of partition {partition} are set aside {where}, as a run is dropping them or broke off "
        "while it did; the next run puts them back, unless their drop is recorded"
    )


def none_goes(obstacle: str) -> str:
    """Why no partition of a table goes whole."""
    return f"rows are removed one by one, no partition is dropped: {obstacle}"


def drop_remarks(
    going: Sequence[str], *, rows: int, patience: str, staying: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """What a run would drop, and what not.

    Arguments:
        going: Names of the partitions that go whole.
        rows: How many rows those have.
        patience: How long others wait for a drop at most, such as ``half a second``.
        staying: By reason, the names of those that stay although rows in them have lapsed.
    """
    if going:
        yield (
            f"dropped as a whole, with {rows:,} rows: {_some(going)}; each drop locks the table for a moment, and "
            f"nobody waits for it longer than {patience}"
        )
    for reason, names in staying.items():
        yield f"rows are removed one by one, since {reason}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    """The first and last of them, and how many there are."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]} ({len(names):,} partitions)"
