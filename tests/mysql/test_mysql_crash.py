"""A run that is killed at any moment: the next one recovers, and store and archive together are the original."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matrix import Bomb, arm, assert_whole, check, crash, in_child, told_in_child

from lapse.stores.mysql import MysqlStore
from lapse.stores.mysql.connection import Connection
from servers.mariadb import MariadbServer
from servers.processes import await_condition
from worlds import _POLICY, World, _rows

RECORDS = 100
STEP = int(os.environ.get("LAPSE_TEST_CRASH_STEP", "6"))


@dataclass(frozen=True)
class ServerWorld(World):
    """A policy, an archive and Lapse's state, with the records on a server."""

    server: MariadbServer

    def records(self) -> Counter[str]:
        """What the store holds."""
        rows = self.server.execute("SELECT id, at, kind, tenant, body FROM log ORDER BY id", database="shop")
        return Counter(json.dumps(row) for row in rows)


def make(folder: Path, server: MariadbServer) -> ServerWorld:
    """Build a world anew."""
    world = ServerWorld(folder, "mysql", server)
    world.data.mkdir(parents=True)
    server.drop_database("shop")
    server.create_database("shop")
    with server.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, at VARCHAR(40), kind TEXT, tenant TEXT, body TEXT)"
        )
        cursor.executemany("INSERT INTO log (at, kind, tenant, body) VALUES (%s, %s, %s, %s)", _rows(RECORDS))
    store = server.socket_url("shop")
    (folder / "lapse.yaml").write_text(_POLICY.format(store=store, table="    table: log\n", archive="archive"))
    return world


def arm_server(bomb: Bomb) -> None:
    """A moment before and after each call of the run's ports, and around what the server is asked to commit."""
    arm(bomb, MysqlStore)
    bomb.arm(Connection, ("begin", "commit"))


def alone(server: MariadbServer) -> None:
    """Wait until the server has noticed that the killed process is gone, and has undone what it left."""
    others = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'lapse' AND ID <> CONNECTION_ID()"
    await_condition(lambda: server.execute(others)[0][0] == 0, "the killed process's connections to end")


@pytest.mark.crash
def test_a_run_that_is_killed_anywhere_is_completed_by_the_next(mariadb: MariadbServer, tmp_path: Path) -> None:
    """SIGKILL before and after every port call and every transaction's begin and commit, each some apart."""
    answers = tmp_path / "answers.json"
    rehearsal = make(tmp_path / "rehearsal", mariadb)
    assert crash(rehearsal, None, answers, arming=arm_server) == 0
    moments = json.loads(answers.read_text())
    assert any("Connection.commit" in moment for moment in moments)

    for fuse in range(1, len(moments) + 1, STEP):
        folder = tmp_path / f"case-{fuse}"
        world = make(folder, mariadb)
        original = world.records()
        assert crash(world, fuse, answers, arming=arm_server) == -signal.SIGKILL, moments[fuse - 1]
        alone(mariadb)
        facts = checked(world, original, answers)
        assert_whole({"moment": moments[fuse - 1], **facts})


def checked(world: ServerWorld, original: Counter[str], answers: Path) -> dict[str, Any]:
    """What a world looks like after one more run, in a process of its own: the run reads its environment."""
    ended, facts = told_in_child(lambda: check(world, original), answers)
    assert (ended, facts["troubles"]) == (0, [])
    return facts


@pytest.mark.crash
def test_a_server_that_is_killed_at_any_commit_is_completed_by_the_next_run(
    own_mariadb: MariadbServer, tmp_path: Path
) -> None:
    """The server dies just before and just after it has committed a slice; then it recovers from its log."""
    for when in ("before", "after"):
        world = make(tmp_path / when, own_mariadb)
        original = world.records()

        def work(when: str = when, world: ServerWorld = world) -> None:
            commit = Connection.commit

            def dying(self: Connection, what: str) -> None:
                if what.startswith("slice"):
                    if when == "after":
                        commit(self, what)
                    os.kill(own_mariadb.pid, signal.SIGKILL)
                commit(self, what)

            Connection.commit = dying  # type: ignore[method-assign]
            report = world.run()
            assert report.datasets[0].trouble is not None

        assert in_child(work) == 0
        own_mariadb.crash()
        facts = checked(world, original, tmp_path / "answers.json")
        assert_whole({"moment": when, **facts})
