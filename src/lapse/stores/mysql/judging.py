"""Rows with what is decided about them: the expressions under every survey, take and look-up."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.model.policy import TimeFormat
from lapse.model.selection import Selection
from lapse.sqlcore.fields import widened
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import Members
from lapse.sqlcore.rules import RuleCompiler
from lapse.sqlcore.thresholds import Thresholds
from lapse.stores.mysql.catalog import Table
from lapse.stores.mysql.comparing import comparing
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.dialect import MysqlDialect
from lapse.stores.mysql.newest import spelled_hash
from lapse.stores.mysql.times import instant_sql


@dataclass(frozen=True)
class Judge:
    """What decides about the rows of a table.

    Attributes:
        table: The table.
        selection: The decision.
        time_format: How the time column is written; for numbers not AUTO.
        size: The SQL of a row's size.
        newest: What tells the newest of each group from the others. None tells none.
    """

    table: Table
    selection: Selection
    time_format: TimeFormat
    size: str
    newest: Thresholds | None = None

    @cached_property
    def dialect(self) -> MysqlDialect:
        """How fields are compared."""
        return MysqlDialect(self.table)

    @cached_property
    def instant(self) -> str:
        """The record time in nanoseconds."""
        dataset = self.selection.dataset
        return instant_sql(self.table.column(dataset.time), self.time_format, dataset.zone)

    @cached_property
    def code(self) -> Fragment:
        """The outcome's number."""
        return self._compiler.selection(self._known)

    @cached_property
    def _known(self) -> Selection:
        table = self.table
        return widened(self.selection, lambda column: table.find(column) is not None, reads_json=table.reads_json)

    @cached_property
    def _compiler(self) -> RuleCompiler:
        dataset = self.selection.dataset
        instant = comparing(self.table.column(dataset.time), dataset.zone, self.instant)
        newest = None if self.newest is None else self.newest.seen_at(self.instant)
        return RuleCompiler(self.dialect, instant, newest=newest)

    def members(self, where: Fragment) -> Members:
        """The records of which the newest stay, of those that *where* admits."""
        source = f" FROM {self.table.sql} WHERE "
        return Members(
            selection=self._known,
            compiler=self._compiler,
            instant=self.instant,
            spell=spelled_hash,
            rows=lambda columns: "SELECT " + columns + source + where,
        )

    @cached_property
    def tenant(self) -> Fragment | None:
        """The tenant's text. None where the dataset has none."""
        tenant = self.selection.dataset.tenant
        return None if tenant is None else self.dialect.text(tenant)

    def going(self, codes: Collection[int]) -> Fragment:
        """The condition that a row has one of *codes*."""
        return self.code + f" IN ({', '.join(map(str, codes)) or 'NULL'})"

    def tallies(self, connection: Connection, where: Fragment) -> tuple[Tally, ...]:
        """Counts of the rows that *where* admits, by code and tenant."""
        tenant = Fragment("NULL") if self.tenant is None else "CAST(" + self.tenant + " AS BINARY)"
        rows = connection.query(
            "SELECT lapse_code, lapse_tenant, COUNT(*), SUM(lapse_size), MIN(lapse_instant), MAX(lapse_instant), "
            "SUM(lapse_number) FROM (SELECT "
            + self.code
            + " AS lapse_code, "
            + tenant
            + f" AS lapse_tenant, {self.size} AS lapse_size, {self.instant} AS lapse_instant, "
            + f"{self._number} AS lapse_number FROM {self.table.sql} WHERE "
            + where
            + ") AS judged GROUP BY lapse_code, lapse_tenant"
        )
        return tuple(
            Tally(
                code=int(code),
                tenant=None if name is None else _decoded(name),
                records=int(records),
                size=int(size),
                oldest=None if oldest is None else Nanos(int(oldest)),
                newest=None if newest is None else Nanos(int(newest)),
                checksum=int(number) % CHECKSUM_MODULUS,
            )
            for code, name, records, size, oldest, newest, number in rows
        )

    @property
    def _number(self) -> str:
        """A number made of a row's key and time."""
        named = [f"CAST({column.sql} AS BINARY)" for column in self.table.key]
        parts = ", ".join([*named, f"COALESCE({self.instant}, '')"])
        return f"CRC32(CONCAT_WS(',', {parts}))"


def _decoded(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
