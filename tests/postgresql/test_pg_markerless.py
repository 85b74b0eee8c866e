"""A role that may not leave markers: the journal has the transaction's number, and the server is asked by it."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pg_runs import Ended, PgWorld, make

from lapse.model.ledger_entry import EntryKind
from lapse.state.journal import unsettled
from lapse.state.journal_record import SliceState
from servers.fixtures import PostgresPool
from servers.postgres import PostgresServer, servers
from servers.proxy import Cut, Proxy

pytestmark = pytest.mark.crash
_ROLE = "guest"
_SINCE = b"DELETE FROM"


@pytest.fixture
def server(request: pytest.FixtureRequest, postgres_pool: PostgresPool) -> PostgresServer:
    """The newest one, unless a test names others."""
    return postgres_pool.get(getattr(request, "param", servers()[-1]))


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """An empty database, and a role that can make nothing in it."""
    url = server.create_database("markerless")
    server.execute(f"CREATE ROLE {_ROLE} LOGIN")
    server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "markerless")
    yield url
    server.drop_database("markerless")
    server.execute(f"DROP ROLE {_ROLE}")


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """Loses the guest's connection."""
    with Proxy(url.replace("postgres@", f"{_ROLE}@")) as proxy:
        yield proxy


@pytest.fixture
def world(url: str, proxy: Proxy, tmp_path: Path) -> PgWorld:
    """Some rows that the guest may remove."""
    world = make(tmp_path / "world", url, records=90, store=proxy.url)
    world.execute(f"GRANT SELECT, DELETE ON log TO {_ROLE}")
    return world


def states(world: PgWorld) -> list[SliceState]:
    """What the journal says of slices that are not settled."""
    return [piece.state for piece in unsettled(world.session().folders.root)]


def notes(world: PgWorld) -> list[str]:
    """Notes in the ledger."""
    return [str(entry.body["note"]) for entry in world.session().ledger.entries() if entry.kind is EntryKind.NOTE]


def assert_unknown(ended: Ended) -> None:
    """The run says that it does not know, and what to do."""
    assert ended.exit == 1, ended
    assert "did not confirm the commit" in ended.dataset["trouble"]["message"], ended
    assert "Run again" in ended.dataset["trouble"]["hint"], ended


@pytest.mark.parametrize("server", servers(), indirect=True)
def test_a_run_without_markers_leaves_none_and_is_complete(world: PgWorld) -> None:
    """Everything lapsed is in the archive and in the ledger, as with markers."""
    original = world.records()

    world.assert_recovered(original)

    assert world.execute("SELECT to_regclass('lapse_disposals')") == [(None,)]
    assert world.archived()


@pytest.mark.parametrize("server", servers(), indirect=True)
def test_a_commit_nobody_heard_of_is_completed_from_the_pledge(world: PgWorld, proxy: Proxy) -> None:
    """The server has committed; the next run asks it, and enters what was pledged."""
    original = world.records()
    proxy.cut(Cut.AFTER, since=_SINCE)
    assert_unknown(world.lapse("run", "--json").end())
    assert proxy.has_cut
    assert states(world) == [SliceState.COMMITTING]
    gone = original - world.records()
    assert gone
    assert world.archived() == Counter()

    facts = world.assert_recovered(original)

    assert world.archived() == gone
    assert states(world) == [], facts


def test_a_commit_that_never_arrived_is_cleared(world: PgWorld, proxy: Proxy) -> None:
    """The server has undone it; the segment goes, and the rows go to another one."""
    original = world.records()
    proxy.cut(Cut.BEFORE, since=_SINCE)
    assert_unknown(world.lapse("run", "--json").end())
    world.alone()
    assert world.records() == original

    ended = world.lapse("run", "--json").end()

    assert ended.exit == 0, ended
    assert ended.dataset["cleared"] == 1
    assert ended.dataset["recovered"] == 0
    world.assert_recovered(original)


def test_a_commit_that_arrives_late_is_waited_for(world: PgWorld, proxy: Proxy) -> None:
    """As long as its session is there nothing is decided; afterwards it has committed, and is completed."""
    original = world.records()
    proxy.cut(Cut.LATE, since=_SINCE)
    assert_unknown(world.lapse("run", "--json").end())

    during = world.lapse("run", "--json").end()
    assert during.exit == 4, during
    assert states(world) == [SliceState.COMMITTING]
    proxy.deliver()
    world.alone()

    assert world.records() != original
    world.assert_recovered(original)


