"""Cells of every kind, put into PostgreSQL and judged there, and what the definition sees in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pg_rules_tools import NOW, connected, dataset, judge

from lapse.instant import Nanos
from lapse.model.match import Condition, Match, Range
from lapse.model.policy import Hold, TimeFormat
from lapse.model.ranges import MOST
from lapse.model.selection import Selection, select
from lapse.model.timetext import number_instant, parse_time_text
from lapse.stores.postgresql.catalog import find_table
from lapse.stores.postgresql.connection import Connection
from servers.postgres import PostgresServer

UUID_TEXT = "7f0c1b6e-0000-4000-8000-00000000000a"
TEXTS = [
    "acme",
    "ACME",
    "acme ",
    "",
    " ",
    "a%b",
    "a_b",
    "axb",
    "a\\b",
    "é",
    "e\u0301",
    "𝄞",
    "O'Neil",
    "12",
    "-0",
    "007",
]
TEXTS += ["true", UUID_TEXT, UUID_TEXT.upper(), "a\nb", "E'x'", "%s", "9223372036854775808", "\ufdd0"]
TEXTS += ["-7", "12\n", "\n12", "+12", "\uff11\uff12", "9" * 18, "1" + "0" * 18, "-" + "9" * 18]
RANGES = [Range(12, 12), Range(13), Range(last=12), Range(-7, 0), Range(last=-8), Range(MOST), Range(last=-MOST)]
GLOBS = [
    "*",
    "a*",
    "?*",
    "a?b",
    "a%b",
    "a_b",
    "a\\b",
    "*\\*",
    "[a]*",
    "?",
    "*e*",
    "1?",
    "t*",
    "%",
    "ac me?",
    "*\0",
    "*-*",
]
_VALUES: list[object] = [*TEXTS, 10**30, -(10**30), MOST + 1, 12, -7, 12.0, True, False, None, [1], {}]
DOCUMENTS = [
    *(json.dumps({"user": value, "a": {"b": value}}) for value in _VALUES),
    '{"user": "x", "user": "acme"}', '{"user": -0, "a": [{"b": 1}]}', '{"user": 1e3}', '{"user": 12345678901234567890}',
    '{"a": null}', '{"user": {"user": "acme"}}', '["user"]', '"user"', "null", "{}", ' { "user" : "acme" } ',
]  # fmt: skip
POISONED = [
    r'{"user": "acme", "x": "\u0000"}', r'{"user": "a\u0000b"}', r'{"user": "a\\u0000b"}', r'{"user": "a\ud800b"}',
    r'{"user": "\ude00\ud83d\ude00", "a": {"b": "x"}}', r'{"user": "\ud83d\ud83d"}', r'{"us\u0000er": 1, "user": "12"}',
    r'{"user": "\\\u0000\\\\ud800"}', r'{"user": "\uD83D\uDE00"}',
]  # fmt: skip
BROKEN = ["", "{broken", "acme", '{"user": "acme"', '{"user": 01}', "{'user': 1}", '{"user": "a\tb"}']
_COLUMNS = {
    "plain": "text",
    "kind": "varchar(40)",
    "nocase": "text COLLATE nocase",
    "padded": "char(40)",
    "label": "mood",
    "tag": "tagged",
    "folded": "citext",
    "flag": "boolean",
    "small": "smallint",
    "number": "bigint",
    "whole": "numeric(30,0)",
    "who": "uuid",
    "odd % name": "text",
    "doc": "jsonb",
    "js": "json",
}
SIMPLE = tuple(name for name in _COLUMNS if name not in ("doc", "js"))
PATHS = ("$.doc.user", "$.doc.a.b", "$.js.user", "$.js.a.b")
_MOODS = ("acme", "ACME", "", "a%b", "12")


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[Connection]:
    """A database whose types and collations would change what is equal, with a table for each kind of time."""
    with connected(postgres.create_database("pg_rules")) as session:
        # Not every build knows collations that take different texts for equal.
        able = session.value("SELECT EXISTS (SELECT FROM pg_collation WHERE collname LIKE '%-x-icu')")
        equal = "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)" if able else 'FROM "POSIX"'
        session.run("CREATE EXTENSION citext")
        session.run(
            f"CREATE COLLATION nocase {equal};"
            f"CREATE TYPE mood AS ENUM ({_labels(_MOODS)}); CREATE DOMAIN tagged AS text COLLATE nocase"
        )
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        for clock in CLOCKS:
            session.run(f'CREATE TABLE "{clock.name}" (id bigint PRIMARY KEY, at {clock.kind}, {columns})')
        yield session
    postgres.drop_database("pg_rules")


@dataclass(frozen=True, slots=True)
class Clock:
    """A kind of time column: how a moment is written, and which instant that is by the definition."""

    name: str
    kind: str
    write: Callable[[Nanos], str]
    read: Callable[[str, str | None], Nanos | None]


def _micros(instant: Nanos) -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant // 1000)).replace(tzinfo=None))


CLOCKS = (
    Clock("zoned", "timestamptz", lambda i: _micros(i) + "+00", lambda text, _: parse_time_text(text, None)),
    Clock("naive", "timestamp", _micros, parse_time_text),
    Clock("days", "date", lambda i: _micros(i)[:10], parse_time_text),
    Clock("texts", "varchar(40)", lambda i: f"{_micros(i)[:19]}.{i % 10**9:09}", parse_time_text),
    Clock(
        "counts", "bigint", lambda i: str(i // 10**6),
        lambda text, _: number_instant(int(text), TimeFormat.MILLISECONDS),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row as they are inserted; None is NULL."""

    at: str | None
    cells: dict[str, str | None]


