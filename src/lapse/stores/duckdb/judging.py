"""Rows with what is decided about them: the subquery under every survey, slice, take and look-up."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lapse.errors import StoreError
from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.model.policy import TimeFormat
from lapse.model.selection import Selection
from lapse.sqlcore.fields import widened
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.newest import Members, group_key
from lapse.sqlcore.rules import RuleCompiler, compile_rules
from lapse.sqlcore.thresholds import Joined, Thresholds
from lapse.stores.duckdb.catalog import Table
from lapse.stores.duckdb.connection import Connection
from lapse.stores.duckdb.dialect import DuckdbDialect
from lapse.stores.duckdb.encoding import size_sql
from lapse.stores.duckdb.newest import spelled_bytes
from lapse.stores.duckdb.times import instant_steps, timed

EVERYTHING = Fragment("TRUE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What decides about the rows of a table.

    Attributes:
        table: The table.
        selection: The decision.
        time_format: How the time column is written; for numbers not AUTO.
        newest: What tells the newest of each group from the others. None tells none.
    """

    table: Table
    selection: Selection
    time_format: TimeFormat
    newest: Thresholds | None = None

    @property
    def dialect(self) -> DuckdbDialect:
        """How fields are compared."""
        return DuckdbDialect(self.table)

    @property
    def place(self) -> str:
        """The column slices are cut by: the integer key, else the physical position."""
        key = self.table.integer_key
        return "rowid" if key is None else quote(key)

    def rows(self, where: Fragment) -> Fragment:
        """A subquery of the rows that *where* admits, with ``lapse_row``, ``lapse_instant`` and ``lapse_code``."""
        sight = None if self.newest is None else Joined("lapse_since", "lapse_instant")
        code = compile_rules(self._known, self.dialect, instant="lapse_instant", newest=sight)
        return "(SELECT *, " + code + " AS lapse_code FROM " + self._told(where) + ")"

    def _told(self, where: Fragment) -> Fragment:
        """The rows with their time and, where that decides, ``lapse_since``: from when on their group stays.

        It is joined: DuckDB would turn each look-up in a condition into a join of its own.
        """
        if self.newest is None:
            return self._timed(where)
        member = RuleCompiler(self.dialect, "lapse_instant").member(self._known, None)
        rows = "SELECT *, " + member + " AS lapse_member FROM " + self._timed(where)
        key = group_key(self._known, "lapse_member", spell=self.newest.spell, text=self.dialect.text)
        rows = "SELECT *, " + key + " AS lapse_group FROM (" + rows + ")"
        joined = f") AS m LEFT JOIN {self.newest.name} AS s ON s.k = m.lapse_group)"
        return "(SELECT m.*, s.since AS lapse_since FROM (" + rows + joined

    def _timed(self, where: Fragment) -> Fragment:
        """The rows that *where* admits, with ``lapse_row`` and ``lapse_instant``."""
        dataset = self.selection.dataset
        steps = instant_steps(self.table.column(dataset.time), self.time_format, dataset.zone)
        chosen = f"(SELECT rowid AS lapse_row, * FROM {self.table.sql} WHERE " + where + ")"
        return Fragment(timed(chosen.sql, steps), chosen.values)

    @property
    def _known(self) -> Selection:
        return widened(self.selection, lambda column: self.table.find(column) is not None)

    def members(self, where: Fragment) -> Members:
        """The records of which the newest stay, of those that *where* admits."""
        rows = self._timed(where)
        return Members(
            selection=self._known,
            compiler=RuleCompiler(self.dialect, "lapse_instant"),
            instant="lapse_instant",
            spell=spelled_bytes,
            rows=lambda columns: "SELECT " + columns + " FROM " + rows,
        )

    def going(self, where: Fragment, codes: Collection[int]) -> Fragment:
        """The ``rowid`` of the rows that have one of *codes*."""
        listed = ", ".join(map(str, codes)) or "NULL"
        return "SELECT lapse_row FROM " + self.rows(where) + f" WHERE lapse_code IN ({listed})"

    def tallies(
        self, connection: Connection, where: Fragment, codes: Collection[int] | None = None
    ) -> tuple[Tally, ...]:
        """Counts of the rows by code and tenant; of those with one of *codes*, or of all."""
        tenant = self.selection.dataset.tenant
        named = Fragment("NULL::BLOB") if tenant is None else "encode(" + self.dialect.text(tenant) + ")"
        wanted = "" if codes is None else f" WHERE lapse_code IN ({', '.join(map(str, codes)) or 'NULL'})"
        found = connection.query(
            "SELECT lapse_code, " + named + f", count(*), sum({size_sql(self.table.columns)}), "
            f"min(lapse_instant), max(lapse_instant), sum({self._number()} % {CHECKSUM_MODULUS}) % {CHECKSUM_MODULUS} "
            "FROM " + self.rows(where) + wanted + " GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return tuple(
            Tally(
                code=int(code),
                tenant=None if name is None else bytes(name).decode(),
                records=int(records),
                size=int(size),
                oldest=None if oldest is None else Nanos(int(oldest)),
                newest=None if newest is None else Nanos(int(newest)),
                checksum=int(checksum),
            )
            for code, name, records, size, oldest, newest, checksum in found
        )

    def _number(self) -> str:
        """A number made of a row's key and time, the same in every version of DuckDB."""
        named = ", ".join(f"coalesce(CAST({quote(name)} AS VARCHAR), '')" for name in self.table.key)
        parts = f"{named + ', ' if named else ''}coalesce(CAST(lapse_instant AS VARCHAR), '')"
        return f"CAST(md5_number_lower(concat_ws(chr(31), {parts})) AS HUGEINT)"


def below(table: Table, mark: Mapping[str, tuple[int, ...]] | None) -> Fragment:
    """A condition for the rows up to a high-water mark; everything without one.

    Raises:
        StoreError: If the mark is not one of this table.
    """
    if mark is None:
        return EVERYTHING
    key = table.integer_key
    if key is None or key not in mark:
        raise StoreError(f"the plan's mark is not one of table {table.name}", hint="Make a new plan.")
    return Fragment(f"{quote(key)} <= ?", (mark[key][0],))
