"""Checkpoints: the ledger's head, signed and copied to the archive targets, so that a cut tail is seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lapse.canonical import Digest, Json, canonical, digest_of
from lapse.errors import TargetError, VerificationError
from lapse.ports import ArchiveTarget
from lapse.state.keys import Signer, verify

CHECKPOINT_VERSION = 1
_PATH = re.compile(r"([^/]+)/checkpoints/\d{12}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed statement that a ledger had come this far.

    Attributes:
        ledger: Ledger id.
        n: Number of entries; the last of them has the number ``n - 1``.
        hash: Hash of the last entry.
        at: When the last entry was written, RFC 3339: so one head has one checkpoint, byte for byte.
        key: Id of the signing key.
        signature: Ed25519 over the 32 raw bytes of `digest`, hexadecimal.
    """

    ledger: str
    n: int
    hash: Digest
    at: str
    key: str
    signature: str

    @property
    def path(self) -> str:
        """Where it lies in an archive target."""
        return f"{self.ledger}/checkpoints/{self.n:012d}.json"

    @property
    def digest(self) -> Digest:
        """SHA-256 over the canonical JSON of everything but the signature."""
        return digest_of(self._signed())

    def signed_by(self, public: bytes) -> bool:
        """Whether the signature is that of the raw public key *public*."""
        return verify(public, self.digest, self.signature)

    def says_the_same(self, other: Checkpoint) -> bool:
        """Whether both speak of one head, whoever signed them."""
        return (self.ledger, self.n, self.hash) == (other.ledger, other.n, other.hash)

    def to_json(self) -> dict[str, Json]:
        """The checkpoint as it is written."""
        return {**self._signed(), "signature": self.signature}

    def _signed(self) -> dict[str, Json]:
        return {
            "lapse_checkpoint": CHECKPOINT_VERSION,
            "ledger": self.ledger,
            "n": self.n,
            "hash": self.hash,
            "at": self.at,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Checkpoint:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: If the version is unknown, or a field is missing, unknown or of the wrong kind.
        """
        if facts.get("lapse_checkpoint") != CHECKPOINT_VERSION:
            raise ValueError(f"checkpoint version {facts.get('lapse_checkpoint')!r} is not {CHECKPOINT_VERSION}")
        try:
            checkpoint = cls(**{name: value for name, value in facts.items() if name != "lapse_checkpoint"})
        except TypeError as error:
            raise ValueError(f"checkpoint is not complete: {error}") from error
        texts = (checkpoint.ledger, checkpoint.hash, checkpoint.at, checkpoint.key, checkpoint.signature)
        if type(checkpoint.n) is not int or checkpoint.n < 1 or not all(isinstance(text, str) for text in texts):
            raise ValueError("checkpoint has a field of the wrong kind")
        return checkpoint


def sign_checkpoint(signer: Signer, *, ledger: str, n: int, head: Digest, at: str) -> Checkpoint:
    """The checkpoint of a ledger of *n* entries that ends with the hash *head*, written at *at*."""
    unsigned = Checkpoint(ledger=ledger, n=n, hash=head, at=at, key=signer.key, signature="")
    return replace(unsigned, signature=signer.sign(unsigned.digest))


def publish(checkpoint: Checkpoint, target: ArchiveTarget) -> None:
    """Copy *checkpoint* to *target*; one that says the same may lie there already and is not overwritten.

    Raises:
        TargetError: If the target cannot be written.
        VerificationError: If it holds another head of the same length: the ledger was rewritten, or runs twice.
    """
    if not target.exists(checkpoint.path):
        try:
            target.put(checkpoint.path, canonical(checkpoint.to_json()) + b"\n")
        except TargetError:
            if not target.exists(checkpoint.path):
                raise  # else another process was first: what it wrote is compared below
    if not read(target, checkpoint.path).says_the_same(checkpoint):
        raise VerificationError(
            f"{checkpoint.path}: the checkpoint in the archive is not the head of this ledger",
            hint="The ledger was rewritten or restored from a backup. Run `lapse ledger verify`.",
        )


def published(target: ArchiveTarget, ledger_id: str) -> Iterator[Checkpoint | VerificationError]:
    """Every checkpoint of one ledger in *target*, the shortest first; for one that is unreadable, its error.

    Raises:
        TargetError: If the target cannot be read.
    """
    for path in _paths(target, f"{ledger_id}/checkpoints/"):
        try:
            yield read(target, path)
        except VerificationError as error:
            yield error


def latest(target: ArchiveTarget, ledger_id: str) -> Checkpoint | None:
    """The checkpoint of the most entries of one ledger in *target*; None if there is none.

    Raises:
        TargetError: If the target cannot be read.
        VerificationError: If the checkpoint is unreadable.
    """
    path = max(_paths(target, f"{ledger_id}/checkpoints/"), default=None)
    return None if path is None else read(target, path)


def ledger_ids(target: ArchiveTarget) -> frozenset[str]:
    """Ids of all ledgers that have a checkpoint in *target*.

    Raises:
        TargetError: If the target cannot be read.
    """
    return frozenset(path.partition("/")[0] for path in _paths(target, ""))


def read(target: ArchiveTarget, path: str) -> Checkpoint:
    """The checkpoint at *path*, which must be the one that the path says.

    Raises:
        TargetError: If it cannot be read.
        VerificationError: If it is no checkpoint, or another one.
    """
    with target.open(path) as file:
        data = file.read()
    try:
        checkpoint = Checkpoint.from_json(json.loads(data))
    except (ValueError, AttributeError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    if checkpoint.path != path:
        raise _unreadable(path, f"it speaks of {checkpoint.path}")
    return checkpoint


def _unreadable(path: str, reason: str) -> VerificationError:
    return VerificationError(
        f"{path} is not the checkpoint that Lapse wrote: {reason}",
        hint="Something else has changed it. Compare it with the copies in other archive targets.",
    )


def _paths(target: ArchiveTarget, prefix: str) -> Iterator[str]:
    return (path for path in target.list(prefix) if _PATH.fullmatch(path))
