"""What only MariaDB and MySQL have: engines, triggers, foreign keys, rights, locks, leases and a server that dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from mysql_worlds import MysqlWorld, NoReturningWorld

from lapse.errors import (
    BusyError,
    CommitUnknownError,
    GuardError,
    LapseError,
    LeaseError,
    StoreError,
    StoreMissingError,
    UnsupportedError,
    UsageError,
)
from lapse.instant import SECOND, Nanos
from lapse.model.disposal import Waiver
from lapse.model.pace import Pace
from lapse.model.policy import Hold
from lapse.model.posted import PostedHold
from lapse.model.selection import Selection
from lapse.ports import Budget
from lapse.stores.mysql import MysqlStore
from lapse.stores.mysql.judging import Judge
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, days_ago, drain, judged, keys_of, prove, remove, rule, run
from lapse.testing.harness import Record
from servers.mariadb import MARIADB_USER, MariadbServer, mariadb, mariadb_database
from servers.processes import await_condition, server_folder

__all__ = ["mariadb", "mariadb_database"]


@pytest.fixture
def world(mariadb: MariadbServer, mariadb_database: str) -> MysqlWorld:
    """A database of its own."""
    return MysqlWorld(mariadb, mariadb_database)


@contextmanager
def opened(world: MysqlWorld, **overrides: Any) -> Iterator[MysqlStore]:
    """The world's store."""
    store = MysqlStore(world.dataset(**overrides), read_only=overrides.pop("read_only", False))
    try:
        yield store
    finally:
        store.close()


def statements(world: MysqlWorld, *lines: str) -> None:
    """Run statements in the world's database."""
    for line in lines:
        world.server.execute(line, database=world.database)


def identity_of(world: MysqlWorld, **overrides: Any) -> Any:
    """What the store says of itself."""
    with opened(world, **overrides) as store:
        return store.identity()


# What is refused, and what is noted


REFUSED = [
    ("ALTER TABLE log ENGINE=MyISAM", "MyISAM"),
    ("ALTER TABLE log ENGINE=Aria", "Aria"),
    ("ALTER TABLE log MODIFY id BIGINT, DROP PRIMARY KEY", "no primary key"),
    ("ALTER TABLE log ADD SYSTEM VERSIONING", "system-versioned"),
    ("CREATE TRIGGER veto BEFORE DELETE ON log FOR EACH ROW SET @x = 1", "trigger veto"),
]


@pytest.mark.parametrize(("statement", "words"), REFUSED)
def test_a_table_that_cannot_be_purged_safely_is_refused(world: MysqlWorld, statement: str, words: str) -> None:
    """Its identity says why, and a take is refused, too."""
    world.create(aged(5))
    selection = judged(world, rule("1 day", ()))
    with world.store() as store:
        pieces = cut(store, selection)
    statements(world, statement)

    assert words in identity_of(world).refusal
    with opened(world) as store:
        assert sum(tally.records for tally in store.survey(selection)) == 5
    with opened(world) as store, pytest.raises(UnsupportedError), store.take(pieces[0]):
        pass
    assert len(world.snapshot()) == 5


def test_a_view_is_refused(world: MysqlWorld) -> None:
    """Rows are removed from tables."""
    world.create(aged(5))
    statements(world, "CREATE VIEW seen AS SELECT * FROM log")

    assert "view" in identity_of(world, table="seen").refusal


def test_a_server_that_logs_statements_is_refused(world: MysqlWorld) -> None:
    """InnoDB would refuse each delete; the identity says so before anything begins."""
    world.create(aged(5))
    statements(world, "SET GLOBAL binlog_format = 'STATEMENT'")
    try:
        refusal = identity_of(world).refusal
    finally:
        statements(world, "SET GLOBAL binlog_format = 'ROW'")

    assert "binlog_format=STATEMENT" in refusal


