"""Holds that lie in the database: added on one host, respected by the runs of every other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pg_disturbed import DisturbedStore
from pg_ground import months

from hosts import Host
from lapse import registry
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, run
from lapse.engine.status import status
from lapse.errors import HoldsError, UsageError
from lapse.model.match import Condition, Match, Range
from lapse.model.policy import Dataset, Hold
from lapse.model.posted import PostedHold
from lapse.model.report import Status
from lapse.model.selection import Verdict
from lapse.ports import Slice
from lapse.stores.postgresql import PostgresStore, holding, taking
from servers.postgres import PostgresServer
from servers.processes import await_condition

CREATE = "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz, tenant text, level int)"
ROWS = (
    "INSERT INTO log SELECT n, '2025-01-01'::timestamptz + n * interval '1 day', "
    "CASE WHEN n % 3 = 0 THEN 'held' ELSE 'acme' END, n FROM generate_series(1, 30) n"
)
HELD = set(range(3, 31, 3))


def execute(url: str, *statements: str) -> list[Any]:
    """Run statements, each committed by itself; the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = None
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return [] if cursor is None or cursor.description is None else cursor.fetchall()


def keys(url: str, table: str = "log") -> set[int]:
    """The keys that a table has."""
    return {key for (key,) in execute(url, f"SELECT id FROM {table}")}


@pytest.fixture
def here(pg_database: str, tmp_path: Path) -> Host:
    """A host, on a table of thirty lapsed rows, every third of a tenant called ``held``."""
    execute(pg_database, CREATE, ROWS)
    return Host(folder=tmp_path / "here", url=pg_database).policy()


@pytest.fixture
def there(here: Host, tmp_path: Path) -> Host:
    """Another host, which calls the table otherwise."""
    return Host(folder=tmp_path / "there", url=here.url, dataset="calls").policy()


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[Slice], object]]]:
    """What happens right before commits, one each."""
    monkeypatch.setitem(registry.STORES, "postgresql", "pg_disturbed")
    DisturbedStore.before_commit.clear()
    yield DisturbedStore.before_commit
    DisturbedStore.before_commit.clear()


# Added here, respected there


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_hold_is_respected_by_a_host_that_has_no_file_of_it(here: Host, there: Host, archive: str) -> None:
    """Its run plans and removes what is left, under whatever name its policy knows the table."""
    there.policy(archive=archive)
    here.hold()

    planned = plan(there.session()).datasets[0]
    report = there.run()

    assert planned.records(Verdict.HELD) == len(HELD)
    assert (report.status, report.records) == (Status.DONE, 20)
    assert keys(here.url) == HELD


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_hold_that_was_added_elsewhere_while_a_slice_was_sealed_is_respected(
    here: Host, there: Host, meddled: list[Callable[[Slice], object]], archive: str
) -> None:
    """The slice is put back and taken again under the hold."""
    there.policy(archive=archive)
    meddled.append(lambda _: here.hold())

    report = there.run()

    assert meddled == []
    assert (report.status, report.records) == (Status.DONE, 20)
    assert keys(here.url) == HELD


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_adding_a_hold_waits_for_a_commit_that_has_not_seen_it(
    here: Host, there: Host, monkeypatch: pytest.MonkeyPatch, archive: str
) -> None:
    """What is removed after all went before the command returned."""
    there.policy(archive=archive)
    looked, returned = threading.Event(), threading.Event()
    gone_before: list[set[int]] = []

    def add() -> None:
        looked.wait(30)
        here.hold()
        gone_before.append(keys(here.url))
        returned.set()

    def check(connection: Any, *rest: Any) -> None:
        holding.check_holds(connection, *rest)
        looked.set()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await_condition(lambda: execute(here.url, waiting)[0][0] > 0, "hold add waits")
        assert not returned.is_set()

    monkeypatch.setattr(taking, "check_holds", check)
    adding = threading.Thread(target=add)
    adding.start()

    there.run()
    adding.join(30)

    assert returned.is_set()
    assert keys(here.url) == gone_before[0] == set()


def test_a_hold_by_keys_and_ranges_means_the_same_elsewhere(here: Host, there: Host) -> None:
    """What lies in the table says it all: keys, fields by their columns, ranges, negation, times."""
    here.hold("keys", dataset="log", keys=("1", "2"))
    here.hold("range", match=Match((Condition("level", (), ranges=(Range(10, 11),)),)))
    many = Condition("tenant", ("held",), role="tenant", negated=True)
    here.hold("not", match=Match((many,)), records_from=1_737_936_000_000_000_000)  # 2025-01-27

    there.run()

    assert keys(here.url) == {1, 2, 10, 11, 26, 28, 29}


