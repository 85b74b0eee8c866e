"""Lines of a take: what the server writes for each row, and the facts and rows that Arrow makes of them."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lapse.errors import StoreError
from lapse.instant import Nanos
from lapse.model.plan import Tally
from lapse.ports import RowBatch
from lapse.sqlcore.fragments import Fragment, joined
from lapse.stores.mysql.ahead import ahead
from lapse.stores.mysql.catalog import Table
from lapse.stores.mysql.connection import Connection
from lapse.stores.mysql.encoding import Shape, parsed, text_field
from lapse.stores.mysql.judging import Judge

_BATCH = 10_000
_BATCH_SIZE = 8 * 1024 * 1024
_FACTS = {"code": pa.int32(), "instant": pa.int64(), "tenant": pa.string(), "size": pa.int64()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Lines as Arrow.

    Attributes:
        records: How many.
        facts: Code, instant, tenant and size of each row, a table. None where the lines have none.
        rows: The rows. None where they were only counted.
    """

    records: int
    facts: Any
    rows: RowBatch | None

    def tallies(self, size: int) -> list[Tally]:
        """Counts of the rows by their facts; *size* is the bytes of all of them."""
        return [] if self.facts is None else counted(self.facts, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How rows of a table travel.

    Attributes:
        table: The table's name, for messages.
        line: The SQL of a row's line.
        shape: Its columns. None where they stay: rows are only counted.
        has_facts: Whether facts stand before the columns.
    """

    table: str
    line: Fragment
    shape: Shape | None
    has_facts: bool

    @classmethod
    def of_lapsed(cls, judge: Judge, codes: Collection[int], *, whole: bool) -> Form:
        """Rows with one of *codes*, empty for any, with what is known of them; *whole* with their columns."""
        shape = Shape(judge.table) if whole else None
        return cls(table=judge.table.name, line=_line_of(judge, codes, shape), shape=shape, has_facts=True)

    @classmethod
    def of_columns(cls, table: Table) -> Form:
        """Whole rows of a table on which nothing was decided."""
        shape = Shape(table)
        return cls(table=table.name, line=plain_line(shape), shape=shape, has_facts=False)

    def read(self, lines: Sequence[bytes]) -> Read:
        """Lines as Arrow.

        Raises:
            StoreError: If a value does not fit, with the column's name.
        """
        if self.shape is None:
            return Read(records=len(lines), facts=parsed(lines, _FACTS, self.table), rows=None)
        facts, rows = self.shape.read(lines, _FACTS if self.has_facts else {})
        return Read(records=len(lines), facts=facts if self.has_facts else None, rows=rows)


def _line_of(judge: Judge, codes: Collection[int], shape: Shape | None) -> Fragment:
    """The SQL of the line of a row with one of *codes*: its facts, then with a *shape* its columns."""
    code = Fragment(str(next(iter(codes)))) if len(codes) == 1 else judge.code
    tenant = Fragment("NULL") if judge.tenant is None else _field(judge.tenant)
    # What the columns hold need not be measured twice.
    facts = [code, Fragment(judge.instant), tenant, Fragment("NULL" if shape else judge.size)]
    fields = [Fragment(field) for field in shape.fields] if shape else []
    return _line([*facts, *fields])


def plain_line(shape: Shape) -> Fragment:
    """The SQL of a row's line with its columns alone."""
    return _line([Fragment(field) for field in shape.fields])


def _line(fields: Sequence[Fragment]) -> Fragment:
    """One line of CSV, to the byte: an empty field is NULL, ``""`` an empty text."""
    padded = ["COALESCE(" + field + ", '')" for field in fields]
    return "CONCAT(CAST('' AS BINARY), " + joined(", ',', ", padded) + ")"


def _field(text: Fragment) -> Fragment:
    return Fragment(text_field(text.sql), text.values)


def read_plain(lines: Sequence[bytes], shape: Shape) -> RowBatch:
    """The rows of lines that `plain_line` wrote."""
    return shape.read(lines, {})[1]


def counted(facts: Any, size: int) -> list[Tally]:
    """Tallies of rows by their facts.

    Arguments:
        facts: Their code, instant, tenant and size.
        size: Bytes of all of them together, shared out where the facts do not say.
    """
    groups = facts.group_by(["code", "tenant"]).aggregate(
        [("instant", "min"), ("instant", "max"), ("size", "sum"), ([], "count_all")]
    )
    total = max(1, facts.num_rows)
    return [
        Tally(
            code=row["code"],
            tenant=row["tenant"],
            records=row["count_all"],
            size=row["size_sum"] if row["size_sum"] is not None else size * row["count_all"] // total,
            oldest=Nanos(row["instant_min"]),
            newest=Nanos(row["instant_max"]),
        )
        for row in groups.to_pylist()
    ]


def lines_of(connection: Connection, statement: Fragment, form: Form) -> Generator[Read, None, None]:
    """What a statement yields whose one column is lines of *form*, as it comes, some at a time.

    Raises:
        StoreError: If a row is larger than the server can send, or a value does not fit its column.
    """
    with closing(ahead(_grouped(connection.texts(statement), form.table))) as groups:
        for lines in groups:
            yield form.read(lines)


def _grouped(chunks: Iterator[list[bytes | None]], table: str) -> Iterator[list[bytes]]:
    """Lines in groups of bounded rows and bytes."""
    group: list[bytes] = []
    size = 0
    for chunk in chunks:
        for text in chunk:
            if text is None:
                raise StoreError(
                    f"{table}: a row is larger than the server's max_allowed_packet",
                    hint="Nothing was removed. Raise max_allowed_packet on the server, or keep these records.",
                )
            group.append(text)
            size += len(text)
            if size >= _BATCH_SIZE or len(group) == _BATCH:
                yield group
                group, size = [], 0
    if group:
        yield group
