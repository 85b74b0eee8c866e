"""What DuckDB decides about a row is what `Selection.decide` decides, for many rows under many policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest
from cellkinds import BROKEN, DOCUMENTS, INNER_TEXTS, NUMBER_TEXTS, TEXTS, inside
from clocks import NO_TIMES, ODD_TIMES, any_text, counted, day, floating, read_number, read_text, read_zoned, text
from clocks import NUMBERS as FORMS
from judging_worlds import Clock, Ground, Row, Seen, Size, check_that_much_was_tried, hold_against_the_definition
from random_policies import Menu

from lapse.model.policy import Dataset, TimeFormat
from lapse.ports import Store
from lapse.stores.duckdb import DuckdbStore

_UUIDS = ("7f0c1b6e-0000-4000-8000-00000000000a", str(UUID(int=0)))
_MOODS = ("acme", "ACME", "a%b", "7", "")
_DECLARED = {
    "nocase": "VARCHAR COLLATE NOCASE",
    "noaccent": "VARCHAR COLLATE NOACCENT.NOCASE",
    "plain": "VARCHAR",
    "mood": "ENUM ('acme', 'ACME', 'a%b', '7', '')",
    "number": "BIGINT",
    "small": "UTINYINT",
    "huge": "HUGEINT",
    "whole": "DECIMAL(18,0)",
    "flag": "BOOLEAN",
    "who": "UUID",
    "doc": "JSON",
    "told": "VARCHAR",
    "nested": 'STRUCT("user" VARCHAR, a STRUCT(b BIGINT))',
}
_PATHS = {"$.doc.user": INNER_TEXTS, "$.doc.a.b": INNER_TEXTS, "$.told.user": INNER_TEXTS, "$.nested.user": TEXTS}
_ODD = ("2026-10-25 02:30:00", "2026-03-29 02:30:00", "2026-11-01 01:30:00", "2026-03-08 02:30:00", "2024-02-29")
_NUMERIC = ("0", "1", "7", "-7", "70", "2147483648", str(2**62), str(-(2**63)), None)


# A statement takes long to be planned, and rows take next to nothing.
_SHORT = Size(rounds=15, policies=2, rows=4000)


class DuckdbGround(Ground):
    """Tables whose collations and types would change what is equal."""

    clocks: ClassVar[Sequence[Clock]] = (
        Clock(name="micros", kind="TIMESTAMP", write=text(6), read=read_text, strange=(*_ODD, "infinity")),
        Clock(name="nanos", kind="TIMESTAMP_NS", write=text(9), read=read_text, strange=_ODD),
        Clock(name="zoned", kind="TIMESTAMPTZ", write=text(6, tail="+00"), read=read_zoned, strange=("-infinity",)),
        Clock(name="millis", kind="TIMESTAMP_MS", write=text(3), read=read_text, strange=_ODD),
        Clock(name="seconds", kind="TIMESTAMP_S", write=text(0), read=read_text, strange=_ODD),
        Clock(name="days", kind="DATE", write=day, read=read_text, strange=("2024-02-29", "infinity")),
        Clock(name="mixed", kind="VARCHAR", write=any_text, read=read_text, strange=(*NO_TIMES, *ODD_TIMES)),
        *(counted(form, "BIGINT") for form in FORMS),
        Clock(
            name="floats", kind="DOUBLE", write=floating(TimeFormat.SECONDS), read=read_number,
            form=TimeFormat.SECONDS, strange=("nan", "inf", "1e300", "0"),
        ),
    )  # fmt: skip
    columns: ClassVar = {
        **dict.fromkeys(("nocase", "noaccent", "plain"), (*TEXTS, None)),
        "mood": (*_MOODS, None),
        **dict.fromkeys(("number", "huge"), _NUMERIC),
        "small": ("0", "1", "7", "70", "255", None),
        "whole": ("0", "1", "7", "-7", "70", "2147483648", None),
        "flag": ("true", "false", None),
        "who": (*_UUIDS, None),
        "doc": (*DOCUMENTS, None),
        "told": (*DOCUMENTS, *BROKEN, None),
        "nested": (*TEXTS, None),
    }
    menu = Menu(
        texts={
            **dict.fromkeys(("nocase", "noaccent", "plain"), TEXTS), "mood": (*_MOODS, "Acme"),
            **dict.fromkeys(("number", "small", "huge", "whole"), NUMBER_TEXTS),
            "flag": ("true", "false", "True", "1", ""), "who": (*_UUIDS, _UUIDS[0].upper()), **_PATHS,
        },
        # Many rules take long to be planned.
        counts=(*(0, 1, 2, 3, 4, 6) * 8, 60),
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.duckdb"
        columns = ", ".join(f"{name} {kind}" for name, kind in _DECLARED.items())
        with duckdb.connect(str(self._path)) as connection:
            for clock in self.clocks:
                connection.execute(
                    f'CREATE TABLE {clock.name} (id BIGINT PRIMARY KEY, "at" {clock.kind}, {columns}, '
                    "every VARCHAR DEFAULT 'row')"
                )

    def dataset(self, clock: Clock) -> Dataset:
        """The dataset of a clock's table."""
        address = f"duckdb:///{self._path}"
        return Dataset(
            name="log", store=address, shown=address, table=clock.name, time="at", time_format=clock.form,
            type="mood", tenant="nocase", key="every", require=("id",),
        )  # fmt: skip

    def fill(self, clock: Clock, rows: Sequence[Row]) -> Sequence[Seen]:
        """Cast texts to each column's type, all rows in one statement."""
        columns: dict[str, Any] = {"at": [None if row.at is None else str(row.at) for row in rows]}
        columns |= {name: [row.cells[name] for row in rows] for name in _DECLARED}
        given = pa.table(
            {"id": pa.array([row.key for row in rows]), **{n: pa.array(c, pa.string()) for n, c in columns.items()}}
        )
        with duckdb.connect(str(self._path)) as connection:
            connection.register("given", given)
            casts = ", ".join(_cast(name, kind) for name, kind in {"at": clock.kind, **_DECLARED}.items())
            connection.execute(f"DELETE FROM {clock.name}")
            connection.execute(
                f'INSERT INTO {clock.name} (id, "at", {", ".join(_DECLARED)}) SELECT id, {casts} FROM given ORDER BY id'
            )
            connection.execute("SET TimeZone = 'UTC'")
            at = '"at"::VARCHAR' if clock.form is TimeFormat.AUTO else '"at"'
            stored = connection.execute(f"SELECT {at}, id, {', '.join(_DECLARED)} FROM {clock.name} ORDER BY id")
            return [_seen(at, dict(zip(("id", *_DECLARED), cells, strict=True))) for at, *cells in stored.fetchall()]

    @contextmanager
    def opened(self, dataset: Dataset) -> Iterator[Store]:
        """The store, open for writing."""
        store = DuckdbStore(dataset, read_only=False)
        try:
            yield store
        finally:
            store.close()


