"""Adding and releasing holds, whatever happens meanwhile: killed at every step, two at once, with files that go."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from matrix import in_child

from lapse import policyfile, slicework
from lapse.engine import ordering
from lapse.engine.holding import checked_holds
from lapse.engine.ledgering import verify
from lapse.engine.ordering import add_hold, release_hold
from lapse.engine.session import Session
from lapse.errors import HoldsError, PolicyError, UsageError
from lapse.model.ledger_entry import EntryKind
from lapse.model.match import Condition, Match
from lapse.model.policy import Hold
from lapse.model.report import Status
from lapse.state import holdlock
from lapse.state.journal import Journal
from worlds import World, make

TENANT = Match((Condition("tenant", ("tenant 1",), role="tenant"),))
BY_TENANT = Hold(matter="M-2", match=TENANT)
BY_KEYS = Hold(matter="M-2", dataset="log", keys=("2", "3", "5"))


@pytest.fixture(params=["sqlite", "jsonl"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Sixty records, two thirds of them lapsed."""
    return make(tmp_path / "world", request.param, 60)


@pytest.fixture
def table(tmp_path: Path) -> World:
    """The same in SQLite."""
    return make(tmp_path / "world", "sqlite", 60)


def _held(world: World) -> set[str]:
    return {record for record in world.records() if '"tenant 1"' in record}


def _entries(session: Session) -> list[tuple[EntryKind, str]]:
    kinds = (EntryKind.HOLD_ADDED, EntryKind.HOLD_RELEASED)
    return [(each.kind, str(each.body["matter"])) for each in session.ledger.entries() if each.kind in kinds]


# Killed


def _killed(folder: Path, step: int, work: Callable[[], object]) -> bool:
    """Do *work* in a process that is killed before its *step*-th touch of *folder*. False if it came to its end."""

    def armed() -> None:
        left = [step]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _TOUCHES and any(str(folder) in str(argument) for argument in arguments):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        fsync = os.fsync

        def counted(descriptor: int) -> None:
            hook("os.fsync", (str(folder),))
            fsync(descriptor)

        setattr(os, "fsync", counted)  # noqa: B010 - in a process of its own
        work()

    ended: int = in_child(armed)
    assert ended in (0, -signal.SIGKILL), ended
    return ended != 0


