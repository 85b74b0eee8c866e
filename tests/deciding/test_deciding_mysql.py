"""What MariaDB decides about a row is what `Selection.decide` decides, for many rows under many policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import ClassVar

import pytest
from cellkinds import DOCUMENTS, INNER_TEXTS, NUMBER_TEXTS, TEXTS
from clocks import NO_TIMES, ODD_TIMES, any_text, counted, day, floating, read_number, read_text, read_zoned, text
from clocks import NUMBERS as FORMS
from judging_worlds import Clock, Ground, Row, Seen, Size, Write, check_that_much_was_tried, hold_against_the_definition
from random_policies import Menu

from lapse.instant import SECOND, Nanos
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Last, Rule, TimeFormat
from lapse.model.selection import select
from lapse.ports import Store
from lapse.stores.mysql import MysqlStore
from servers.mariadb import MariadbServer, mariadb

__all__ = ["mariadb"]

_DATABASE = "deciding"
_LATIN = tuple(text for text in TEXTS if text.isascii() or text in ("zoë", "ZOË", "ß"))
_DECLARED = {
    "general": "VARCHAR(20) COLLATE utf8mb4_general_ci",
    "nopad": "VARCHAR(20) COLLATE utf8mb4_general_nopad_ci",
    "unicode": "VARCHAR(20) COLLATE utf8mb4_unicode_520_ci",
    "latin": "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    "wide": "TEXT CHARACTER SET utf16 COLLATE utf16_general_ci",
    "padded": "CHAR(20)",
    "mood": "ENUM ('acme', 'ACM', 'a%b', '7') COLLATE utf8mb4_bin",
    "flag": "BOOLEAN",
    "number": "BIGINT",
    "whole": "BIGINT UNSIGNED",
    "filled": "INT(8) ZEROFILL",
    "tens": "DECIMAL(30, 0)",
    "who": "UUID",
    "doc": "LONGTEXT",
}
_UUIDS = ("7f0c1b6e-0000-4000-8000-00000000000a", "00000000-0000-0000-0000-000000000000")
_ODD = ("2026-10-25 02:30:00", "2026-03-29 02:30:00", "2026-11-01 01:30:00", "2024-02-29", "0000-00-00", "2026-02-31")


def _utc(rng: Random, instant: Nanos, _: str | None) -> object:
    """UTC, whatever the zone of the dataset."""
    return text(6)(rng, instant, None)


def _from_1970(write: Write) -> Write:
    """A TIMESTAMP begins a second after the epoch and ends in 2038."""
    return lambda rng, instant, zone: write(rng, Nanos(max(SECOND, min(2_147_483_000 * SECOND, instant))), zone)


class MariadbGround(Ground):
    """Tables whose collations, padding and types would change what is equal."""

    clocks: ClassVar[Sequence[Clock]] = (
        Clock(name="micros", kind="DATETIME(6)", write=text(6), read=read_text, strange=_ODD),
        Clock(
            name="stamps", kind="TIMESTAMP(6) NULL", write=_from_1970(_utc), read=read_zoned,
            strange=("0000-00-00 00:00:00",),
        ),
        Clock(name="seconds", kind="DATETIME", write=text(0), read=read_text, strange=_ODD),
        Clock(name="days", kind="DATE", write=day, read=read_text, strange=("2024-02-29", "0000-00-00")),
        Clock(name="mixed", kind="VARCHAR(60)", write=any_text, read=read_text, strange=(*NO_TIMES, *ODD_TIMES)),
        *(counted(form, "BIGINT") for form in FORMS),
        Clock(
            name="floats", kind="DOUBLE", write=floating(TimeFormat.SECONDS), read=read_number,
            form=TimeFormat.SECONDS, strange=(1e300, 0, -1.5),
        ),
    )  # fmt: skip
    columns: ClassVar = {
        **dict.fromkeys(("general", "nopad", "unicode", "wide", "padded"), (*TEXTS, None)),
        "latin": (*_LATIN, None),
        "mood": ("acme", "ACM", "a%b", "7", None),
        "flag": (0, 1, None),
        "number": (0, 1, 7, -7, 70, 2**31, 2**62, -(2**63), None),
        "whole": (0, 1, 7, 70, 2**63, 2**64 - 1, None),
        "filled": (0, 1, 7, 70, None),
        "tens": (0, 1, 7, -7, 70, 10**29, None),
        "who": (*_UUIDS, None),
        "doc": (*DOCUMENTS, None),
    }
    menu = Menu(
        texts={
            **dict.fromkeys(("general", "nopad", "unicode", "latin", "wide", "padded"), TEXTS),
            "mood": ("acme", "Acme", "ACM", "a%b", "7", "1"), "flag": ("0", "1", "true", "false"),
            **dict.fromkeys(("number", "whole", "filled", "tens"), (*NUMBER_TEXTS, "00000007", str(2**63))),
            "who": (*_UUIDS, _UUIDS[0].upper()), "doc": DOCUMENTS[:6],
        },
        # It cannot look into JSON texts for certain, so holds and floors that do so cover every record.
        missing=("gone", "$.gone.user", "$.doc.user"),
        fillers=("nobody", *INNER_TEXTS[:3]),
    )  # fmt: skip

    def __init__(self, server: MariadbServer) -> None:
        self._server = server
        server.create_database(_DATABASE)
        columns = ", ".join(f"`{name}` {kind}" for name, kind in _DECLARED.items())
        for clock in self.clocks:
            server.execute(
                f"CREATE TABLE {clock.name} (id BIGINT PRIMARY KEY, at {clock.kind}, {columns}, "
                "every VARCHAR(5) DEFAULT 'row')",
                database=_DATABASE,
            )

    def drop(self) -> None:
        """Remove the database."""
        self._server.drop_database(_DATABASE)

    def dataset(self, clock: Clock) -> Dataset:
        """The dataset of a clock's table."""
        address = self._server.socket_url(_DATABASE)
        return Dataset(
            name="log", store=address, shown=address, table=clock.name, time="at", time_format=clock.form,
            type="mood", tenant="general", key="every", require=("id",),
        )  # fmt: skip

    def fill(self, clock: Clock, rows: Sequence[Row]) -> Sequence[Seen]:
        """Insert them in one statement."""
        named = ", ".join(f"`{name}`" for name in _DECLARED)
        marks = "(" + ", ".join(["%s"] * (2 + len(_DECLARED))) + ")"
        cells = [cell for row in rows for cell in (row.key, row.at, *(row.cells[name] for name in _DECLARED))]
        # ZEROFILL is how a number is shown; a UUID's text is its own.
        shown = ", ".join(f"`{name}` + 0" if "ZEROFILL" in kind else f"`{name}`" for name, kind in _DECLARED.items())
        at = "CAST(at AS CHAR)" if clock.form is TimeFormat.AUTO else "at"
        with self._server.connect(_DATABASE) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'")
            cursor.execute(f"TRUNCATE {clock.name}")
            cursor.execute(
                f"INSERT INTO {clock.name} (id, at, {named}) VALUES " + ", ".join([marks] * len(rows)), cells
            )
            cursor.execute(f"SELECT {at}, id, {shown} FROM {clock.name} ORDER BY id")
            stored = cursor.fetchall()
        return [_seen(at, dict(zip(("id", *_DECLARED), cells, strict=True))) for at, *cells in stored]

    @contextmanager
    def opened(self, dataset: Dataset) -> Iterator[Store]:
        """The store, open for writing."""
        store = MysqlStore(dataset, read_only=False)
        try:
            yield store
        finally:
            store.close()


