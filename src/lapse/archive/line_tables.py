"""Text log segments as tables for SQL: each line as it is, and the JSON keys that were seen in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from lapse.ports import Batch
from lapse.segments import record_bytes

LINE = "line"
_MOST_KEYS = 500
_INT64 = range(-(2**63), 2**63)
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class JsonKeys:
    """The top-level keys of lines, and what kinds of value each had.

    Attributes:
        kinds: SQL types by key, in the order in which the keys were first seen.
    """

    kinds: dict[str, set[str]] = field(default_factory=dict)

    def look_at(self, line: bytes) -> None:
        """Take note of the keys of a line, if it is a JSON object."""
        try:
            found = _decode(line)
        except (msgspec.DecodeError, RecursionError):
            return  # a line that is no JSON is still there as text
        if isinstance(found, dict):
            for key, value in found.items():
                self._note(key, value)

    def _note(self, key: str, value: object) -> None:
        if key not in self.kinds and len(self.kinds) >= _MOST_KEYS:
            return
        kinds = self.kinds.setdefault(key, set())
        if value is not None:
            kinds.add(_sql_type(value))

    def columns(self) -> Iterator[tuple[str, str, str]]:
        """Column name, key and SQL type of each; names differ in more than case, as SQL asks for."""
        taken = {LINE}
        for key, kinds in self.kinds.items():
            name, number = key or "_", 1
            while name.lower() in taken:
                number += 1
                name = f"{key}_{number}"
            taken.add(name.lower())
            yield name, key, _common_type(kinds)


def _sql_type(value: object) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "BIGINT" if value in _INT64 else "VARCHAR"
    return "DOUBLE" if isinstance(value, float) else "VARCHAR"


def _common_type(kinds: set[str]) -> str:
    if kinds == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return next(iter(kinds)) if len(kinds) == 1 else "VARCHAR"


def write_lines(batches: Iterator[Batch], path: Path, keys: JsonKeys) -> None:
    """Write lines without their line ends into a Parquet file that SQL can read, and note their keys.

    Bytes that are no UTF-8 become U+FFFD here; the segment keeps them.
    """
    schema = pa.schema([pa.field(LINE, pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for batch in batches:
            lines = [line.removesuffix(b"\n").removesuffix(b"\r") for line in record_bytes(batch)]
            for line in lines:
                keys.look_at(line)
            texts = pa.array([line.decode("utf-8", "replace") for line in lines], pa.string())
            writer.write_batch(pa.record_batch([texts], schema=schema))
