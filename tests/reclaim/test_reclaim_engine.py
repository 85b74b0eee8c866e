"""What surrounds the stores: tidying after a run, room on disks, amounts of bytes, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.cli.page import lines
from lapse.cli.views.ran import RunView
from lapse.cli.views.reclaimed import ReclaimView
from lapse.engine import reclaiming
from lapse.errors import ExitCode, StoreError, UsageError
from lapse.instant import Nanos
from lapse.model.bytesize import parse_size, size_text
from lapse.model.reclaim import DatasetReclaim, Prediction, Progress, Reclaim, ReclaimReport, Space
from lapse.model.report import DatasetReport, RunReport, Status
from lapse.sqlcore.room import Room, room
from lapse.stages.reclaiming import advice, refusal

SPACE = Space(allocated=10_000_000, dead=1_000_000, free=4_000_000, measured="by a test")


def predicted(**facts: Any) -> Prediction:
    """A prediction that nothing speaks against."""
    known: dict[str, Any] = {"space": SPACE, "returns": 5_000_000, "needs_free": 6_000_000, "free": 7_000_000}
    return Prediction(**{**known, "lock": "nobody writes", "seconds": 1.0, **facts})


class SomeStore:
    """A store whose files can be looked at, and may be broken."""

    def __init__(self, *, allocated: int = 10_000_000, broken: bool = False) -> None:
        self._allocated = allocated
        self._broken = broken

    def allocated(self) -> int:
        """Bytes."""
        self._check()
        return self._allocated

    def space(self) -> Space:
        """As made."""
        return Space(allocated=self._allocated, dead=0, free=0, measured="by a test")

    def tidy(self) -> tuple[str, ...]:
        """One remark."""
        self._check()
        return ("it was dusty",)

    def prediction(self) -> Prediction:
        """Nothing special."""
        return predicted()

    def rewrite(self, tell: object) -> None:
        """Tell how far it is."""

    def _check(self) -> None:
        if self._broken:
            raise StoreError("the connection is gone")


def tidied(store: object, before: int | None) -> reclaiming.Tidied:
    """Tidy a store that has no more than `Reclaimable`."""
    return reclaiming.tidy(store, dataset="calls", before=before)  # type: ignore[arg-type]


def test_what_fails_after_a_run_is_a_warning() -> None:
    """The records are gone and ledgered; a broken connection does not make the run a failed one."""
    found = tidied(SomeStore(broken=True), 1)

    assert found.space is None
    assert found.warnings == ("calls: the store was not tidied: the connection is gone",)
    assert reclaiming.allocated(SomeStore(broken=True)) is None  # type: ignore[arg-type]


def test_a_store_that_grew_during_a_run_is_named() -> None:
    """A purge must not make files grow unseen; remarks of the store come with the dataset's name."""
    assert tidied(SomeStore(allocated=10_000_000), 2_000_000).warnings == (
        "calls: it was dusty",
        "calls: its files have grown by 7.6 MiB during the run",
    )
    assert tidied(SomeStore(), 10_000_000).warnings == ("calls: it was dusty",)
    assert tidied(SomeStore(), None).warnings == ("calls: it was dusty",)


def test_a_store_that_cannot_tell_is_left_alone() -> None:
    """Text logs have no files to tidy."""
    assert tidied(object(), None) == reclaiming.Tidied()
    assert reclaiming.allocated(object()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "told", "expected"),
    [
        ({}, None, None),
        ({"needs_free": 7_000_000}, None, None),
        ({"needs_free": 7_000_001}, None, "6.7 MiB are free there"),
        ({}, 10**12, None),
        ({}, 5_000_000, "4.8 MiB are free there"),
        ({"free": None}, None, "cannot be seen from here"),
        ({"free": None}, 6_000_000, None),
        ({"free": None}, 5_999_999, "are free there"),
        ({"blocked": "the role is not the owner"}, 10**12, "the role is not the owner"),
    ],
)
def test_a_rewrite_begins_only_where_the_disk_is_known_to_hold_it(
    facts: dict[str, Any], told: int | None, expected: str | None
) -> None:
    """Unknown is no; the smaller figure counts; what blocks it is no matter of room. Every no has an advice."""
    found = refusal(predicted(**facts), told=told)

    assert (found is None) if expected is None else (found is not None and expected in found)
    assert advice(predicted(**facts)).startswith("Nothing was changed.")


