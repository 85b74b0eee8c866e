"""Whether a proof is for exactly what a take yielded: the one door before every commit."""

from __future__ import annotations

from lapse.canonical import Digest
from lapse.errors import ProofError
from lapse.model.disposal import Proof, Waiver
from lapse.ports import Slice

NOTHING = "Nothing was removed. Run again."


def check_proof(proof: Proof, piece: Slice, *, records: int, content: tuple[Digest, ...]) -> None:
    """See that *proof* is for just that, one verified copy in each archive of the slice's destination.

    Arguments:
        proof: What the commit was offered.
        piece: The slice.
        records: How many records the take yielded, in all parts.
        content: Content digest of each part that had any, in order.

    Raises:
        ProofError: If it is not.
    """
    if isinstance(proof, Waiver):
        if piece.destination.archives or proof.slice != piece.name:
            raise ProofError(f"a waiver of slice {proof.slice} is no proof for slice {piece.name}", hint=NOTHING)
        return
    if not piece.destination.archives:
        raise ProofError(f"slice {piece.name} needs the waiver of its rules", hint=NOTHING)
    if not records and not proof:
        return
    if tuple(sorted(verified.archive for verified in proof)) != piece.destination.archives:
        raise ProofError(f"the proofs for slice {piece.name} are not of its archives", hint=NOTHING)
    for verified in proof:
        found = sum(segment.records for segment in verified.segments)
        if (verified.slice, found, verified.content) != (piece.name, records, content):
            raise ProofError(
                f"the proof from archive {verified.archive} is not for the records of slice {piece.name}", hint=NOTHING
            )
