"""Partitions that have lapsed as a whole are sealed and dropped, if and only if they still are what was sealed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pg_disturbed import DisturbedStore
from pg_ground import NOW, Ground, months

from lapse import registry
from lapse.model.report import Status
from lapse.stores.postgresql import dropping
from servers.processes import await_condition
from servers.proxy import Cut, Proxy

LOG = "CREATE TABLE log (id bigint, at {} NOT NULL, tenant text, body text) PARTITION BY RANGE (at)"
NEW = "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')"
FRESH = "INSERT INTO log VALUES (1, '2026-10-20', 'acme', 'new')"


@pytest.fixture
def ground(pg_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A policy that keeps 90 days, on a table that is not there yet."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LAPSE_NOW", NOW)
    found = Ground(pg_database, tmp_path)
    found.policy()
    return found


@pytest.fixture
def log(ground: Ground) -> Ground:
    """Four partitions of ten lapsed rows each, and one with a row that is kept."""
    ground.execute(LOG.format("timestamptz"), *months(1, 4), NEW, FRESH)
    return ground


@pytest.fixture
def disturbed(log: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """The same, where somebody may come in before a commit; nobody tries for long."""
    monkeypatch.setitem(registry.STORES, "postgresql", "pg_disturbed")
    monkeypatch.setattr(dropping, "_TRIES", 2)
    yield log
    DisturbedStore.before_commit.clear()


def tables(ground: Ground) -> list[str]:
    """The partitions that are there."""
    found = ground.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'log'::regclass")
    return sorted(name for (name,) in found)


def notes(ground: Ground) -> str:
    """What the plan says, in one text."""
    return "\n".join(ground.plan().identity.notes)


@pytest.mark.parametrize(
    ("kind", "zone"),
    [("timestamptz", ""), ("timestamp", ""), ("timestamp", "time zone: America/New_York"), ("date", "")],
)
def test_what_has_lapsed_as_a_whole_is_dropped(ground: Ground, kind: str, zone: str) -> None:
    """Whatever the type of the time; the plan has said so before, and the archive has every row."""
    ground.policy(dataset=zone)
    ground.execute(LOG.format(kind), *months(1, 4), NEW, FRESH)
    before, planned = ground.everything(), notes(ground)

    report = ground.run()

    assert (report.status, report.records, report.slices) == (Status.DONE, 40, 4)
    assert tables(ground) == ["log_new"]
    assert ground.methods() == {"partition drop": 40}
    assert ground.everything() == before
    assert "dropped as a whole, with 40 rows: public.log_2025_01 … public.log_2025_04 (4 partitions);" in planned
    ground.check()


@pytest.mark.parametrize(
    ("kind", "zone", "end", "dropped"),
    [
        ("timestamptz", "", "2026-08-03 00:00:00Z", True),
        ("timestamptz", "", "2026-08-03 00:00:00.000001Z", False),
        ("timestamp", "", "2026-08-02 00:00:00", True),
        ("timestamp", "time zone: America/New_York", "2026-08-02 23:00:00", False),
        ("date", "", "2026-08-03", False),
        ("date", "", "2026-08-02", True),
    ],
)
def test_the_range_must_have_passed_as_a_whole(ground: Ground, kind: str, zone: str, end: str, dropped: bool) -> None:
    """The cutoff is 2026-08-03; a range that may still get a row that is kept goes row by row."""
    ground.policy(dataset=zone)
    ground.execute(
        LOG.format(kind),
        f"CREATE TABLE old PARTITION OF log FOR VALUES FROM ('2026-07-01') TO ('{end}')",
        "INSERT INTO log VALUES (1, '2026-07-01 12:00', 'a', 'b')",
    )

    ground.run()

    assert ground.archived() == [1]
    assert tables(ground) == ([] if dropped else ["old"])


def test_a_range_without_an_end_is_emptied(ground: Ground) -> None:
    """A partition up to MAXVALUE or infinity may get new rows any time."""
    ground.execute(
        LOG.format("timestamptz"),
        "CREATE TABLE old PARTITION OF log FOR VALUES FROM (MINVALUE) TO ('2025-01-01')",
        "CREATE TABLE rest PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('infinity')",
        "INSERT INTO log VALUES (1, '2024-01-01', 'a', 'b'), (2, '2025-02-01', 'a', 'b')",
    )

    ground.run()

    assert tables(ground) == ["rest"]
    assert ground.archived() == [1, 2]


def test_other_partitions_are_emptied_row_by_row_and_the_plan_says_why(ground: Ground) -> None:
    """The DEFAULT partition, and what is partitioned further; a DEFAULT partition does not hinder a drop."""
    ground.execute(
        LOG.format("timestamptz"),
        *months(1, 1),
        "CREATE TABLE rest PARTITION OF log DEFAULT",
        "CREATE TABLE sub PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id)",
        "CREATE TABLE sub_0 PARTITION OF sub FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "INSERT INTO log VALUES (1, '2020-01-01', 'a', 'b'), (2, '2024-02-01', 'a', 'b'), (3, '2026-10-30', 'a', 'c')",
    )
    before, planned = ground.everything(), notes(ground)

    ground.run()

    assert ground.methods() == {"partition drop": 10, "row delete": 2}
    assert ground.everything() == before
    assert tables(ground) == ["rest", "sub"]
    assert "since the DEFAULT partition is never dropped: public.rest" in planned
    assert "DEFAULT partition, public.rest, is locked for a moment, too" in planned
    assert "since it lies in a partition that is partitioned further: public.sub_0" in planned


@pytest.mark.parametrize("by", ["HASH (id)", "LIST (tenant)", "RANGE (id)", "RANGE (at, id)"])
def test_tables_cut_by_something_else_go_row_by_row(ground: Ground, by: str) -> None:
    """What is not cut by the range of the time alone has no partition that lapses as a whole."""
    values = {
        "HASH (id)": "WITH (MODULUS 1, REMAINDER 0)",
        "LIST (tenant)": "IN ('a')",
        "RANGE (id)": "FROM (0) TO (9)",
        "RANGE (at, id)": "FROM (MINVALUE, MINVALUE) TO (MAXVALUE, MAXVALUE)",
    }
    ground.execute(
        "CREATE TABLE log (id bigint NOT NULL, at timestamptz NOT NULL, tenant text, body text) PARTITION BY " + by,
        f"CREATE TABLE part PARTITION OF log FOR VALUES {values[by]}",
        "INSERT INTO log VALUES (1, '2020-01-01', 'a', 'b')",
    )
    planned = notes(ground)

    ground.run()

    assert ground.methods() == {"row delete": 1}
    assert tables(ground) == ["part"]
    assert "no partition is dropped: the table is not partitioned by the range of at alone" in planned


KEY = "ALTER TABLE log ADD PRIMARY KEY (id, at)"
TRIGGER = "CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (
            [KEY,
             "CREATE TABLE note (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES log)"],
            "foreign key note_id_at_fkey of table note points at the table",
        ),
        (
            [TRIGGER, "CREATE TRIGGER spy AFTER DELETE ON log FOR EACH ROW EXECUTE FUNCTION seen()"],
            "trigger spy watches each row that is removed",
        ),
        (
            [TRIGGER, "CREATE TRIGGER spy AFTER DELETE ON log_2025_01 FOR EACH ROW EXECUTE FUNCTION seen()"],
            "trigger spy watches its removals",
        ),
        ([KEY, "CREATE PUBLICATION everything FOR ALL TABLES"], "publication everything tells its subscribers"),
        ([KEY, "CREATE PUBLICATION one FOR TABLE log_2025_01"], "publication one tells its subscribers"),
        (["CREATE VIEW january AS SELECT * FROM log_2025_01"], "view january depends on it"),
    ],
)  # fmt: skip
def test_what_a_drop_would_pass_by_keeps_the_partition(ground: Ground, statements: list[str], reason: str) -> None:
    """Then its rows are removed one by one, and the plan says why."""
    ground.execute(LOG.format("timestamptz"), *months(1, 1), NEW, FRESH, *statements)
    before, planned = ground.everything(), notes(ground)

    report = ground.run()

    assert report.status is Status.DONE
    assert ground.methods() == {"row delete": 10}
    assert tables(ground) == ["log_2025_01", "log_new"]
    assert reason in planned
    assert ground.everything() == before


def test_a_role_that_does_not_own_the_table_removes_rows(log: Ground) -> None:
    """It may not drop; the plan says so."""
    log.execute(
        "CREATE ROLE clerk LOGIN",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk",
        "GRANT CREATE, USAGE ON SCHEMA public TO clerk",
    )
    try:
        log.policy(store=log.url.replace("postgres@", "clerk@"))
        assert "no partition is dropped: this role does not own the table" in notes(log)
        assert log.run().records == 40
        assert log.methods() == {"row delete": 40}
    finally:
        log.execute("DROP OWNED BY clerk", "DROP ROLE clerk")


def test_what_the_server_does_not_let_go_is_emptied(log: Ground) -> None:
    """A function that depends on a partition is not looked for beforehand; it is found in time."""
    version = int(log.execute("SHOW server_version_num")[0][0])
    log.execute(f'CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."x%s" (y log_2025_02); SELECT {version}')

    report = log.run()

    assert (report.status, report.records) == (Status.DONE, 40)
    assert log.methods() == {"partition drop": 30, "row delete": 10}
    assert tables(log) == ["log_2025_02", "log_new"]
    log.check()


def test_a_partition_may_have_its_own_shape(ground: Ground) -> None:
    """Columns in another order, dropped ones, own indexes and constraints; a name that needs care."""
    ground.execute(
        LOG.format("timestamptz"),
        'CREATE TABLE "old %s ""x""" (gone int, body text, at timestamptz NOT NULL, tenant text, extra int, id bigint)',
        'ALTER TABLE "old %s ""x""" DROP COLUMN gone, DROP COLUMN extra, ADD CHECK (id > 0)',
        'CREATE UNIQUE INDEX ON "old %s ""x""" (body)',
        "INSERT INTO \"old %s \"\"x\"\"\" VALUES ('b', '2020-05-05', 't', 7)",
        'ALTER TABLE log ATTACH PARTITION "old %s ""x""" FOR VALUES FROM (\'2020-01-01\') TO (\'2021-01-01\')',
        NEW,
        FRESH,
    )

    ground.run()

    assert tables(ground) == ["log_new"]
    assert ground.archived("log", "id") == [7]
    assert ground.archived("log", "body") == ["b"]
    assert ground.archived("log", "tenant") == ["t"]