_TOUCHES = ("open", "os.fsync", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate")


def _steps(folder: Path, work: Callable[[], object]) -> Iterator[int]:
    """Kill *work* at one step after the other, until it goes through."""
    step = 0
    while _killed(folder, step, work):
        yield step
        step += 1
    assert step > 10, step


@pytest.mark.crash
@pytest.mark.parametrize("hold", [BY_TENANT, BY_KEYS], ids=["tenant", "keys"])
def test_a_hold_that_was_killed_while_it_was_added_is_whole_or_not_there(
    tmp_path: Path, table: World, hold: Hold
) -> None:
    """At every step: the holds can be read, the ledger is sound, and the same command completes it."""
    table.session()  # the environment of the process
    stages: set[tuple[bool, bool]] = set()
    for step in _steps(table.folder, lambda: add_hold(table.session(), hold)):
        session = table.session()
        there = any(each.matter == "M-2" for each in session.holds())
        entered = (EntryKind.HOLD_ADDED, "M-2") in _entries(session)
        assert there or not entered, step
        checked_holds(session)
        stages.add((there, entered))
        if step % 3 == 0:
            add_hold(table.session(), hold)
            assert _entries(table.session()) == [(EntryKind.HOLD_ADDED, "M-2")], step
            assert verify(table.session()).ok, step
        _forget(table)
    assert stages == {(False, False), (True, False), (True, True)}


def _forget(world: World) -> None:
    """As if nothing had ever been added."""
    shutil.rmtree(world.folder / "state", ignore_errors=True)
    shutil.rmtree(world.folder / "holds", ignore_errors=True)


@pytest.mark.crash
def test_a_hold_that_was_killed_while_it_was_released_is_in_force_or_released(table: World) -> None:
    """At every step a run can go on or says what to do, and the same command completes it."""
    table.session()
    stages: set[tuple[bool, bool]] = set()
    add_hold(table.session(), BY_TENANT)
    for step in _steps(table.folder, lambda: release_hold(table.session(), "M-2")):
        session = table.session()
        there = any(each.matter == "M-2" for each in session.holds())
        released = (EntryKind.HOLD_RELEASED, "M-2") in _entries(session)
        checked_holds(session)
        assert there or released, step
        stages.add((there, released))
        if there and step % 3 == 0:
            release_hold(table.session(), "M-2")
            assert verify(table.session()).ok, step
        _forget(table)
        add_hold(table.session(), BY_TENANT)
    assert stages == {(True, False), (True, True), (False, True)}
    assert [hold.matter for hold in table.session().holds()] == ["M-1"]


# Two at once


def _together(*works: Callable[[], object]) -> list[BaseException]:
    """Do it all at the same time; returns what failed."""
    failed: list[BaseException] = []

    def tried(work: Callable[[], object]) -> None:
        try:
            work()
        except (HoldsError, UsageError) as error:
            failed.append(error)

    threads = [threading.Thread(target=tried, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failed


def test_holds_that_are_added_at_once_are_all_there(table: World) -> None:
    """Each has its file and its entry."""
    sessions = [table.session() for _ in range(6)]

    failed = _together(
        *(
            lambda number=number, session=session: add_hold(session, Hold(matter=f"M-{number + 2}", match=TENANT))
            for number, session in enumerate(sessions)
        )
    )

    assert failed == []
    assert sorted(hold.matter for hold in table.session().holds()) == [f"M-{number}" for number in range(1, 8)]
    assert sorted(_entries(table.session())) == [(EntryKind.HOLD_ADDED, f"M-{number + 2}") for number in range(6)]
    assert verify(table.session()).ok


def test_the_same_hold_added_twice_at_once_is_one(table: World) -> None:
    """Both commands are right: it is there when they return."""
    sessions = [table.session() for _ in range(4)]

    failed = _together(*(lambda session=session: add_hold(session, BY_TENANT) for session in sessions))

    assert failed == []
    assert _entries(table.session()) == [(EntryKind.HOLD_ADDED, "M-2")]


def test_of_two_holds_of_one_matter_one_is_refused(table: World) -> None:
    """The ledger has the one whose file is there."""
    other = Hold(matter="M-2", dataset="log")
    sessions = [table.session() for _ in range(2)]

    failed = _together(lambda: add_hold(sessions[0], BY_TENANT), lambda: add_hold(sessions[1], other))

    assert len(failed) == 1
    assert "there is a hold M-2 already" in str(failed[0])
    checked_holds(table.session())
    assert len(_entries(table.session())) == 1


# Files that go, or are changed


def test_keys_that_were_changed_by_hand_stop_the_run(table: World) -> None:
    """Fewer, more or others: the ledger knows only that they are not the same."""
    add_hold(table.session(), BY_KEYS)
    file = table.folder / "holds" / "M-2.yaml"
    written = file.read_text()

    for changed in (written.replace("- '5'\n", ""), written.replace("'5'", "'6'"), written + "", written + "- '7'\n"):
        file.write_text(changed)
        if changed == written:
            checked_holds(table.session())
            continue
        with pytest.raises(HoldsError, match="hold M-2 is in the ledger"):
            checked_holds(table.session())


def test_a_hold_whose_keys_are_dropped_covers_more(table: World) -> None:
    """That is allowed, and recorded by the next run."""
    add_hold(table.session(), BY_KEYS)
    (table.folder / "holds" / "M-2.yaml").write_text("matter: M-2\nmatch: {dataset: log}\n")

    table.run()

    assert _entries(table.session()).count((EntryKind.HOLD_ADDED, "M-2")) == 2
    assert table.archived().total() == 0


def test_the_order_of_keys_does_not_matter(table: World) -> None:
    """They are a set."""
    add_hold(table.session(), BY_KEYS)
    file = table.folder / "holds" / "M-2.yaml"
    file.write_text("matter: M-2\nmatch: {dataset: log}\nkeys: [5, 3, 2, 3]\n")

    checked_holds(table.session())


def test_the_ledger_tells_nothing_about_keys(table: World) -> None:
    """Only how many there are, and a seal that cannot be guessed without the secret beside the signing key."""
    add_hold(table.session(), Hold(matter="M-2", dataset="log", keys=("alice@example.org", "+49 30 1234567")))

    ledger = (table.folder / "state" / "ledger" / "ledger.jsonl").read_text()
    (entry,) = [each for each in table.session().ledger.entries() if each.kind is EntryKind.HOLD_ADDED]

    assert "alice" not in ledger
    assert "1234567" not in ledger
    assert isinstance(entry.body["keys"], Mapping)
    assert entry.body["keys"]["count"] == 2
    assert len(str(entry.body["keys"]["seal"])) == 64


def test_the_same_keys_have_another_seal_elsewhere(tmp_path: Path) -> None:
    """Else it could be looked up in a table of all keys that there can be."""
    seals = set()
    for name in ("one", "other"):
        world = make(tmp_path / name, "sqlite", 20)
        add_hold(world.session(), BY_KEYS)
        (entry,) = [each for each in world.session().ledger.entries() if each.kind is EntryKind.HOLD_ADDED]
        assert isinstance(entry.body["keys"], Mapping)
        seals.add(entry.body["keys"]["seal"])

    assert len(seals) == 2


def test_a_lost_secret_stops_the_run_until_the_hold_is_released(table: World) -> None:
    """Nobody can tell any more whether the keys are the same."""
    add_hold(table.session(), BY_KEYS)
    (table.folder / "state" / "keys" / "holds.secret").unlink()

    with pytest.raises(HoldsError, match="hold M-2"):
        checked_holds(table.session())

    release_hold(table.session(), "M-2")
    add_hold(table.session(), BY_KEYS)
    checked_holds(table.session())


@pytest.mark.parametrize("how", ["folder", "file", "unreadable", "broken", "narrowed", "renamed"])
def test_a_run_under_way_stops_where_holds_are_not_what_they_were(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Between two slices: nothing more is removed, and what is held is there."""
    add_hold(world.session(), BY_TENANT)
    held, done = _held(world), list[int]()

    def work(piece: Any, store: Any, bench: Any) -> Any:
        disposal = slicework.work(piece, store, bench)
        if not done:
            _spoil(world.folder / "holds", how)
        done.append(0 if disposal is None else disposal.records)
        return disposal

    monkeypatch.setattr("lapse.engine.purging.work", work)

    report = world.run(rows=5)

    assert report.datasets[0].status is Status.INCOMPLETE
    assert len(done) == 1
    assert held <= set(world.records())


def _spoil(folder: Path, how: str) -> None:
    file = folder / "M-2.yaml"
    match how:
        case "folder":
            folder.rename(folder.with_name("holds-away"))
        case "file":
            file.unlink()
        case "unreadable":
            file.unlink()
            file.mkdir()
        case "broken":
            file.write_text("matter: M-2\nmatch: {tenant")
        case "narrowed":
            file.write_text("matter: M-2\nmatch: {tenant: tenant 1, type: call}\n")
        case "renamed":
            file.rename(folder / "M-2.yml")


# Decided before


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_a_commit_that_was_decided_before_is_named(tmp_path: Path, kind: str) -> None:
    """A run that was killed in the middle of a commit to a text log is finished by the next one; a database is not."""
    world = make(tmp_path / "world", kind, 60)
    world.session()

    def killed() -> None:
        begun = Journal.committing

        def committing(self: Journal, *arguments: Any) -> None:
            begun(self, *arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(Journal, "committing", committing)  # noqa: B010 - in a process of its own
        world.run()

    assert in_child(killed) == -signal.SIGKILL

    added = add_hold(world.session(), BY_TENANT)
    assert added.unfinished == (("log",) if kind == "jsonl" else ())
    world.run()
    assert add_hold(world.session(), BY_TENANT).unfinished == ()


# Waiting


def test_a_run_waits_for_a_hold_that_is_being_added_and_then_gives_up(
    table: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs while it adds a hold does not hang runs for ever, and nothing is removed."""
    session = table.session()
    session.folders.prepare()
    patient = holdlock.shared
    monkeypatch.setattr(holdlock, "shared", lambda root: patient(root, seconds=0.05))
    before = table.records()

    with holdlock.exclusive(session.folders.root):
        report = table.run()

    assert report.datasets[0].status is Status.INCOMPLETE
    assert report.datasets[0].trouble is not None
    assert "still locked by another process" in report.datasets[0].trouble.message
    assert table.records() == before
    assert table.run().records > 0


def test_hold_add_gives_up_on_a_run_that_hangs_in_its_commit(table: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and has written nothing."""
    session = table.session()
    session.folders.prepare()
    monkeypatch.setattr(ordering, "_PATIENCE", 0.05)
    descriptor = os.open(session.folders.root / "holds.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with pytest.raises(HoldsError, match="still locked"):
            add_hold(session, BY_TENANT)
    finally:
        os.close(descriptor)

    assert [hold.matter for hold in table.session().holds()] == ["M-1"]
    add_hold(table.session(), BY_TENANT)


def test_runs_do_not_keep_each_other_from_the_holds(table: World) -> None:
    """They share the lock."""
    root = table.session().folders.root
    root.mkdir(parents=True, exist_ok=True)

    with holdlock.shared(root), holdlock.shared(root, seconds=0):
        pass


# Wrong input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("matter: m\nmatch: all\nkeys: [1]\n", "`keys` name records, but `match` names no dataset that they are in"),
        ("matter: m\nmatch: {tenant: x}\nkeys: [1]\n", "`match` names no dataset"),
        ("matter: m\nmatch: {dataset: log}\nkeys: []\n", "keys"),
        ("matter: m\nmatch: {dataset: log}\nkeys: 1\n", "keys"),
        ("matter: m\nmatch: {dataset: log}\nkeys: [[1]]\n", "`keys`: must be text"),
        ("matter: m\nmatch: {dataset: log}\nkeys: [1.5]\n", "`keys`: must be text"),
        ("matter: m\nmatch: {dataset: log}\nkeys: [true]\n", "`keys`: must be text"),
        ("matter: m\nmatch: {dataset: log}\nkeys: [007]\n", "`007` can be read in two ways"),
        ("matter: m\nmatch: {dataset: log}\nkeys: ['']\n", "`keys`"),
        ("matter: m\nmatch: {dataset: log}\nkey: [1]\n", "unknown key `key`"),
        ("matter: m\nmatch: {dataset: lgo}\nkeys: [1]\n", "there is no dataset `lgo`"),
        ("matter: m\nmatch: all\nrecords from: 2026-02-01\nrecords before: 2026-02-01\n", "covers nothing"),
    ],
)
def test_what_is_wrong_with_a_hold_file_is_said_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    """File, line and column, with the offending text."""
    (tmp_path / "holds").mkdir()
    (tmp_path / "holds" / "m.yaml").write_text(text)

    with pytest.raises(PolicyError) as caught:
        policyfile.load_holds(tmp_path / "holds", datasets=["log"])

    complaints = [str(each) for each in caught.value.complaints] or [str(caught.value)]
    assert any(said in each for each in complaints), complaints
    assert all("m.yaml:" in each for each in complaints)


def test_lines_without_a_key_field_cannot_be_held_by_key(tmp_path: Path) -> None:
    """Their places change when lines before them go; the way out is named."""
    world = make(tmp_path / "world", "jsonl", 20)

    with pytest.raises(UsageError, match="a line of a text log is named by its place, which changes") as caught:
        add_hold(world.session(), BY_KEYS)

    assert "`key:`" in str(caught.value.hint)
    assert [hold.matter for hold in world.session().holds()] == ["M-1"]


def test_lines_are_held_by_the_value_of_their_key_field(tmp_path: Path) -> None:
    """With a `key:` on the dataset."""
    world = make(tmp_path / "world", "jsonl", 60)
    policy = world.folder / "lapse.yaml"
    policy.write_text(policy.read_text().replace("    tenant: tenant\n", "    tenant: tenant\n    key: n\n"))
    add_hold(world.session(), BY_KEYS)
    wanted = {record for record in world.records() if '"n": 2,' in record or '"n": 3,' in record}

    world.run()

    assert len(wanted) == 2
    assert wanted <= set(world.records())


def test_rows_that_a_rebuild_may_renumber_cannot_be_held_by_key(tmp_path: Path) -> None:
    """A rowid that no column has is no name that lasts."""
    world = make(tmp_path / "world", "sqlite", 20)
    with closing(sqlite3.connect(world.data / "log.db")) as connection, connection:
        connection.execute("CREATE TABLE plain AS SELECT at, kind, tenant, body FROM log")
        connection.execute("DROP TABLE log")
        connection.execute("ALTER TABLE plain RENAME TO log")

    with pytest.raises(UsageError, match="VACUUM may renumber its rows"):
        add_hold(world.session(), BY_KEYS)


def test_keys_of_an_unknown_dataset_are_refused(table: World) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="has no dataset 'lgo'"):
        add_hold(table.session(), Hold(matter="M-2", dataset="lgo", keys=("1",)))

    assert not (table.folder / "holds").exists()


def test_a_hold_needs_a_dataset_for_its_keys() -> None:
    """Keys mean something in one dataset only."""
    with pytest.raises(PolicyError, match="not the dataset that they are in"):
        Hold(matter="M-2", keys=("1",))
