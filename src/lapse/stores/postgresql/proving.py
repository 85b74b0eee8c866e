"""Whether a proof is for exactly what a take yielded."""

from __future__ import annotations

from collections.abc import Sequence

from lapse.errors import ProofError
from lapse.model.disposal import Proof, Verified, Waiver
from lapse.ports import Slice
from lapse.segments.content import ContentDigest

_NOTHING = "Nothing was removed. Run again."


def check_proof(proof: Proof, piece: Slice, contents: Sequence[ContentDigest]) -> None:
    """See that *proof* is for the parts that were read of *piece*, one content each.

    Raises:
        ProofError: If it is not.
    """
    if isinstance(proof, Waiver):
        if piece.destination.archives or proof.slice != piece.name:
            raise ProofError(f"a waiver of slice {proof.slice} is no proof for slice {piece.name}", hint=_NOTHING)
        return
    if not piece.destination.archives:
        raise ProofError(f"slice {piece.name} needs the waiver of its rules", hint=_NOTHING)
    if not contents and not proof:
        return
    if tuple(sorted(verified.archive for verified in proof)) != piece.destination.archives:
        raise ProofError(f"the proofs for slice {piece.name} are not of its archives", hint=_NOTHING)
    for verified in proof:
        _check_one(verified, piece, contents)


def _check_one(verified: Verified, piece: Slice, contents: Sequence[ContentDigest]) -> None:
    records = sum(segment.records for segment in verified.segments)
    expected = sum(content.records for content in contents)
    digests = tuple(content.digest() for content in contents)
    if (verified.slice, records, verified.content) != (piece.name, expected, digests):
        raise ProofError(
            f"the proof from archive {verified.archive} is not for the records of slice {piece.name}", hint=_NOTHING
        )