def test_partitions_that_come_from_a_template_are_dropped(ground: Ground) -> None:
    """As pg_partman makes them, with a key from a template; a table that they refer to stays as it is."""
    ground.execute(
        LOG.format("timestamptz"),
        "CREATE TABLE tenants (name text PRIMARY KEY); INSERT INTO tenants VALUES ('acme')",
        "ALTER TABLE log ADD FOREIGN KEY (tenant) REFERENCES tenants",
        "CREATE TABLE template (LIKE log, PRIMARY KEY (id))",
        "CREATE TABLE log_default PARTITION OF log DEFAULT",
        "CREATE TABLE log_p2025_01 (LIKE log INCLUDING DEFAULTS, PRIMARY KEY (id))",
        "ALTER TABLE log ATTACH PARTITION log_p2025_01 FOR VALUES FROM ('2025-01-01') TO ('2025-02-01')",
        "INSERT INTO log VALUES (1, '2025-01-02', 'acme', ''), (2, '2026-10-30', 'acme', '')",
    )

    assert ground.run().records == 1

    assert tables(ground) == ["log_default"]
    assert ground.execute("SELECT count(*) FROM tenants") == [(1,)]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("INSERT INTO log VALUES (999, '2025-02-03', 'late', 'x')", []),
        ("INSERT INTO log VALUES (999, '2025-02-03', 'held', 'x')", [999]),
        ("UPDATE log SET body = body || '!' WHERE id = 205", []),
        ("UPDATE log SET tenant = 'held' WHERE id = 205", [205]),
        ("UPDATE log SET at = '2025-03-31' WHERE id = 205", []),
        ("DELETE FROM log WHERE id = 205", None),
    ],
)
def test_what_changes_before_the_drop_keeps_the_partition(
    disturbed: Ground, change: str, kept: list[int] | None
) -> None:
    """A row that came, changed or went between seal and drop; what has lapsed is removed in the same run, as it is."""
    disturbed.policy(
        dataset="tenant: tenant", top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n"
    )
    after: list[object] = []

    def disturb(_: object) -> None:
        disturbed.execute(change)
        after.extend(disturbed.execute("SELECT log::text FROM log ORDER BY 1"))

    DisturbedStore.before_commit[:] = [lambda _: None, disturb]

    report = disturbed.run()

    assert report.status is Status.DONE
    assert disturbed.keys() == [1, *(kept or [])]
    assert "log_2025_02" in tables(disturbed)
    left = disturbed.execute("SELECT log::text FROM log ORDER BY 1")
    assert len(left) + len(disturbed.archived()) - 10 == len(after)  # ten went before
    assert len(set(disturbed.archived())) == len(disturbed.archived())
    if "!" in change:
        assert any(body.endswith("!") for body in disturbed.archived("log", "body"))
    disturbed.check()


