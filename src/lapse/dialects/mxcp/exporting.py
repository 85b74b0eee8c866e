"""An audit trail in, a DuckDB file with the table that ``mxcp log --export-duckdb`` makes out.

Every record is exported, the newest first. Lines that are no JSON objects are not records.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lapse import clock
from lapse.dialects.mxcp.cleanup import Order, audit_of
from lapse.dialects.mxcp.mapping import policy_of
from lapse.dialects.mxcp.site import ProfileError
from lapse.errors import LapseError, MissingDriverError, StoreError, StoreMissingError, UsageError
from lapse.instant import SECOND, Nanos
from lapse.model.timetext import is_naive, parse_time_text
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.listed import LogFile

_TYPES: Mapping[str, str] = {
    "record_id": "VARCHAR",
    "timestamp": "VARCHAR",
    "caller_type": "VARCHAR",
    "operation_type": "VARCHAR",
    "operation_name": "VARCHAR",
    "duration_ms": "INTEGER",
    "user_id": "VARCHAR",
    "session_id": "VARCHAR",
    "trace_id": "VARCHAR",
    "operation_status": "VARCHAR",
    "error": "VARCHAR",
    "policy_decision": "VARCHAR",
    "policy_reason": "VARCHAR",
    "business_context": "JSON",
    "execution_events": "JSON",
    "schema_name": "VARCHAR",
    "schema_version": "INTEGER",
    "input_data": "JSON",
    "output_data": "VARCHAR",
    "policies_evaluated": "JSON",
    "prev_hash": "VARCHAR",
    "record_hash": "VARCHAR",
    "signature": "VARCHAR",
}
"""The columns in order. That of ``output_data`` is JSON where the newest record has an object or a list there."""

_OUTPUT = "output_data"
_SPAN = re.compile(r"([0-9]{1,18})([smhd])", re.IGNORECASE | re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BATCH = 5000
_MAGIC = slice(8, 12)  # of every DuckDB file, behind a checksum
_WHERE = "Name a new file, or one that an export made."


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an export wrote.

    Attributes:
        records: How many records.
        path: The file, as it was named.
    """

    records: int
    path: str


class ExportError(LapseError):
    """A file that could not be exported to."""


def export(order: Order, *, path: str, since: str | None) -> Export:
    """Add the records of a profile to the table ``audit_logs`` of the DuckDB file at *path*.

    Arguments:
        order: Which profile.
        path: The file; it is made where it is missing.
        since: How old they may be at most, like ``30d``. None exports all.

    Raises:
        LapseError: If nothing could be exported; the file is as it was.
        UsageError: If *path* names no file, or *since* is no span.
    """
    if not path.strip():
        raise UsageError("Option '--export-duckdb' names no file")
    earliest = None if since is None else Nanos(clock.run_now() - _span(since) * SECOND)
    audit = audit_of(order)
    if not audit.enabled:
        raise ProfileError(
            f"Audit logging is not enabled for profile '{audit.profile}'. Enable it in mxcp-site.yml under"
            f" profiles.{audit.profile}.audit.enabled"
        )
    (dataset,) = policy_of(audit, ()).datasets.values()
    records = (each for each in _records(dataset.store) if earliest is None or _is_since(each, earliest))
    return Export(records=_write(path, records), path=path)