def _seen(at: object, cells: dict[str, object]) -> Seen:
    whole = {name: int(value) for name, value in cells.items() if isinstance(value, Decimal | float)}
    who = None if cells["who"] is None else str(cells["who"])
    return Seen(at=None if at == "0000-00-00 00:00:00.000000" else at, fields={**cells, **whole, "who": who})


@pytest.fixture(scope="module")
def ground(mariadb: MariadbServer) -> Iterator[MariadbGround]:
    """Tables in a database of their own."""
    made = MariadbGround(mariadb)
    yield made
    made.drop()


def test_mariadb_decides_as_the_definition_does(
    ground: MariadbGround, record_property: Callable[[str, object], None]
) -> None:
    """100,000 decisions and more: collations with and without padding, CHAR, unsigned, every type of times."""
    done = hold_against_the_definition(ground, seed=1)

    check_that_much_was_tried(done, 100_000)
    record_property("ran", f"MariaDB: {done}")


def test_names_that_a_collation_takes_for_one_another_are_groups_of_their_own(ground: MariadbGround) -> None:
    """Also where the server remembers what it looked up before: it tells names apart by their collation."""
    clock = next(each for each in ground.clocks if each.name == "unix_seconds")
    cells = {name: values[-1] for name, values in ground.columns.items()}
    names = ("acme", "acme ", "ACME", "acme  ", "ácme")
    named = [(name, 10**9 - 10 * place + more) for more in (0, 1) for place, name in enumerate(names)]
    rows = [Row(key=key, at=at, cells={**cells, "general": name}) for key, (name, at) in enumerate(named, 1)]
    ground.fill(clock, rows)
    rule = Rule(index=0, match=Match(), keep=parse_period("1 day"), waived=True, last=Last(1, "general"))
    dataset = replace(ground.dataset(clock), rules=(rule,))
    selection = select(dataset, floors=(), holds=(), now=Nanos(2 * 10**18), real_now=Nanos(2 * 10**18))

    with ground.opened(dataset) as store:
        codes = next(ground.codes(store, selection))

    newest, older = selection.newest_code(0), selection.lapsed_code(0)
    assert list(codes.values()) == [older] * 5 + [newest] * 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 104))
def test_mariadb_decides_as_the_definition_does_millions_of_times(
    ground: MariadbGround, record_property: Callable[[str, object], None], seed: int
) -> None:
    """Each seed makes other rows and policies."""
    done = hold_against_the_definition(ground, seed, Size(rounds=200, policies=25))

    check_that_much_was_tried(done, 1_900_000)
    record_property("ran", f"MariaDB, seed {seed}: {done}")
