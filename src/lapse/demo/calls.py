"""A call log in SQLite: two years of telephony events of two tenants, the same ones for the same seed and now."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lapse.instant import DAY, SECOND, Nanos, rfc3339

TENANTS = ("acme", "globex")
SPAN = 730 * DAY
"""How far back the log reaches, in nanoseconds."""

_SCHEMA = """
CREATE TABLE call_event (
    id          INTEGER PRIMARY KEY,
    event_time  TEXT,
    event_type  TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    call_id     TEXT NOT NULL,
    caller      TEXT NOT NULL,
    callee      TEXT NOT NULL,
    duration_ms INTEGER,
    cost        REAL,
    note        TEXT
)
"""
_INDEX = "CREATE INDEX call_event_time ON call_event (event_time)"
_INSERT = "INSERT INTO call_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EVENTS = ("CHAN_START", "ANSWER", "HANGUP", "BILLED")
_NOTES = (None, None, None, "wrong number", "call back on Monday", "Straße gesperrt", 'said "urgent"', "voicemail 📼")

Row = tuple[int, str | None, str, str, str, str, str, int | None, float | None, str | None]


@dataclass(frozen=True, slots=True)
class _Call:
    """What the events of one call share."""

    name: str
    tenant: str
    caller: str
    callee: str
    seconds: int


def write_call_log(path: Path, rows: int, now: Nanos) -> None:
    """Make the database *path* with *rows* events, oldest first, the last few of them without a usable time."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(_SCHEMA)
        connection.executemany(_INSERT, _rows(rows, now))
        connection.execute(_INDEX)


def oldest_of(path: Path, tenant: str) -> int:
    """The key of the tenant's oldest event."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT min(id) FROM call_event WHERE tenant = ?"
        key: int = connection.execute(query, (tenant,)).fetchone()[0]
    return key


def _rows(count: int, now: Nanos) -> Iterator[Row]:
    chance = random.Random(20)  # noqa: S311  # a made-up world, no secret
    unusable = (None, "", "yesterday", "0000-00-00 00:00:00", rfc3339(Nanos(now + 400 * DAY)))
    usable = count - len(unusable)
    step = SPAN // usable
    call = _call(0, chance)
    for index in range(usable):
        event = index % len(_EVENTS)
        if event == 0:
            call = _call(index // len(_EVENTS), chance)
        # Half a step from the border, so that the oldest record is younger than the whole span.
        moment = now - SPAN + index * step + step // 2
        yield _row(index + 1, rfc3339(Nanos(moment - moment % SECOND)), _EVENTS[event], call)
    for offset, text in enumerate(unusable):
        yield _row(usable + offset + 1, text, "HANGUP", call)


def _call(number: int, chance: random.Random) -> _Call:
    return _Call(
        name=f"{number:08x}",
        tenant=TENANTS[chance.random() < 0.3],
        caller=f"+3314{chance.randrange(10**7):07d}",
        callee=f"+4930{chance.randrange(10**6):06d}",
        seconds=int(chance.expovariate(1 / 180)),
    )


def _row(key: int, moment: str | None, event: str, call: _Call) -> Row:
    ended = event in ("HANGUP", "BILLED")
    return (
        key,
        moment,
        event,
        call.tenant,
        call.name,
        call.caller,
        call.callee,
        call.seconds * 1000 if ended else None,
        round(call.seconds * 0.0021, 4) if event == "BILLED" else None,
        _NOTES[key % len(_NOTES)] if event == "HANGUP" else None,
    )
