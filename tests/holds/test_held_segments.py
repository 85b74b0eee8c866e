"""Segments in the archive are held, too: rather too many than too few."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lapse.archive.catalog import SegmentEntry, State, Unreadable
from lapse.archive.holding import Known, covering
from lapse.canonical import Digest
from lapse.engine.archiving import Wanted, list_segments, restore
from lapse.engine.ordering import add_hold
from lapse.engine.retaining import HeldSegments, require_unheld
from lapse.errors import HoldsError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.manifest import Manifest
from lapse.model.match import Condition, Match
from lapse.model.policy import Dataset, Hold
from lapse.targets.file import FileTarget
from worlds import NOW, World, make

AT = parse_rfc3339("2026-11-01T00:00:00Z")
OLDEST, NEWEST = parse_rfc3339("2025-01-01T00:00:00Z"), parse_rfc3339("2025-02-01T00:00:00Z")
NOTHING = Known()
DATASET = Dataset(name="log", store="x", shown="x", table="log", time="at", tenant="who")


def _segment(oldest: Nanos | None = OLDEST, newest: Nanos | None = NEWEST) -> SegmentEntry:
    nothing = Digest("0" * 64)
    manifest = Manifest(
        ledger="l", run="r", slice="s", part=0, dataset="log", fingerprint="f", table="log", format="parquet",
        path="l/log/2025/01/r/s.parquet", digest=nothing, size=1, records=1, raw_size=1, content=nothing,
        merkle_root=nothing, salt="", oldest=oldest, newest=newest, rules={}, counts={}, policy="p",
    )  # fmt: skip
    return SegmentEntry(archive="cold", manifest=manifest, state=State.COMMITTED, target=FileTarget("/nowhere"))


def _tenant(*names: str, role: str = "tenant", negated: bool = False) -> Match:
    return Match((Condition("tenant" if role else "who", names, role=role, negated=negated),))


def _held(hold: Hold, segment: SegmentEntry | Unreadable | None = None, known: Known = NOTHING) -> bool:
    return bool(covering(segment or _segment(), [hold], AT, known))


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ({}, True),
        ({"dataset": "log"}, True),
        ({"dataset": "other"}, False),
        ({"dataset": "log", "keys": ("1",)}, True),
        ({"match": Match((Condition("anything", ("x",)),))}, True),
        ({"since": AT}, True),
        ({"since": AT + 1}, False),
        ({"until": AT}, False),
        ({"until": AT + 1}, True),
        ({"records_from": NEWEST}, True),
        ({"records_from": NEWEST + 1}, False),
        ({"records_before": OLDEST}, False),
        ({"records_before": OLDEST + 1}, True),
        ({"records_from": OLDEST + 1, "records_before": OLDEST + 2}, True),
    ],
)
def test_a_hold_covers_a_segment_that_may_have_a_record_of_it(scope: dict[str, object], held: bool) -> None:
    """By dataset, by the times of its records, and while the order applies; a key or a field may be any record's."""
    assert _held(Hold(matter="M-1", **scope)) is held  # type: ignore[arg-type]


def test_a_segment_without_times_may_have_records_of_any() -> None:
    """Nothing is known of their times."""
    for oldest, newest in ((None, None), (OLDEST, None), (None, NEWEST)):
        window = Hold(matter="M-1", records_from=Nanos(OLDEST + 5), records_before=Nanos(OLDEST + 6))
        assert _held(window, _segment(oldest, newest))


def test_a_segment_that_cannot_be_made_out_is_held_by_every_hold_in_force() -> None:
    """It may have anything in it."""
    unreadable = Unreadable(archive="cold", path="p", state=State.COMMITTED, reason="damaged")

    assert _held(Hold(matter="M-1", dataset="other", records_from=Nanos(AT)), unreadable)
    assert not _held(Hold(matter="M-1", until=AT), unreadable)


@pytest.mark.parametrize(
    ("match", "tenants", "held"),
    [
        (_tenant("acme"), {"acme", "beta"}, True),
        (_tenant("acme"), {"beta"}, False),
        (_tenant("acme"), {"Acme", "acme "}, False),
        (_tenant("acme"), {"beta", ""}, True),
        (_tenant("acme"), set(), False),
        (_tenant("acme"), None, True),
        (_tenant("acme", role=""), {"beta"}, False),
        (_tenant("acme", negated=True), {"acme"}, False),
        (_tenant("acme", negated=True), {"acme", "beta"}, True),
        (Match((*_tenant("beta").conditions, Condition("body", ("x",)))), {"beta"}, True),
        (Match((*_tenant("acme").conditions, Condition("body", ("x",)))), {"beta"}, False),
    ],
)
def test_a_hold_on_a_tenant_covers_segments_that_count_it(match: Match, tenants: set[str] | None, held: bool) -> None:
    """Records that were counted under no tenant, and counts that are not there, may be of any."""
    assert _held(Hold(matter="M-1", match=match), known=Known(dataset=DATASET, tenants=tenants)) is held


