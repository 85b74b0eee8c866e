"""The newest of each group are looked for while others write: no record counts twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_worlds import connected

from lapse.errors import BusyError
from lapse.instant import SECOND, Nanos, to_datetime
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Last, Rule
from lapse.model.selection import Selection, Verdict, select
from lapse.stores.sqlite import SqliteStore, newest, store, surveying
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.testing.harness import NOW

_DAY = 86_400
_ROWS = 40


@pytest.fixture(params=["wal", "delete"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows of one group, the newest first in the order of keys, read ten at a time; the two newest are to stay."""
    monkeypatch.setattr(surveying, "_CELL", 10)
    file = tmp_path / "log.db"
    with connected(file) as connection:
        connection.execute(f"PRAGMA journal_mode = {request.param}")
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT)")
        times = (to_datetime(Nanos(NOW - (100 + n) * _DAY * SECOND)).isoformat() for n in range(_ROWS))
        connection.executemany("INSERT INTO log VALUES (?, ?)", ((10 * n, time) for n, time in enumerate(times, 1)))
    return file


def policy(path: Path) -> Selection:
    """Ten days for all but the two newest."""
    rule = Rule(index=0, match=Match(), keep=parse_period("10 days"), waived=True, last=Last(2))
    dataset = Dataset(name="log", store=f"sqlite:///{path}", shown="log.db", table="log", time="at", rules=(rule,))
    return select(dataset, floors=(), holds=(), now=NOW, real_now=NOW)


def kept(path: Path, *, read_only: bool = True) -> int:
    """How many rows a survey finds that stay."""
    selection = policy(path)
    with closing(SqliteStore(selection.dataset, read_only=read_only)) as opened:
        tallies = list(opened.survey(selection))
    outcomes = selection.outcomes
    return sum(tally.records for tally in tallies if outcomes[tally.code].verdict is not Verdict.LAPSED)


class Mover:
    """Another program that gives the newest row another key, between the first stretch and the second.

    Attributes:
        moves: How often it does that.
        kept_out: Whether it was not let in.
    """

    def __init__(self, path: Path, moves: int) -> None:
        self.moves = moves
        self.kept_out = False
        self._path = path
        self._places = [(10, 395), (395, 10)]

    def stretches(self, walk: KeyWalk, end: Key | None) -> Iterator[KeyRange]:
        """In place of the usual ones."""
        for number, keys in enumerate(surveying.stretches(walk, end)):
            if number == 1 and self.moves:
                self.moves -= 1
                self._move()
            yield keys

    def _move(self) -> None:
        with connected(self._path) as other:
            other.execute("PRAGMA busy_timeout = 0")
            old, new = self._places[0]
            try:
                other.execute("UPDATE log SET id = ? WHERE id = ?", (new, old))
            except sqlite3.OperationalError:
                self.kept_out = True
            else:
                self._places.reverse()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_row_whose_key_is_changed_meanwhile_counts_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    """Seen under both keys it would be both of the two newest, and the second would go."""
    mover = Mover(path, moves=1)
    monkeypatch.setattr(store, "stretches", mover.stretches)

    assert kept(path, read_only=read_only) == 2
    assert mover.moves == 0


def test_who_writes_all_the_time_waits_for_a_short_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a write-ahead log, the last look keeps writers out; with one, nobody waits."""
    mover = Mover(path, moves=9)
    monkeypatch.setattr(store, "stretches", mover.stretches)

    assert kept(path) == 2
    assert mover.kept_out is not has_wal(path)


def test_nobody_is_kept_out_for_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather nothing is removed, and it is said what helps."""
    mover = Mover(path, moves=9)
    monkeypatch.setattr(store, "stretches", mover.stretches)
    monkeypatch.setattr(newest, "_SHORT", 0.0)

    if has_wal(path):
        assert kept(path) == 2
        return
    with pytest.raises(BusyError, match="was written to each time") as caught:
        kept(path)
    assert "journal_mode = WAL" in str(caught.value.hint)
    assert not mover.kept_out


def has_wal(path: Path) -> bool:
    """Whether the file has a write-ahead log."""
    with connected(path) as connection:
        return bool(connection.execute("PRAGMA journal_mode").fetchone() == ("wal",))
