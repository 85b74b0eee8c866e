"""What is decided about a row, as SQL on the alias ``r``; and rows counted by it."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lapse.instant import Nanos
from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.model.policy import TimeFormat
from lapse.model.selection import Bound, Selection
from lapse.sqlcore.fields import widened
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.rules import RuleCompiler
from lapse.stores.postgresql.catalog import INTEGERS, Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.dialect import PostgresDialect
from lapse.stores.postgresql.formats import read_format as read_format
from lapse.stores.postgresql.naming import column as column_sql
from lapse.stores.postgresql.timecolumns import check_zoned, record_time
from lapse.stores.postgresql.times import OrderedTime, RecordTime


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What decides about the rows of a table.

    Attributes:
        table: The table.
        selection: The decision.
        time_format: How the time column is written; for numbers not AUTO.
        version: The server's, such as 160004. 0 stands for the oldest.
    """

    table: Table
    selection: Selection
    time_format: TimeFormat
    version: int = 0

    @property
    def dialect(self) -> PostgresDialect:
        """How fields are compared."""
        return PostgresDialect(self.table, version=self.version)

    @cached_property
    def code(self) -> Fragment:
        """The outcome's code of a row, as `Selection.decide` gives it; never NULL."""
        return self._time.once(self._code)

    @cached_property
    def instant(self) -> str:
        """The record time as BIGINT nanoseconds, clamped to 64 bits. NULL if none can be read."""
        return self._time.once(Fragment(self._time.nanos(self._time.raw))).sql

    @cached_property
    def tenant(self) -> Fragment:
        """The tenant's text. NULL where the dataset or the row has none."""
        tenant = self.selection.dataset.tenant
        return Fragment("NULL::text") if tenant is None else self.dialect.text(tenant)

    def lapsed(self, codes: Sequence[int]) -> Fragment:
        """Whether a row's code is one of *codes*; true, or else false or NULL."""
        return self._time.once(self._lapsed(tuple(codes)))

    def bound(self, codes: Sequence[int]) -> Fragment | None:
        """What rows with one of *codes*, all of lapsed ones, must fulfil: a range of the time column itself.

        None if there is no such condition.
        """
        cutoffs = self._cutoffs(codes)
        if cutoffs is None:
            return None
        ranges: list[Fragment | None] = [self._time.bound("<", max(cutoffs)) if cutoffs else Fragment("FALSE")]
        before = self.selection.dataset.doubt_before
        if before is not None:
            ranges.append(self._time.bound(">=", before))
        known = [part for part in ranges if part is not None]
        return joined(" AND ", known) if known else None

    def between(self, first: Nanos, last: Nanos) -> Fragment | None:
        """Whether the record time lies from *first*, inclusive, to *last*, exclusive, as an index can find it.

        None if the column is not in the order of its instants.
        """
        if not isinstance(self._time, OrderedTime):
            return None
        return self._time.compare(">=", first) + " AND " + self._time.compare("<", last)

    def since(self, first: Nanos) -> Fragment:
        """Whether the record time is *first* or later."""
        return self._time.once(self._time.compare(">=", first))

    def tallies(
        self, connection: Connection, where: Fragment, codes: Sequence[int] | None = None, *, size: str, from_: str
    ) -> tuple[Tally, ...]:
        """Counts of the rows by code and tenant, ordered by both.

        Arguments:
            connection: The session.
            where: Which rows, by the alias ``r``.
            codes: Only rows with one of these. None counts all.
            size: SQL expression of a row's bytes.
            from_: What gives the rows the alias ``r``.
        """
        wanted = where if codes is None else "(" + where + ") AND (" + self._lapsed(tuple(codes)) + ")"
        found = [tally for _, tally in self.buckets(connection, wanted, bucket="NULL::bigint", size=size, from_=from_)]
        return tuple(sorted(found, key=lambda tally: (tally.code, tally.tenant is not None, tally.tenant or "")))

    def buckets(
        self, connection: Connection, where: Fragment, *, bucket: str, size: str, from_: str
    ) -> Iterator[tuple[int | None, Tally]]:
        """Counts of the rows by *bucket*, an expression, and by code and tenant; else as `tallies`."""
        time = self._time
        earliest, latest = time.nanos(f"min({time.raw})"), time.nanos(f"max({time.raw})")
        found = connection.query(
            f"SELECT {bucket}, " + self._code + ", " + self.tenant + f", count(*), sum({size}), {earliest}, {latest}, "
            f"sum({self._number} %% {CHECKSUM_MODULUS}) FROM {from_}{time.lateral} WHERE " + where + " GROUP BY 1, 2, 3"
        )
        for number, code, tenant, records, bytes_, oldest, newest, checksum in found:
            yield (
                number,
                Tally(
                    code=code,
                    tenant=tenant,
                    records=records,
                    size=int(bytes_),
                    oldest=None if oldest is None else Nanos(oldest),
                    newest=None if newest is None else Nanos(newest),
                    checksum=int(checksum) % CHECKSUM_MODULUS,
                ),
            )

    @property
    def _number(self) -> str:
        """A number made of a row's key and time, the same for the same row on the same server."""
        number = self._time.hashed
        for name in self.table.key:
            if self.table.column(name).base in INTEGERS:
                number = f"hashint8extended({column_sql(name)}, {number})"
            else:
                number = f'hashtextextended({column_sql(name)}::text COLLATE "C", {number})'
        return number

    @cached_property
    def _time(self) -> RecordTime:
        dataset = self.selection.dataset
        time = self.table.column(dataset.time)
        if dataset.zone_required:
            check_zoned(time)
        return record_time(time, self.time_format, dataset.zone, empty=dataset.empty_time)

    @cached_property
    def _known(self) -> Selection:
        return widened(self.selection, lambda column: self.table.find(column) is not None)

    @cached_property
    def _compiler(self) -> RuleCompiler:
        return RuleCompiler(self.dialect, self._time)

    @cached_property
    def _code(self) -> Fragment:
        """The code, for rows with `RecordTime.lateral`."""
        return self._compiler.selection(self._known)

    def _lapsed(self, codes: tuple[int, ...]) -> Fragment:
        cutoffs = self._cutoffs(codes)
        if cutoffs == ():
            return Fragment("FALSE")
        if codes == (self._known.lapsed_code(0),) and self._known.sources[0].last is None:
            first = self._known.rules[0]
            if first.cutoff is not None:
                return self._lapsed_first(first, first.cutoff)
        listed = self._code + f" IN ({', '.join(map(str, codes)) or 'NULL'})"
        # What is too young for every rule need not be judged.
        return listed if cutoffs is None else self._time.compare("<", max(cutoffs)) + " AND " + listed

    def _lapsed_first(self, rule: Bound, cutoff: Nanos) -> Fragment:
        """The same for the first rule, which no other comes before: ranges instead of a CASE."""
        selection, compare = self._known, self._time.compare
        parts = [compare("<", cutoff)]
        before = selection.dataset.doubt_before
        parts.append("(" + self._time.missing() + ") IS NOT TRUE" if before is None else compare(">=", before))
        if cutoff > selection.doubt_after:
            parts.append(compare("<=", selection.doubt_after))
        if rule.match.conditions:
            parts.append(self._compiler.match(rule.match))
        kept = [self.dialect.blank(name) for name in selection.dataset.require]
        kept += [self._compiler.held(hold) for hold in selection.holds]
        for floor in selection.floors:
            match = self._compiler.match(floor.match)
            kept.append(match if floor.cutoff is None else compare(">=", floor.cutoff) + " AND " + match)
        parts += ["(" + reason + ") IS NOT TRUE" for reason in kept]
        return joined(" AND ", parts)

    def _cutoffs(self, codes: Sequence[int]) -> tuple[Nanos, ...] | None:
        """Cutoffs of the rules under which rows with *codes* lapsed. None if other codes are among them."""
        rules = {self.selection.lapsed_code(index): bound for index, bound in enumerate(self.selection.rules)}
        if any(code not in rules for code in codes):
            return None
        return tuple(bound.cutoff for code in codes if (bound := rules[code]).cutoff is not None)