@pytest.mark.parametrize("when", ["before commit", "after commit", "after pledge"])
def test_a_run_killed_around_its_commit_is_completed_or_cleared(world: PgWorld, when: str) -> None:
    """SIGKILL between the pledge and the ledger."""
    original = world.records()
    name = {"before commit": "commit", "after commit": "commit", "after pledge": "pledge"}[when]
    before = f"""
import os, signal
from lapse.stores.postgresql.taking import PostgresTake
real = PostgresTake.{name}
def dying(self, proof):
    if {when!r}.startswith("after"):
        real(self, proof)
    os.kill(os.getpid(), signal.SIGKILL)
PostgresTake.{name} = dying
"""
    assert world.start(20, before=before).end().exit == -signal.SIGKILL
    world.alone()
    assert (world.records() != original) == (when == "after commit")

    world.assert_recovered(original)


@pytest.mark.parametrize("others", [0, 5], ids=["idle", "others"])
def test_a_server_that_dies_before_the_commit_gives_its_number_to_nobody_else(
    world: PgWorld, proxy: Proxy, server: PostgresServer, others: int
) -> None:
    """A number that the server's log does not have yet would be given out again after the crash, and commit."""
    original = world.records()
    world.execute("CREATE TABLE other (id int)")
    world.execute("CHECKPOINT")
    proxy.cut(Cut.BEFORE, since=_SINCE, then=server.crash)
    assert world.lapse("run", "--json").end().exit == 1
    assert proxy.has_cut
    world.back()
    assert world.records() == original
    for number in range(others):
        world.execute(f"INSERT INTO other VALUES ({number})")

    world.assert_recovered(original)


def test_a_number_that_the_server_has_forgotten_keeps_the_segment_and_says_so(world: PgWorld, proxy: Proxy) -> None:
    """Neither committed nor undone is claimed; the segment stays as it was sealed, and the ledger notes why."""
    original = world.records()
    proxy.cut(Cut.AFTER, since=_SINCE)
    assert_unknown(world.lapse("run", "--json").end())
    (journal,) = (world.folder / "state" / "journal").glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if "pledge" in line:
            line["pledge"]["transaction"] = "3"  # the first there ever was
    world.execute("VACUUM (FREEZE)")
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    gone = original - world.records()

    ended = world.lapse("run", "--json").end()

    assert ended.exit == 0, ended
    assert any("no longer knows what became of its transaction" in note for note in notes(world))
    assert not world.archived() & gone
    listed = world.lapse("archive", "list", "--include-prepared", "--json").end()
    states_listed = [segment["state"] for segment in json.loads(listed.out)["result"]["segments"]]
    assert "prepared" in states_listed, listed


def test_another_server_is_not_asked(world: PgWorld, proxy: Proxy) -> None:
    """A pledge names its server: the number means nothing elsewhere."""
    proxy.cut(Cut.AFTER, since=_SINCE)
    assert_unknown(world.lapse("run", "--json").end())
    (journal,) = (world.folder / "state" / "journal").glob("*.jsonl")
    text = journal.read_text()
    (pledge,) = [json.loads(line)["pledge"] for line in text.splitlines() if "pledge" in line]
    journal.write_text(text.replace(f'"{pledge["system"]}"', '"7000000000000000000"'))

    ended = world.lapse("run", "--json").end()

    assert ended.exit == 0, ended
    assert any("no longer knows what became of its transaction" in note for note in notes(world))


def test_a_replica_that_takes_over_without_the_commit_is_not_believed(postgres_folder: Path, tmp_path: Path) -> None:
    """It is the same server by its number, and gives the transaction's number to somebody else, who commits."""
    with PostgresServer.start(servers()[-1], postgres_folder / "a") as server:
        url = server.create_database("shop")
        with server.replica(postgres_folder / "b") as replica, Proxy(url) as proxy:
            store = proxy.url.replace("postgres@", f"{_ROLE}@")
            world = make(tmp_path / "world", url, records=90, store=store, pace="{max lag: none}")
            for statement in (
                f"CREATE ROLE {_ROLE} LOGIN",
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
                f"GRANT SELECT, DELETE ON log TO {_ROLE}",
                "CREATE TABLE other (id int)",
            ):
                world.execute(statement)
            original = world.records()
            replica.catch_up(server)
            replica.stop()
            proxy.cut(Cut.AFTER, since=_SINCE)
            assert_unknown(world.lapse("run", "--json").end())
            server.stop("immediate")
            replica.restart()
            assert replica.execute("SELECT pg_promote()") == [(True,)]
            world = replace(world, url=replica.url("shop"))
            proxy._server = ("127.0.0.1", replica.port)  # the address moves
            for number in range(5):
                world.execute(f"INSERT INTO other VALUES ({number})")
            assert world.records() == original

            ended = world.lapse("run", "--json").end()

            assert ended.exit == 0, ended
            assert ended.dataset["recovered"] == 0
            assert any("no longer knows what became of its transaction" in note for note in notes(world))
            assert world.records() + world.archived() == original
            assert world.ledger_records() == world.archived().total()
