"""The counts of a survey under very many rules, in columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lapse.model.bounds import EndingOf
from lapse.model.plan import Tally
from lapse.model.selection import Destination
from lapse.sqlcore.columns import NO_TIME, Columns
from lapse.sqlcore.columntallies import ColumnTallies, ways
from lapse.sqlcore.fragments import Fragment
from lapse.stores.sqlite.counting import REMEMBERED
from lapse.stores.sqlite.judging import Judge
from lapse.stores.sqlite.ranges import KeyRange
from lapse.stores.sqlite.remembering import Remembered
from lapse.stores.sqlite.slicing import Cell

MOST_REMEMBERED = 1_000_000
"""Rows that are remembered at most, 32 bytes each."""


class ColumnCounts:
    """Under very many rules nearly each row is a group of its own, which SQLite would sort for nothing."""

    def __init__(self, judge: Judge, ending: EndingOf, row_size: int, *, remembering: bool) -> None:
        """Nothing is counted yet; with *remembering*, lapsed rows are remembered for their slices."""
        self._judge = judge
        self._ending = ending
        self._row_size = row_size
        self._tallies = ColumnTallies()
        self._room = MOST_REMEMBERED if remembering and judge.lists_keys else 0

    def query(self, keys: KeyRange) -> Fragment:
        """What is asked about a stretch."""
        return self._judge.listed(keys)

    def cell(self, keys: KeyRange, rows: list[Any], version: int) -> Cell:
        """Take in the answer about a stretch of a file of that *version*."""
        columns = self._columns(rows)
        groups = self._tallies.add(columns)
        lapsed_by = ways(self._ending, groups.codes)
        gone = np.flatnonzero(lapsed_by >= 0)
        lapsed: Counter[Destination] = Counter()
        counts = np.bincount(lapsed_by[gone], groups.records[gone], len(self._ending.endings)).tolist()
        for ending, records in zip(self._ending.endings, counts, strict=True):
            if records:
                lapsed[ending.destination] += int(records)
        tallies = self._tallies.tallies(groups.chosen(gone)) if len(gone) <= REMEMBERED else None
        return Cell(
            keys=keys,
            rows=len(rows),
            lapsed=lapsed,
            tallies=tallies,
            version=version,
            remembered=self._remembered(columns, rows, lapsed),
        )

    def _remembered(
        self, columns: Columns, rows: list[Any], lapsed: Mapping[Destination, int]
    ) -> Mapping[Destination, Remembered]:
        """The lapsed rows that go without a copy, as long as there is room for them: the others are read anyway."""
        found: dict[Destination, Remembered] = {}
        for goal, count in lapsed.items():
            if goal.archives or count > self._room:
                continue
            self._room -= count
            lapsed_by = ways(self._ending, columns.codes)
            meant = [place for place, ending in enumerate(self._ending.endings) if ending.destination == goal]
            places = np.flatnonzero(np.isin(lapsed_by, meant))
            keys = np.fromiter((rows[place][-1] for place in places.tolist()), np.int64, len(places))
            found[goal] = Remembered(
                counted=self._tallies,
                row_size=self._row_size,
                keys=keys,
                codes=columns.codes[places],
                tenants=columns.tenants[places],
                times=columns.oldest[places],
            )
        return found

    def _columns(self, rows: list[Any]) -> Columns:
        codes, tenants, times, checksums, *_ = zip(*rows, strict=True) if rows else ((), (), (), ())
        numbers = (codes, self._tallies.numbers(tenants), times, checksums)
        code, tenant, time, checksum = (np.array(each, np.int64) for each in numbers)
        oldest, newest = (np.where(code == 0, none, time) for none in NO_TIME)
        records = np.ones(len(rows), np.int64)
        return Columns(
            codes=code,
            tenants=tenant,
            records=records,
            sizes=records * self._row_size,
            oldest=oldest,
            newest=newest,
            checksums=checksum,
        )

    def tallies(self) -> tuple[Tally, ...]:
        """All of them."""
        return self._tallies.merged()
