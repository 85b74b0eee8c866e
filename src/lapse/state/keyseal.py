"""A seal of the keys that a hold names: tells whether they are still the same, and nothing about them.

Keys can be guessed, so that their bare hash would give them away. This one is keyed by a secret that never leaves the
state folder.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path

from lapse.canonical import canonical
from lapse.state.files import create_durably, make_private, read_private

_NAME = "holds.secret"


def seal_of(folder: Path, keys: Iterable[str]) -> str | None:
    """HMAC-SHA-256 over the sorted keys, hexadecimal. None if there is no secret, so that no seal was ever made.

    Arguments:
        folder: The folder of Lapse's keys.
        keys: The keys; their order does not matter.

    Raises:
        StateError: If the secret cannot be read.
    """
    secret = read_private(folder / _NAME)
    if not secret:
        return None
    return hmac.digest(secret, canonical(sorted(set(keys))), "sha256").hex()


def make_secret(folder: Path) -> None:
    """Make the secret in *folder*, unless it is there.

    Raises:
        StateError: If it cannot be made.
    """
    make_private(folder)
    if read_private(folder / _NAME) is None:
        create_durably(folder / _NAME, secrets.token_bytes(32))
