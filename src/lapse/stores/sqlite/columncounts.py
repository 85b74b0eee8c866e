"""The counts of a survey under very many rules, in columns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lapse.model.bounds import EndingOf
from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.sqlcore.columntallies import NO_TIME, Columns, ColumnTallies, ways
from lapse.sqlcore.fragments import Fragment
from lapse.stores.sqlite.counting import REMEMBERED
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange
from lapse.stores.sqlite.slicing import Cell


class ColumnCounts:
    """Under very many rules nearly each row is a group of its own, which SQLite would sort for nothing."""

    def __init__(self, judge: Judge, ending: EndingOf, row_size: int) -> None:
        """Nothing is counted yet."""
        self._judge = judge
        self._ending = ending
        self._tallies = ColumnTallies(row_size)

    def query(self, keys: KeyRange) -> Fragment:
        """What is asked about a stretch."""
        return self._judge.listed(keys)

    def cell(self, keys: KeyRange, rows: list[Any], version: int) -> Cell:
        """Take in the answer about a stretch of a file of that *version*."""
        groups = self._tallies.add(self._columns(rows))
        lapsed_by = ways(self._ending, groups.codes)
        gone = np.flatnonzero(lapsed_by >= 0)
        lapsed: Counter[Destination] = Counter()
        counts = np.bincount(lapsed_by[gone], groups.records[gone], len(self._ending.endings)).tolist()
        for ending, records in zip(self._ending.endings, counts, strict=True):
            if records:
                lapsed[ending.destination] += int(records)
        tallies = self._tallies.tallies(groups.chosen(gone)) if len(gone) <= REMEMBERED else None
        return Cell(keys=keys, rows=len(rows), lapsed=lapsed, tallies=tallies, version=version)

    def _columns(self, rows: list[Any]) -> Columns:
        codes, tenants, times, checksums = zip(*rows, strict=True) if rows else ((), (), (), ())
        numbers = (codes, self._tallies.numbers(tenants), times, checksums)
        code, tenant, time, checksum = (np.array(each, np.int64) for each in numbers)
        oldest, newest = (np.where(code == 0, none, time) for none in NO_TIME)
        return Columns(
            codes=code,
            tenants=tenant,
            records=np.ones(len(rows), np.int64),
            oldest=oldest,
            newest=newest,
            checksums=checksum,
        )

    def tallies(self) -> tuple[Tally, ...]:
        """All of them."""
        return self._tallies.merged()
