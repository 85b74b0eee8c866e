"""Partitions of PostgreSQL are set aside amid readers, writers and kills: each row is accounted for, as it was last."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psycopg
import pytest
from pg_aside import crowd, notes
from pg_ground import Ground, months
from pg_partitions import FRESH, LOG, NEW, ground

from lapse.model.report import Status
from lapse.stores.postgresql import dropping
from worlds import sealed_rows

__all__ = ["ground"]

pytestmark = pytest.mark.crash
_KILLS = 2


@contextmanager
def _written(ground: Ground, chance: random.Random) -> Iterator[dict[int, str]]:
    """Somebody inserts old rows and changes others, in the table and in partitions; what every row says in the end."""
    bodies: dict[int, str] = dict(ground.execute("SELECT id, body FROM log"))
    ended, numbers = Event(), itertools.count(10_000)

    def write() -> None:
        with ground.connected() as writer:
            while not ended.wait(chance.uniform(0, 0.25)):
                month = chance.randint(1, 6)
                table, body = chance.choice(["log", f"log_2025_0{month}"]), f"body {chance.random()}"
                try:
                    if chance.random() < 0.5:
                        key = next(numbers)
                        row = (key, f"2025-0{month}-0{chance.randint(1, 9)}", "late", body)
                        changed = writer.execute(f"INSERT INTO {table} VALUES (%s, %s, %s, %s)", row)
                    else:
                        key = 100 * month + chance.randint(0, 9)
                        changed = writer.execute(f"UPDATE {table} SET body = %s WHERE id = %s", (body, key))
                except (psycopg.errors.UndefinedTable, psycopg.errors.CheckViolation):
                    continue  # the partition is gone, or aside
                if changed.rowcount:
                    bodies[key] = body

    thread = Thread(target=write)
    thread.start()
    try:
        yield bodies
    finally:
        ended.set()
        thread.join()


def _run_for(ground: Ground, seconds: float) -> None:
    """Run in a process of its own, which is killed after so long, unless it is done."""
    child = os.fork()
    if child == 0:
        try:
            ground.run()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 120))])
def test_no_row_is_lost_or_archived_twice(ground: Ground, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are killed at random moments while others work; the last one goes through."""
    monkeypatch.setattr(dropping, "_TRIES", 1)
    monkeypatch.setattr(dropping, "_PATIENCE", 0.03)
    ground.execute(LOG.format("timestamptz"), *months(1, 6), NEW, FRESH)
    chance = random.Random(seed)

    with _written(ground, chance) as bodies, crowd(ground):
        for _ in range(_KILLS):
            _run_for(ground, chance.uniform(0.5, 2))
        ground.run()
    last = ground.run()

    archived = list(sealed_rows(ground.folder / "archive", "log", ("id", "body")))
    assert last.status in (Status.DONE, Status.NOTHING)
    assert sorted([*archived, *ground.execute("SELECT id, body FROM log")]) == sorted(bodies.items())
    assert ground.methods()["partition drop"] > 0
    assert notes(ground) == []
    ground.check()
