"""Entries of the ledger: numbered, chained by hash, signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from lapse.canonical import Digest, Json, digest_of

GENESIS_PREVIOUS = Digest("0" * 64)
"""The ``prev`` of the first entry."""


class EntryKind(Enum):
    """What an entry is about."""

    GENESIS = "genesis"
    DISPOSAL = "disposal"
    RUN = "run"
    POLICY = "policy"
    HOLD_ADDED = "hold added"
    HOLD_RELEASED = "hold released"
    TRUST = "trust"
    RESTORE = "restore"
    REFRESHED = "refreshed"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        n: Its number, from 0, without gaps.
        prev: Hash of the entry before it; `GENESIS_PREVIOUS` for the first.
        ledger: Ledger id.
        kind: What it is about.
        at: Real time, RFC 3339.
        body: The facts.
        key: Id of the signing key: the first 16 hexadecimal digits of SHA-256 over the raw public key.
        hash: SHA-256 over the canonical JSON of all fields above.
        signature: Ed25519 over the 32 raw bytes of `hash`, hexadecimal.
    """

    n: int
    prev: Digest
    ledger: str
    kind: EntryKind
    at: str
    body: Mapping[str, Json]
    key: str
    hash: Digest
    signature: str

    def hashed(self) -> dict[str, Json]:
        """The fields that the hash covers."""
        return {
            "n": self.n,
            "prev": self.prev,
            "ledger": self.ledger,
            "kind": self.kind.value,
            "at": self.at,
            "body": self.body,
            "key": self.key,
        }

    def computed_hash(self) -> Digest:
        """What `hash` must be."""
        return digest_of(self.hashed())

    def to_json(self) -> dict[str, Json]:
        """The entry as it is written."""
        return {**self.hashed(), "hash": self.hash, "signature": self.signature}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> LedgerEntry:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If a field is missing, unknown or of the wrong kind.
        """
        names = {item.name for item in fields(cls)}
        if not isinstance(facts, Mapping) or set(facts) != names:
            raise ValueError("entry has not just the members that an entry has")
        entry = cls(**{**facts, "kind": EntryKind(facts["kind"])})
        texts = (entry.prev, entry.ledger, entry.at, entry.key, entry.hash, entry.signature)
        if not isinstance(entry.n, int) or not all(isinstance(text, str) for text in texts):
            raise ValueError("entry has a field of the wrong kind")
        return entry