def test_what_is_tied_to_a_partition_before_the_drop_keeps_it(disturbed: Ground) -> None:
    """A trigger that came since the partition was sealed sees each of its rows go."""
    disturbed.execute(TRIGGER)
    DisturbedStore.before_commit[:] = [
        lambda _: disturbed.execute(
            "CREATE TRIGGER spy AFTER DELETE ON log_2025_01 FOR EACH ROW EXECUTE FUNCTION seen()"
        )
    ]

    disturbed.run()

    assert disturbed.methods() == {"partition drop": 30, "row delete": 10}
    assert tables(disturbed) == ["log_2025_01", "log_new"]
    disturbed.check()


def test_several_partitions_that_change_are_all_emptied_in_one_run(disturbed: Ground) -> None:
    """Each is emptied before the next one is tried, so that a run does not give up on many of them."""
    number = iter(range(1000, 1100))

    def disturb(piece: object) -> None:
        for month in range(1, 5):
            disturbed.execute(f"INSERT INTO log SELECT {next(number)}, '2025-0{month}-03', 'late', 'x' "
                              f"WHERE to_regclass('log_2025_0{month}') IS NOT NULL")  # fmt: skip

    DisturbedStore.before_commit[:] = [disturb] * 20

    report = disturbed.run()

    assert report.status is Status.DONE
    assert set(tables(disturbed)) == {"log_2025_01", "log_2025_02", "log_2025_03", "log_2025_04", "log_new"}
    assert set(disturbed.everything().values()) == {1}
    disturbed.check()


