"""What is decided about a row, as SQL on the alias ``r``; and rows counted by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from lapse.instant import Nanos
from lapse.model.bounds import Going
from lapse.model.plan import CHECKSUM_MODULUS, Tally
from lapse.model.policy import TimeFormat
from lapse.model.selection import Bound, Selection
from lapse.sqlcore.fields import widened
from lapse.sqlcore.fragments import Fragment, joined
from lapse.sqlcore.lookups import RuleLookups, lookups_of
from lapse.sqlcore.newest import Members
from lapse.sqlcore.rules import RuleCompiler, lapsed_code
from lapse.sqlcore.tallying import Row, tally_of
from lapse.sqlcore.thresholds import Thresholds, spelled
from lapse.stores.postgresql.besides import SideSession
from lapse.stores.postgresql.catalog import INTEGERS, Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.dialect import PostgresDialect
from lapse.stores.postgresql.formats import read_format as read_format
from lapse.stores.postgresql.naming import column as column_sql
from lapse.stores.postgresql.naming import escaped
from lapse.stores.postgresql.timecolumns import check_zoned, record_time
from lapse.stores.postgresql.times import OrderedTime, RecordTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a statement needs that joins the rules to the rows it changes, instead of looking up those of each.

    Attributes:
        using: What it uses besides.
        same: What is true of a row ``r`` and its rule; of rows under no rule it never is.
        code: The outcome's code of a row that has lapsed.
        lookups: Where the rules are, joined.
    """

    using: Fragment
    same: Fragment
    code: Fragment
    lookups: RuleLookups


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What decides about the rows of a table.

    Attributes:
        table: The table.
        selection: The decision.
        time_format: How the time column is written; for numbers not AUTO.
        version: The server's, such as 160004. 0 stands for the oldest.
        sides: Where very many rules are looked up. None tries each of them.
        newest: What tells the newest of each group from the others. None tells none.
    """

    table: Table
    selection: Selection
    time_format: TimeFormat
    version: int = 0
    sides: SideSession | None = None
    newest: Thresholds | None = None

    @cached_property
    def lookups(self) -> RuleLookups | None:
        """Where rules are looked up, made when first asked for. None where each is tried."""
        return None if self.sides is None else lookups_of(self._known, self.sides)

    def prepared(self) -> Judge:
        """The same; what rules are looked up in is there from now on, if it can be."""
        _ = self.lookups
        return self

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

    @property
    def timestamp(self) -> str | None:
        """The column whose timestamps, as UTC, are the record times. None where these are made of something else."""
        time = self._time
        return self.selection.dataset.time if isinstance(time, OrderedTime) and time.micros else None

    @cached_property
    def tenant(self) -> Fragment:
        """The tenant's text. NULL where the dataset or the row has none."""
        tenant = self.selection.dataset.tenant
        return Fragment("NULL::text") if tenant is None else self.dialect.text(tenant)

    def lapsed(self, codes: Collection[int], beside: Beside | None = None) -> Fragment:
        """Whether a row's code is one of *codes*; true, or else false or NULL. Its rule is *beside* it or looked up."""
        return self._time.once(self._lapsed(codes, self.lookups if beside is None else beside.lookups))

    def beside(self) -> Beside | None:
        """How a statement that changes rows has what rules are found beside them. None where each looks it up."""
        known = None if self.lookups is None else self.lookups.joined()
        if known is None or not known.at_hand:
            return None
        using, same = known.using(self.dialect.text)
        return Beside(using=using, same=same, code=Fragment(lapsed_code(self._known, known)), lookups=known)

    def bound(self, codes: Collection[int]) -> Fragment | None:
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

    def members(self, where: Fragment) -> Members:
        """The records of which the newest stay, of those that *where* admits by the alias ``r``."""
        source = f" FROM {escaped(self.table.sql)} AS r{self._time.lateral} WHERE "
        return Members(
            selection=self._known,
            compiler=self._compiler,
            lookups=self.lookups,
            instant=self._time.nanos(self._time.raw),
            spell=spelled,
            rows=lambda columns: "SELECT " + columns + source + where,
        )

    def tallies(
        self,
        connection: Connection,
        where: Fragment,
        codes: Collection[int] | None = None,
        *,
        size: str,
        from_: str,
        checksums: bool = True,
    ) -> tuple[Tally, ...]:
        """Counts of the rows by code and tenant, ordered by both.

        Arguments:
            connection: The session.
            where: Which rows, by the alias ``r``.
            codes: Only rows with one of these. None counts all.
            size: SQL expression of a row's bytes.
            from_: What gives the rows the alias ``r``.
            checksums: Whether these are wanted; they cost a quarter of the time.
        """
        wanted = where if codes is None else "(" + where + ") AND (" + self._lapsed(codes, self.lookups) + ")"
        found: list[Row] = self.counts(connection, wanted, size=size, from_=from_, checksums=checksums)
        found.sort(key=lambda row: (row[0], row[1] is not None, row[1] or ""))
        return tuple(map(tally_of, found))

    def counts(
        self,
        connection: Connection,
        where: Fragment,
        *,
        bucket: str | None = None,
        size: str,
        from_: str,
        checksums: bool = True,
    ) -> list[Any]:
        """Counts of the rows by code and tenant, each a `Row`, in no order; the rest is as for `tallies`.

        With *bucket*, an expression of an integer, they are by that, too, and it stands behind each.
        """
        fixed = int(size) if size.isdecimal() else None
        sums = f"sum({size})::bigint" if fixed is None else f"count(*) * {fixed}"
        number = self._checksum if checksums else "0"
        behind = f", {bucket}" if bucket else ""
        return connection.query(
            "SELECT " + self._code + ", " + self.tenant + f", count(*), {sums}, {self._ends}, {number}{behind} "
            f"FROM {from_}{self._time.lateral} WHERE " + where + self._grouped([8] if bucket else [])
        )

    def counted(self, where: Fragment, beside: Sequence[str], *, from_: str, joined: bool) -> Fragment:
        """Counts of the rows by code, tenant and *beside*: these, records, oldest, newest, checksum; in no order.

        Arguments:
            where: Which rows, by the alias ``r``.
            beside: Expressions of integers.
            from_: What gives the rows the alias ``r``.
            joined: Whether the side tables are joined to the rows, if rules are looked up: for very many of both.
        """
        rows = self._decided(beside, joined) + f", count(*), {self._ends}, {self._checksum}"
        groups = self._grouped([3 + number for number in range(len(beside))])
        return "SELECT " + rows + self._source(from_, joined) + " WHERE " + where + groups

    def listed(self, where: Fragment, beside: Sequence[str], *, from_: str, joined: bool) -> Fragment:
        """The rows themselves: code, tenant and *beside* of each, its time and its part of the checksum.

        The arguments are those of `counted`.
        """
        part = f"{self._number} %% {CHECKSUM_MODULUS}"
        rows = self._decided(beside, joined) + f", {self._time.nanos(self._time.raw)}, {part}"
        return "SELECT " + rows + self._source(from_, joined) + " WHERE " + where

    def _decided(self, beside: Sequence[str], joined: bool) -> Fragment:
        code = self._joined_code if joined else self._code
        return code + ", " + self.tenant + "".join(f", {each}" for each in beside)

    def _source(self, from_: str, joined: bool) -> Fragment:
        beside = self.lookups.joined().join(self.dialect.text) if joined and self.lookups else Fragment("")
        return f" FROM {from_}" + beside + self._time.lateral

    def _grouped(self, beside: Sequence[int]) -> str:
        """By code and tenant, which stand first, and by what stands at the places *beside*.

        The server groups by and adds up even what is the same for every row, and takes time for it.
        """
        places = [1, *([2] if self.selection.dataset.tenant else []), *beside]
        return f" GROUP BY {', '.join(map(str, places))}"

    @property
    def _ends(self) -> str:
        """The earliest and the latest time of a group."""
        time = self._time
        return time.nanos(f"min({time.raw})") + ", " + time.nanos(f"max({time.raw})")

    @property
    def _checksum(self) -> str:
        """The checksum of a group. A sum of bigint is a numeric, which the client would be slow to read."""
        return f"(sum({self._number} %% {CHECKSUM_MODULUS}) %% {CHECKSUM_MODULUS})::bigint"

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
        newest = None if self.newest is None else self.newest.seen_at(self._time.nanos(self._time.raw))
        return RuleCompiler(self.dialect, self._time, newest=newest)

    @cached_property
    def _code(self) -> Fragment:
        """The code, for rows with `RecordTime.lateral`."""
        return self._compiler.selection(self._known, self.lookups)

    @cached_property
    def _joined_code(self) -> Fragment:
        """The same for rows that side tables are joined to."""
        return self._compiler.selection(self._known, None if self.lookups is None else self.lookups.joined())

    def _lapsed(self, codes: Collection[int], lookups: RuleLookups | None) -> Fragment:
        cutoffs = self._cutoffs(codes)
        if cutoffs is not None and not cutoffs:
            return Fragment("FALSE")
        if isinstance(codes, Going) and lookups is not None:
            listed = self._compiler.going(self._known, lookups, codes)
        elif self._is_first_alone(codes) and (cutoff := self._known.rules.cutoff(0)) is not None:
            return self._lapsed_first(self._known.rules[0], cutoff)
        else:
            listed = self._code + f" IN ({', '.join(map(str, codes)) or 'NULL'})"
        # What is too young for every rule need not be judged.
        return listed if cutoffs is None else self._time.compare("<", max(cutoffs)) + " AND " + listed

    def _is_first_alone(self, codes: Collection[int]) -> bool:
        """Whether *codes* are those of what lapsed under the first rule, of which nothing stays for being new."""
        known = self._known
        return tuple(islice(codes, 2)) == (known.lapsed_code(0),) and known.sources[0].last is None

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

    def _cutoffs(self, codes: Collection[int]) -> frozenset[Nanos] | None:
        """Cutoffs of the rules under which rows with *codes* lapsed. None if other codes are among them."""
        if isinstance(codes, Going):
            return codes.cutoffs
        lapsed, rules = self.selection.lapsed_codes(), self.selection.rules
        found = [rules.cutoff(lapsed.rule_of(code)) for code in codes if code in lapsed]
        return None if len(found) < len(codes) else frozenset(each for each in found if each is not None)