def _span(text: str) -> int:
    """The seconds that a span like ``30d`` lasts."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise UsageError(f"Invalid time format: {text}. Use format like '10m', '2h', '1d'")
    return int(found[1]) * _UNITS[found[2].lower()]


def _records(address: str) -> Iterator[Mapping[str, Any]]:
    """Every record of the log and its segments, in the order of their names."""
    try:
        files = LogSet(address).files()
    except StoreMissingError:
        return  # there is no log yet
    for file in files:
        for line in _lines(file):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def _lines(file: LogFile) -> Iterator[bytes]:
    try:
        with file.path.open("rb") as stream:
            yield from stream
    except OSError as error:
        raise StoreError(f"{file.path}: it cannot be read: {error.strerror}") from error


def _instant(record: Mapping[str, Any]) -> Nanos | None:
    text = record.get("timestamp")
    return None if not isinstance(text, str) or is_naive(text) else parse_time_text(text, None)


def _is_since(record: Mapping[str, Any], earliest: Nanos) -> bool:
    instant = _instant(record)
    return instant is not None and instant >= earliest


def _write(path: str, records: Iterable[Mapping[str, Any]]) -> int:
    try:
        import duckdb
        import pyarrow
    except ImportError as error:
        raise MissingDriverError("duckdb", extra="duckdb") from error
    _require_database(path)
    names = [*_TYPES, "instant", "number"]
    rows = (_row(record, number) for number, record in enumerate(records))
    try:
        # Absolute, since DuckDB takes names like `:memory:` for something else than a file.
        with closing(duckdb.connect(Path(path).absolute())) as database:
            database.execute("BEGIN")
            columns = ", ".join(f"{name} {'BIGINT' if name in _ORDER else 'VARCHAR'}" for name in names)
            database.execute(f"CREATE TEMP TABLE staged ({columns})")
            while batch := list(itertools.islice(rows, _BATCH)):
                kinds = [pyarrow.int64() if name in _ORDER else pyarrow.string() for name in names]
                cells = zip(*batch, strict=True)
                arrays = [pyarrow.array(each, kind) for each, kind in zip(cells, kinds, strict=True)]
                database.register("batch", pyarrow.Table.from_arrays(arrays, names))
                database.execute("INSERT INTO staged SELECT * FROM batch")
            count = _move(database)
            database.execute("COMMIT")
            return count
    except duckdb.Error as error:
        raise ExportError(f"{path}: {error}", hint=_WHERE) from error


def _require_database(path: str) -> None:
    """Refuse what is there and is something else: DuckDB opens JSON and CSV files as well, and would write nowhere."""
    file = Path(path)
    try:
        if file.exists() and not (file.is_file() and _head(file)[_MAGIC] == b"DUCK"):
            raise ExportError(f"{path}: it is there, and is no DuckDB file", hint=_WHERE)
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}", hint=_WHERE) from error


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MAGIC.stop)


def _move(database: Any) -> int:
    """Put what is staged into the table, the newest first; returns how many records."""
    newest = database.execute(f"SELECT output_data FROM staged {_NEWEST_FIRST} LIMIT 1").fetchone()  # noqa: S608 - ours
    holds = newest is not None and str(newest[0])[:1] in "{["
    types = {**_TYPES, _OUTPUT: "JSON" if holds else "VARCHAR"}
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    database.execute(f"CREATE TABLE IF NOT EXISTS audit_logs ({columns})")
    found = database.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'audit_logs'")
    types = dict(found.fetchall())
    values = ", ".join(_value(name, types.get(name, "VARCHAR")) for name in _TYPES)
    chosen = f"SELECT {values} FROM staged {_NEWEST_FIRST}"  # noqa: S608 - our names, and types of the database
    database.execute(f"INSERT INTO audit_logs ({', '.join(_TYPES)}) {chosen}")
    return int(database.execute("SELECT count(*) FROM staged").fetchone()[0])


_ORDER = ("instant", "number")
_NEWEST_FIRST = "ORDER BY instant DESC NULLS LAST, number DESC"


def _value(name: str, kind: str) -> str:
    """The value of a staged column, as a column of this type has it."""
    text = f"({name}::JSON ->> '$')" if name == _OUTPUT and kind != "JSON" else name
    return text if kind == "VARCHAR" else f"TRY_CAST({text} AS {kind})"


def _row(record: Mapping[str, Any], number: int) -> tuple[str | int | None, ...]:
    instant = _instant(record)
    cells = (_cell(name, record.get(name, [] if name == "execution_events" else None)) for name in _TYPES)
    return (*cells, None if instant is None else instant // 1000, number)


def _cell(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if name == "timestamp" and isinstance(value, str):
        return _iso(value)
    if isinstance(value, str) and name != _OUTPUT and _TYPES[name] != "JSON":
        return value.encode(errors="replace").decode()
    return _json(value).encode(errors="replace").decode()


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:  # a number that JSON does not have
        return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), ensure_ascii=False)


def _iso(text: str) -> str:
    """The time as the original writes it."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text.encode(errors="replace").decode()
