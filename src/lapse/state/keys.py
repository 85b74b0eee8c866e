"""The Ed25519 key that signs the ledger: made on first use, and every public key kept so that old entries verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lapse.canonical import Digest, sha256
from lapse.errors import StateError
from lapse.state.files import create_durably, make_private, permission_warning, read_private, translated, write_durably

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# cryptography is imported where it is used: commands that sign nothing start without it.

_PRIVATE = "signing.pem"
_PUBLIC_SUFFIX = ".pub"


def key_id(public: bytes) -> str:
    """The id of a raw public key: the first 16 hexadecimal digits of its SHA-256."""
    return sha256(public)[:16]


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs new entries and checkpoints.

    Attributes:
        key: Its id.
        public: Its raw public key, 32 bytes.
        warnings: What is wrong with the permissions around it; empty if nothing is.
    """

    key: str
    public: bytes
    warnings: tuple[str, ...]
    _private: Ed25519PrivateKey = field(repr=False)

    def sign(self, digest: Digest) -> str:
        """Ed25519 over the 32 raw bytes of *digest*, hexadecimal."""
        return self._private.sign(bytes.fromhex(digest)).hex()


def verify(public: bytes, digest: Digest, signature: str) -> bool:
    """Whether *signature* is the signature of *digest* by the raw key *public*."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(signature), bytes.fromhex(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def load_signer(folder: Path) -> Signer:
    """The signing key in *folder*, made there on first use; of several processes that make it, all get one key.

    Raises:
        StateError: If it cannot be read or made.
    """
    folder_warning = make_private(folder)
    path = folder / _PRIVATE
    data = read_private(path)
    if data is None:
        create_durably(path, _new_private_key())
        data = read_private(path)
    private = _parse_private(data or b"", path)
    public = private.public_key().public_bytes_raw()
    _keep_public(folder, public)
    warnings = (folder_warning, permission_warning(path))
    return Signer(key_id(public), public, tuple(text for text in warnings if text is not None), private)


def public_keys(folder: Path) -> Mapping[str, bytes]:
    """Every raw public key in *folder* by its id; empty if there is no folder. Nothing is made.

    Raises:
        StateError: If a key cannot be read, or is not the one its name says.
    """
    with translated("read", folder):
        paths = sorted(folder.glob(f"*{_PUBLIC_SUFFIX}"))
    return {path.name.removesuffix(_PUBLIC_SUFFIX): _read_public(path) for path in paths}


def _new_private_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _parse_private(data: bytes, path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _no_key(path)
    return private


def _no_key(path: Path) -> StateError:
    return StateError(
        f"{path} does not hold an Ed25519 private key",
        hint="Put it back from a backup. If it is lost, move it away: the next run makes a new key, and entries "
        f"signed by the old one stay verifiable through its {_PUBLIC_SUFFIX} file.",
    )


def _keep_public(folder: Path, public: bytes) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    path = folder / f"{key_id(public)}{_PUBLIC_SUFFIX}"
    pem = Ed25519PublicKey.from_public_bytes(public).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if read_private(path) != pem:
        write_durably(path, pem)


def _read_public(path: Path) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = serialization.load_pem_public_key(read_private(path) or b"")
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _wrong_public(path) from error
    if not isinstance(public, Ed25519PublicKey) or f"{key_id(public.public_bytes_raw())}{_PUBLIC_SUFFIX}" != path.name:
        raise _wrong_public(path)
    return public.public_bytes_raw()


def _wrong_public(path: Path) -> StateError:
    return StateError(
        f"{path} does not hold the Ed25519 public key that its name says",
        hint="Something else has changed it. Put it back from a backup.",
    )
