"""What a table of MariaDB is known by, refused for and noted for, and what `lapse init` finds of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mysql_opened import identity_of, opened, statements, world
from mysql_worlds import MysqlWorld

from lapse.errors import GuardError, LapseError, StoreMissingError, UnsupportedError, UsageError
from lapse.instant import SECOND, Nanos
from lapse.stores.mysql import MysqlStore
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, judged, rule

__all__ = ["world"]

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
