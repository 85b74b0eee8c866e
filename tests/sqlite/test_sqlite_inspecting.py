"""A look around real-looking files proposes what a person would."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_worlds import connected

from lapse.instant import from_datetime
from lapse.model.policy import TimeFormat
from lapse.ports import Inspectable, Sketch
from lapse.stores.sqlite import SqliteStore

START = datetime(2025, 3, 1, tzinfo=UTC)


def moments(count: int) -> Iterator[datetime]:
    """One an hour."""
    return (START + timedelta(hours=n, microseconds=n * 977) for n in range(count))


def look(path: Path) -> list[Sketch]:
    """What the store finds."""
    return list(SqliteStore.inspect(f"sqlite:///{path}"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "app.db"


def test_a_store_can_be_looked_at() -> None:
    """The engine finds out by the port."""
    assert issubclass(SqliteStore, Inspectable)


def test_an_audit_trail_as_django_writes_it(path: Path) -> None:
    """auditlog_logentry beside Django's own tables: time, action and actor, no tenant."""
    with connected(path) as db:
        db.executescript(
            'CREATE TABLE "auth_user" ("id" integer PRIMARY KEY AUTOINCREMENT, "last_login" datetime, "username" '
            'varchar(150) UNIQUE, "date_joined" datetime NOT NULL);'
            'CREATE TABLE "django_content_type" ("id" integer PRIMARY KEY, "app_label" varchar(100), '
            '"model" varchar(100));'
            'CREATE TABLE "auditlog_logentry" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, '
            '"object_pk" varchar(255),'
            '"object_id" bigint NULL, "object_repr" text NOT NULL, "action" smallint unsigned NOT NULL, "changes" text,'
            '"timestamp" datetime NOT NULL, "actor_id" integer NULL REFERENCES "auth_user" ("id"), "content_type_id" '
            'integer NOT NULL, "remote_addr" char(39) NULL, "additional_data" text NULL, "cid" varchar(255) NULL)'
        )
        db.execute("INSERT INTO auth_user VALUES (1, ?, 'ann', ?)", (str(START)[:19], str(START)[:19]))
        db.executemany(
            "INSERT INTO auditlog_logentry "
            "(object_pk, object_repr, action, changes, timestamp, actor_id, content_type_id) "
            "VALUES (?, 'x', ?, ?, ?, ?, 7)",
            [
                (str(n), n % 4, json.dumps({"name": ["a", "b"]}), str(at.replace(tzinfo=None)), n % 3 + 1)
                for n, at in enumerate(moments(300))
            ],
        )

    sketches = look(path)

    first = sketches[0]
    assert (first.table, first.time, first.type, first.actor, first.tenant) == (
        "auditlog_logentry", "timestamp", "action", "actor_id", None,
    )  # fmt: skip
    assert first.time_format is TimeFormat.AUTO
    assert first.records == 300
    assert first.oldest == from_datetime(START)
    assert dict(first.types)["0"] == 0.25
    assert any("UTC" in note for note in first.notes)
    assert any("`$.changes.key`" in note for note in first.notes)
    assert {sketch.table for sketch in sketches} == {"auditlog_logentry", "auth_user", "django_content_type"}
    assert [sketch.table for sketch in sketches if sketch.time is None] == ["django_content_type"]


@pytest.mark.parametrize(
    ("form", "epoch", "program"),
    [(TimeFormat.WEBKIT, 11_644_473_600_000_000, "Chrome"), (TimeFormat.MICROSECONDS, 0, "Firefox")],
)
def test_a_browser_history_explains_its_numbers(path: Path, form: TimeFormat, epoch: int, program: str) -> None:
    """Microseconds since 1601 or 1970, recognised by their size; ids and counts are no times."""
    with connected(path) as db:
        db.execute("CREATE TABLE urls (id INTEGER PRIMARY KEY, url TEXT, title TEXT, visit_count INTEGER)")
        db.execute(
            "CREATE TABLE visits (id INTEGER PRIMARY KEY, url INTEGER NOT NULL, visit_time INTEGER NOT NULL, "
            "from_visit INTEGER, transition INTEGER NOT NULL, visit_duration INTEGER)"
        )
        db.executemany(
            "INSERT INTO visits (url, visit_time, from_visit, transition, visit_duration) VALUES (?, ?, 0, ?, ?)",
            [
                (n, int(at.timestamp() * 1_000_000) + epoch, 805_306_368 + n % 4, n * 1000)
                for n, at in enumerate(moments(100))
            ],
        )

    first = look(path)[0]

    assert (first.table, first.time, first.time_format) == ("visits", "visit_time", form)
    assert any(program in note for note in first.notes)
    assert abs((first.oldest or 0) - from_datetime(START)) < 1_000_000_000


def test_a_call_log_has_a_tenant_and_its_start_is_its_time(path: Path) -> None:
    """Of several times the beginning is taken, and the others are named."""
    with connected(path) as db:
        db.execute(
            "CREATE TABLE cel (id INTEGER PRIMARY KEY, eventtype TEXT, eventtime TEXT, ended_at TEXT, "
            "tenant_uuid TEXT, cid_num TEXT, exten TEXT)"
        )
        db.executemany(
            "INSERT INTO cel (eventtype, eventtime, ended_at, tenant_uuid, cid_num) VALUES (?, ?, ?, ?, ?)",
            [
                (("CHAN_START", "HANGUP")[n % 2], at.isoformat(), at.isoformat(), f"tenant-{n % 2}", str(1000 + n))
                for n, at in enumerate(moments(200))
            ],
        )

    (sketch,) = look(path)

    assert (sketch.time, sketch.type, sketch.tenant, sketch.actor) == (
        "eventtime", "eventtype", "tenant_uuid", "cid_num",
    )  # fmt: skip
    assert any("ended_at" in note for note in sketch.notes)
    assert not any("UTC" in note for note in sketch.notes)
    assert sketch.fingerprint is not None


def test_a_time_is_found_without_a_telling_name_or_type(path: Path) -> None:
    """What is a time in every row is one; a few garbage values are counted."""
    with connected(path) as db:
        db.execute("CREATE TABLE stuff (x, y)")
        db.executemany(
            "INSERT INTO stuff VALUES (?, ?)", [(n, int(at.timestamp())) for n, at in enumerate(moments(98))]
        )
        db.executemany("INSERT INTO stuff VALUES (?, ?)", [(1, "garbage"), (2, 0)])

    (sketch,) = look(path)

    assert (sketch.time, sketch.time_format) == ("y", TimeFormat.SECONDS)
    assert any("2.0%" in note for note in sketch.notes)


def test_empty_tables_views_and_odd_names_do_no_harm(path: Path) -> None:
    """They are described as far as they can be, or left out."""
    with connected(path) as db:
        db.executescript(
            'CREATE TABLE "a ""b" ("created at" TIMESTAMP, "ty""pe" TEXT); CREATE VIEW v AS SELECT 1;'
            "CREATE TABLE empty (id INTEGER PRIMARY KEY); CREATE VIRTUAL TABLE f USING fts5(x);"
            "CREATE TABLE lapse_disposals (x)"
        )

    sketches = look(path)

    assert [sketch.table for sketch in sketches] == ['a "b', "empty"]
    assert sketches[0].time == "created at"


def test_looking_changes_nothing(path: Path) -> None:
    """The file's bytes are the same, and nothing is left beside it."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE log (at TEXT)")
        db.execute("INSERT INTO log VALUES ('2020-01-01')")
    db.close()
    before = path.read_bytes()

    look(path)

    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["app.db"]
