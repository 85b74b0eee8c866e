"""Very many rules: the same plan and the same run with one rule and with 100,000, on PostgreSQL, SQLite and a text log.

Usage: python bench/rules.py [--rows N] [--tenants N] [--types N] [--rounds N] [--server MAJOR] [--stores A,B]
Each tenant has a rule of its own for each type of record. The records of all of them lie mixed, in the order of time;
half of them have lapsed, by many rules as by one. Every run works on a fresh copy. What reading the policy takes is
measured by itself and taken off before the two are compared.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from grounds import Ground, fill, ground, options
from measure import Sample, heading, interleaved, measured, table, write_section

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SPAN = timedelta(days=100)
_FACTOR = 2_654_435_761  # mixes the numbers of records, so that neighbours have nothing in common
_READING = """\
import sys
from lapse.cli.process import prepare
prepare()
from lapse.engine.session import open_session
open_session(sys.argv[1])
"""
_POLICY = """\
version: 1
guards: {{ramp: off}}
datasets:
  log:
    store: {store}
{table}    time: at
    type: kind
    tenant: tenant
    archive: none
    keep:
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is.

    Attributes:
        rows: Records.
        tenants: Tenants.
        types: Types of records.
    """

    rows: int
    tenants: int
    types: int

    def records(self) -> Iterator[tuple[str, str, str, str]]:
        """Time, tenant, type and text of each record."""
        for number in range(self.rows):
            mixed = number * _FACTOR % 2**32
            moment = NOW - SPAN * (1 - number / self.rows)
            tenant, kind = mixed % self.tenants, mixed // self.tenants % self.types
            yield moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), f"tenant-{tenant}", f"type-{kind}", f"{number:032x}"

    def rules(self, *, many: bool) -> Iterator[str]:
        """The lines of the rules: one for each tenant and type, or one for all."""
        if not many:
            yield "      - {for: 50 days}"
            return
        for tenant in range(self.tenants):
            for kind in range(self.types):
                days = 5 + 10 * ((tenant + kind) % 10)
                yield f"      - {{tenant: tenant-{tenant}, type: type-{kind}, for: {days} days}}"


class Place(Protocol):
    """A store with the records, of which there are fresh copies.

    Attributes:
        name: What it is.
        is_table: Whether it is a table.
    """

    name: str
    is_table: bool

    def fresh(self) -> str:
        """The address of a fresh copy."""
        ...


class SqlitePlace:
    """A SQLite file."""

    name, is_table = f"SQLite {sqlite3.sqlite_version}", True

    def __init__(self, folder: Path, size: Size) -> None:
        self._master, self._copy = folder / "master.db", folder / "log.db"
        with sqlite3.connect(self._master) as connection:
            columns = "id INTEGER PRIMARY KEY, at TEXT, tenant TEXT, kind TEXT, detail TEXT"
            connection.execute(f"CREATE TABLE log ({columns})")
            connection.executemany("INSERT INTO log (at, tenant, kind, detail) VALUES (?, ?, ?, ?)", size.records())
        connection.close()

    def fresh(self) -> str:
        """A copy of the file."""
        shutil.copyfile(self._master, self._copy)
        return f"sqlite:///{self._copy}"


class LogPlace:
    """A text log."""

    name, is_table = "text log", False

    def __init__(self, folder: Path, size: Size) -> None:
        self._master, self._copy = folder / "master.jsonl", folder / "log.jsonl"
        with self._master.open("w") as file:
            for at, tenant, kind, detail in size.records():
                file.write(f'{{"at":"{at}","tenant":"{tenant}","kind":"{kind}","detail":"{detail}"}}\n')

    def fresh(self) -> str:
        """A copy of the file."""
        shutil.copyfile(self._master, self._copy)
        return str(self._copy)


class PostgresPlace:
    """A table on a server."""

    is_table = True

    def __init__(self, place: Ground, size: Size) -> None:
        self.name, self._place = f"PostgreSQL {place.version}", place
        mixed = f"(n * {_FACTOR} % 4294967296)"
        moment = f"'{NOW.isoformat()}'::timestamptz - interval '{SPAN.days} days' * (1 - n::float / {size.rows})"
        tenant, kind = f"{mixed} % {size.tenants}", f"{mixed} / {size.tenants} % {size.types}"
        fill(
            place,
            "CREATE TABLE log (id bigserial PRIMARY KEY, at timestamptz, tenant text, kind text, detail text)",
            f"INSERT INTO log (at, tenant, kind, detail) SELECT {moment}, 'tenant-' || {tenant}, 'type-' || {kind}, "
            f"md5(n::text) FROM generate_series(0::bigint, {size.rows - 1}) AS n ORDER BY n",
        )

    def fresh(self) -> str:
        """A copy of the database."""
        self._place.refresh()
        return self._place.url


@contextmanager
def places(wanted: Sequence[str], size: Size, *, server: str) -> Iterator[Iterator[Place]]:
    """The stores of those names, one after the other."""
    with tempfile.TemporaryDirectory(prefix="lapse-bench-") as folder:

        def made() -> Iterator[Place]:
            if "postgresql" in wanted:
                with ground(server) as place:
                    yield PostgresPlace(place, size)
            if "sqlite" in wanted:
                yield SqlitePlace(Path(folder), size)
            if "jsonl" in wanted:
                yield LogPlace(Path(folder), size)

        yield made()


def lapse(place: Place, size: Size, folder: Path, *, what: str, many: bool) -> Sample:
    """Measure one command on a fresh copy: ``read`` reads the policy and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    named = "    table: log\n" if place.is_table else ""
    policy = folder / "lapse.yaml"
    rules = "\n".join(size.rules(many=many))
    policy.write_text(_POLICY.format(store=place.fresh(), table=named) + rules + "\n")
    env = {"LAPSE_STATE_DIR": str(folder / "state"), "LAPSE_NOW": NOW.isoformat()}
    if what == "read":
        return measured([sys.executable, "-c", _READING, str(policy)], env=env)
    return measured([sys.executable, "-m", "lapse", what, "--policy", str(policy)], env=env)


