"""The write-ahead journal: what a dead run had begun is known to the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from state_helpers import RUN, files_below, finished, said, start_python

from lapse.errors import StateError
from lapse.state.journal import Journal, finish, journalled_runs, unsettled
from lapse.state.journal_record import ObjectKind, SegmentIntent, SliceIntent, SliceState

STAGED = SegmentIntent(archive="cold", kind=ObjectKind.SEGMENT, staged=f"{RUN}-000001")
SEGMENT = SegmentIntent(
    archive="cold", kind=ObjectKind.SEGMENT, path="l/calls/1.parquet", staged=STAGED.staged, digest="d" * 64, size=9
)
MANIFEST = SegmentIntent(archive="cold", kind=ObjectKind.MANIFEST, path="l/calls/1.json")


def intent(name: str = "000001", *, run: str = RUN, dataset: str = "calls") -> SliceIntent:
    return SliceIntent(
        run=run, slice=name, dataset=dataset, store="sqlite:///log.db", archives=("cold",), staged=(STAGED,)
    )


def journal_file(root: Path, run: str = RUN) -> Path:
    return root / "journal" / f"{run}.jsonl"


def test_without_a_journal_nothing_is_unsettled(tmp_path: Path) -> None:
    """Asking makes nothing, nor does opening."""
    Journal.open(tmp_path / "state", RUN)
    assert unsettled(tmp_path / "state") == ()
    assert finish(tmp_path / "state", RUN)
    assert not (tmp_path / "state").exists()


def test_a_slice_that_has_begun_is_known_with_everything_it_might_have_made(tmp_path: Path) -> None:
    """What it set out to do, its staged names, and its objects, in order."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent())
    journal.segment("000001", SEGMENT, MANIFEST)
    (known,) = unsettled(tmp_path)
    assert (known.intent, known.state) == (intent(), SliceState.BEGUN)
    assert known.objects == (STAGED, SEGMENT, MANIFEST)
    assert journal_file(tmp_path).stat().st_mode & 0o777 == 0o600


STEPS: list[tuple[Callable[[Journal], None], SliceState | None]] = [
    (lambda journal: journal.begin(intent()), SliceState.BEGUN),
    (lambda journal: journal.segment("000001", SEGMENT), SliceState.BEGUN),
    (lambda journal: journal.committing("000001"), SliceState.COMMITTING),
    (lambda journal: journal.committed("000001"), SliceState.COMMITTED),
    (lambda journal: journal.ledgered("000001"), SliceState.LEDGERED),
    (lambda journal: journal.settled("000001"), None),
]


@pytest.mark.parametrize("count", range(1, len(STEPS) + 1))
def test_the_last_state_is_the_one_that_counts(tmp_path: Path, count: int) -> None:
    """After each step the next run finds that state; after the last it finds nothing."""
    journal = Journal.open(tmp_path, RUN)
    for step, _ in STEPS[:count]:
        step(journal)
    expected = STEPS[count - 1][1]
    assert [known.state for known in unsettled(tmp_path)] == ([] if expected is None else [expected])


def test_a_line_that_was_cut_short_did_not_happen(tmp_path: Path) -> None:
    """At every length of an unfinished last line, the slice is as the line before has it; writers go on behind it."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent())
    whole = journal_file(tmp_path).read_bytes()
    journal.segment("000001", SEGMENT)
    longer = journal_file(tmp_path).read_bytes()
    for length in range(len(whole), len(longer)):
        journal_file(tmp_path).write_bytes(longer[:length])
        (known,) = unsettled(tmp_path)
        assert known.objects == (STAGED,)
    Journal.open(tmp_path, RUN).rolled_back("000001")
    assert unsettled(tmp_path) == ()
    assert journal_file(tmp_path).read_bytes().startswith(whole + b'{"slice"')


def test_a_begin_that_was_cut_short_is_a_slice_that_never_was(tmp_path: Path) -> None:
    """Its work had not started."""
    Journal.open(tmp_path, RUN).begin(intent())
    whole = journal_file(tmp_path).read_bytes()
    journal_file(tmp_path).write_bytes(whole[:-1])
    assert unsettled(tmp_path) == ()
    assert finish(tmp_path, RUN)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    "line", [b"nonsense", b"{}", b"[]", b'{"slice":"x","state":"committed"}', b'{"slice":"000001","state":"odd"}', b""]
)
def test_a_line_that_makes_no_sense_stops_recovery(tmp_path: Path, line: bytes) -> None:
    """What it was to tell is unknown, so nothing may be cleared; file and line are named."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent())
    with journal_file(tmp_path).open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(StateError, match=r"\.jsonl:2"):
        unsettled(tmp_path)
    with pytest.raises(StateError):
        finish(tmp_path, RUN)
    assert journal_file(tmp_path).exists()


def test_settling_twice_writes_once(tmp_path: Path) -> None:
    """Also when it was settled in another process's lifetime."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent())
    journal.settled("000001")
    before = journal_file(tmp_path).read_bytes()
    journal.settled("000001")
    Journal.open(tmp_path, RUN).rolled_back("000001")
    assert journal_file(tmp_path).read_bytes() == before


def test_a_slice_that_was_not_begun_cannot_go_on(tmp_path: Path) -> None:
    """Neither can one that is settled: its objects would be known to nobody."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent())
    journal.settled("000001")
    for name in ("000001", "000002"):
        for step in (journal.committing, journal.committed, journal.ledgered):
            with pytest.raises(StateError):
                step(name)
        with pytest.raises(StateError):
            journal.segment(name, SEGMENT)


