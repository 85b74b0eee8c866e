"""Rows of the in-memory double: simple values to Arrow batches and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lapse.errors import UnsupportedError
from lapse.model.manifest import Column
from lapse.model.selection import RECORD_KEY
from lapse.ports import LineBlock, Part
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fields import field_path

if TYPE_CHECKING:
    from lapse.ports import RowBatch

Value = str | int | float | bytes | None
Values = Mapping[str, Value]
_BATCH = 1000


def read_field(values: Values, name: str) -> object:
    """A record's value of a column, or of a JSON path such as ``$.detail.user`` inside one; ``id`` is its key."""
    path = field_path("id" if name == RECORD_KEY else name)
    found: Any = values.get(path.column)
    if path.keys and isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return None
    for key in path.keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def to_part(table: str, records: Sequence[Values], content: ContentDigest) -> Part:
    """Records as a part; *content* takes in what is read from it.

    Raises:
        UnsupportedError: If a column holds values of several types.
    """
    import pyarrow as pa

    names = list(dict.fromkeys(name for values in records for name in values))
    schema = pa.schema([(name, _arrow_type(name, records)) for name in names])
    columns = tuple(Column(name=field.name, declared="", arrow=str(field.type)) for field in schema)
    return Part(table=table, columns=columns, odd_column=None, batches=_batches(records, schema, content))


def _batches(records: Sequence[Values], schema: Any, content: ContentDigest) -> Iterator[RowBatch]:
    import pyarrow as pa

    for start in range(0, len(records), _BATCH):
        batch = pa.RecordBatch.from_pylist([dict(item) for item in records[start : start + _BATCH]], schema=schema)
        content.update(batch)
        yield batch


def _arrow_type(name: str, records: Sequence[Values]) -> Any:
    import pyarrow as pa

    arrow = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64(), bytes: pa.binary()}
    kinds = {type(values[name]) for values in records if values.get(name) is not None}
    if len(kinds) > 1:
        raise UnsupportedError(f"column {name} holds values of several types", hint="Use one type a column.")
    return arrow[kinds.pop()] if kinds else pa.null()


def rows_of(part: Part) -> Iterator[Values]:
    """The records of a part."""
    for batch in part.batches:
        if isinstance(batch, LineBlock):
            raise UnsupportedError("the in-memory double holds rows, not lines")
        yield from batch.to_pylist()