def test_what_a_reader_of_the_plan_should_know_is_noted(world: MysqlWorld) -> None:
    """Naive times, triggers after a delete, references that are set to NULL, computed columns, the binary log."""
    world.create(aged(5))
    statements(
        world,
        "CREATE TRIGGER after_it AFTER DELETE ON log FOR EACH ROW SET @x = 1",
        "CREATE TABLE child (log BIGINT, FOREIGN KEY (log) REFERENCES log (id) ON DELETE SET NULL)",
        "ALTER TABLE log ADD twice BIGINT AS (level * 2)",
    )

    identity = identity_of(world)

    assert identity.refusal is None
    notes = "\n".join(identity.notes)
    for words in ("without time zone", "after_it", "child", "SET NULL", "twice", "binary log"):
        assert words in notes
    assert "without time zone" not in "\n".join(identity_of(world, zone="Europe/Paris").notes)


def test_a_clock_that_is_wrong_is_a_refusal(world: MysqlWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the server or of this machine: nobody knows which, so nothing goes."""
    from lapse import clock

    world.create(aged(5))
    later = Nanos(clock.real_now() + 301 * SECOND)
    monkeypatch.setattr(clock, "real_now", lambda: later)

    with pytest.raises(GuardError, match="clock"):
        identity_of(world)


def test_a_table_or_column_that_is_not_there_is_named_with_its_nearest(world: MysqlWorld) -> None:
    """And a database that is not there, too."""
    world.create([])

    with pytest.raises(StoreMissingError, match="logs") as missing:
        identity_of(world, table="logs")
    with pytest.raises(StoreMissingError, match="att"):
        identity_of(world, time="att")
    with pytest.raises(StoreMissingError):
        identity_of(world, store=world.server.url("nowhere"))

    assert "log" in (missing.value.hint or "")


@pytest.mark.parametrize("address", ["mysql://u@h", "mysql://u@h/", "mysql://u@h/db?sslca=x", "mysql://u@h:port/db"])
def test_an_address_that_says_too_little_or_too_much_is_refused(address: str, world: MysqlWorld) -> None:
    """A database is needed, and an option that nobody knows may be a typing error."""
    with pytest.raises(UsageError):
        MysqlStore(world.dataset(store=address), read_only=True)


def test_a_password_is_in_no_message(world: MysqlWorld) -> None:
    """Not when the server refuses it, and not when it cannot be reached."""
    for address in (
        f"mysql://nobody:s3cret@127.0.0.1:{world.server.port}/x",
        "mysql://nobody:s3cret@127.0.0.1:1/x",
    ):
        with pytest.raises(LapseError) as error:
            identity_of(world, store=address, shown="mysql://nobody:***@127.0.0.1/x")
        assert "s3cret" not in f"{error.value} {error.value.hint}"


def test_over_tcp_is_as_over_the_socket(world: MysqlWorld) -> None:
    """The same store by both ways, and under the scheme ``mariadb``."""
    world.create(aged(5))
    url = world.server.url(world.database)

    found = {
        identity_of(world, store=store).fingerprint.text
        for store in (world.address, url, url.replace("mysql:", "mariadb:"))
    }

    assert len(found) == 1


# Reading only


def test_the_server_itself_keeps_a_reader_from_writing(world: MysqlWorld) -> None:
    """Whatever the code above it does."""
    world.create(aged(5))
    store = MysqlStore(world.dataset(), read_only=True)
    try:
        connection = store._connection
        for statement in (
            "DELETE FROM log",
            "INSERT INTO log (id) VALUES (99)",
            "CREATE TABLE x (y INT)",
            "DROP TABLE log",
        ):
            with pytest.raises(StoreError, match="reading only"):
                connection.run(statement)
        connection.begin()
        with pytest.raises(StoreError, match="reading only"):
            connection.run("DELETE FROM log")
    finally:
        store.close()

    assert len(world.snapshot()) == 5


# Rights


def test_a_user_who_may_not_make_lapse_s_tables_is_told_which_rights_are_missing(world: MysqlWorld) -> None:
    """Without a marker nobody could tell whether a commit happened: nothing is removed."""
    world.create(aged(5))
    server, database = world.server, world.database
    server.execute("CREATE OR REPLACE USER clerk@localhost")
    server.execute(f"GRANT SELECT, DELETE ON {database}.log TO clerk@localhost")
    selection = judged(world, rule("1 day", ()))
    address = server.socket_url(database, "clerk")

    with opened(world, store=address) as store:
        (piece,) = cut(store, selection)
        with pytest.raises(UnsupportedError, match="lapse_disposals") as refused, store.take(piece):
            pass
        with pytest.raises(UnsupportedError, match="lapse_disposals"), store.lease():
            pass

    assert "Grant" in (refused.value.hint or "")
    assert len(world.snapshot()) == 5


def test_a_user_with_just_the_rights_of_the_docs_can_purge(world: MysqlWorld) -> None:
    """Somebody else has made Lapse's tables; SELECT and DELETE on the log are enough."""
    world.create(aged(5))
    server, database = world.server, world.database
    with world.store() as store, store.lease():
        assert isinstance(store, MysqlStore)
        store.post_hold(PostedHold(Hold(matter="M-1")))
        store.withdraw_hold("M-1")
    server.execute("CREATE OR REPLACE USER clerk@localhost")
    server.execute(f"GRANT SELECT, DELETE ON {database}.log TO clerk@localhost")
    server.execute(f"GRANT SELECT ON {database}.lapse_holds TO clerk@localhost")
    server.execute(f"GRANT SELECT, INSERT, DELETE ON {database}.lapse_disposals TO clerk@localhost")
    server.execute(f"GRANT SELECT, INSERT, UPDATE ON {database}.lapse_leases TO clerk@localhost")

    with opened(world, store=server.socket_url(database, "clerk")) as store, store.lease():
        store.identity()
        removals = run(store, judged(world, rule("3 days")))
        store.prune(removal.disposal for removal in removals)

    assert len(world.snapshot()) == 3


# Locks, leases and other writers


def test_a_lapsed_row_that_somebody_has_locked_makes_the_take_busy_and_keeps_everything(world: MysqlWorld) -> None:
    """It is tried a few times; then the error says so, and once the lock is gone it works."""
    world.create(aged(5))
    selection = judged(world, rule("1 day"))
    with world.store() as store:
        (piece,) = cut(store, selection)
        assert isinstance(store, MysqlStore)
        store._connection.run("SET SESSION innodb_lock_wait_timeout = 1")
        with world.connected() as cursor:
            cursor.execute("SELECT * FROM log WHERE id = 3 FOR UPDATE")
            with pytest.raises(BusyError, match="lock"):
                remove(store, piece)
        assert len(world.snapshot()) == 5
        assert remove(store, piece) is not None


@pytest.mark.parametrize("kind", [MysqlWorld, NoReturningWorld])
def test_rows_that_are_written_during_a_run_are_sealed_as_they_went_or_survive(
    kind: type[MysqlWorld], mariadb: MariadbServer, mariadb_database: str
) -> None:
    """Writers insert, update and back-date all the time: what is gone was yielded in exactly its last form."""
    world = kind(mariadb, mariadb_database)
    world.create(aged(600))
    selection = judged(world, rule("100 days"))
    stop = threading.Event()
    written: dict[int, str] = {record.key: record.body for record in aged(600)}

    def write() -> None:
        number = 10_000
        with closing(world.server.connect(world.database)) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                number += 1
                old, body = number % 600 + 1, f"changed {number}"
                cursor.execute(
                    "INSERT INTO log (id, at, kind, tenant, body) VALUES (%s, '2026-01-01', 'call', 't0', 'new')",
                    (number,),
                )
                written[number] = "new"
                try:
                    if cursor.execute("UPDATE log SET body = %s WHERE id = %s", (body, old)):
                        written[old] = body
                except pymysql.OperationalError as error:
                    if error.args[0] not in (1205, 1213):  # a lock that lasted, a deadlock
                        raise

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with world.store() as store:
            removals = run(store, selection, Budget(rows=20))
    finally:
        stop.set()
        writer.join()

    left = {key: row[5] for key, row in world.snapshot().items()}  # type: ignore[index]
    sealed: dict[int, str] = {}
    for removal in removals:
        for drained in removal.drained:
            for batch in drained.batches:
                for row in batch.to_pylist():  # type: ignore[union-attr]
                    assert row["id"] not in sealed
                    sealed[row["id"]] = row["body"]
    assert not set(left) & set(sealed)
    assert {**left, **sealed} == written


def test_a_run_that_lost_its_lease_without_noticing_commits_nothing(world: MysqlWorld) -> None:
    """Its connection was cut and another run has begun since: the number in the table tells."""
    world.create(aged(5))
    selection = judged(world, rule("1 day"))
    with world.store() as first, first.lease():
        (piece,) = cut(first, selection)
        assert isinstance(first, MysqlStore)
        statements(world, "UPDATE lapse_leases SET token = token + 1")
        with pytest.raises(LeaseError, match="another run"):
            remove(first, piece)

    assert len(world.snapshot()) == 5


def test_the_lease_waits_for_a_transaction_that_a_lost_run_left_open(world: MysqlWorld) -> None:
    """Until it has ended nobody knows its outcome; then the marker is read."""
    world.create(aged(5))
    selection = judged(world, rule("1 day", ()))
    with world.store() as lost, world.store() as following:
        (piece,) = cut(lost, selection)
        order: list[str] = []

        def begin() -> None:
            with following.lease():
                order.append("leased")
                order.extend(marker.slice for marker in following.recover(lambda _: True))

        with lost.take(piece) as taken:
            taken.tallies()
            thread = threading.Thread(target=begin)
            thread.start()
            waiting = (
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                "WHERE COMMAND = 'Query' AND INFO LIKE 'SELECT \"token\"%FOR UPDATE'"
            )
            await_condition(lambda: world.server.execute(waiting)[0][0] > 0, "the next run to wait")
            order.append("committing")
            taken.commit(Waiver(slice=piece.name, rules=("rule 1",)))
        thread.join()

    assert order == ["committing", "leased", piece.name]


def test_two_datasets_of_one_run_share_the_lease(world: MysqlWorld) -> None:
    """And it stays until the last of them gives it back."""
    world.create(aged(5))
    with world.store() as one, world.store() as other, one.lease():
        with other.lease():
            assert world.lease_elsewhere() == "LeaseError"
        assert world.lease_elsewhere() == "LeaseError"
    assert world.lease_elsewhere() == "leased"


# Slices


KEYS = {
    "VARCHAR(60) CHARACTER SET latin1 COLLATE latin1_german2_ci": "CONCAT(CHAR(65 + seq % 26), 'é ', seq)",
    "VARCHAR(60) COLLATE utf8mb4_unicode_ci": "CONCAT('😀', seq % 7, '\"%', CHAR(39), seq)",
    "CHAR(36) CHARACTER SET ucs2": "MD5(seq)",
    "BINARY(16)": "UNHEX(MD5(seq))",
    "VARBINARY(40)": "CONCAT(UNHEX('00FF'), seq)",
    "UUID": "CAST(CONCAT(LEFT(MD5(seq), 8), '-0000-1000-8000-000000000000') AS UUID)",
    "INET6": "CONCAT('::', HEX(seq))",
    "DATETIME(6)": "'2020-01-01' + INTERVAL seq * 13 MICROSECOND",
    "TIMESTAMP(3)": "'2020-01-01' + INTERVAL seq HOUR",
    "DATE": "'2020-01-01' + INTERVAL seq DAY",
    "DECIMAL(40, 10)": "seq / 7 - 5",
    "BIGINT UNSIGNED": "18446744073709551615 - seq",
    "BIGINT": "50 - CAST(seq AS SIGNED)",
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("composite", [False, True], ids=["alone", "second"])
def test_a_key_of_any_type_is_walked_once(world: MysqlWorld, kind: str, composite: bool) -> None:
    """Slices by a primary or a unique key, alone or behind another column, visit each lapsed row once."""
    world.create([])
    key = "PRIMARY KEY (tenant, named)" if composite else "UNIQUE (named)"
    statements(
        world,
        f"CREATE TABLE keyed (id BIGINT, named {kind} NOT NULL, at DATETIME, tenant VARCHAR(9), kind TEXT, {key})",
        f"INSERT INTO keyed SELECT seq, {KEYS[kind]}, IF(seq % 3, '2020-01-01', '2026-11-20'), seq % 4, 'call' "
        "FROM seq_1_to_90",
    )
    selection = judged(world, rule("30 days"), table="keyed")

    with world.store(selection.dataset) as store:
        assert store.identity().refusal is None
        removals = run(store, selection, Budget(rows=7))

    gone = [key for removal in removals for key in keys_of(removal.drained)]
    assert sorted(gone) == [number for number in range(1, 91) if number % 3]
    assert max(removal.disposal.records for removal in removals) <= 7


def test_a_run_reads_hardly_more_rows_than_it_removes(world: MysqlWorld) -> None:
    """Where what lapsed lies together in the order of the key; the survey is not counted."""
    world.create([])
    statements(
        world,
        "INSERT INTO log (id, at, kind, tenant, body) SELECT seq, '2026-01-01' + INTERVAL seq MINUTE, 'call', 't', "
        "REPEAT('x', 50) FROM seq_1_to_60000",
    )
    cutoff = days_ago(310)
    selection = judged(world, rule("310 days", ()))
    with world.store() as store:
        list(store.survey(selection))
        pieces = store.slices(selection, _facts(selection), Budget(rows=4000))
        read, gone = 0, 0
        for piece in pieces:
            before = _rows_read(world)
            with store.take(piece) as taken:
                gone += taken.commit(Waiver(slice=piece.name, rules=("rule 1",))).records
            read += _rows_read(world) - before

    assert gone == (cutoff - 1_767_225_600 * SECOND - 1) // (60 * SECOND)
    assert read <= 1.2 * gone


def _facts(selection: Selection) -> Any:
    from lapse.testing.flow import facts_of

    return facts_of(selection)


def _rows_read(world: MysqlWorld) -> int:
    rows = world.server.execute("SHOW GLOBAL STATUS LIKE 'Rows_read'")
    return int(rows[0][1])


def test_heavy_rows_make_small_slices(world: MysqlWorld) -> None:
    """The budget is one of bytes, too."""
    world.create([Record(key=n, at=days_ago(400), body="x" * 10_000) for n in range(1, 41)])
    selection = judged(world, rule("1 day"))

    with world.store() as store:
        removals = run(store, selection, Budget(rows=1000, size=100_000))

    assert len(removals) >= 4
    assert max(removal.disposal.records for removal in removals) <= 12
    assert world.snapshot() == {}


def test_rows_go_from_partitions_as_from_any_table(world: MysqlWorld) -> None:
    """A partitioned table needs nothing of its own."""
    world.create([])
    statements(
        world,
        "DROP TABLE log",
        "CREATE TABLE log (id BIGINT NOT NULL AUTO_INCREMENT, at DATETIME(6) NOT NULL, kind VARCHAR(40), "
        "tenant VARCHAR(40), level BIGINT, body TEXT, PRIMARY KEY (id, at)) PARTITION BY RANGE COLUMNS (at) "
        "(PARTITION old VALUES LESS THAN ('2026-06-01'), PARTITION new VALUES LESS THAN (MAXVALUE))",
    )
    records = [Record(key=n, at=days_ago(n * 7)) for n in range(1, 51)]
    world.add(*records)
    selection = judged(world, rule("100 days"))

    with world.store() as store:
        gone = {key for removal in run(store, selection, Budget(rows=6)) for key in keys_of(removal.drained)}

    assert gone == {n for n in range(1, 51) if n * 7 > 100}
    assert set(world.snapshot()) == set(range(1, 51)) - gone


# A server that dies


@pytest.fixture
def own_server() -> Iterator[MariadbServer]:
    """A server that may be killed."""
    with server_folder(MARIADB_USER) as folder, MariadbServer.start(folder / "b", fsync=True) as server:
        yield server


def test_a_server_that_is_killed_in_a_take_has_lost_nothing(own_server: MariadbServer) -> None:
    """The error is a store's, a commit that nobody confirmed is unknown, and every row is back."""
    own_server.create_database("shop")
    world = MysqlWorld(own_server, "shop")
    world.create(aged(50))
    before = world.snapshot()
    selection = judged(world, rule("10 days"))

    with world.store() as store:
        (piece,) = cut(store, selection)
        with store.take(piece) as taken:
            proof = prove(piece, drain(taken.parts()))
            own_server.crash()
            with pytest.raises(StoreError):
                taken.commit(proof)
    with world.store() as store:
        markers = list(store.recover(lambda _: True))
        after = world.snapshot()
        assert remove(store, piece) is not None

    assert (after, markers) == (before, [])


def test_a_commit_that_nobody_confirmed_is_unknown(own_server: MariadbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection dies between the marker and the answer; the next run finds out that nothing happened."""
    own_server.create_database("shop")
    world = MysqlWorld(own_server, "shop")
    world.create(aged(50))
    selection = judged(world, rule("10 days"))

    with world.store() as store:
        (piece,) = cut(store, selection)
        assert isinstance(store, MysqlStore)
        commit = store._connection.commit

        def dying(what: str) -> None:
            own_server.kill()
            commit(what)

        monkeypatch.setattr(store._connection, "commit", dying)
        with pytest.raises(CommitUnknownError), store.take(piece) as taken:
            taken.commit(prove(piece, drain(taken.parts())))
    own_server.restart()
    with world.store() as store, store.lease():
        assert list(store.recover(lambda _: True)) == []

    assert len(world.snapshot()) == 50


# A look around


def test_a_look_around_finds_the_log(world: MysqlWorld) -> None:
    """Its time, type and tenant, its types by share, and what to know; the table without a time comes last."""
    records = [replace(record, kind="call" if record.key % 4 else "login") for record in aged(40)]
    world.create(records)
    statements(
        world,
        "CREATE TABLE settings (name VARCHAR(20) PRIMARY KEY, value TEXT)",
        "INSERT INTO settings VALUES ('a', 'b')",
        "CREATE TABLE epochs (id INT PRIMARY KEY, event_time BIGINT, hidden INT INVISIBLE)",
        "INSERT INTO epochs VALUES (1, 1700000000)",
    )
    with world.store() as store, store.lease():
        pass

    found = {sketch.table: sketch for sketch in MysqlStore.inspect(world.address)}

    log = found["log"]
    assert next(iter(found)) == "log"
    assert list(found)[-1] == "settings"
    assert set(found) == {"log", "settings", "epochs"}
    assert (log.time, log.type, log.tenant, log.records) == ("at", "kind", "tenant", 40)
    assert log.types == (("call", 0.75), ("login", 0.25))
    assert log.oldest == min(record.instant or 0 for record in records)
    assert found["epochs"].time == "event_time"
    assert found["epochs"].time_format.value == "unix seconds"
    assert found["settings"].time is None
    assert any("by_time" in note for note in log.notes)
    assert log.fingerprint is not None


# What others notice


def test_a_slice_that_was_too_long_comes_again_in_halves(world: MysqlWorld) -> None:
    """Together they hold what it held, each row once; one row cannot be cut."""
    world.create(aged(60))
    selection = judged(world, rule("10 days"))
    with world.store() as store:
        assert isinstance(store, MysqlStore)
        (piece,) = cut(store, selection)
        halves = [replace(half, name=f"00000{n}") for n, half in enumerate(store.halves(piece))]
        gone = [removal for half in halves if (removal := remove(store, half)) is not None]

    counts = [removal.disposal.records for removal in gone]
    assert counts == [25, 25]

    world.create([Record(key=1, at=days_ago(400))])
    with world.store() as store:
        assert isinstance(store, MysqlStore)
        (piece,) = cut(store, selection)
        assert store.halves(piece) == ()


@pytest.mark.parametrize(("query", "waits"), [("SELECT 0", False), ("SELECT 1", True), ("SELECT NULL", True)])
def test_a_query_of_the_policy_makes_a_run_wait(world: MysqlWorld, query: str, waits: bool) -> None:
    """Its first value says so; NULL is no go-ahead."""
    world.create([])
    with opened(world, pace=Pace(pause_while=query)) as store:
        burden = store.burden()

    assert (burden.wait is not None) == waits


def test_a_query_that_gives_no_number_or_fails_is_an_error(world: MysqlWorld) -> None:
    """The run stops: it must not go on against the policy."""
    world.create([])
    for query in ("SELECT 'yes'", "SELECT nonsense FROM nowhere"):
        with opened(world, pace=Pace(pause_while=query)) as store, pytest.raises(StoreError):
            store.burden()


def test_sessions_at_work_make_the_store_busy(world: MysqlWorld) -> None:
    """And idle ones do not."""
    world.create([])
    with opened(world) as store:
        assert not store.burden().busy
        worker = threading.Thread(target=lambda: world.server.execute("SELECT SLEEP(1)"))
        worker.start()
        await_condition(lambda: store.burden().busy, "the store to be busy")
        worker.join()


# Slices by time


SCATTERED = (
    "INSERT INTO log (id, at, kind, tenant, body) SELECT seq, "
    "'2025-01-01' + INTERVAL (seq * 7919 % 40000) * 20 MINUTE + INTERVAL seq % 10 MICROSECOND, 'call', 't', "
    "REPEAT('x', 50) FROM seq_1_to_40000"
)


@pytest.mark.parametrize("index", ["KEY `by_time` (`at`)", "KEY `elsewhere` (`tenant`)"])
def test_rows_that_lie_scattered_are_found_by_the_index_of_their_times(world: MysqlWorld, index: str) -> None:
    """Then hardly more rows are read than go; without such an index the table is read once. The same rows go."""
    world.create([])
    statements(world, "ALTER TABLE log DROP KEY `by_time`", f"ALTER TABLE log ADD {index}", SCATTERED)
    statements(world, "INSERT INTO log (id, at) VALUES (50000, NULL), (50001, '1970-01-05')", "ANALYZE TABLE log")
    selection = judged(world, rule("600 days", ()))
    before = world.server.execute("SELECT COUNT(*) FROM log", database=world.database)[0][0]
    with world.store(read_only=True) as store:
        assert sum(tally.records for tally in store.survey(selection)) == before
    with world.store() as store:
        lapsed = sum(tally.records for tally in store.survey(selection) if tally.code in selection.lapsed_codes())
        reads = _rows_read(world)
        gone = 0
        for piece in store.slices(selection, _facts(selection), Budget(rows=1500)):
            with store.take(piece) as taken:
                gone += taken.commit(Waiver(slice=piece.name, rules=("rule 1",))).records
        reads = _rows_read(world) - reads

    (left,) = world.server.execute("SELECT COUNT(*) FROM log", database=world.database)[0]
    assert 3000 < gone == lapsed == before - left < 20_000
    assert reads <= (1.2 * gone if "by_time" in index else 1.4 * before)


def test_a_row_that_slips_in_between_read_and_delete_is_not_removed_unseen(
    mariadb: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RETURNING one row more goes than was read: the slice begins anew, and yields that row, too."""
    world = NoReturningWorld(mariadb, mariadb_database)
    world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
    selection = judged(world, rule("30 days"))
    with world.store() as store:
        (piece,) = cut(store, selection)
        assert isinstance(store, MysqlStore)
        change, late = store._connection.change, [Record(key=15, at=days_ago(401))]

        def changed(statement: Any) -> int:
            if late:
                world.add(late.pop())
            return change(statement)

        monkeypatch.setattr(store._connection, "change", changed)
        removal = remove(store, piece)

    assert removal is not None
    assert sorted(keys_of(removal.drained)) == [10, 15, 20, 30]
    assert removal.disposal.records == 4
    assert world.snapshot() == {}


@pytest.mark.parametrize("kind", [MysqlWorld, NoReturningWorld])
@pytest.mark.parametrize("unsure", ["COALESCE(JSON_EXTRACT('{', '$.a'), 1) = 1", "CAST('1x' AS SIGNED) = 1"])
def test_nothing_goes_where_the_server_is_not_sure_of_a_value(
    mariadb: MariadbServer, mariadb_database: str, monkeypatch: pytest.MonkeyPatch, kind: type[MysqlWorld], unsure: str
) -> None:
    """A warning in what decides gives the rows back, and its words are in the error."""
    world = kind(mariadb, mariadb_database)
    world.create([Record(key=key, at=days_ago(400)) for key in (10, 20, 30)])
    selection = judged(world, rule("30 days"))
    going = Judge.going
    with world.store() as store:
        (piece,) = cut(store, selection)
        monkeypatch.setattr(Judge, "going", lambda self, codes: going(self, codes) + f" AND {unsure}")
        with pytest.raises(StoreError, match=r"JSON|INTEGER"):
            remove(store, piece)

    assert len(world.snapshot()) == 3
