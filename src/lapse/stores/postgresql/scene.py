"""What is known of a dataset's table, found out once: its session, columns, partitions, dependents and markers."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from lapse.errors import StoreError, UnsupportedError
from lapse.instant import Nanos
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import Selection
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.newest import Finder
from lapse.sqlcore.thresholds import Thresholds
from lapse.stores.postgresql.besides import SideSession
from lapse.stores.postgresql.borrowing import with_borrowed
from lapse.stores.postgresql.catalog import Table, find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.courtesy import Courtesy
from lapse.stores.postgresql.dependents import Dependents, dependents_of
from lapse.stores.postgresql.encoding import Shape
from lapse.stores.postgresql.filing import Filing
from lapse.stores.postgresql.identifying import server_of
from lapse.stores.postgresql.judging import Judge, read_format
from lapse.stores.postgresql.marking import Marking
from lapse.stores.postgresql.naming import column, escaped
from lapse.stores.postgresql.newest import find_thresholds
from lapse.stores.postgresql.places import Leaf, leaves
from lapse.stores.postgresql.refusing import no_table

Mark = Mapping[str, tuple[int, ...]]
_SAMPLE = 2_000  # rows of each partition
_SMALL = 100  # pages that are read whole


class Scene:
    """A dataset's table on its server. Everything is found out with the first question."""

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        self.dataset = dataset
        self._read_only = read_only
        self._opened: Connection | None = None
        self._format: TimeFormat | None = None
        self._judge: Judge | None = None
        self._newest = Finder(self._find_newest)

    def close(self) -> None:
        """End the session."""
        if self._opened is not None:
            self._opened.close()
        self._opened = self._judge = None
        self.__dict__.pop("sides", None)
        self._newest.forget()

    @property
    def connection(self) -> Connection:
        """The session."""
        if self._opened is None:
            self._opened = Connection(self.dataset.store, shown=self.dataset.shown, read_only=self._read_only)
        return self._opened

    @cached_property
    def sides(self) -> SideSession:
        """Where the session's side tables are."""
        return SideSession(self.connection)

    @cached_property
    def table(self) -> Table:
        """The table."""
        if self.dataset.table is None:
            raise UnsupportedError(
                f"dataset {self.dataset.name} names no table", hint="Write `table:`; `lapse init` lists the tables."
            )
        table = find_table(self.connection, self.dataset.table)
        return with_borrowed(self.connection, table, self.dataset.fields)

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The tables that hold its rows, as they were when last asked for.

        Raises:
            UnsupportedError: If it is a view, or whatever else holds no rows: what is in it cannot be counted so.
        """
        other = no_table(self.table)
        if other is not None:
            raise UnsupportedError(other, hint="Name the table that the rows are in.")
        return leaves(self.connection, self.table)

    def look_again(self) -> None:
        """Forget the leaves: they may have grown, or there may be more."""
        self.__dict__.pop("leaves", None)

    def leaf(self, oid: int) -> Leaf:
        """The leaf of that number.

        Raises:
            StoreError: If it is gone.
        """
        found = next((leaf for leaf in self.leaves if leaf.oid == oid), None)
        if found is None:
            raise StoreError(f"a partition of table {self.table.name} is gone", hint="Run again.")
        return found

    @cached_property
    def courtesy(self) -> Courtesy:
        """When to let others through where no run says so."""
        return Courtesy(self.connection, self.dataset.pace)

    @cached_property
    def shape(self) -> Shape:
        """How its columns travel."""
        return Shape(self.table.columns)

    @cached_property
    def dependents(self) -> Dependents:
        """What depends on its rows."""
        return dependents_of(self.connection, self.table, apart=self.dataset.apart)

    @cached_property
    def filing(self) -> Filing | None:
        """Where the files of its rows are noted. None where they have none."""
        files = self.dataset.files
        return None if files is None else Filing(self.connection, self.dataset, files, dependents=self.dependents)

    @cached_property
    def marking(self) -> Marking:
        """Where markers go."""
        return Marking(self.connection)

    @cached_property
    def marked(self) -> bool:
        """Whether this role may leave markers; their table is made where it is missing."""
        self.marking.prepare()
        return self.marking.may_mark()

    @cached_property
    def system(self) -> str:
        """The server's own identifier."""
        return server_of(self.connection)

    @cached_property
    def row_size(self) -> int:
        """Bytes of an average row, from a sample of its pages; to measure every row would double a survey's time."""
        rows = size = 0
        for leaf in self.leaves:
            share = min(100.0, 100.0 * _SAMPLE / max(leaf.rows, 1)) if leaf.pages > _SMALL else 100.0
            sampled = f"{escaped(leaf.sql)} AS r TABLESAMPLE SYSTEM ({share}) LIMIT {_SAMPLE}"
            query = f"SELECT {self.shape.size} AS size FROM {sampled}"
            ((found, of),) = self.connection.query(
                Fragment(f"SELECT count(*), coalesce(sum(size), 0)::bigint FROM ({query}) AS sample")
            )
            rows, size = rows + found, size + int(of)
        return max(1, size // max(1, rows))

    def judge(self, selection: Selection) -> Judge:
        """What decides about its rows; the last one is remembered, as very many rules take their time."""
        if self._judge is not None and self._judge.selection is selection:
            return self._judge
        judge = self._judge_of(selection, self._newest.of(selection)).prepared()
        if not self.connection.in_transaction:  # where one is open no side table can be made
            self._judge = judge
        return judge

    def see_newest(self, selection: Selection, mark: Mark | None, *, anew: bool) -> None:
        """Find out from when on the newest of each group stay, where that is not known already or wanted *anew*."""
        if anew:
            self._judge = None
            self._newest.forget()
        self._newest.of(selection, mark)

    def _find_newest(self, selection: Selection, mark: Mark | None) -> Thresholds | None:
        judge, where = self._judge_of(selection, None), self.below(self.highest(mark))
        return find_thresholds(self.connection, judge, where, name=self._newest.name)

    def _judge_of(self, selection: Selection, newest: Thresholds | None) -> Judge:
        if self._format is None:
            time = self.table.column(self.dataset.time)
            table, found = (self.table, time) if time.loan is None else (time.loan.lender, time.loan.column)
            self._format = read_format(
                self.connection, table, found, self.dataset.time_format, latest=selection.doubt_after
            )
        return Judge(
            table=self.table,
            selection=selection,
            time_format=self._format,
            version=self.connection.version,
            sides=self.sides,
            newest=newest,
        )

    def earliest(self, selection: Selection) -> Nanos | None:
        """The first record time that is not doubtful for its age, by the index on the time. None without one."""
        judge, name = self.judge(selection), column(self.table.column(self.dataset.time).name)
        before = selection.dataset.doubt_before
        since = Fragment("TRUE") if before is None else judge.since(before)
        ((found,),) = self.connection.query(
            f"SELECT {judge.instant} FROM {escaped(self.table.sql)} AS r WHERE " + since + f" ORDER BY {name} LIMIT 1"
        ) or ((None,),)
        return None if found is None else Nanos(int(found))

    def highest(self, mark: Mark | None) -> int | None:
        """The highest key of a high-water mark. None without a mark.

        Raises:
            StoreError: If the mark is not one of this table.
        """
        if mark is None:
            return None
        key = self.table.integer_key
        if key is None or key not in mark:
            raise StoreError(f"the plan's mark is not one of table {self.table.name}", hint="Make a new plan.")
        return mark[key][0]

    def below(self, highest: int | None) -> Fragment:
        """The condition that a row ``r`` has no higher key; true of all where there is none."""
        key = self.table.integer_key
        return Fragment("TRUE") if highest is None or key is None else Fragment(f"{column(key)} <= %s", (highest,))