def test_a_hold_by_another_key_than_this_policy_s_holds_everything(here: Host, there: Host) -> None:
    """It cannot be told which rows are meant."""
    here.policy(dataset="key: level")
    here.hold(dataset="log", keys=("1",))

    there.run()

    assert keys(here.url) == set(range(1, 31))


def test_the_next_run_puts_a_hold_there_that_was_written_by_hand(here: Host, there: Host) -> None:
    """Then other hosts see it, too."""
    (here.folder / "holds").mkdir()
    (here.folder / "holds" / "m.yaml").write_text("matter: by-hand\nmatch: {tenant: held}\n", encoding="utf-8")

    here.run(rows=7)
    execute(here.url, "INSERT INTO log VALUES (99, '2025-01-01', 'held', 1)")
    there.run()

    assert keys(here.url) == {*HELD, 99}
    assert status(there.session()).holds == ()
    assert status(there.session(), survey=True).holds == ("by-hand",)
    assert there.listed() == [("by-hand", ("calls",), False)]


def test_a_hold_that_is_there_already_is_not_taken_for_news(
    here: Host, meddled: list[Callable[[Slice], object]]
) -> None:
    """No slice is put back for a hold of this host that the run itself put there."""
    here.hold()
    execute(here.url, "DROP TABLE lapse_holds")
    events: list[str] = []
    session = here.session()

    class Watching:
        def on(self, event: Any) -> None:
            events.append(event.name)

    run(replace(session, hooks=(Watching(),)), Wishes(allow_empty=True))

    assert "slice.put_back" not in events
    assert keys(here.url) == HELD


# Released


def test_a_released_hold_is_gone_everywhere(here: Host, there: Host) -> None:
    """The table has it no more, and the other host's run takes what it kept."""
    here.hold()
    here.release()

    assert there.listed() == []
    assert there.run().records == 30


def test_a_hold_can_be_released_where_it_was_not_added(here: Host, there: Host) -> None:
    """Where its file lies it is still in force, and the next run there puts it back."""
    here.hold()
    there.release()
    assert there.listed() == []

    here.run()

    assert keys(here.url) == HELD
    assert there.listed() == [("M-1", ("calls",), False)]