def test_counts_mean_nothing_where_the_dataset_is_gone_or_names_no_tenant() -> None:
    """What was counted then is not known any more."""
    hold = Hold(matter="M-1", match=_tenant("acme"))

    assert _held(hold, known=Known(tenants={"beta"}))
    assert _held(hold, known=Known(dataset=replace(DATASET, tenant=None), tenants={"beta"}))


# In an archive that a run has made


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world whose lapsed records are in the archive, in slices of twenty."""
    made = make(tmp_path / "world", "sqlite", 200)
    made.run()
    return made


def _held_paths(world: World) -> set[str]:
    session = world.session()
    held = HeldSegments(session)
    return {each.path for each in list_segments(session, Wanted()) if held.matters(each)}


def test_a_hold_that_comes_after_the_disposal_covers_its_segments(world: World) -> None:
    """By tenant where the ledger counts tenants: the tenant that never was in the store covers nothing."""
    everything = {each.path for each in list_segments(world.session(), Wanted())}
    assert _held_paths(world) == set(), "the tenant of M-1 never went"

    add_hold(world.session(), Hold(matter="M-2", match=_tenant("tenant 1")))

    assert _held_paths(world) == everything


def test_a_hold_by_time_covers_the_segments_of_that_time(world: World) -> None:
    """And no others."""
    segments = [each for each in list_segments(world.session(), Wanted()) if isinstance(each, SegmentEntry)]
    first = min(segments, key=lambda each: each.manifest.oldest or 0)
    begin = first.manifest.oldest
    assert begin is not None

    add_hold(world.session(), Hold(matter="M-2", dataset="log", records_before=Nanos(begin + 1)))

    assert _held_paths(world) == {first.path}


def test_counts_that_were_changed_or_lost_are_not_believed(world: World) -> None:
    """Then the segment may have records of any tenant."""
    sidecars = sorted((world.folder / "state" / "ledger" / "tenants").glob("*/*.json"))
    sidecars[0].unlink()
    sidecars[1].write_text('{"nobody":20}')

    assert len(_held_paths(world)) == 2


def test_what_may_be_held_must_not_leave_the_archive(world: World) -> None:
    """Whoever would remove a segment asks, and is refused with the holds named; what nothing holds may go."""
    session = world.session()
    segments = list(list_segments(session, Wanted()))
    require_unheld(session, segments)
    add_hold(session, Hold(matter="M-2", dataset="log"))

    with pytest.raises(HoldsError, match="may have records that are held: M-2"):
        require_unheld(world.session(), segments)


def test_nothing_may_leave_while_a_hold_is_lost(world: World) -> None:
    """A hold that the ledger knows and that is not there any more may cover everything."""
    add_hold(world.session(), Hold(matter="M-2", dataset="log"))
    (world.folder / "holds" / "M-2.yaml").unlink()

    with pytest.raises(HoldsError, match="hold M-2 is in the ledger and was not released"):
        require_unheld(world.session(), list(list_segments(world.session(), Wanted())))


def test_a_restore_takes_held_segments_all_the_same(world: World) -> None:
    """It removes nothing."""
    before = world.archived()
    add_hold(world.session(), Hold(matter="M-2", dataset="log"))

    report = restore(world.session(), Wanted(dataset="log"))

    assert report.records == before.total()
    assert world.archived() == before


def test_what_recovery_clears_is_in_its_store(world: World) -> None:
    """A slice that was put back leaves nothing in the archive, held or not: its records never left."""
    add_hold(world.session(), Hold(matter="M-2", match=_tenant("tenant 1")))
    before, archived = world.records(), world.archived()

    world.run()

    assert world.records() + world.archived() == before + archived
    assert world.strays() == []


def test_the_list_of_the_archive_names_the_holds(world: World) -> None:
    """For people and for programs."""
    add_hold(world.session(), Hold(matter="M-2", dataset="log"))
    environment = {**os.environ, "LAPSE_STATE_DIR": str(world.folder / "state"), "LAPSE_NOW": NOW.isoformat()}
    command = [sys.executable, "-m", "lapse", "archive", "list", "--policy", str(world.folder / "lapse.yaml")]

    told = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=True)
    shown = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)

    segments = json.loads(told.stdout)["result"]["segments"]
    assert segments
    assert all(each["holds"] == ["M-2"] for each in segments)
    assert "HELD BY" in shown.stdout
    assert "M-2" in shown.stdout
