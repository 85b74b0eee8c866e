"""Canonical JSON (RFC 8785) and digests: the same value has the same bytes everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NewType, TypeAlias

import rfc8785

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hexadecimal digits."""


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of *value*.

    Raises:
        ValueError: If a number cannot be written exactly (integers beyond 2**53, NaN, infinity).
    """
    return rfc8785.dumps(value)


def digest_of(value: Json) -> Digest:
    """SHA-256 over the canonical JSON of *value*."""
    return sha256(canonical(value))


def sha256(data: bytes) -> Digest:
    """SHA-256 over *data*."""
    return Digest(hashlib.sha256(data).hexdigest())