def stored(connection: Connection, clock: Clock, rows: list[Row]) -> list[dict[str, object]]:
    """Put rows into the table, and give what a reader sees in each."""
    connection.run(f'TRUNCATE "{clock.name}"')
    marks = ", ".join(["(" + ", ".join(["%s"] * (2 + len(_COLUMNS))) + ")"] * len(rows))
    cells = [cell for n, row in enumerate(rows) for cell in (n, row.at, *(row.cells.get(name) for name in _COLUMNS))]
    connection.run(f'INSERT INTO "{clock.name}" VALUES {marks}', cells)
    listed = ", ".join(f'"{name}"::text' for name in _COLUMNS).replace("%", "%%")
    found = connection.rows(f'SELECT {listed} FROM "{clock.name}" ORDER BY id', ())
    return [{name: _seen(name, cell) for name, cell in zip(_COLUMNS, row, strict=True)} for row in found]


def _seen(name: str, text: str | None) -> object:
    if text is None:
        return None
    reads: dict[str, Callable[[str], object]] = {"flag": lambda t: t == "true", "doc": json.loads, "js": json.loads}
    reads |= {"small": int, "number": int, "whole": lambda t: float(t) if t == "NaN" else int(t)}
    return reads.get(name, str)(text)


def read_field(cells: dict[str, object], field: str) -> object:
    """A field of a row by the definition."""
    if not field.startswith("$."):
        return cells.get(field)
    column, *keys = field[2:].split(".")
    found = cells[column]
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def codes_of(connection: Connection, clock: Clock, selection: Selection) -> list[int]:
    compiled = judge(connection, find_table(connection, clock.name), selection).code
    return [code for (code,) in connection.query("SELECT " + compiled + f' FROM "{clock.name}" AS r ORDER BY id')]


def matching(connection: Connection, condition: Condition) -> list[bool]:
    """Which rows of the first table a hold matches."""
    hold = Hold(matter="m", match=Match((condition,)))
    selection = select(dataset(table="zoned"), floors=(), holds=[hold], now=NOW, real_now=NOW)
    return [code == selection.first_hold for code in codes_of(connection, CLOCKS[0], selection)]


def fitting(name: str, texts: list[str]) -> list[str | None]:
    """Those of *texts* that a column can hold."""
    if name == "label":
        return [text for text in texts if text in _MOODS]
    if name in ("small", "number"):
        return ["12", "-7", "0", "7", "32767"]
    if name == "whole":
        return ["12", "-7", "0", "123456789012345678901", "NaN", "9223372036854775808", "-123456789012345678901"]
    if name == "flag":
        return ["true", "false"]
    if name == "who":
        return [UUID_TEXT, str(UUID(int=0))]
    return list(texts)
