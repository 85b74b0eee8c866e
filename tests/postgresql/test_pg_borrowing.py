"""Columns of another table, named by a foreign key: ``call_id.at`` is the time of the call that a row belongs to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from pg_looking import as_role, connected
from pg_runs import PgWorld
from typer.testing import CliRunner, Result

from lapse.cli.main import app
from lapse.errors import StoreError, StoreMissingError, UnsupportedError
from lapse.model.disposal import Facts, Owner
from lapse.model.policy import Dataset
from lapse.model.report import DatasetReport, Status
from lapse.ports import Budget
from lapse.stores.postgresql import PostgresStore
from lapse.stores.postgresql.borrowing import with_borrowed
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.partitions import inventory
from lapse.stores.postgresql.places import leaves
from servers.processes import await_condition

_POLICY = """\
version: 1
archives:
  cold: {{to: archive}}
datasets:
  recordings:
    store: {store}
    table: recording
    time: {time}
    tenant: call_id.tenant
    archive: {archive}
    pace: {{rest: none}}
    keep:
      - {{tenant: quick, for: 10 days}}
      - {{for: 90 days}}
holds:
  - {{matter: M-1, match: {{tenant: held}}, reason: litigation}}
"""
_TABLES = """
CREATE TABLE call (id bigserial PRIMARY KEY, at timestamptz, tenant text);
CREATE TABLE recording (id bigserial PRIMARY KEY, call_id bigint REFERENCES call ON DELETE CASCADE, body text);
INSERT INTO call (id, at, tenant) VALUES (0, '2026-10-31', 'kept');
INSERT INTO recording (call_id, body) VALUES (0, 'kept');
"""
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lapse' AND wait_event_type = 'Lock'"


@dataclass(frozen=True)
class Recordings(PgWorld):
    """Recordings, whose time and tenant are those of their calls. It is 2026-11-01."""

    def policy(self, *, archive: str = "cold", time: str = "call_id.at", store: str = "") -> None:
        """Write the policy."""
        text = _POLICY.format(store=store or self.url, archive=archive, time=time)
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")

    def call(self, body: str, at: str | None, tenant: str | None = "a") -> None:
        """A call with one recording."""
        with psycopg.connect(self.url) as session:
            session.execute(
                "WITH made AS (INSERT INTO call (at, tenant) VALUES (%s, %s) RETURNING id) "
                "INSERT INTO recording (call_id, body) SELECT id, %s FROM made",
                (at, tenant, body),
            )

    def left(self) -> set[str]:
        """What is left, but for the one that is always kept."""
        return {str(body) for (body,) in self.execute("SELECT body FROM recording WHERE body <> 'kept'")}

    def purge(self) -> DatasetReport:
        """Run, and say what became of the recordings."""
        (report,) = self.run().datasets
        return report

    def call_lapse(self, *arguments: str) -> Result:
        """Call the program."""
        policy = str(self.folder / "lapse.yaml")
        return CliRunner().invoke(app, [*arguments, "--policy", policy], env=self.settings())

    def store(self, time: str = "call_id.at", **changes: str) -> PostgresStore:
        """The store of a dataset on the table."""
        dataset = Dataset(name="r", store=self.url, shown=self.url, table="recording", time=time, **changes)  # type: ignore[arg-type]
        return PostgresStore(dataset, read_only=True)


@pytest.fixture
def world(pg_database: str, tmp_path: Path) -> Recordings:
    """A call of yesterday, on each version of the server in turn."""
    made = Recordings(tmp_path, "postgresql", pg_database)
    made.data.mkdir()
    made.execute(_TABLES)
    made.policy()
    return made


@pytest.mark.parametrize("archive", ["cold", "none"])
def test_a_row_goes_by_the_time_and_tenant_of_the_row_that_it_points_at(world: Recordings, archive: str) -> None:
    """Under the first rule that matches the tenant; what points nowhere has no time, and is doubtful; holds count."""
    world.policy(archive=archive)
    world.call("old", "2026-06-01")
    world.call("young", "2026-10-01")
    world.call("quick", "2026-10-01", "quick")
    world.call("held", "2020-01-01", "held")
    world.call("timeless", None)
    world.call("infinite", "-infinity")
    world.execute("ALTER TABLE recording DROP CONSTRAINT recording_call_id_fkey")
    world.execute("INSERT INTO recording (call_id, body) VALUES (NULL, 'alone'), (4711, 'dangling')")
    world.execute("ALTER TABLE recording ADD FOREIGN KEY (call_id) REFERENCES call NOT VALID")

    report = world.purge()

    assert (report.status, report.records) == (Status.DONE, 2)
    assert world.left() == {"young", "held", "timeless", "infinite", "alone", "dangling"}
    assert report.plan is not None
    reasons = [group.outcome.reason for group in report.plan.groups for _ in range(group.tally.records)]
    assert reasons.count("no readable time") == 4
    assert reasons.count("hold M-1") == 1
    assert {group.tally.tenant for group in report.plan.groups} >= {"quick", "held", "a", None}
    if archive == "cold":
        bodies = world.archived_of("recording", ("body",))
        assert bodies.total() == 2


def test_the_policy_is_checked_planned_and_explained(world: Recordings) -> None:
    """`lapse check` accepts such names, the plan says where they lead, and `why` shows what it found there."""
    world.call("old", "2026-06-01")

    assert world.call_lapse("check").exit_code == 0
    plan = world.call_lapse("plan").stdout
    assert "call_id.at is taken from call" in plan
    assert "serves call_id.at" not in plan
    why = world.call_lapse("why", "recordings", "2")
    assert why.exit_code == 0, why.output
    assert "call_id.tenant" in why.stdout


def _meanwhile(world: Recordings, change: str) -> DatasetReport:
    """The report of a run that begins while *change* is not committed yet, and waits for it."""
    found: list[DatasetReport] = []
    with psycopg.connect(world.url) as session:
        session.execute(change.encode())
        run = threading.Thread(target=lambda: found.append(world.purge()))
        run.start()
        await_condition(lambda: world.execute(_WAITING)[0][0] > 0, "a run that waits for the call")
        session.commit()
    run.join()
    return found[0]


@pytest.mark.parametrize("archive", ["cold", "none"])
@pytest.mark.parametrize(
    "change", ["UPDATE call SET at = '2026-10-30' WHERE id = 1", "UPDATE call SET tenant = 'held' WHERE id = 1"]
)
def test_a_call_that_changes_while_its_recording_goes_keeps_it(world: Recordings, archive: str, change: str) -> None:
    """Whoever comes first is waited for, and what is decided then is decided by what the call has become."""
    world.policy(archive=archive)
    world.call("changed", "2026-06-01")
    world.call("old", "2026-06-01")

    report = _meanwhile(world, change)

    assert (report.status, report.records) == (Status.DONE, 1)
    assert world.left() == {"changed"}
    assert world.archived_of("recording", ("body",)).total() == (archive == "cold")


def test_a_call_cannot_change_while_its_recording_is_sealed(world: Recordings) -> None:
    """From the moment that the recording is handed over until the commit; after a rollback it can."""
    world.call("old", "2026-06-01")

    def change() -> bool:
        try:
            with psycopg.connect(world.url, autocommit=True, options="-c lock_timeout=100ms") as session:
                session.execute("UPDATE call SET at = now() WHERE id = 1")
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    session = world.session()
    (dataset,) = session.datasets(())
    selection = session.selection(dataset, ())
    facts = Facts(owner=Owner(ledger="l", run="r"), fingerprint="f", policy="p", now=session.now, rules_digest="d",
                  rules={}, cutoffs={})  # fmt: skip
    store = PostgresStore(dataset, read_only=False)
    (piece,) = store.slices(selection, facts, Budget())
    with store.take(piece) as taken:
        rows = [batch for part in taken.parts() for batch in part.batches]
        assert len(rows) == 1
        assert not change()
    assert change()
    store.close()


def test_the_fingerprint_tells_where_a_column_is_borrowed(world: Recordings) -> None:
    """Another table behind the key, or another type there, is another store to a policy; a new row is none."""

    def fingerprint() -> str:
        store = world.store(tenant="call_id.tenant")
        try:
            return store.identity().fingerprint.text
        finally:
            store.close()

    first = fingerprint()
    world.call("more", "2026-06-01")
    assert fingerprint() == first
    world.execute("ALTER TABLE call ALTER tenant TYPE varchar(80)")
    second = fingerprint()
    world.execute("ALTER TABLE recording DROP CONSTRAINT recording_call_id_fkey")
    world.execute("CREATE TABLE other (id bigint PRIMARY KEY, at timestamptz, tenant varchar(80))")
    world.execute("INSERT INTO other SELECT id, at, tenant FROM call")
    world.execute("ALTER TABLE recording ADD FOREIGN KEY (call_id) REFERENCES other")
    assert len({first, second, fingerprint()}) == 3


def test_what_the_role_must_be_allowed_is_said(world: Recordings) -> None:
    """To read the calls, and to lock them: SELECT and UPDATE, and UPDATE on the table itself."""
    world.call("old", "2026-06-01")
    world.execute("DROP ROLE IF EXISTS borrower; CREATE ROLE borrower LOGIN; GRANT ALL ON SCHEMA public TO borrower")
    world.execute("GRANT SELECT, DELETE ON recording TO borrower")
    world.policy(store=as_role(world.url, "borrower"))
    try:
        with pytest.raises(StoreError, match="may not read call") as caught:
            world.run()
        assert "GRANT SELECT ON call TO" in str(caught.value.hint)

        world.execute("GRANT SELECT ON call TO borrower")
        with pytest.raises(UnsupportedError, match=r"may not lock rows of call, recording, .* GRANT UPDATE ON call"):
            world.run()

        world.execute("GRANT UPDATE (body) ON recording TO borrower; GRANT UPDATE (tenant) ON call TO borrower")
        assert world.purge().records == 1
    finally:
        world.execute("DROP OWNED BY borrower; DROP ROLE borrower")


def test_rows_that_inherit_from_the_other_table_are_none_of_it(world: Recordings) -> None:
    """A foreign key does not see them either: their keys may be the same."""
    world.call("old", "2026-06-01")
    world.execute("CREATE TABLE copy () INHERITS (call)")
    world.execute("INSERT INTO copy SELECT id, now(), tenant FROM call")

    assert world.purge().records == 1
    assert world.left() == set()


def test_the_other_table_may_be_partitioned(world: Recordings) -> None:
    """It is asked through its root, whichever partition the row is in."""
    world.execute("DROP TABLE recording, call")
    world.execute("CREATE TABLE call (id bigint PRIMARY KEY, at bigint, tenant text) PARTITION BY RANGE (id)")
    world.execute("CREATE TABLE call_1 PARTITION OF call FOR VALUES FROM (0) TO (3)")
    world.execute("CREATE TABLE call_2 PARTITION OF call FOR VALUES FROM (3) TO (9)")
    world.execute("CREATE TABLE recording (id bigint PRIMARY KEY, call_id int REFERENCES call, body text)")
    times = {0: "2026-10-31", 1: "2026-06-01", 2: "2026-10-30", 3: "2026-06-01", 4: "2026-10-30"}
    for key, at in times.items():
        milliseconds = f"extract(epoch FROM timestamptz '{at}') * 1000"
        world.execute(f"INSERT INTO call VALUES ({key}, {milliseconds}, 'a')")
        world.execute(f"INSERT INTO recording VALUES ({key}, {key}, '{key}')")

    assert world.purge().records == 2
    assert world.left() == {"0", "2", "4"}


@pytest.mark.parametrize(
    ("change", "time", "error", "words"),
    [
        ("", "call_id.att", StoreMissingError, "table call has no column 'att'"),
        ("", "body.at", StoreMissingError, "table recording has no column 'body.at'"),
        ("ALTER TABLE recording DROP CONSTRAINT recording_call_id_fkey", "call_id.at", StoreMissingError, "no column"),
        (
            ("CREATE TABLE other (id bigint PRIMARY KEY, at timestamptz); INSERT INTO other VALUES (0);"
            "ALTER TABLE recording ADD FOREIGN KEY (call_id) REFERENCES other"),
            "call_id.at", UnsupportedError, "several tables: call, other",
        ),
        (
            "ALTER TABLE recording ADD COLUMN first bigint REFERENCES recording, ADD COLUMN at timestamptz",
            "first.at", UnsupportedError, "other rows of table recording itself",
        ),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_or_to_two_places_is_refused(
    world: Recordings, change: str, time: str, error: type[Exception], words: str
) -> None:
    """Nothing is guessed; the hint names what there is."""
    if change:
        world.execute(change)
    store = world.store(time)
    try:
        with pytest.raises(error, match=words):
            store.identity()
    finally:
        store.close()


def test_a_column_of_that_very_name_is_the_table_s_own(world: Recordings) -> None:
    """A name may have a dot; what the table has itself comes first."""
    world.execute('ALTER TABLE recording ADD COLUMN "call_id.at" timestamptz')
    store = world.store()
    try:
        assert not [note for note in store.identity().notes if "taken from" in note]
    finally:
        store.close()


def test_a_partition_whose_rows_are_decided_elsewhere_is_not_dropped(world: Recordings) -> None:
    """Its rows go one by one, each with what decides about it locked."""
    world.execute(
        "CREATE TABLE log (at timestamptz, call_id bigint REFERENCES call) PARTITION BY RANGE (at);"
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2025-02-01')"
    )
    with connected(world.url) as connection:
        table = find_table(connection, "log")
        assert len(inventory(connection, table, leaves(connection, table), "at").partitions) == 1
        lent = with_borrowed(connection, table, ["call_id.tenant"])
        found = inventory(connection, lent, leaves(connection, lent), "at")

    assert found.partitions == ()
    assert found.obstacle is not None
    assert "call_id.tenant" in found.obstacle
