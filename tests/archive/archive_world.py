"""A small archive made by hand: segments, manifests and signed entries, as sealing and recording write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lapse.canonical import Digest, canonical, sha256
from lapse.instant import Nanos, parse_rfc3339, rfc3339
from lapse.model.ledger_entry import GENESIS_PREVIOUS, EntryKind, LedgerEntry
from lapse.model.manifest import Column, Manifest
from lapse.model.paths import entry_path, manifest_path, segment_path
from lapse.ports import Batch, LineBlock, Part
from lapse.segments import Measure, file_digest, format_of, open_writer
from lapse.targets.file import FileTarget

LEDGER = "6f1c7f0e3d2b4a5f8c9d0e1f2a3b4c5d"
RUN = "20261122T100000Z-1"
NOW = parse_rfc3339("2026-11-22T10:00:00Z")
SALT = bytes(range(32))


def lines(*texts: str | bytes) -> LineBlock:
    """A block of these lines."""
    data = b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts)
    return LineBlock(data, len(texts))


@dataclass
class ArchiveWorld:
    """A folder with segments in it.

    Attributes:
        target: The archive.
        key: The private key that signs entries.
        slices: Segments made so far.
    """

    target: FileTarget
    key: Ed25519PrivateKey = field(default_factory=lambda: Ed25519PrivateKey.from_private_bytes(bytes(32)))
    slices: int = 0

    @property
    def keys(self) -> Mapping[str, bytes]:
        """The public keys that a checker knows."""
        public = self.key.public_key().public_bytes_raw()
        return {sha256(public)[:16]: public}

    @property
    def root(self) -> Path:
        """The archive's folder."""
        return self.target.location()

    def add(self, *batches: Batch, dataset: str = "calls", committed: bool = True, **facts: Any) -> Manifest:
        """Write one segment as a run would, with its manifest and, if committed, its entry."""
        self.slices += 1
        manifest = self._segment(batches, dataset, **facts)
        self.target.put(manifest_path(manifest.path), canonical(manifest.to_json()))
        if committed:
            self.commit(manifest)
        return manifest

    def commit(self, manifest: Manifest) -> None:
        """Put the signed entry of its disposal beside a segment."""
        self.target.put(entry_path(manifest.path), canonical(self.entry(manifest).to_json()))

    def entry(self, manifest: Manifest, **changes: Any) -> LedgerEntry:
        """The signed entry of the disposal that a segment holds the records of."""
        named = ("path", "digest", "size", "records", "merkle_root")
        stated = ("run", "slice", "dataset", "fingerprint", "policy", "rules", "counts")
        body = {
            **{name: getattr(manifest, name) for name in stated},
            "oldest": None if manifest.oldest is None else rfc3339(manifest.oldest),
            "newest": None if manifest.newest is None else rfc3339(manifest.newest),
            "segments": [
                {
                    "archive": "cold",
                    **{name: getattr(manifest, name) for name in named},
                    "manifest": manifest.statement_digest(),
                }
            ],
            **changes,
        }
        unsigned = LedgerEntry(
            n=1,
            prev=GENESIS_PREVIOUS,
            ledger=LEDGER,
            kind=EntryKind.DISPOSAL,
            at=rfc3339(NOW),
            body=body,
            key=next(iter(self.keys)),
            hash=Digest(""),
            signature="",
        )
        digest = unsigned.computed_hash()
        return replace(unsigned, hash=digest, signature=self.key.sign(bytes.fromhex(digest)).hex())

    def _segment(
        self,
        batches: Iterable[Batch],
        dataset: str,
        *,
        table: str = "cel",
        run: str = RUN,
        oldest: Nanos | None = None,
        newest: Nanos | None = None,
        odd_column: str | None = None,
    ) -> Manifest:
        first = next(iter(batches))
        names = [] if isinstance(first, LineBlock) else [f for f in first.schema if f.name != odd_column]
        columns = tuple(Column(name=f.name, declared="", arrow=str(f.type)) for f in names)
        part = Part(table=table, columns=columns, odd_column=odd_column, batches=iter(batches))
        slice_name, staged, measure = f"{self.slices:06d}", self.target.staging(f"{self.slices}"), Measure(SALT)
        with open_writer(format_of(part), staged, part) as writer:
            for batch in batches:
                writer.write(batch)
                measure.add(batch)
        with staged.open("rb") as file:
            digest, size = file_digest(file), file.tell()
        contents = measure.contents()
        path = segment_path(
            ledger=LEDGER, dataset=dataset, now=NOW, run=run, slice_name=slice_name, part=0,
            digest=digest, format_name=format_of(part),
        )  # fmt: skip
        self.target.publish(staged, path)
        return Manifest(
            ledger=LEDGER,
            run=run,
            slice=slice_name,
            part=0,
            dataset=dataset,
            fingerprint="sqlite:/srv/calls.db:cel:id,eventtime",
            table=table,
            format=format_of(part),
            path=path,
            digest=digest,
            size=size,
            records=contents.records,
            raw_size=contents.raw_size,
            content=contents.content,
            merkle_root=contents.merkle_root,
            salt=SALT.hex(),
            oldest=oldest,
            newest=newest,
            columns=columns,
            odd_column=odd_column,
            rules={"0": "rule 1 (everything: 365 days)"},
            counts={"0": contents.records},
            policy="0" * 64,
        )