def test_a_release_that_cannot_reach_the_database_releases_nothing(here: Host) -> None:
    """Else the runs of other hosts would go on to respect what this one calls released."""
    here.hold()
    here.policy(url="postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(HoldsError, match="hold M-1 is still in force: dataset log"):
        here.release()

    assert [hold.matter for hold in here.session().holds()] == ["M-1"]
    here.release(here_only=True)
    assert here.session().holds() == ()


# Not to be reached


def test_a_hold_that_cannot_be_put_there_is_in_force_here_and_says_so(here: Host, there: Host) -> None:
    """The command fails with the way out; once the database is back, the same command completes it."""
    here.policy(url="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(HoldsError, match="in force for runs of this host, but other hosts do not see it") as caught:
        here.hold()
    assert "--here-only" in str(caught.value.hint)
    here.policy()
    assert here.listed() == [("M-1", (), True)]

    here.hold()

    assert here.listed() == [("M-1", ("log",), True)]
    assert there.run().records == 20


def test_another_hold_of_the_same_matter_is_refused(here: Host) -> None:
    """Only the very same one is taken for a repetition."""
    here.hold()

    with pytest.raises(UsageError, match="there is a hold M-1 already"):
        here.hold(dataset="log", keys=("1",))


def _as_role(host: Host, server: PostgresServer, *grants: str) -> str:
    """The address of the database for a role that may read and delete, and what *grants* say."""
    role = "r" + host.url.rpartition("/")[2].partition("?")[0]
    execute(host.url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC", f"CREATE ROLE {role} LOGIN")
    execute(host.url, f"GRANT SELECT, DELETE, UPDATE ON log TO {role}", *(grant.format(role=role) for grant in grants))
    return host.url.replace("postgresql://postgres@", f"postgresql://{role}@").replace("user=postgres", f"user={role}")


def test_a_role_that_may_not_make_the_table_is_told_what_to_do(
    here: Host, there: Host, postgres: PostgresServer
) -> None:
    """Without the table one host may work alone, if that is said."""
    url = _as_role(here, postgres)
    assert url != here.url
    here.policy(url=url)

    with pytest.raises(HoldsError, match="may not put holds into lapse_holds"):
        here.hold()
    here.hold(here_only=True)
    here.run()

    assert keys(here.url) == HELD


def test_a_role_that_may_not_read_the_holds_removes_nothing(here: Host, there: Host, postgres: PostgresServer) -> None:
    """Holds that cannot be read are not no holds."""
    here.hold()
    there.policy(url=_as_role(here, postgres))

    with pytest.raises(HoldsError, match="may not read the holds"):
        there.run()

    assert keys(here.url) == set(range(1, 31))


def test_holds_are_found_wherever_in_the_database_they_lie(here: Host, there: Host) -> None:
    """What a hold is in does not depend on a search path."""
    here.hold()
    execute(here.url, "CREATE SCHEMA aside", "ALTER TABLE lapse_holds SET SCHEMA aside")

    there.run()

    assert keys(here.url) == HELD


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"lapse_hold": 2}', '{"lapse_hold": 1, "matter": "M-1"}'])
def test_a_hold_that_cannot_be_read_stops_the_run(here: Host, there: Host, text: str) -> None:
    """It may be of a later version; nothing is removed while it is there."""
    here.hold()
    execute(here.url, f"UPDATE lapse_holds SET hold = '{text}'")

    with pytest.raises(HoldsError, match="hold M-1 in lapse_holds cannot be read"):
        there.run()

    assert keys(here.url) == set(range(1, 31))


def test_a_table_of_that_name_that_is_another_stops_the_run(here: Host, there: Host) -> None:
    """Whoever made it, it cannot be read as holds."""
    execute(here.url, "CREATE TABLE lapse_holds (id int)")

    with pytest.raises(Exception, match=r"relation|matter|column"):
        there.run()

    assert keys(here.url) == set(range(1, 31))


def test_the_table_of_holds_is_no_dataset(here: Host) -> None:
    """Nothing is removed from it by a rule."""
    here.hold()
    here.policy(table="lapse_holds", dataset="type: matter")

    with pytest.raises(Exception, match=r"lapse_holds is not a table of records|no column"):
        here.run()


# Partitions and dependents


PARTED = "CREATE TABLE log (id bigint, at timestamptz NOT NULL, tenant text, body text) PARTITION BY RANGE (at)"
NEW = "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')"
FRESH = "INSERT INTO log VALUES (1, '2026-10-20', 'acme', 'new')"
MARK = "UPDATE log SET tenant = 'held' WHERE id = 205"


@pytest.fixture
def parted(pg_database: str, tmp_path: Path) -> Host:
    """A host on four partitions of ten lapsed rows each, one of them of the tenant ``held``, and one that is kept."""
    execute(pg_database, PARTED, *months(1, 4), NEW, FRESH, MARK)
    return Host(folder=tmp_path / "here", url=pg_database).policy()


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_partition_with_a_held_row_is_not_dropped(parted: Host, tmp_path: Path, archive: str) -> None:
    """Its other rows go one by one; the others go whole."""
    other = Host(folder=tmp_path / "there", url=parted.url).policy(archive=archive)
    parted.hold()

    other.run()

    assert keys(parted.url) == {1, 205}


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_hold_that_came_after_a_partition_was_sealed_keeps_it(
    parted: Host, tmp_path: Path, meddled: list[Callable[[Slice], object]], archive: str
) -> None:
    """Of the partition that was to be dropped, and of those that follow."""
    other = Host(folder=tmp_path / "there", url=parted.url).policy(archive=archive)
    nothing: Callable[[Slice], object] = lambda _: None  # noqa: E731 - one of several
    meddled += [nothing, lambda _: parted.hold()]

    other.run()

    assert meddled == []
    assert keys(parted.url) == {1, 205}


@pytest.mark.parametrize(("posted", "running"), [("log", "log_2025_02"), ("log_2025_02", "log")])
def test_a_hold_on_a_table_holds_its_partitions_and_the_other_way_round(
    parted: Host, tmp_path: Path, posted: str, running: str
) -> None:
    """A policy may name a partition as a dataset of its own."""
    parted.policy(table=posted)
    other = Host(folder=tmp_path / "there", url=parted.url).policy(table=running)
    parted.hold()

    other.run()

    assert 205 in keys(parted.url)


CHILD = "CREATE TABLE part (id int PRIMARY KEY, log int REFERENCES log ON DELETE CASCADE, at timestamptz, tenant text)"
CHILDREN = "INSERT INTO part SELECT 100 + id, id, at, CASE WHEN id = 5 THEN 'held' ELSE 'acme' END FROM log"


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_held_child_keeps_its_parent(here: Host, there: Host, archive: str) -> None:
    """Its parent would take it along, so it stays, with all of its children."""
    execute(here.url, CHILD, CHILDREN)
    there.policy(archive=archive)
    here.hold()

    there.run()

    assert keys(here.url) == {*HELD, 5}
    assert keys(here.url, "part") == {100 + key for key in (*HELD, 5)}


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_hold_by_key_keeps_the_children_of_that_record(here: Host, there: Host, archive: str) -> None:
    """And no others: keys are those of the dataset's own records."""
    execute(here.url, CHILD, CHILDREN)
    there.policy(archive=archive)
    here.hold(dataset="log", keys=("5", "107"))

    there.run()

    assert keys(here.url) == {5}
    assert keys(here.url, "part") == {105}


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_rows_are_not_taken_along_from_a_table_that_others_hold(here: Host, there: Host, archive: str) -> None:
    """Another policy has the child as a dataset, and a hold on it; this one would remove its rows with the parents."""
    execute(here.url, CHILD, CHILDREN)
    here.policy(table="part")
    there.policy(archive=archive)
    here.hold(dataset="log", keys=("105",))

    report = there.run()

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    assert "rows of part would go along with those of log, but hold M-1 keeps some of them" in report.trouble.message
    assert keys(here.url) == set(range(1, 31))


# The table itself


def test_two_hosts_add_at_once_and_both_are_there(here: Host, there: Host) -> None:
    """Also where each would make the table."""
    threads = [
        threading.Thread(target=host.hold, args=(f"M-{number}",))
        for number, host in enumerate((here, there, here, there))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    rows = execute(here.url, "SELECT matter FROM lapse_holds ORDER BY 1")
    assert [matter for (matter,) in rows] == ["M-0", "M-1", "M-2", "M-3"]


def test_the_same_hold_of_two_hosts_is_one(here: Host, there: Host) -> None:
    """It is told by what it says."""
    here.hold()
    there.hold()

    assert len(execute(here.url, "SELECT * FROM lapse_holds")) == 1
    assert there.listed() == [("M-1", ("calls",), True)]


def test_adding_gives_up_where_somebody_keeps_the_lock(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that never ends does not hang the command; the hold is in force here and the command says where not."""
    monkeypatch.setattr(holding, "_WAIT", "100ms")
    with psycopg.connect(here.url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (holding._LOCK,))

        with pytest.raises(HoldsError, match="other hosts do not see it"):
            here.hold()

    here.hold()
    assert here.listed() == [("M-1", ("log",), True)]


def test_reading_holds_makes_nothing(here: Host) -> None:
    """Where nobody added one, there is no table of them."""
    plan(here.session())
    here.run()

    assert execute(here.url, "SELECT to_regclass('lapse_holds') IS NULL") == [(True,)]


def test_a_hold_with_ten_thousand_keys_is_read_back_whole(here: Host, there: Host) -> None:
    """And respected."""
    here.hold(dataset="log", keys=tuple(map(str, range(20, 10_020))))

    there.run()

    assert keys(here.url) == set(range(20, 31))


def test_what_is_stored_is_read_back_equal(here: Host) -> None:
    """Through the table and back."""
    hold = Hold(
        matter="Ünïcode 100% 'quoted'",
        reason="because",
        dataset="log",
        match=Match((Condition("tenant", ("a%b", "日本"), negated=True, ranges=(Range(None, 10**18 - 1),)),)),
        keys=("%s", "a,b"),
        since=1,  # type: ignore[arg-type]
    )
    dataset = Dataset(name="log", store=here.url, shown="x", table="log", time="at", tenant="tenant")
    with closing(PostgresStore(dataset, read_only=False)) as store:
        store.post_hold(PostedHold(hold))
        store.post_hold(PostedHold(hold))

        (found,) = store.posted_holds()

    assert found == PostedHold(hold)
