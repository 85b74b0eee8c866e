"""What a segment holds, so that it can be read and checked without Lapse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lapse.canonical import Digest, Json, digest_of
from lapse.instant import Nanos, parse_rfc3339, rfc3339

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a segment.

    Attributes:
        name: As in the store.
        declared: The store's own type, as it was declared; empty if it has none.
        arrow: Arrow type in the segment, such as ``int64`` or ``string``.
        encoding: ``native``, or ``text``: the store's text form of a value that Arrow cannot hold exactly.
    """

    name: str
    declared: str
    arrow: str
    encoding: str = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The statement beside a segment.

    Attributes:
        ledger: Ledger id.
        run: Run id.
        slice: Slice name within the run.
        part: Number of this segment within the slice, from 0.
        dataset: Dataset name.
        fingerprint: The store it came from.
        table: Table, or the log file's path relative to the dataset's folder.
        format: ``parquet`` or ``jsonl.zst``.
        path: Path of the segment in its target.
        digest: SHA-256 of the segment file.
        size: Bytes of the segment file.
        records: Number of records.
        raw_size: Bytes of their content before compression.
        content: SHA-256 of the decoded content, as docs/format.md defines it.
        merkle_root: RFC 9162 root over the salted record digests.
        salt: 32 random bytes, hexadecimal: without it a record digest says nothing.
        oldest: Earliest record time. None if no record has one.
        newest: Latest record time. None if no record has one.
        columns: Columns in order; empty for text logs.
        odd_column: Name of the column that holds cells which did not fit their column's type. None if
            every cell did.
        rules: Rule texts by rule index, as counted in `counts`.
        counts: Records by rule index.
        policy: Policy hash.
    """

    ledger: str
    run: str
    slice: str
    part: int
    dataset: str
    fingerprint: str
    table: str
    format: str
    path: str
    digest: Digest
    size: int
    records: int
    raw_size: int
    content: Digest
    merkle_root: Digest
    salt: str
    oldest: Nanos | None
    newest: Nanos | None
    columns: tuple[Column, ...] = ()
    odd_column: str | None = None
    rules: Mapping[str, str]
    counts: Mapping[str, int]
    policy: str

    def to_json(self) -> dict[str, Json]:
        """The manifest as it is written."""
        facts: dict[str, Any] = asdict(self)
        for name in ("oldest", "newest"):
            facts[name] = None if facts[name] is None else rfc3339(facts[name])
        return {"lapse_manifest": MANIFEST_VERSION, **facts}

    def statement_digest(self) -> Digest:
        """SHA-256 of the manifest as it is written: the ledger entry names it, so that no word of it can change."""
        return digest_of(self.to_json())

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Manifest:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If the version is unknown or a field is missing.
        """
        if facts.get("lapse_manifest") != MANIFEST_VERSION:
            raise ValueError(f"manifest version {facts.get('lapse_manifest')!r} is not {MANIFEST_VERSION}")
        try:
            fields = {name: value for name, value in facts.items() if name != "lapse_manifest"}
            for name in ("oldest", "newest"):
                fields[name] = None if fields[name] is None else parse_rfc3339(fields[name])
            fields["columns"] = tuple(Column(**column) for column in fields["columns"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"manifest is not complete: {error}") from error
