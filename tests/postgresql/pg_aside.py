"""Partitions of PostgreSQL whose lock is never to be had, with somebody else at work while one is set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from pg_ground import Ground

from lapse.errors import BusyError
from lapse.stores.postgresql import aside, dropping
from lapse.stores.postgresql.dropping import PartitionTake
from servers.processes import await_condition

Step = Callable[[], object]

PENDING = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)"


def lock_is_never_to_be_had() -> None:
    """From now on the drop in one transaction fails, in this process, as if others were always at work."""

    def refused(_: PartitionTake) -> None:
        raise BusyError("a lock was not to be had in time")

    taken: Any = PartitionTake
    taken._detach_and_drop = refused
    vars(dropping)["_TRIES"] = 1


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drop in one transaction never gets its locks; nothing is tried for long."""
    monkeypatch.setattr(PartitionTake, "_detach_and_drop", PartitionTake._detach_and_drop)
    monkeypatch.setattr(dropping, "_TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying.TRIES", 1)
    monkeypatch.setattr("lapse.engine.retrying._FIRST_DELAY", 0.01)
    lock_is_never_to_be_had()


@pytest.fixture
def before_detach(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right before partitions are detached, once each."""
    return _around(monkeypatch, after=False)


@pytest.fixture
def while_aside(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What happens right after partitions were detached, once each."""
    return _around(monkeypatch, after=True)


def _around(monkeypatch: pytest.MonkeyPatch, *, after: bool) -> list[Step]:
    steps: list[Step] = []
    detach = aside._detach

    def disturbed(*args: Any) -> None:
        if steps and not after:
            steps.pop(0)()
        detach(*args)
        if steps and after:
            steps.pop(0)()

    monkeypatch.setattr(aside, "_detach", disturbed)
    return steps


@contextmanager
def crowd(ground: Ground) -> Iterator[None]:
    """Somebody reads the table all the time, in short transactions each of which begins before the last one ends."""
    ended, begun = Event(), Event()

    def read() -> None:
        with ground.connected(autocommit=False) as one, ground.connected(autocommit=False) as other:
            while not ended.is_set():
                for reader, last in ((one, other), (other, one)):
                    reader.execute("SELECT count(*) FROM log")
                    begun.set()
                    last.commit()

    thread = Thread(target=read)
    thread.start()
    try:
        assert begun.wait(10)
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def reader_is_waited_for(ground: Ground, then: Step) -> Iterator[Step]:
    """What begins a transaction on the table; when a detachment waits for it, *then* comes, and it ends."""
    with ground.connected(autocommit=False) as reader:

        def watch() -> None:
            await_condition(lambda: bool(ground.execute(PENDING)[0][0]), "the detachment")
            try:
                then()
            finally:
                reader.commit()

        thread = Thread(target=watch)

        def begin() -> None:
            reader.execute("SELECT count(*) FROM log")
            thread.start()

        yield begin
        thread.join()


def anatomy(ground: Ground, table: str) -> dict[str, list[Any]]:
    """All that a partition is beside its rows."""
    asked = {
        "bounds": "SELECT pg_get_expr(relpartbound, oid), reloptions, relacl::text, relreplident, "
        "obj_description(oid, 'pg_class') FROM pg_class WHERE oid = '{}'::regclass",
        "columns": "SELECT attname, attnotnull, attislocal, attinhcount, attidentity, atthasdef FROM pg_attribute "
        "WHERE attrelid = '{}'::regclass AND attnum > 0 ORDER BY attnum",
        "constraints": "SELECT conname, pg_get_constraintdef(oid), conislocal, coninhcount, convalidated, "
        "conparentid <> 0 FROM pg_constraint WHERE conrelid = '{}'::regclass ORDER BY conname",
        "indexes": "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), indisvalid, "
        "h.inhparent::regclass::text FROM pg_index i LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid "
        "WHERE indrelid = '{}'::regclass ORDER BY 1",
        "triggers": "SELECT tgname, tgenabled, tgparentid <> 0, pg_get_triggerdef(oid) FROM pg_trigger "
        "WHERE tgrelid = '{}'::regclass ORDER BY tgname",
        "parent": "SELECT inhparent::regclass::text, inhdetachpending FROM pg_inherits WHERE inhrelid = '{}'::regclass",
    }
    return {what: ground.execute(query.format(table)) for what, query in asked.items()}


def notes(ground: Ground) -> list[str]:
    """The comments of Lapse's own that are left in the database."""
    found = ground.execute(f"SELECT description FROM pg_description WHERE starts_with(description, '{aside.MARK}')")
    return [text for (text,) in found]
