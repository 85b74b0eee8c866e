"""What PostgreSQL decides about a row is what `Selection.decide` decides, for many rows under many policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar
from uuid import UUID

import psycopg
import pytest
from cellkinds import BROKEN, DOCUMENTS, INNER_TEXTS, NUMBER_TEXTS, TEXTS, inside
from clocks import NO_TIMES, ODD_TIMES, any_text, counted, day, floating, read_number, read_text, read_zoned, text
from clocks import NUMBERS as FORMS
from judging_worlds import Clock, Ground, Row, Seen, Size, check_that_much_was_tried, hold_against_the_definition
from random_policies import Menu

from lapse.model.policy import Dataset, TimeFormat
from lapse.ports import Store
from lapse.stores.postgresql import PostgresStore
from servers.postgres import PostgresServer

_UUIDS = ("7f0c1b6e-0000-4000-8000-00000000000a", str(UUID(int=0)))
_MOODS = ("acme", "ACME", "a%b", "7", "")
_DECLARED = {
    "plain": "text",
    "nocase": "text COLLATE nocase",
    "folded": "citext",
    "padded": "char(20)",
    "narrow": "varchar(20)",
    "tag": "tagged",
    "mood": "mood",
    "flag": "boolean",
    "small": "smallint",
    "number": "bigint",
    "whole": "numeric(30,0)",
    "who": "uuid",
    "odd % name": "text",
    "doc": "jsonb",
    "told": "json",
    "loose": "text",
}
_NUMERIC = ("0", "1", "7", "-7", "70", None)
_PATHS = ("$.doc.user", "$.doc.a.b", "$.told.user", "$.told.a.b")
_ODD = ("2026-10-25 02:30:00", "2026-03-29 02:30:00", "2026-11-01 01:30:00", "2024-02-29", "infinity", "-infinity")
_OLDEST: tuple[dict[str, bool], ...] = ({}, {"empty_is_oldest": True})


class PostgresGround(Ground):
    """Tables whose types and collations would change what is equal."""

    clocks: ClassVar[Sequence[Clock]] = (
        Clock(name="zoned", kind="timestamptz", write=text(6, tail="+00"), read=read_zoned, strange=("infinity",)),
        Clock(name="naive", kind="timestamp", write=text(6), read=read_text, strange=_ODD),
        Clock(name="millis", kind="timestamp(3)", write=text(6), read=read_text, strange=_ODD),
        Clock(name="days", kind="date", write=day, read=read_text, strange=("2024-02-29", "infinity")),
        Clock(
            name="mixed", kind="text COLLATE nocase", write=any_text, read=read_text, strange=(*NO_TIMES, *ODD_TIMES),
            options=_OLDEST,
        ),
        Clock(
            name="texts", kind="varchar(40)", write=text(6), read=read_text, strange=(*NO_TIMES, *ODD_TIMES),
            options=_OLDEST,
        ),
        *(counted(form, "bigint") for form in FORMS),
        Clock(
            name="floats", kind="double precision", write=floating(TimeFormat.SECONDS), read=read_number,
            form=TimeFormat.SECONDS, strange=("NaN", "Infinity", "1e300", "0"),
        ),
    )  # fmt: skip
    columns: ClassVar = {
        **dict.fromkeys(("plain", "nocase", "folded", "padded", "narrow", "tag", "odd % name"), (*TEXTS, None)),
        "mood": (*_MOODS, None),
        "flag": ("true", "false", None),
        "small": _NUMERIC,
        "number": (*_NUMERIC, "2147483648", str(2**62), str(-(2**63))),
        "whole": (*_NUMERIC, "123456789012345678901234567890", "NaN"),
        "who": (*_UUIDS, None),
        **dict.fromkeys(("doc", "told"), (*DOCUMENTS, None)),
        "loose": (*DOCUMENTS, *BROKEN, None),
    }

    def __init__(self, address: str) -> None:
        self._address = address
        with self._connected() as connection:
            self._looks_into_texts = connection.info.server_version >= 160_000
            self._create(connection)
        paths = (*_PATHS, "$.loose.user") if self._looks_into_texts else _PATHS
        texts = dict.fromkeys(("plain", "nocase", "folded", "padded", "narrow", "tag", "odd % name"), TEXTS)
        self.menu = Menu(
            texts={
                **texts, "mood": (*_MOODS, "Acme"), **dict.fromkeys(("small", "number", "whole"), NUMBER_TEXTS),
                "flag": ("true", "false", "True", "t", ""), "who": (*_UUIDS, _UUIDS[0].upper()),
                **dict.fromkeys(paths, INNER_TEXTS),
            }
        )  # fmt: skip

    def _create(self, connection: psycopg.Connection) -> None:
        able = connection.execute("SELECT 1 FROM pg_collation WHERE collname LIKE '%-x-icu'").fetchone()
        equal = "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)" if able else 'FROM "POSIX"'
        moods = ", ".join(f"'{mood}'" for mood in _MOODS)
        for statement in (
            "CREATE EXTENSION citext",
            f"CREATE COLLATION nocase {equal}",
            f"CREATE TYPE mood AS ENUM ({moods})",
            "CREATE DOMAIN tagged AS text COLLATE nocase",
        ):
            connection.execute(statement)
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _DECLARED.items())
        for clock in self.clocks:
            connection.execute(
                f"CREATE TABLE {clock.name} (id bigint PRIMARY KEY, at {clock.kind}, {columns}, "
                "every text DEFAULT 'row', tags text[] DEFAULT '{acme}')"
            )

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    def dataset(self, clock: Clock) -> Dataset:
        """The dataset of a clock's table."""
        return Dataset(
            name="log", store=self._address, shown=self._address, table=clock.name, time="at", time_format=clock.form,
            type="mood", tenant="nocase", key="every", require=("id",),
        )  # fmt: skip

    def fill(self, clock: Clock, rows: Sequence[Row]) -> Sequence[Seen]:
        """Insert them in one statement, each value as text."""
        named = ", ".join(f'"{name}"' for name in _DECLARED).replace("%", "%%")
        marks = "(" + ", ".join(["%s"] * (2 + len(_DECLARED))) + ")"
        cells = [
            cell
            for row in rows
            for cell in (row.key, None if row.at is None else str(row.at), *(row.cells[name] for name in _DECLARED))
        ]
        shown = ", ".join(f'"{name}"::text' for name in _DECLARED)
        at = "at" if clock.form is not TimeFormat.AUTO else "at::text"
        with self._connected() as connection:
            connection.execute(f"TRUNCATE {clock.name}")
            connection.execute(
                f"INSERT INTO {clock.name} (id, at, {named}) VALUES " + ", ".join([marks] * len(rows)), cells
            )
            stored = connection.execute(f"SELECT {at}, id, {shown} FROM {clock.name} ORDER BY id").fetchall()
            connection.execute(f"ANALYZE {clock.name}")
        return [_seen(at, dict(zip(("id", *_DECLARED), cells, strict=True))) for at, *cells in stored]

    @contextmanager
    def opened(self, dataset: Dataset) -> Iterator[Store]:
        """The store, open for writing."""
        store = PostgresStore(dataset, read_only=False)
        try:
            yield store
        finally:
            store.close()


