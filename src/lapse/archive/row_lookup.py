"""Rows of a Parquet segment looked up by the text of some columns, a row group at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lapse.errors import VerificationError
from lapse.model.match import text_of
from lapse.sqlcore.fields import field_path


def rows(file: BinaryIO, fields: Sequence[str], key: str, shown: Sequence[str]) -> Iterator[Mapping[str, str | None]]:
    """The values of *shown*, as far as there are such columns, of every row whose *fields* read *key*.

    Parts of a key stand between commas, and may have some in them.

    Raises:
        VerificationError: If the file is no Parquet or is damaged.
    """
    try:
        source = pq.ParquetFile(file)
        known = set(source.schema_arrow.names)
        for group in range(source.num_row_groups):
            if _may_have(source, group, fields[0], key.partition(",")[0]):
                yield from _matching(source, group, fields, key, [name for name in shown if _column(name) in known])
    except (pa.ArrowException, OSError) as error:
        raise VerificationError(f"segment cannot be read as Parquet: {error}") from error


def _may_have(source: Any, group: int, column: str, text: str) -> bool:
    """Whether a row group can have a row whose *column* reads *text*, by the bounds of whole numbers it states."""
    place = source.schema_arrow.names.index(column)
    if not pa.types.is_integer(source.schema_arrow.field(place).type):
        return True
    try:
        number = int(text)
    except ValueError:
        return False
    stated = source.metadata.row_group(group).column(place).statistics
    return stated is None or not stated.has_min_max or stated.min <= number <= stated.max


def _matching(
    source: Any, group: int, fields: Sequence[str], key: str, shown: Sequence[str]
) -> Iterator[Mapping[str, str | None]]:
    cells = source.read_row_group(group, columns=list(fields), use_threads=False).to_pydict()
    named = zip(*(cells[name] for name in fields), strict=True)
    places = [place for place, parts in enumerate(named) if key in _keys(parts)]
    if not places:
        return
    columns = list(dict.fromkeys(map(_column, shown)))
    found = source.read_row_group(group, columns=columns, use_threads=False).take(places)
    for row in found.to_pylist():
        yield {name: _value(row, name) for name in shown}


def _keys(parts: Sequence[object]) -> Iterator[str]:
    """The keys that a row may have had in its store; none if a part of it is NULL."""
    return map(",".join, product(*map(_spellings, parts)))


def _column(field: str) -> str:
    return field_path(field).column


def _value(row: Mapping[str, Any], field: str) -> str | None:
    path = field_path(field)
    cell = row[path.column]
    if not path.keys:
        return _text(cell)
    try:
        found = json.loads(cell) if isinstance(cell, str) else None
    except (ValueError, RecursionError):
        return None
    for key in path.keys:
        found = found.get(key) if isinstance(found, dict) else None
    return text_of(found)


def _text(cell: object) -> str | None:
    """A cell as it is shown and compared here: what equals no text in a policy has one all the same."""
    return next(iter(_spellings(cell)), None)


def _spellings(cell: object) -> tuple[str, ...]:
    """How stores write a cell as text; none for NULL."""
    match cell:
        case None:
            return ()
        case datetime():
            whole, point, fraction = cell.replace(tzinfo=None).isoformat(" ").partition(".")
            short = f"{whole}{point}{fraction.rstrip('0')}"
            return (short if cell.tzinfo is None else f"{short}+00", str(cell))
        case bytes():
            return (f"\\x{cell.hex()}", str(cell))
        case _:
            return (text_of(cell) or str(cell),)
