"""Holds that lie in PostgreSQL: added on one host, respected by the runs of every other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import psycopg
import pytest
from pg_disturbed import DisturbedStore
from pg_ground import months

from hosts import Host
from lapse import registry
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, run
from lapse.errors import HoldsError, UsageError
from lapse.ports import Slice
from lapse.stores.postgresql import holding, taking
from shared_holds import HELD, SharedHolds, Step

LOG = "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz, tenant text, level int)"
ROWS = (
    "INSERT INTO log SELECT n, '2025-01-01'::timestamptz + n * interval '1 day', "
    "CASE WHEN n % 3 = 0 THEN 'held' ELSE 'acme' END, n FROM generate_series(1, 30) n"
)
PARTED = "CREATE TABLE log (id bigint, at timestamptz NOT NULL, tenant text, body text) PARTITION BY RANGE (at)"
NEW = "CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-10-01') TO ('2027-01-01')"
FRESH = "INSERT INTO log VALUES (1, '2026-10-20', 'acme', 'new')"
MARK = "UPDATE log SET tenant = 'held' WHERE id = 205"
CHILD = "CREATE TABLE part (id int PRIMARY KEY, log int REFERENCES log ON DELETE CASCADE, at timestamptz, tenant text)"
CHILDREN = "INSERT INTO part SELECT 100 + id, id, at, CASE WHEN id = 5 THEN 'held' ELSE 'acme' END FROM log"


@dataclass(frozen=True)
class Database:
    """A database, seen by another program."""

    url: str

    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = None
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return [] if cursor is None or cursor.description is None else cursor.fetchall()

    def ids(self, table: str = "log") -> set[int]:
        """The keys that a table has."""
        return {key for (key,) in self.execute(f"SELECT id FROM {table}")}


@pytest.fixture
def database(pg_database: str) -> Database:
    """What the hosts share."""
    return Database(pg_database)


@pytest.fixture
def here(pg_database: str, tmp_path: Path) -> Host:
    """A host; there is no table yet."""
    return Host(folder=tmp_path / "here", url=pg_database).policy()


@pytest.fixture
def there(here: Host, tmp_path: Path) -> Host:
    """Another host, which calls the table otherwise."""
    return Host(folder=tmp_path / "there", url=here.url, dataset="calls").policy()


@pytest.fixture
def log(database: Database) -> None:
    """Thirty lapsed rows, every third of a tenant called ``held``."""
    database.execute(LOG, ROWS)


@pytest.fixture
def parted(here: Host, database: Database) -> Host:
    """A host on four partitions of ten lapsed rows each, one of them of the tenant ``held``, and one that is kept."""
    database.execute(PARTED, *months(1, 4), NEW, FRESH, MARK)
    return here


@pytest.fixture
def family(log: None, database: Database) -> None:
    """A child of each row."""
    database.execute(CHILD, CHILDREN)


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[Slice], object]]]:
    """What happens right before commits, one each."""
    monkeypatch.setitem(registry.STORES, "postgresql", "pg_disturbed")
    DisturbedStore.before_commit.clear()
    yield DisturbedStore.before_commit
    DisturbedStore.before_commit.clear()


class TestHolds(SharedHolds):
    """What holds in a database promise."""

    holding: ClassVar[ModuleType] = holding
    taking: ClassVar[ModuleType] = taking
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def _as_role(host: Host, database: Database, *grants: str) -> str:
    """The address of the database for a role that may read and delete, and what *grants* say."""
    role = "r" + host.url.rpartition("/")[2].partition("?")[0]
    database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", f"CREATE ROLE {role} LOGIN")
    database.execute(f"GRANT SELECT, DELETE, UPDATE ON log TO {role}", *(grant.format(role=role) for grant in grants))
    return host.url.replace("postgresql://postgres@", f"postgresql://{role}@").replace("user=postgres", f"user={role}")


@pytest.mark.usefixtures("log")
def test_a_hold_by_another_key_than_this_policy_s_holds_everything(here: Host, there: Host, database: Database) -> None:
    """It cannot be told which rows are meant."""
    here.policy(dataset="key: level")
    here.hold(dataset="log", keys=("1",))

    there.run()

    assert database.ids() == set(range(1, 31))


@pytest.mark.usefixtures("log")
def test_a_hold_that_is_there_already_is_not_taken_for_news(
    here: Host, database: Database, meddled: list[Step]
) -> None:
    """No slice is put back for a hold of this host that the run itself put there."""
    here.hold()
    database.execute("DROP TABLE lapse_holds")
    events: list[str] = []
    session = here.session()

    class Watching:
        def on(self, event: Any) -> None:
            events.append(event.name)

    run(replace(session, hooks=(Watching(),)), Wishes(allow_empty=True))

    assert "slice.put_back" not in events
    assert database.ids() == HELD


@pytest.mark.usefixtures("log")
def test_a_hold_can_be_released_where_it_was_not_added(here: Host, there: Host, database: Database) -> None:
    """Where its file lies it is still in force, and the next run there puts it back."""
    here.hold()
    there.release()
    assert there.listed() == []

    here.run()

    assert database.ids() == HELD
    assert there.listed() == [("M-1", ("calls",), False)]


@pytest.mark.usefixtures("log")
def test_a_release_that_cannot_reach_the_database_releases_nothing(here: Host) -> None:
    """Else the runs of other hosts would go on to respect what this one calls released."""
    here.hold()
    here.policy(url="postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(HoldsError, match="hold M-1 is still in force: dataset log"):
        here.release()

    assert [hold.matter for hold in here.session().holds()] == ["M-1"]
    here.release(here_only=True)
    assert here.session().holds() == ()


@pytest.mark.usefixtures("log")
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


@pytest.mark.usefixtures("log")
def test_another_hold_of_the_same_matter_is_refused(here: Host) -> None:
    """Only the very same one is taken for a repetition."""
    here.hold()

    with pytest.raises(UsageError, match="there is a hold M-1 already"):
        here.hold(dataset="log", keys=("1",))


@pytest.mark.usefixtures("log")
def test_a_role_that_may_not_make_the_table_is_told_what_to_do(here: Host, there: Host, database: Database) -> None:
    """Without the table one host may work alone, if that is said."""
    url = _as_role(here, database)
    assert url != here.url
    here.policy(url=url)

    with pytest.raises(HoldsError, match="may not put holds into lapse_holds"):
        here.hold()
    here.hold(here_only=True)
    here.run()

    assert database.ids() == HELD


@pytest.mark.usefixtures("log")
def test_a_role_that_may_not_read_the_holds_removes_nothing(here: Host, there: Host, database: Database) -> None:
    """Holds that cannot be read are not no holds."""
    here.hold()
    there.policy(url=_as_role(here, database))

    with pytest.raises(HoldsError, match="may not read the holds"):
        there.run()

    assert database.ids() == set(range(1, 31))


@pytest.mark.usefixtures("log")
def test_holds_are_found_wherever_in_the_database_they_lie(here: Host, there: Host, database: Database) -> None:
    """What a hold is in does not depend on a search path."""
    here.hold()
    database.execute("CREATE SCHEMA aside", "ALTER TABLE lapse_holds SET SCHEMA aside")

    there.run()

    assert database.ids() == HELD


@pytest.mark.usefixtures("log")
def test_a_table_of_that_name_that_is_another_stops_the_run(here: Host, there: Host, database: Database) -> None:
    """Whoever made it, it cannot be read as holds."""
    database.execute("CREATE TABLE lapse_holds (id int)")

    with pytest.raises(Exception, match=r"relation|matter|column"):
        there.run()

    assert database.ids() == set(range(1, 31))


@pytest.mark.usefixtures("log")
def test_the_table_of_holds_is_no_dataset(here: Host) -> None:
    """Nothing is removed from it by a rule."""
    here.hold()
    here.policy(table="lapse_holds", dataset="type: matter")

    with pytest.raises(Exception, match=r"lapse_holds is not a table of records|no column"):
        here.run()


@pytest.mark.parametrize(("posted", "running"), [("log", "log_2025_02"), ("log_2025_02", "log")])
def test_a_hold_on_a_table_holds_its_partitions_and_the_other_way_round(
    parted: Host, there: Host, database: Database, posted: str, running: str
) -> None:
    """A policy may name a partition as a dataset of its own."""
    parted.policy(table=posted)
    there.policy(table=running)
    parted.hold()

    there.run()

    assert 205 in database.ids()


@pytest.mark.usefixtures("log")
def test_the_same_hold_of_two_hosts_is_one(here: Host, there: Host, database: Database) -> None:
    """It is told by what it says."""
    here.hold()
    there.hold()

    assert len(database.execute("SELECT * FROM lapse_holds")) == 1
    assert there.listed() == [("M-1", ("calls",), True)]


@pytest.mark.usefixtures("log")
def test_adding_gives_up_where_somebody_keeps_the_lock(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that never ends does not hang the command; the hold is in force here and the command says where not."""
    monkeypatch.setattr(holding, "_WAIT", "100ms")
    with psycopg.connect(here.url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (holding._LOCK,))

        with pytest.raises(HoldsError, match="other hosts do not see it"):
            here.hold()

    here.hold()
    assert here.listed() == [("M-1", ("log",), True)]


@pytest.mark.usefixtures("log")
def test_reading_holds_makes_nothing(here: Host, database: Database) -> None:
    """Where nobody added one, there is no table of them."""
    plan(here.session())
    here.run()

    assert database.execute("SELECT to_regclass('lapse_holds') IS NULL") == [(True,)]


@pytest.mark.usefixtures("log")
def test_a_hold_with_ten_thousand_keys_is_read_back_whole(here: Host, there: Host, database: Database) -> None:
    """And respected."""
    here.hold(dataset="log", keys=tuple(map(str, range(20, 10_020))))

    there.run()

    assert database.ids() == set(range(20, 31))