def _cast(name: str, kind: str) -> str:
    if name == "nested":
        return 'struct_pack("user" := nested, a := struct_pack(b := 7))'
    if name == "doc":
        return "doc::JSON"
    return f'"{name}"::{kind.partition(" COLLATE")[0] if name != "mood" else kind}'


def _seen(at: object, cells: dict[str, object]) -> Seen:
    if isinstance(at, str) and "infinity" in at:
        at = None
    whole = {name: None if cells[name] is None else int(str(cells[name])) for name in ("whole", "huge")}
    paths: dict[str, object] = {}
    for path in _PATHS:
        column, _, keys = path.removeprefix("$.").partition(".")
        paths[path] = inside(cells[column], keys)
    who = None if cells["who"] is None else str(cells["who"])
    return Seen(at=at, fields={**cells, **whole, **paths, "who": who})


def test_duckdb_decides_as_the_definition_does(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """100,000 decisions and more: collations, enums, unsigned and huge integers, JSON, structs, every type of times."""
    done = hold_against_the_definition(DuckdbGround(tmp_path), seed=1, size=_SHORT)

    check_that_much_was_tried(done, 100_000)
    record_property("ran", f"DuckDB: {done}")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 104))
def test_duckdb_decides_as_the_definition_does_millions_of_times(
    tmp_path: Path, record_property: Callable[[str, object], None], seed: int
) -> None:
    """Each seed makes other tables and policies."""
    done = hold_against_the_definition(DuckdbGround(tmp_path), seed, Size(rounds=100, policies=10, rows=2000))

    check_that_much_was_tried(done, 1_900_000)
    record_property("ran", f"DuckDB, seed {seed}: {done}")
