"""Which unit the numbers of a time column have, found by looking at which of them could be times at all."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.errors import PolicyError
from lapse.instant import Nanos
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, TimeFormat

NUMERIC = tuple(form for form in TimeFormat if form.unit is not None)
"""The formats of numbers."""


def plausible(form: TimeFormat, latest: Nanos) -> tuple[int, int]:
    """The numbers that are times from 1990 to *latest* in a numeric format, both inclusive."""
    unit = form.unit or 1
    return -((form.epoch - DOUBT_BEFORE_DEFAULT) // unit), (latest - form.epoch) // unit


def one_format(counts: Mapping[TimeFormat, int], column: str) -> TimeFormat | None:
    """The one format that the plausible numbers of a column have. None if there is no such number.

    Raises:
        PolicyError: If they have several.
    """
    found = [form for form, count in counts.items() if count]
    if len(found) > 1:
        shown = ", ".join(f"{form.value}: {counts[form]}" for form in found)
        raise PolicyError(
            f"the numbers in column {column} are times in several units ({shown})",
            hint="Write `time format:` on the dataset; numbers in other units are then kept as doubtful.",
        )
    return found[0] if found else None