def test_slices_are_reported_by_run_and_name(tmp_path: Path) -> None:
    """Runs ascend with time, so the oldest comes first."""
    for run in ("20261123T100000Z-aaaaaa", "20261122T100000Z-bbbbbb"):
        journal = Journal.open(tmp_path, run)
        for name in ("000002", "000001", "000003"):
            journal.begin(intent(name, run=run))
        journal.rolled_back("000001")
    assert journalled_runs(tmp_path) == ("20261122T100000Z-bbbbbb", "20261123T100000Z-aaaaaa")
    assert [(known.intent.run[:8], known.intent.slice) for known in unsettled(tmp_path)] == [
        ("20261122", "000002"),
        ("20261122", "000003"),
        ("20261123", "000002"),
        ("20261123", "000003"),
    ]


def test_a_journal_is_removed_only_when_all_of_it_is_settled(tmp_path: Path) -> None:
    """Until then finishing it changes nothing."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent("000001"))
    journal.begin(intent("000002"))
    journal.settled("000001")
    assert not finish(tmp_path, RUN)
    assert len(unsettled(tmp_path)) == 1
    journal.rolled_back("000002")
    assert finish(tmp_path, RUN)
    assert files_below(tmp_path) == []


def test_a_live_run_whose_journal_another_one_finished_goes_on(tmp_path: Path) -> None:
    """All in it was settled at that moment; what comes next is written where recovery looks."""
    journal = Journal.open(tmp_path, RUN)
    journal.begin(intent("000001"))
    journal.settled("000001")
    assert finish(tmp_path, RUN)
    journal.begin(intent("000002"))
    assert [known.intent.slice for known in unsettled(tmp_path)] == ["000002"]


def test_two_processes_can_settle_one_journal(tmp_path: Path) -> None:
    """Each settles its own slice and finishes; whoever comes late leaves a journal that says nothing is open."""
    mine = Journal.open(tmp_path, RUN)
    mine.begin(intent("000001"))
    mine.begin(intent("000002"))
    other = Journal.open(tmp_path, RUN)
    other.settled("000001")
    other.settled("000002")
    assert finish(tmp_path, RUN)
    mine.settled("000001")
    assert unsettled(tmp_path) == ()
    assert finish(tmp_path, RUN)


def test_a_run_id_cannot_lead_elsewhere(tmp_path: Path) -> None:
    """It becomes a file's name."""
    with pytest.raises(StateError):
        Journal.open(tmp_path, "../ledger/ledger")


@pytest.mark.crash
def test_a_writer_killed_at_any_moment_leaves_a_journal_that_can_be_settled(tmp_path: Path) -> None:
    """Every slice whose begin had returned is known, unless its settling was written too."""
    script = """if True:
        import sys
        from pathlib import Path
        from lapse.state.journal import Journal
        from lapse.state.journal_record import ObjectKind, SegmentIntent, SliceIntent
        journal = Journal.open(Path(sys.argv[1]), sys.argv[2])
        for number in range(100_000):
            name = f"{number:06d}"
            journal.begin(SliceIntent(run=sys.argv[2], slice=name, dataset="d" * 9000, store="s"))
            print("begun", number, flush=True)
            journal.segment(name, SegmentIntent(archive="cold", kind=ObjectKind.SEGMENT, path="p"))
            journal.committing(name)
            print("committing", number, flush=True)
    """
    for attempt in range(5):
        run = f"run-{attempt}"
        process = start_python(script, tmp_path, run)
        lines = [said(process) for _ in range(5 + 3 * attempt)]
        process.kill()
        output, _ = process.communicate()
        lines += output.split("\n")[:-1]
        known = {item.intent.slice: item.state for item in unsettled(tmp_path) if item.intent.run == run}
        for what, number in (line.split() for line in lines):
            state = known[f"{int(number):06d}"]
            assert what == "begun" or state is SliceState.COMMITTING
        journal = Journal.open(tmp_path, run)
        for name in known:
            journal.rolled_back(name)
        assert finish(tmp_path, run)
    assert files_below(tmp_path) == []


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """The work must not start, and what is there can still be read and settled."""
    Journal.open(tmp_path, RUN).begin(intent("000001"))
    before = journal_file(tmp_path).read_bytes()
    script = """if True:
        import resource, sys
        from pathlib import Path
        from lapse.errors import StateError
        from lapse.state.journal import Journal
        from lapse.state.journal_record import SliceIntent
        size = int(sys.argv[3]) + 20
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            Journal.open(Path(sys.argv[1]), sys.argv[2]).begin(
                SliceIntent(run=sys.argv[2], slice="000002", dataset="calls", store="s")
            )
        except StateError:
            print("failed")
    """
    assert finished(start_python(script, tmp_path, RUN, len(before))) == "failed"
    assert journal_file(tmp_path).read_bytes() == before
