"""Counting what a take yields, batch by batch, in Arrow: records by code and tenant with their times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from lapse.instant import Nanos
from lapse.model.plan import Tally, merge


class Counts:
    """Running counts of a take's records."""

    def __init__(self) -> None:
        self._tallies: tuple[Tally, ...] = ()

    def add(self, codes: Any, tenants: Any, instants: Any) -> None:
        """Take in the records of one batch, column by column."""
        table = pa.table({"code": codes, "tenant": tenants, "instant": instants})
        found = table.group_by(["code", "tenant"]).aggregate([("instant", "count"), ("instant", "min_max")])
        self._tallies = merge([*self._tallies, *_tallies(found)])

    def tallies(self, size: int) -> tuple[Tally, ...]:
        """The counts; *size* is the bytes of all records, shared out evenly."""
        records = max(1, sum(tally.records for tally in self._tallies))
        return tuple(
            Tally(
                code=tally.code, tenant=tally.tenant, records=tally.records, size=size * tally.records // records,
                oldest=tally.oldest, newest=tally.newest,
            )
            for tally in self._tallies
        )  # fmt: skip


def _tallies(found: Any) -> Iterator[Tally]:
    for row in found.to_pylist():
        extent = row["instant_min_max"]
        yield Tally(
            code=row["code"],
            tenant=row["tenant"],
            records=row["instant_count"],
            size=0,
            oldest=Nanos(extent["min"]),
            newest=Nanos(extent["max"]),
        )
