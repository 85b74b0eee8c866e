"""Verifying: published segments in, proofs out; every byte is read back from where it will stay."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.canonical import Digest, canonical
from lapse.errors import TargetError, VerificationError
from lapse.model.disposal import SealedSegment, Verified
from lapse.model.manifest import Manifest
from lapse.model.paths import manifest_path
from lapse.ports import ArchiveTarget
from lapse.segments import content_digest, file_digest


def verify(
    slice_name: str, manifests: tuple[Manifest, ...], *, targets: Mapping[str, ArchiveTarget]
) -> tuple[Verified, ...]:
    """Read every segment back from every target and compare it with what was sealed.

    Returns:
        One proof for each target, in their order.

    Raises:
        VerificationError: If a byte, a count or a value differs.
        TargetError: If a segment cannot be read.
    """
    return tuple(
        Verified(
            archive=name,
            slice=slice_name,
            segments=tuple(_read_back(manifest, archive=name, target=target) for manifest in manifests),
            content=tuple(manifest.content for manifest in manifests),
        )
        for name, target in targets.items()
    )


def _read_back(manifest: Manifest, *, archive: str, target: ArchiveTarget) -> SealedSegment:
    with target.open(manifest_path(manifest.path)) as file:
        written, wanted = file.read(), canonical(manifest.to_json())
    if written != wanted:
        raise VerificationError(
            f"{manifest_path(manifest.path)} reads back otherwise than it was written",
            hint="Nothing was removed. Check the archive's disk, then run again.",
        )
    with target.open(manifest.path) as file:
        _same("digest", file_digest(file), manifest.digest, manifest.path)
    with target.open(manifest.path) as file:
        _same("content", content_digest(manifest.format, file), manifest.content, manifest.path)
    return SealedSegment(
        archive=archive,
        path=manifest.path,
        digest=manifest.digest,
        size=manifest.size,
        records=manifest.records,
        merkle_root=manifest.merkle_root,
        manifest=manifest.statement_digest(),
    )


def _same(what: str, actual: Digest, expected: Digest, path: str) -> None:
    if actual != expected:
        raise VerificationError(
            f"{path}: {what} is {actual[:12]}, the manifest says {expected[:12]}",
            hint="Nothing was removed. Run `lapse archive verify` to see which copies are intact.",
        )


def intact(segment: SealedSegment, target: ArchiveTarget) -> bool:
    """Whether a published segment can still be read back with its digest."""
    try:
        with target.open(segment.path) as file:
            return file_digest(file) == segment.digest
    except TargetError:
        return False
