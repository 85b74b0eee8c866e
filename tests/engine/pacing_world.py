"""A store that others use, in a time that passes only when somebody sleeps or works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from lapse import clock, registry
from lapse.engine.limits import Limits
from lapse.engine.running import Wishes, run
from lapse.engine.session import Session, open_session
from lapse.errors import BusyError
from lapse.instant import Nanos
from lapse.model.disposal import Facts
from lapse.model.report import DatasetReport, RunReport
from lapse.model.selection import Selection
from lapse.ports import Budget, Burden, Slice
from lapse.testing.memory import WORLDS, Memory, MemoryStore, MemoryTake
from lapse.testing.memory_rows import Values

POLICY = """\
version: 1
{top}
guards: {{ramp: off}}
datasets:
  calls: {{store: "memory://calls", table: cel, time: at, keep: 90 days, archive: none{pace}}}
"""
NAME = "calls"


class FakeTime:
    """A clock that goes on when somebody sleeps, or when a test says so.

    Attributes:
        now: Seconds since the test began.
        naps: How often somebody slept.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps = 0

    def sleep(self, seconds: float) -> None:
        """Go on by *seconds*, which must be more than nothing: a loop that does not wait never ends."""
        assert seconds > 0
        self.naps += 1
        self.now += seconds

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> FakeTime:
        """A fake time in place of the monotonic clock."""
        time = cls()
        monkeypatch.setattr(clock, "monotonic", lambda: time.now)
        monkeypatch.setattr(clock, "sleep", time.sleep)
        return time


@dataclass
class Others:
    """What other users do to the store.

    Attributes:
        time: The time it happens in.
        burden: How they fare, asked by a run.
        locked: Keys that a take cannot get at now.
        seconds: How long a take of so many records lasts.
        cuts: Budget of every time slices were cut.
        cut_fails: How often cutting slices fails before it works.
        takes: Bounds of every slice that was tried.
    """

    time: FakeTime
    burden: Callable[[], Burden] = Burden
    locked: Callable[[], frozenset[int]] = frozenset
    seconds: Callable[[int], float] = lambda records: records / 1000
    cuts: list[Budget] = field(default_factory=list)
    cut_fails: int = 0
    takes: list[tuple[str | int | None, ...]] = field(default_factory=list)


class SharedStore(MemoryStore):
    """The in-memory double, with others at work."""

    others: ClassVar[Others]

    def burden(self) -> Burden:
        """As the test says."""
        return self.others.burden()

    def slices(
        self, selection: Selection, facts: Facts, budget: Budget, mark: Mapping[str, tuple[int, ...]] | None = None
    ) -> Iterator[Slice]:
        """As the double, once cutting works."""
        if self.others.cut_fails:
            self.others.cut_fails -= 1
            raise BusyError("cutting took too long", hint="Wait.")
        self.others.cuts.append(budget)
        yield from super().slices(selection, facts, budget, mark)

    @contextmanager
    def take(self, piece: Slice) -> Iterator[MemoryTake]:
        """As the double, unless others hold a lock on one of its records; it takes its time."""
        first, last = int(str(piece.bounds[0])), int(str(piece.bounds[1]))
        self.others.takes.append(piece.bounds)
        if any(first <= key <= last for key in self.others.locked()):
            self.others.time.now += 1.0
            raise BusyError("lock timeout", hint="Somebody holds a lock.")
        self.others.time.now += self.others.seconds(last - first + 1)
        with super().take(piece) as taken:
            yield taken


class DivisibleStore(SharedStore):
    """One that can cut a slice in two."""

    def halves(self, piece: Slice) -> tuple[Slice, ...]:
        """Both halves of its keys."""
        first, last = int(str(piece.bounds[0])), int(str(piece.bounds[1]))
        if first == last:
            return ()
        middle = (first + last) // 2
        return replace(piece, bounds=(first, middle)), replace(piece, bounds=(middle + 1, last))


STORE: type[MemoryStore] = SharedStore


@dataclass
class Desk:
    """Where a test works.

    Attributes:
        folder: Folder of the policy and of the state.
        time: The time.
        others: What other users do.
    """

    folder: Path
    time: FakeTime
    others: Others

    def policy(self, *, top: str = "", pace: str = "") -> None:
        """Write the policy; *pace* is that of the dataset, in flow style."""
        said = f", pace: {{{pace}}}" if pace else ""
        (self.folder / "lapse.yaml").write_text(POLICY.format(top=top, pace=said), encoding="utf-8")

    def fill(self, lapsed: int) -> None:
        """Put that many lapsed records into the store, and one that is kept."""
        records: dict[int, Values] = {
            key: {"id": key, "at": "2020-01-01T00:00:00Z", "body": "x"} for key in range(1, lapsed + 1)
        }
        records[lapsed + 1] = {"id": lapsed + 1, "at": "2026-10-31T00:00:00Z", "body": "x"}
        WORLDS[NAME] = Memory(records)

    @property
    def left(self) -> int:
        """Lapsed records that are still there."""
        return len(WORLDS[NAME].records) - 1

    def session(self) -> Session:
        """Open it as a command does."""
        return open_session(str(self.folder / "lapse.yaml"))

    def run(
        self,
        *,
        slice_rows: int = 10,
        stopping: Callable[[], bool] = lambda: False,
        rows: int | None = None,
        seconds: float | None = None,
        until: Nanos | None = None,
        stop_file: Path | None = None,
    ) -> RunReport:
        """Run with slices of *slice_rows* records under these limits."""
        limits = Limits(rows=rows, seconds=seconds, until=until, stop_file=stop_file)
        wishes = Wishes(budget=Budget(rows=slice_rows), allow_empty=True, limits=limits, stopping=stopping)
        return run(self.session(), wishes)

    def dataset(self, report: RunReport) -> DatasetReport:
        """The only dataset of a report."""
        (found,) = report.datasets
        return found


def open_desk(folder: Path, monkeypatch: pytest.MonkeyPatch, store: type[SharedStore] = SharedStore) -> Desk:
    """A desk in *folder* with 100 lapsed records."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("LAPSE_NOW", "2026-11-01T00:00:00Z")
    monkeypatch.setitem(registry.STORES, "memory", __name__)
    monkeypatch.setattr(f"{__name__}.STORE", store)
    time = FakeTime.installed(monkeypatch)
    SharedStore.others = Others(time)
    desk = Desk(folder, time, SharedStore.others)
    desk.policy()
    desk.fill(100)
    return desk
