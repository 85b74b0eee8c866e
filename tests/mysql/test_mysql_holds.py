"""Holds that lie in the database: added on one host, respected by the runs of every other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mysql_ground import BY_MONTH, COLUMNS

from hosts import Host
from lapse.engine.planning import plan
from lapse.errors import HoldsError
from lapse.model.match import Condition, Match, Range
from lapse.model.policy import Dataset, Hold
from lapse.model.posted import PostedHold
from lapse.model.report import Status
from lapse.model.selection import Verdict
from lapse.stores.mysql import MysqlStore, dropping, holding, taking
from servers.mariadb import MariadbServer, mariadb, mariadb_database
from servers.processes import await_condition

__all__ = ["mariadb", "mariadb_database"]

CREATE = "CREATE TABLE log (id BIGINT PRIMARY KEY, at DATETIME, tenant VARCHAR(20), level INT)"
ROWS = "INSERT INTO log SELECT seq, '2025-01-01' + INTERVAL seq DAY, IF(seq % 3, 'acme', 'held'), seq FROM seq_1_to_30"
HELD = set(range(3, 31, 3))
Execute = Callable[..., list[Any]]


@pytest.fixture
def execute(mariadb: MariadbServer, mariadb_database: str) -> Execute:
    """Runs statements, each committed by itself, and gives the rows of the last one."""

    def run(*statements: str) -> list[Any]:
        with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    return run


@pytest.fixture
def keys(execute: Execute) -> Callable[..., set[int]]:
    """The keys that a table has."""
    return lambda table="log": {key for (key,) in execute(f"SELECT id FROM {table}")}


@pytest.fixture
def here(mariadb: MariadbServer, mariadb_database: str, tmp_path: Path) -> Host:
    """A host; there is no table yet."""
    return Host(folder=tmp_path / "here", url=mariadb.socket_url(mariadb_database, "lapse")).policy()


@pytest.fixture
def there(here: Host, tmp_path: Path) -> Host:
    """Another host, which calls the table otherwise."""
    return Host(folder=tmp_path / "there", url=here.url, dataset="calls").policy()


@pytest.fixture
def log(execute: Execute) -> None:
    """Thirty lapsed rows, every third of a tenant called ``held``."""
    execute(CREATE, ROWS)


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens right before the holds are looked at, one each."""
    waiting: list[Callable[[], object]] = []

    def locked(*arguments: Any) -> Any:
        if waiting:
            waiting.pop(0)()
        return holding.locked(*arguments)

    monkeypatch.setattr(taking, "locked", locked)
    monkeypatch.setattr(dropping, "locked", locked)
    return waiting


@pytest.mark.parametrize("archive", ["cold", "none"])
@pytest.mark.usefixtures("log")
def test_a_hold_is_respected_by_a_host_that_has_no_file_of_it(
    here: Host, there: Host, keys: Callable[..., set[int]], archive: str
) -> None:
    """Its run plans and removes what is left, under whatever name its policy knows the table."""
    there.policy(archive=archive)
    here.hold()

    planned = plan(there.session()).datasets[0]
    report = there.run()

    assert planned.records(Verdict.HELD) == len(HELD)
    assert (report.status, report.records) == (Status.DONE, 20)
    assert keys() == HELD


@pytest.mark.parametrize("archive", ["cold", "none"])
@pytest.mark.usefixtures("log")
def test_a_hold_that_was_added_elsewhere_while_a_slice_was_sealed_is_respected(
    here: Host, there: Host, keys: Callable[..., set[int]], meddled: list[Callable[[], object]], archive: str
) -> None:
    """The slice is put back and taken again under the hold, also where the table of holds is made only now."""
    there.policy(archive=archive)
    meddled.append(here.hold)

    report = there.run()

    assert meddled == []
    assert (report.status, report.records) == (Status.DONE, 20)
    assert keys() == HELD


