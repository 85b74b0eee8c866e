"""Tables whose rows are judged by PostgreSQL and, beside it, by the definition in Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lapse.instant import Nanos
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import Selection, select
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64
from lapse.stores.postgresql.catalog import Table, find_table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.timecolumns import record_time

NOW = Nanos(1_795_300_000_123_456_789)
OPERATORS = ("<", "<=", ">", ">=")


@contextmanager
def connected(address: str) -> Iterator[Connection]:
    """A session of Lapse's own."""
    connection = Connection(address, shown=address, read_only=False)
    try:
        yield connection
    finally:
        connection.close()


def clamp(instant: int | None) -> int | None:
    """The nearest instant that 64 bits hold."""
    return None if instant is None else max(MIN_INT64, min(MAX_INT64, instant))


def times_table(connection: Connection, kind: str, values: Sequence[str | None]) -> Table:
    """A new table ``log`` with the columns ``id``, from 0, and ``at`` of type *kind* with *values*."""
    connection.run("DROP TABLE IF EXISTS log")
    connection.run(f"CREATE TABLE log (id bigint PRIMARY KEY, at {kind})")
    if values:
        marks = ", ".join(["(%s, %s)"] * len(values))
        connection.run(f"INSERT INTO log VALUES {marks}", [cell for row in enumerate(values) for cell in row])
    return find_table(connection, "log")


def dataset(**changes: object) -> Dataset:
    """A dataset on ``log``."""
    return Dataset(**{"name": "log", "store": "", "shown": "", "table": "log", "time": "at", **changes})  # type: ignore[arg-type]


def judge(connection: Connection, table: Table, selection: Selection) -> Judge:
    """A judge with the format that the policy says."""
    time_format = selection.dataset.time_format
    return Judge(table=table, selection=selection, time_format=time_format, version=connection.version)


def instants(
    connection: Connection, table: Table, *, zone: str | None = None, time_format: TimeFormat = TimeFormat.AUTO
) -> list[int | None]:
    """What the server reads, in the order of the keys."""
    selection = select(dataset(zone=zone, time_format=time_format), floors=(), holds=(), now=NOW, real_now=NOW)
    sql = judge(connection, table, selection).instant
    return [found for (found,) in connection.query(Fragment(f"SELECT {sql} FROM log AS r ORDER BY id"))]


def disagreements(
    connection: Connection, table: Table, *, zone: str | None = None, time_format: TimeFormat = TimeFormat.AUTO
) -> list[str]:
    """Comparisons near each of the rows' own instants that are not as those of the instants read."""
    read = instants(connection, table, zone=zone, time_format=time_format)
    near = (-DAY_NS, -1001, -1000, -999, -1, 0, 1, 999, 1000, 1001, DAY_NS)
    borders = sorted({known + shift for known in read if known is not None for shift in near} | {MIN_INT64, MAX_INT64})
    time = record_time(table.column("at"), time_format, zone)
    asked = [(operator, Nanos(border)) for operator in OPERATORS for border in borders]
    found: list[str] = []
    for first in range(0, len(asked), 400):
        chunk = asked[first : first + 400]
        answers = [Fragment(f"coalesce({time.compare(*question).sql}, FALSE)") for question in chunk]
        bounds = [time.bound(*question) for question in chunk]
        answers += [Fragment(f"coalesce({bound.sql if bound else 'TRUE'}, FALSE)") for bound in bounds]
        listed = ", ".join(answer.sql for answer in answers)
        missing = time.missing().sql
        sql = f"SELECT {missing}, ARRAY[{listed}] FROM log AS r{time.lateral} ORDER BY id"
        rows = connection.query(Fragment(sql))
        for instant, (gone, said) in zip(read, rows, strict=True):
            if gone != (instant is None):
                found.append(f"missing of {instant}")
            for (operator, border), yes, bound in zip(chunk, said[: len(chunk)], said[len(chunk) :], strict=True):
                expected = instant is not None and compares(instant, operator, border)
                if instant is not None and (yes != expected or (expected and not bound)):
                    found.append(f"{instant} {operator} {border}: {yes}, bound {bound}")
    return found


DAY_NS = 86_400_000_000_000


def compares(instant: int, operator: str, border: int) -> bool:
    """What Python says."""
    border = max(MIN_INT64, min(MAX_INT64, border))
    return {"<": instant < border, "<=": instant <= border, ">": instant > border, ">=": instant >= border}[operator]