def test_room_is_what_is_free_where_it_is_tightest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs on one disk are added up; of several disks the tightest is named; what cannot be seen is unknown."""
    from lapse.sqlcore import room as module

    free = {tmp_path: 100, Path("/proc"): 1_000}
    monkeypatch.setattr(module, "_free", lambda place: free.get(place, 100))
    (tmp_path / "a").mkdir()

    assert room({tmp_path: 30, tmp_path / "a": 40}) == Room(70, 100)
    assert room({tmp_path: 30, Path("/proc"): 990}) == Room(990, 1_000)
    assert room({tmp_path: 95, Path("/proc"): 990}) == Room(95, 100)
    assert room({tmp_path: 30, tmp_path / "gone": 40}) == Room(70, None)
    assert room({}) == Room(0, None)


def test_free_room_is_that_of_ordinary_users(tmp_path: Path) -> None:
    """A disk of this machine has some."""
    found = room({tmp_path: 1})

    assert found.free is not None
    assert found.free > 0


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("20GB", 20 * 10**9), ("20 GiB", 20 * 2**30), ("1.5 kB", 1500), ("512MiB", 2**29), ("7 B", 7), ("0B", 0)],
)
def test_amounts_of_bytes_have_units(text: str, bytes_: int) -> None:
    """Decimal and binary ones are two things."""
    assert parse_size(text) == bytes_


@given(st.text(max_size=12).filter(lambda text: not text.strip().endswith("B")))
def test_any_other_text_is_refused_in_one_way(text: str) -> None:
    """Never another error than the one that says how to write it."""
    with pytest.raises(UsageError, match="is no amount of bytes"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**18))
def test_a_size_that_is_shown_can_be_typed(number: int) -> None:
    """It is the same amount but for its last digit."""
    shown = parse_size(size_text(number).replace(",", ""))

    assert abs(shown - number) <= max(1, number * 0.06)


def test_a_run_says_what_stays_allocated() -> None:
    """And the command that would give it back; a store with nothing unused is not mentioned."""
    used = DatasetReport(dataset="calls", status=Status.DONE, records=1, space=SPACE)
    full = DatasetReport(dataset="full", status=Status.DONE, records=1, space=Space(
        allocated=5, dead=0, free=0, measured="by a test"
    ))  # fmt: skip
    report = RunReport(run="R", now=Nanos(0), dry=False, datasets=(used, full))
    shown = "\n".join(line.text for block in RunView(report).page() for line in lines(block, None))

    assert "9.5 MiB stay allocated, about 4.8 MiB of them for new records; lapse reclaim calls says" in shown
    assert "lapse reclaim full" not in shown


def test_an_incomplete_rewrite_says_so_and_what_next() -> None:
    """Exit 1, the trouble and its hint, and that no record was removed; files that grew give nothing back."""
    failed = DatasetReclaim(
        dataset="calls", outcome=Reclaim.INCOMPLETE, prediction=predicted(notes=("look out",)), after=11_000_000,
        trouble="busy", hint="Run again.",
    )  # fmt: skip
    view = ReclaimView(ReclaimReport(at=Nanos(0), ran=True, datasets=(failed,), warnings=("w",)))
    shown = "\n".join(line.text for block in view.page() for line in lines(block, None))

    assert view.exit_code is ExitCode.INCOMPLETE
    assert view.warnings == ("w",)
    assert "calls is incomplete: busy\n  Hint: Run again." in shown
    assert "look out" in shown
    assert "0 B given back; 1 dataset did not complete. No record was removed." in shown
    assert failed.returned == -1_000_000
    assert view.result().datasets[0].trouble is not None


def test_progress_has_no_total_where_nobody_knows() -> None:
    """A phase is enough."""
    assert Progress(phase="copying").total is None