@pytest.mark.usefixtures("log")
def test_adding_a_hold_waits_for_a_commit_that_has_not_seen_it(
    here: Host, there: Host, keys: Callable[..., set[int]], execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed after all went before the command returned."""
    looked, returned = threading.Event(), threading.Event()
    gone_before: list[set[int]] = []

    def add() -> None:
        looked.wait(30)
        here.hold()
        gone_before.append(keys())
        returned.set()

    def check(*arguments: Any) -> None:
        holding.check_holds(*arguments)
        looked.set()
        waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"
        await_condition(lambda: execute(waiting)[0][0] > 0, "hold add waits")
        assert not returned.is_set()

    monkeypatch.setattr(taking, "check_holds", check)
    adding = threading.Thread(target=add)
    adding.start()

    there.run()
    adding.join(30)

    assert returned.is_set()
    assert keys() == gone_before[0] == set()


@pytest.mark.usefixtures("log")
def test_a_hold_by_keys_and_ranges_means_the_same_elsewhere(
    here: Host, there: Host, keys: Callable[..., set[int]]
) -> None:
    """What lies in the table says it all: keys, fields by their columns, ranges."""
    here.hold("keys", dataset="log", keys=("1", "2"))
    here.hold("range", match=Match((Condition("level", (), ranges=(Range(10, 11),)),)))

    there.run()

    assert keys() == {1, 2, 10, 11}


@pytest.mark.usefixtures("log")
def test_a_released_hold_is_gone_everywhere(here: Host, there: Host) -> None:
    """The table has it no more, and the other host's run takes what it kept."""
    here.hold()
    assert there.listed() == [("M-1", ("calls",), False)]
    here.release()

    assert there.listed() == []
    assert there.run().records == 30


@pytest.mark.usefixtures("log")
def test_the_next_run_puts_a_hold_there_that_was_written_by_hand(
    here: Host, there: Host, keys: Callable[..., set[int]]
) -> None:
    """Then other hosts see it, too."""
    (here.folder / "holds").mkdir()
    (here.folder / "holds" / "m.yaml").write_text("matter: by-hand\nmatch: {tenant: held}\n", encoding="utf-8")

    here.run(rows=7)

    assert keys() == HELD
    assert there.listed() == [("by-hand", ("calls",), False)]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("granted", [False, True])
def test_a_user_without_rights_on_the_holds_removes_nothing(
    here: Host,
    there: Host,
    mariadb: MariadbServer,
    mariadb_database: str,
    keys: Callable[..., set[int]],
    execute: Execute,
    granted: bool,
) -> None:
    """Holds that cannot be read are not no holds, and the server does not say whether there are any."""
    here.hold()
    clerk = f"clerk_{mariadb_database}"
    execute(
        f"CREATE USER {clerk}@localhost",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {mariadb_database}.log TO {clerk}@localhost",
        *([f"GRANT SELECT ON {mariadb_database}.lapse_holds TO {clerk}@localhost"] if granted else []),
    )
    there.policy(url=mariadb.socket_url(mariadb_database, clerk))

    if granted:
        assert plan(there.session()).datasets[0].records(Verdict.HELD) == len(HELD)
    else:
        with pytest.raises(HoldsError, match="may not read the holds in lapse_holds"):
            plan(there.session())

    assert keys() == set(range(1, 31))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("text", ["", "{}", "no json", '{"lapse_hold": 2}'])
def test_a_hold_that_cannot_be_read_stops_the_run(
    here: Host, there: Host, keys: Callable[..., set[int]], execute: Execute, text: str
) -> None:
    """It may be of a later version; nothing is removed while it is there."""
    here.hold()
    execute(f"UPDATE lapse_holds SET hold = '{text}'")

    with pytest.raises(HoldsError, match="hold M-1 in lapse_holds cannot be read"):
        there.run()

    assert keys() == set(range(1, 31))


@pytest.mark.usefixtures("log")
def test_a_table_of_that_name_that_is_another_stops_the_run(
    here: Host, there: Host, keys: Callable[..., set[int]], execute: Execute
) -> None:
    """Whoever made it, it cannot be read as holds."""
    execute("CREATE TABLE lapse_holds (id INT)")

    with pytest.raises(HoldsError, match="the holds cannot be read"):
        there.run()

    assert keys() == set(range(1, 31))


# Partitions and dependents


@pytest.fixture
def parted(here: Host, execute: Execute) -> Host:
    """A host on four partitions of ten lapsed rows each, one of them of the tenant ``held``, and one that is kept."""
    execute(f"CREATE TABLE log ({COLUMNS.format('DATETIME(6)')}) {BY_MONTH}")
    for month in range(1, 5):
        rows = [f"({100 * month + n}, '2025-0{month}-{n + 10}', 'acme', 'x')" for n in range(10)]
        execute(f"INSERT INTO log (id, at, tenant, body) VALUES {', '.join(rows)}")
    execute(
        "INSERT INTO log (id, at, tenant, body) VALUES (1, '2026-10-20', 'acme', 'new')",
        "UPDATE log SET tenant = 'held' WHERE id = 205",
    )
    return here


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_partition_with_a_held_row_is_not_dropped(
    parted: Host, there: Host, keys: Callable[..., set[int]], archive: str
) -> None:
    """Its other rows go one by one; the others go whole."""
    there.policy(archive=archive)
    parted.hold()

    there.run()

    assert keys() == {1, 205}


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_hold_that_came_after_a_partition_was_set_aside_puts_it_back(
    parted: Host, there: Host, keys: Callable[..., set[int]], meddled: list[Callable[[], object]], archive: str
) -> None:
    """Of the partition that was to be dropped, and of those that follow."""
    there.policy(archive=archive)
    meddled += [lambda: None, parted.hold]

    there.run()

    assert meddled == []
    assert keys() == {1, 205}


CHILD = (
    "CREATE TABLE part (id BIGINT PRIMARY KEY, log BIGINT, at DATETIME, tenant VARCHAR(20), "
    "FOREIGN KEY (log) REFERENCES log (id) ON DELETE CASCADE)"
)
CHILDREN = "INSERT INTO part SELECT 100 + id, id, at, IF(id = 5, 'held', 'acme') FROM log"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_held_child_keeps_its_parent(
    here: Host, there: Host, keys: Callable[..., set[int]], execute: Execute, archive: str
) -> None:
    """Its parent would take it along, so it stays, with all of its children."""
    execute(CHILD, CHILDREN)
    there.policy(archive=archive)
    here.hold()

    there.run()

    assert keys() == {*HELD, 5}
    assert keys("part") == {100 + key for key in (*HELD, 5)}


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_hold_by_key_keeps_the_children_of_that_record(
    here: Host, there: Host, keys: Callable[..., set[int]], execute: Execute, archive: str
) -> None:
    """And no others: keys are those of the dataset's own records."""
    execute(CHILD, CHILDREN)
    there.policy(archive=archive)
    here.hold(dataset="log", keys=("5", "107"))

    there.run()

    assert keys() == {5}
    assert keys("part") == {105}


@pytest.mark.usefixtures("log")
def test_rows_are_not_taken_along_from_a_table_that_others_hold(
    here: Host, there: Host, keys: Callable[..., set[int]], execute: Execute
) -> None:
    """Another policy has the child as a dataset, and a hold on it; this one would remove its rows with the parents."""
    execute(CHILD, CHILDREN)
    here.policy(table="part")
    here.hold(dataset="log", keys=("105",))

    report = there.run()

    assert report.trouble is not None
    assert "rows of part would go along with those of log, but hold M-1 keeps some of them" in report.trouble.message
    assert keys() == set(range(1, 31))


@pytest.mark.usefixtures("log")
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
    with closing(MysqlStore(dataset, read_only=False)) as store:
        store.post_hold(PostedHold(hold))
        store.post_hold(PostedHold(hold))

        (found,) = store.posted_holds()

    assert found == PostedHold(hold)


@pytest.mark.usefixtures("log")
def test_two_hosts_add_at_once_and_both_are_there(here: Host, there: Host, execute: Execute) -> None:
    """Also where each would make the table."""
    hosts = (here, there, here, there)
    threads = [threading.Thread(target=host.hold, args=(f"M-{number}",)) for number, host in enumerate(hosts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [matter for (matter,) in execute("SELECT matter FROM lapse_holds ORDER BY 1")] == [
        "M-0",
        "M-1",
        "M-2",
        "M-3",
    ]
