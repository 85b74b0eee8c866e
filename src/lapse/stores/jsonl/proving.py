"""What a slice of a log is known by, and that a proof is for it and no other."""

from __future__ import annotations

from lapse.canonical import sha256
from lapse.errors import ProofError
from lapse.model.disposal import Proof, Waiver
from lapse.ports import Slice
from lapse.segments.content import ContentDigest


def working_slice(piece: Slice) -> str:
    """What the names of a slice's working files carry: run, slice, and a short form of the ledger."""
    owner = piece.facts.owner
    return f"{owner.run}-{piece.name}-{sha256(owner.ledger.encode())[:8]}"


def check_proof(proof: Proof, piece: Slice, content: ContentDigest) -> None:
    """See that a proof is for exactly what was yielded, one for each archive.

    Raises:
        ProofError: If it is not.
    """
    if isinstance(proof, Waiver):
        if piece.destination.archives or proof.slice != piece.name:
            raise ProofError(f"slice {piece.name}: a waiver does not stand for {piece.destination}")
        return
    archives = tuple(sorted(verified.archive for verified in proof))
    if not archives or archives != piece.destination.archives:
        raise ProofError(f"slice {piece.name} needs proofs from {piece.destination}, not from {', '.join(archives)}")
    expected = (content.digest(),) if content.records else ()
    for verified in proof:
        if verified.slice != piece.name or verified.content != expected:
            raise ProofError(f"slice {piece.name}: the proof from {verified.archive} is for other lines")
        if sum(segment.records for segment in verified.segments) != content.records:
            raise ProofError(f"slice {piece.name}: the segments in {verified.archive} hold another number of lines")
