"""What SQLite decides about a row is what `Selection.decide` decides, for many rows under many policies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from cellkinds import BROKEN, DOCUMENTS, INNER_TEXTS, NUMBER_TEXTS, NUMBERS, TEXTS, inside
from clocks import (
    NO_TIMES,
    ODD_TIMES,
    any_text,
    counted,
    day,
    floating,
    read_number,
    read_text,
    text,
)
from clocks import NUMBERS as FORMS
from judging_worlds import Clock, Ground, Row, Seen, Size, check_that_much_was_tried, hold_against_the_definition
from random_policies import Menu

from lapse.model.policy import Dataset, TimeFormat
from lapse.ports import Store
from lapse.stores.sqlite import SqliteStore

_OPTIONS: tuple[dict[str, bool], ...] = ({}, {}, {"zone_required": True})
_MIXED = (*TEXTS, *NUMBERS, 1.5, 7.0, b"acme", b"", None)
_LATE = ("2026-11-01 24:00:00", "2024-01-01 24:00:00.000000", "2024-02-30 00:00:00.000000", "2024-02-29 12:00:60")
_DECLARED = {
    "nocase": "TEXT COLLATE NOCASE",
    "trimmed": "VARCHAR(20) COLLATE RTRIM",
    "untyped": "",
    "numeric": "NUMERIC",
    "whole": "INTEGER COLLATE NOCASE",
    "broken": "REAL",
    "bytes": "BLOB",
    "doc": "TEXT COLLATE NOCASE",
}


class SqliteGround(Ground):
    """Tables whose collations and affinities would change what is equal."""

    clocks: ClassVar[Sequence[Clock]] = (
        Clock(
            name="mixed", kind="TEXT", write=any_text, read=read_text, strange=(*NO_TIMES, *ODD_TIMES, b"2020-01-01"),
            options=_OPTIONS,
        ),
        Clock(
            name="micros", kind="TEXT COLLATE NOCASE", write=text(6), read=read_text, strange=(*ODD_TIMES, *_LATE),
            options=_OPTIONS,
        ),
        Clock(name="nanos", kind="", write=text(9, separator="T", tail="Z"), read=read_text, strange=NO_TIMES),
        Clock(name="millis", kind="TEXT", write=text(3, tail="+00:00"), read=read_text, strange=ODD_TIMES),
        Clock(name="seconds", kind="TEXT COLLATE RTRIM", write=text(0), read=read_text, strange=(*NO_TIMES, *_LATE)),
        Clock(name="days", kind="DATE", write=day, read=read_text, form=TimeFormat.ISO, strange=(20240229, 1.5)),
        *(counted(form, "INTEGER", strange=(0, -1, 2**63 - 1, -(2**63), 1.5e9, "1", b"1", "x")) for form in FORMS),
        Clock(
            name="reals", kind="REAL", write=floating(TimeFormat.SECONDS), read=read_number, form=TimeFormat.SECONDS,
            strange=(float("inf"), 1e300, -1e300, 0, "x"),
        ),
    )  # fmt: skip
    columns: ClassVar = {
        **dict.fromkeys(("nocase", "trimmed", "untyped", "numeric", "whole", "broken", "bytes"), _MIXED),
        "doc": (*DOCUMENTS, *BROKEN, None, 7, b"{}"),
    }
    menu = Menu(
        texts={
            "nocase": TEXTS, "trimmed": TEXTS, "untyped": (*TEXTS, *NUMBER_TEXTS), "numeric": NUMBER_TEXTS,
            "whole": NUMBER_TEXTS, "broken": NUMBER_TEXTS, "bytes": TEXTS, "$.doc.user": INNER_TEXTS,
            "$.doc.a.b": INNER_TEXTS, "doc": DOCUMENTS[:5],
        }
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.db"
        columns = ", ".join(f"{name} {kind}" for name, kind in _DECLARED.items())
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            for clock in self.clocks:
                connection.execute(
                    f"CREATE TABLE {clock.name} (id INTEGER PRIMARY KEY, at {clock.kind}, {columns}, "
                    "every TEXT DEFAULT 'row')"
                )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            yield connection

    def dataset(self, clock: Clock) -> Dataset:
        """The dataset of a clock's table."""
        address = f"sqlite:///{self._path}"
        return Dataset(
            name="log", store=address, shown=address, table=clock.name, time="at", time_format=clock.form,
            type="nocase", tenant="untyped", key="every", require=("id",),
        )  # fmt: skip

    def fill(self, clock: Clock, rows: Sequence[Row]) -> Sequence[Seen]:
        """Insert them; affinities may store other values."""
        named = ", ".join(_DECLARED)
        marks = ", ".join("?" * (2 + len(_DECLARED)))
        with self._connected() as connection:
            connection.execute("BEGIN")
            connection.execute(f"DELETE FROM {clock.name}")
            connection.executemany(
                f"INSERT INTO {clock.name} (id, at, {named}) VALUES ({marks})",
                [(row.key, row.at, *(row.cells[name] for name in _DECLARED)) for row in rows],
            )
            connection.execute("COMMIT")
            stored = connection.execute(f"SELECT at, id, {named} FROM {clock.name} ORDER BY id").fetchall()
        return [_seen(at, dict(zip(("id", *_DECLARED), cells, strict=True))) for at, *cells in stored]

    @contextmanager
    def opened(self, dataset: Dataset) -> Iterator[Store]:
        """The store, open for writing."""
        store = SqliteStore(dataset, read_only=False)
        try:
            yield store
        finally:
            store.close()


def _seen(at: object, cells: dict[str, object]) -> Seen:
    document = cells["doc"] if isinstance(cells["doc"], str) else None
    return Seen(at=at, fields={**cells, **{f"$.doc.{path}": inside(document, path) for path in ("user", "a.b")}})


def test_sqlite_decides_as_the_definition_does(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """100,000 decisions and more: NOCASE, RTRIM, affinities, numbers as text, blobs, JSON, every format of times."""
    done = hold_against_the_definition(SqliteGround(tmp_path), seed=1)

    check_that_much_was_tried(done, 100_000)
    record_property("ran", f"SQLite: {done}")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 104))
def test_sqlite_decides_as_the_definition_does_millions_of_times(
    tmp_path: Path, record_property: Callable[[str, object], None], seed: int
) -> None:
    """Each seed makes other tables and policies."""
    done = hold_against_the_definition(SqliteGround(tmp_path), seed, Size(rounds=200, policies=25))

    check_that_much_was_tried(done, 1_900_000)
    record_property("ran", f"SQLite, seed {seed}: {done}")
