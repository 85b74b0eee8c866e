"""Lapsed rows that a survey has judged one by one, so that a slice need not judge them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lapse.model.plan import Tally
from lapse.sqlcore.columntallies import ColumnTallies


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """Lapsed rows of a stretch that go to one place, an array of 64-bit integers for each column, in key order.

    Attributes:
        counted: What has numbered the tenants.
        row_size: Bytes that each row is taken to have.
        keys: The key of each row.
        codes: The outcome.
        tenants: The tenant, by its number.
        times: The time.
    """

    counted: ColumnTallies
    row_size: int
    keys: Any
    codes: Any
    tenants: Any
    times: Any


def remembered_rows(parts: Sequence[Remembered]) -> tuple[Sequence[int], Sequence[Tally]]:
    """The keys of the rows of stretches that follow on each other, and their tallies without checksums."""
    keys, codes, tenants, times = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "codes", "tenants", "times")
    )
    return keys.tolist(), parts[0].counted.of_rows(codes, tenants, times, row_size=parts[0].row_size)