def _seen(at: object, cells: dict[str, object]) -> Seen:
    if isinstance(at, str) and "infinity" in at:
        at = None
    for name in ("small", "number", "whole"):
        shown = cells[name]
        cells[name] = None if shown is None else float("nan") if shown == "NaN" else int(str(shown))
    cells["flag"] = None if cells["flag"] is None else cells["flag"] == "true"
    paths = {}
    for path in (*_PATHS, "$.loose.user"):
        column, _, keys = path.removeprefix("$.").partition(".")
        paths[path] = inside(cells[column], keys)
    return Seen(at=at, fields={**cells, **paths})


@pytest.fixture(scope="module")
def ground(postgres: PostgresServer) -> Iterator[PostgresGround]:
    """Tables in a database of their own, on each version in turn."""
    yield PostgresGround(postgres.create_database("deciding"))
    postgres.drop_database("deciding")


def test_postgresql_decides_as_the_definition_does(
    ground: PostgresGround, record_property: Callable[[str, object], None]
) -> None:
    """100,000 decisions and more: collations without order, citext, padding, domains, JSON, every type of times."""
    done = hold_against_the_definition(ground, seed=1)

    check_that_much_was_tried(done, 100_000)
    record_property("ran", f"PostgreSQL: {done}")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 104))
def test_postgresql_decides_as_the_definition_does_millions_of_times(
    ground: PostgresGround, record_property: Callable[[str, object], None], seed: int
) -> None:
    """Each seed makes other rows and policies."""
    done = hold_against_the_definition(ground, seed, Size(rounds=200, policies=25))

    check_that_much_was_tried(done, 1_900_000)
    record_property("ran", f"PostgreSQL, seed {seed}: {done}")