def test_a_writer_with_a_row_keeps_the_partition_for_now(disturbed: Ground) -> None:
    """Its row is not committed: the partition is put back, and goes when the writer is done."""
    with disturbed.connected(autocommit=False) as writer:
        # The first try meets the writer, who goes on before the second one.
        DisturbedStore.before_commit[:] = [
            lambda _: writer.execute("INSERT INTO log VALUES (999, '2025-01-05', 'a', 'b')"),
            lambda _: writer.commit(),
        ]
        report = disturbed.run()

    assert report.status is Status.DONE
    assert disturbed.keys() == [1]
    assert disturbed.everything()[999] == 1
    disturbed.check()


def test_a_reader_is_waited_for_and_nobody_waits_long(disturbed: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an open transaction reads the table, a drop is tried, and others wait for half a second at most."""
    longest, ended = [0.0], threading.Event()

    def others() -> None:
        with disturbed.connected() as other:
            while not ended.is_set():
                began = time.monotonic()
                other.execute("SELECT count(*) FROM log")
                longest[0] = max(longest[0], time.monotonic() - began)

    with disturbed.connected(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM log")
        DisturbedStore.before_commit[:] = [lambda _: None, lambda _: reader.commit()]
        thread = threading.Thread(target=others)
        thread.start()
        try:
            report = disturbed.run()
        finally:
            ended.set()
            thread.join()

    assert report.status is Status.DONE
    assert disturbed.methods() == {"partition drop": 40}
    assert dropping._PATIENCE * 0.7 < longest[0] < dropping._PATIENCE + 1
    disturbed.check()


def test_a_table_in_use_for_long_is_not_sealed_in_vain(log: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is named, nothing is removed, and there is nothing to clear; afterwards the run goes on."""
    monkeypatch.setattr(dropping, "_OLD", "0 seconds")
    monkeypatch.setattr("lapse.engine.retrying.TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying._FIRST_DELAY", 0.01)
    before = log.everything()
    with log.connected(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM log")
        session, report = reader.info.backend_pid, log.run()

    assert report.status is Status.INCOMPLETE
    assert report.trouble is not None
    assert f"session {session} has had the table in use" in report.trouble.message
    assert log.everything() == before
    assert not list((log.folder / "archive").rglob("*.parquet"))

    assert log.run().records == 40


def test_writers_that_wait_for_the_partition_end_the_drop(disturbed: Ground) -> None:
    """Who has the table and waits for the partition would wait for ever: the drop gives way at once."""
    began: list[float] = []

    def block(_: object) -> None:
        began.append(time.monotonic())
        thread.start()
        held.wait(10)

    held = threading.Event()

    def update() -> None:
        with disturbed.connected(autocommit=False) as writer:
            writer.execute("LOCK TABLE ONLY log IN ROW EXCLUSIVE MODE")
            held.set()
            with disturbed.connected() as looker:
                waits = (
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'log_2025_01'::regclass AND granted "
                    "AND mode = 'ShareRowExclusiveLock')"
                )
                await_condition(lambda: bool(looker.execute(waits).fetchall()[0][0]), "the drop's lock", pause=0)
            writer.execute("UPDATE log SET body = body")  # all partitions, as a statement that names no time does
            began.append(time.monotonic())

    thread = threading.Thread(target=update)
    DisturbedStore.before_commit[:] = [block]
    before = disturbed.everything()

    report = disturbed.run()
    thread.join()

    assert began[1] - began[0] < 1.5
    assert report.status is Status.DONE
    assert disturbed.everything() == before
    disturbed.check()


def test_a_waived_partition_is_counted_under_the_lock(disturbed: Ground) -> None:
    """Nothing is read; a row that came late is counted, and one that is kept keeps the partition."""
    disturbed.policy(archive="none", dataset="tenant: tenant",
                     top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n")  # fmt: skip
    DisturbedStore.before_commit[:] = [
        lambda _: disturbed.execute("INSERT INTO log VALUES (998, '2025-01-03', 'late', 'x')"),
        lambda _: disturbed.execute("INSERT INTO log VALUES (999, '2025-02-03', 'held', 'x')"),
    ]

    report = disturbed.run()

    assert (report.status, report.waived) == (Status.DONE, 41)
    assert disturbed.keys() == [1, 999]
    assert disturbed.methods() == {"partition drop": 31, "row delete": 10}
    assert tables(disturbed) == ["log_2025_02", "log_new"]
    disturbed.check()


def test_one_row_that_is_held_or_doubtful_keeps_its_partition(log: Ground) -> None:
    """The others of it go row by row."""
    log.policy(
        dataset="tenant: tenant\nrequire: [tenant]",
        top="holds:\n  - {matter: M-1, match: {dataset: log, tenant: held}, reason: x}\n",
    )
    log.execute(
        "INSERT INTO log VALUES (201, '2025-02-20', 'held', 'x'), (301, '2025-03-20', NULL, 'x')",
    )
    planned = notes(log)

    log.run()

    assert tables(log) == ["log_2025_02", "log_2025_03", "log_new"]
    assert log.methods() == {"partition drop": 20, "row delete": 20}
    assert log.keys() == [1, 201, 301]
    assert "since not everything in it has lapsed: public.log_2025_02, public.log_2025_03" in planned


def test_a_budget_of_rows_drops_nothing(log: Ground) -> None:
    """A run that may remove so many rows and no more removes them one by one."""
    assert log.run(rows=15).records == 15

    assert log.methods() == {"row delete": 15}
    assert len(tables(log)) == 5


def test_a_partition_of_two_destinations_goes_when_only_one_is_left(log: Ground) -> None:
    """A segment goes to the archives of one rule only: the rows of the other rule go before."""
    log.policy(dataset="type: body", keep="[{type: x, for: 90 days, archive: none}, {for: 90 days}]")

    report = log.run()

    assert (report.records, report.waived) == (40, 4)
    assert log.methods() == {"row delete": 4, "partition drop": 36}


def test_a_short_statement_timeout_is_respected(log: Ground) -> None:
    """A partition is read in short statements, whatever its size."""
    log.execute(
        "INSERT INTO log SELECT 1000 + n, '2025-02-05', 'a', repeat('x', 100) FROM generate_series(1, 60000) n",
        "CREATE ROLE hasty LOGIN SUPERUSER",
        "ALTER ROLE hasty SET statement_timeout = 400",
    )
    try:
        log.policy(store=log.url.replace("postgres@", "hasty@"))
        report = log.run()
    finally:
        log.execute("DROP OWNED BY hasty", "DROP ROLE hasty")

    assert (report.status, report.records) == (Status.DONE, 60_040)
    assert log.methods() == {"partition drop": 60_040}


def _killed(ground: Ground) -> int:
    """Run in a process of its own; how it ended."""
    child = os.fork()
    if child == 0:
        try:
            ground.run()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_kill_between_seal_and_drop_leaves_the_partition(disturbed: Ground) -> None:
    """What was sealed is cleared by the next run, which drops the partition."""
    before = disturbed.everything()
    DisturbedStore.before_commit[:] = [lambda _: None, lambda _: os.kill(os.getpid(), signal.SIGKILL)]

    assert _killed(disturbed) == -signal.SIGKILL
    assert tables(disturbed) == ["log_2025_02", "log_2025_03", "log_2025_04", "log_new"]
    assert disturbed.everything() == before
    DisturbedStore.before_commit.clear()
    report = disturbed.run()

    assert (report.status, report.records, report.cleared) == (Status.DONE, 30, 1)
    assert disturbed.everything() == before
    disturbed.check()


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "pledged"])
@pytest.mark.parametrize("moment", list(Cut))
def test_a_connection_lost_in_the_commit_is_found_out_about(log: Ground, moment: Cut, marked: bool) -> None:
    """Whether the drop came about is asked of the marker, or of the server where no marker may be left."""
    before = log.everything()
    if not marked:
        log.execute("CREATE ROLE mute LOGIN", "ALTER TABLE log OWNER TO mute",
                    *(f"ALTER TABLE {name} OWNER TO mute" for name in tables(log)),
                    "GRANT USAGE ON SCHEMA public TO mute")  # fmt: skip
    try:
        with Proxy(log.url if marked else log.url.replace("postgres@", "mute@")) as proxy:
            log.policy(store=proxy.url)
            proxy.cut(moment, since=b"DETACH PARTITION")
            lost = log.run()
            if moment is Cut.LATE:
                proxy.deliver()
            found = log.run()
        assert proxy.has_cut
        assert lost.status is Status.INCOMPLETE
        assert found.status is Status.DONE
        assert lost.records + found.records == (40 if moment is Cut.BEFORE else 30)
        assert found.recovered == (0 if moment is Cut.BEFORE else 1)
        assert log.everything() == before
        assert log.keys() == [1]
        log.check()
    finally:
        if not marked:
            log.execute("REASSIGN OWNED BY mute TO postgres", "DROP OWNED BY mute", "DROP ROLE mute")
