"""What a look at a table's values tells: the units of its times, their usual layout, the size of its rows."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterator

from lapse.instant import Nanos
from lapse.model.policy import Dataset, TimeFormat
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.numeric_times import NUMERIC, one_format, plausible
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.ranges import Key, KeyRange, KeyWalk
from lapse.stores.sqlite.schema import Affinity, Table
from lapse.stores.sqlite.timecolumn import Layout, TimeReading, commonest_layout

_SAMPLE = 500  # rows from each end of a table
_STEP = 100_000


def steps(walk: KeyWalk, rows: int, end: Key | None) -> Iterator[KeyRange]:
    """Ranges of about *rows* rows, one after the other, up to *end*, inclusive. None where there is no row."""
    if end is None:
        return
    after: Key | None = None
    while True:
        until = walk.step(KeyRange(after, end), rows)
        yield KeyRange(after, end if until is None else until)
        if until in (None, end):
            return
        after = until


def read_times(database: Database, table: Table, walk: KeyWalk, *, dataset: Dataset, latest: Nanos) -> TimeReading:
    """How the dataset's time column is to be understood.

    Arguments:
        database: The file.
        table: The table.
        walk: Its rows in key order.
        dataset: What the policy says of it.
        latest: Last believable time.

    Raises:
        PolicyError: If the policy leaves the unit open, and the column has several.
    """
    column, form = table.column(dataset.time), dataset.time_format
    texts = form in (TimeFormat.AUTO, TimeFormat.ISO)
    numbers = form if form.unit is not None else None
    if form is TimeFormat.AUTO and column.affinity is not Affinity.TEXT:
        counts = dict.fromkeys(NUMERIC, 0)
        for keys in steps(walk, _STEP, walk.last()):
            for unit, count in _count_units(database, table, walk, keys, column.name, latest).items():
                counts[unit] += count
        numbers = one_format(counts, column.name)
    layout = usual_layout(database, table, walk, column.name) if texts else None
    return reading_of(dataset, numbers=numbers, layout=layout)


def reading_of(dataset: Dataset, *, numbers: TimeFormat | None, layout: Layout | None) -> TimeReading:
    """The reading of a dataset whose numbers are known to have a format."""
    return TimeReading(
        texts=dataset.time_format in (TimeFormat.AUTO, TimeFormat.ISO),
        numbers=numbers,
        layout=layout,
        naive_is_utc=dataset.zone in (None, "UTC") and not dataset.zone_required,
    )


def _count_units(
    database: Database, table: Table, walk: KeyWalk, keys: KeyRange, column: str, latest: Nanos
) -> dict[TimeFormat, int]:
    time, where = f"r.{quote(column)}", walk.within(keys)
    # total() takes a NULL for 0 and cannot overflow.
    counts = ", ".join(
        f"total({time} BETWEEN {least} AND {most})" for least, most in (plausible(form, latest) for form in NUMERIC)
    )
    found = database.row(
        f"SELECT {counts} FROM {table.quoted} AS r WHERE {where.sql} AND typeof({time}) IN ('integer', 'real')",
        where.values,
    )
    return {form: int(count) for form, count in zip(NUMERIC, found, strict=True)}


def usual_layout(database: Database, table: Table, walk: KeyWalk, column: str) -> Layout | None:
    """The layout of most texts at both ends of a table."""
    time = f"r.{quote(column)}"
    with database.replacing_invalid_text():
        found = [
            text
            for order in (walk.order, walk.backwards)
            for (text,) in database.rows(f"SELECT {time} FROM {table.quoted} AS r ORDER BY {order} LIMIT {_SAMPLE}")
        ]
    return commonest_layout(text for text in found if isinstance(text, str))


def row_size(database: Database, table: Table, walk: KeyWalk) -> int:
    """Bytes of the content of an average row, from a sample of both ends; at least 1."""
    size = " + ".join(
        f"CASE typeof(r.{name}) WHEN 'text' THEN length(CAST(r.{name} AS BLOB)) WHEN 'blob' THEN length(r.{name}) "
        "WHEN 'null' THEN 0 ELSE 8 END"
        for name in (quote(column.name) for column in table.columns)
    )
    rows = total = 0
    for order in (walk.order, walk.backwards):
        count, sizes = database.row(
            f"SELECT count(*), total(size) FROM (SELECT {size} AS size "
            f"FROM {table.quoted} AS r ORDER BY {order} LIMIT {_SAMPLE})"
        )
        rows, total = rows + count, total + int(sizes)
    return max(1, total // max(1, rows))