def compared(place: Place, size: Size, rounds: int) -> list[list[str]]:
    """The rows of the table for one store."""
    with tempfile.TemporaryDirectory(prefix="lapse-bench-") as name:
        folder = Path(name) / "scratch"
        found = interleaved(
            {
                f"{place.name}, {what}, {'many' if many else 'one'}": lambda what=what, many=many: lapse(  # type: ignore[misc]
                    place, size, folder, what=what, many=many
                )
                for what in ("read", "plan", "run")
                for many in (False, True)
            },
            rounds,
        )
    one, many = (
        {what: found[f"{place.name}, {what}, {which}"] for what in ("read", "plan", "run")} for which in ("one", "many")
    )
    return [_line(place.name, what, one, many) for what in ("plan", "run")]


def _line(name: str, what: str, one: dict[str, Sample], many: dict[str, Sample]) -> list[str]:
    alone, all_ = one[what].seconds - one["read"].seconds, many[what].seconds - many["read"].seconds
    return [
        f"{name}, {what}",
        f"{alone:.1f}",
        f"{all_:.1f}",
        f"{all_ / alone:.2f}",
        f"{many['read'].seconds:.1f}",
        f"{one[what].megabytes:.0f} MB",
        f"{many['read'].megabytes:.0f} MB",
        f"{many[what].megabytes:.0f} MB",
    ]


def main() -> None:
    """Build, measure, write the section."""
    parser = options(__doc__, rows=1_000_000, rounds=3)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--types", type=int, default=10)
    parser.add_argument("--stores", default="postgresql,sqlite,jsonl")
    chosen = parser.parse_args()
    size = Size(chosen.rows, chosen.tenants, chosen.types)
    lines: list[list[str]] = []
    with places(chosen.stores.split(","), size, server=chosen.server) as found:
        for place in found:
            lines += compared(place, size, chosen.rounds)
    write_section(f"Very many rules: {size.tenants * size.types:,} instead of one", _page(chosen, size, lines))


def _page(chosen: argparse.Namespace, size: Size, lines: Sequence[Sequence[str]]) -> str:
    titles = [
        "store, command", "seconds with one rule", "with all", "ratio", "to read all rules",
        "memory with one", "to read all", "with all",
    ]  # fmt: skip
    records = f"{size.rows:,} records of {size.tenants:,} tenants and {size.types} types, half of them lapsed"
    apart = "What it takes to read the policy is taken off the seconds, and shown beside them."
    return "\n".join(
        [
            *heading("rules.py", chosen, product="the stores as named"),
            f"{records}, `archive: none`; medians of {chosen.rounds}.",
            f"{apart} Memory is that of the whole process at its peak.",
            "",
            *table(titles, lines),
        ]
    )


if __name__ == "__main__":
    main()
