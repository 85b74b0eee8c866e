"""History files as Firefox and Chrome keep them: integers of microseconds, from 1970 and from 1601."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

_DAYS = 300
_A_DAY = 20
_FIREFOX = """
CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url LONGVARCHAR, title LONGVARCHAR, rev_host LONGVARCHAR,
    visit_count INTEGER DEFAULT 0, hidden INTEGER DEFAULT 0 NOT NULL, typed INTEGER DEFAULT 0 NOT NULL,
    frecency INTEGER DEFAULT -1 NOT NULL, last_visit_date INTEGER, guid TEXT,
    foreign_count INTEGER DEFAULT 0 NOT NULL, url_hash INTEGER DEFAULT 0 NOT NULL);
CREATE TABLE moz_historyvisits (id INTEGER PRIMARY KEY, from_visit INTEGER, place_id INTEGER, visit_date INTEGER,
    visit_type INTEGER, session INTEGER, source INTEGER DEFAULT 0 NOT NULL, triggeringPlaceId INTEGER);
CREATE INDEX moz_historyvisits_placedateindex ON moz_historyvisits (place_id, visit_date);
CREATE INDEX moz_historyvisits_dateindex ON moz_historyvisits (visit_date);
"""
_CHROME = """
CREATE TABLE urls (id INTEGER PRIMARY KEY AUTOINCREMENT, url LONGVARCHAR, title LONGVARCHAR,
    visit_count INTEGER DEFAULT 0 NOT NULL, typed_count INTEGER DEFAULT 0 NOT NULL,
    last_visit_time INTEGER NOT NULL, hidden INTEGER DEFAULT 0 NOT NULL);
CREATE TABLE visits (id INTEGER PRIMARY KEY AUTOINCREMENT, url INTEGER NOT NULL, visit_time INTEGER NOT NULL,
    from_visit INTEGER, external_referrer_url TEXT, transition INTEGER DEFAULT 0 NOT NULL, segment_id INTEGER,
    visit_duration INTEGER DEFAULT 0 NOT NULL);
CREATE INDEX visits_url_index ON visits (url);
CREATE INDEX visits_time_index ON visits (visit_time);
"""
_SITES = ("https://example.org/", "https://example.org/zürich", "https://example.com/?q=a%20b")


def write_firefox(path: Path) -> None:
    """A ``places.sqlite`` with 300 days of visits."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_FIREFOX)
        connection.executemany(
            "INSERT INTO moz_places (id, url, last_visit_date, guid) VALUES (?, ?, ?, ?)",
            [(place, url, _micros(0, 1970), f"guid-{place:07d}") for place, url in enumerate(_SITES, start=1)],
        )
        connection.executemany(
            "INSERT INTO moz_historyvisits (from_visit, place_id, visit_date, visit_type) VALUES (?, ?, ?, ?)",
            [(0, number % 3 + 1, moment, 1 + number % 4) for number, moment in enumerate(_moments(1970))],
        )


def write_chrome(path: Path) -> None:
    """A ``History`` file with 300 days of visits."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_CHROME)
        connection.executemany(
            "INSERT INTO urls (url, title, last_visit_time) VALUES (?, ?, ?)",
            [(url, "a page", _micros(0, 1601)) for url in _SITES],
        )
        connection.executemany(
            "INSERT INTO visits (url, visit_time, transition, visit_duration) VALUES (?, ?, ?, ?)",
            [(number % 3 + 1, moment, 805306368, 1_000_000) for number, moment in enumerate(_moments(1601))],
        )


def _moments(year: int) -> list[int]:
    count = _DAYS * _A_DAY
    return [_micros((count - number) / _A_DAY, year) for number in range(count)]


def _micros(days_ago: float, year: int) -> int:
    """Microseconds from the beginning of *year* to so many days ago."""
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    return (moment - datetime(year, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
