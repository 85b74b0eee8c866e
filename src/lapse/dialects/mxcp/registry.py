"""The schema registry of an audit trail in, how long each schema's records are kept out.

The server appends a line whenever it makes or changes a schema. A line that is not understood could be the one that
prolongs a retention, so nothing goes before it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapse.errors import Complaint, Origin, PolicyError

_KEYS = {
    "schema_name", "version", "description", "retention_days", "evidence_level", "extract_fields",
    "require_signature", "created_at", "created_by", "active", "indexes", "fields", "field_redactions",
}  # fmt: skip
_DEFAULT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long the records of one version of a schema are kept.

    Attributes:
        name: Name of the schema.
        version: Its version.
        days: Whole days that its records are kept, 0 or more. None keeps them for ever.
        origin: The line that says so.
    """

    name: str
    version: int
    days: int | None
    origin: Origin


def registry_of(log: Path) -> Path:
    """Where the registry of the audit trail at *log* lies."""
    return log.parent / f"{log.stem}_schemas.jsonl"


def read_registry(file: Path) -> tuple[Retention, ...]:
    """What a registry says, one for each version of each schema, in the order of their first lines.

    The last line about a version counts. A missing file says nothing.

    Raises:
        PolicyError: If a line is not understood, with every such line.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise PolicyError(
            f"{file} cannot be read: {error.strerror}", hint="Let the user that this runs as read it."
        ) from error
    complaints: list[Complaint] = []
    found: dict[tuple[str, int], Retention] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            retention = _retention(line, Origin(str(file), number, 1), complaints)
            if retention is not None:
                found[retention.name, retention.version] = retention
    if complaints:
        raise PolicyError(f"{file} cannot be followed: nothing is removed", complaints=complaints)
    return tuple(found.values())


def _retention(line: bytes, origin: Origin, complaints: list[Complaint]) -> Retention | None:
    try:
        entry = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        complaints.append(Complaint(origin, f"this line is no JSON object: {error}", _HINT))
        return None
    wrong = list(_wrong(entry))
    complaints += (Complaint(origin, what, _HINT) for what in wrong)
    if wrong:
        return None
    version = entry.get("version", _DEFAULT_VERSION)
    return Retention(name=entry["schema_name"], version=version, days=entry.get("retention_days"), origin=origin)


_HINT = "Correct the line, or append one for the same schema and version after removing this one."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _wrong(entry: object) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield "this line is JSON, but no object"
        return
    for key in sorted(entry.keys() - _KEYS):
        yield f"unknown key {key!r}"
    name, version, days = entry.get("schema_name"), entry.get("version", _DEFAULT_VERSION), entry.get("retention_days")
    if not isinstance(name, str) or not name:
        yield "`schema_name` must be text"
    if not _is_integer(version):
        yield "`version` must be a whole number"
    if days is not None and (not _is_integer(days) or days < 0):
        yield "`retention_days` must be a whole number of days, or null"
    if not isinstance(entry.get("active", True), bool):
        yield "`active` must be true or false"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
