"""Bytes of a log file to content and back: plain, gzip with any members, zstd with any frames.

What a file is compressed with is told by its first bytes, not by its name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from lapse.canonical import Digest
from lapse.errors import StoreError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 512 * 1024
"""Bytes that are read at once."""

_FIRST_BLOCK = 64 * 1024  # often only the first lines are looked at
_GZIP_LEVEL = 6


class Encoding(Enum):
    """How a log file is compressed; the value is what its first bytes are."""

    PLAIN = b""
    GZIP = b"\x1f\x8b"
    ZSTD = b"\x28\xb5\x2f\xfd"


def encoding_of(descriptor: int) -> Encoding:
    """What the file is compressed with. OSErrors are the caller's."""
    return encoding_of_bytes(os.pread(descriptor, 4, 0))


def encoding_of_bytes(head: bytes) -> Encoding:
    """What a file is compressed with that begins with *head*."""
    return next(kind for kind in (Encoding.GZIP, Encoding.ZSTD, Encoding.PLAIN) if head.startswith(kind.value))


class Head(io.RawIOBase):
    """The first bytes of a file as a stream, digested while they are read."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._offset = 0
        self._hasher = hashlib.sha256()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read on; 0 at the end of the head, or of the file."""
        view = memoryview(buffer)[: self._size - self._offset]
        got = os.preadv(self._descriptor, [view], self._offset) if view else 0
        self._hasher.update(view[:got])
        self._offset += got
        return got

    def digest(self) -> Digest:
        """SHA-256 of the whole head; what no one has read yet is read now.

        Raises:
            StoreError: If the file has become shorter.
        """
        while self.read(BLOCK):
            pass
        if self._offset < self._size:
            raise StoreError("a log file was cut while it was read", hint="Run again.")
        return Digest(self._hasher.hexdigest())


@contextmanager
def blocks(head: Head, encoding: Encoding, path: Path) -> Iterator[Iterator[bytes]]:
    """The content of a file, decompressed, in blocks of about `BLOCK` bytes.

    Raises:
        StoreError: While reading, if it cannot be read or the compressed data is damaged or cut.
    """
    stream = _decoder(head, encoding)
    try:
        yield _read(stream, path)
    finally:
        if encoding is not Encoding.PLAIN:
            stream.close()


def _decoder(head: Head, encoding: Encoding) -> BinaryIO:
    if encoding is Encoding.GZIP:
        return cast("BinaryIO", gzip.GzipFile(fileobj=io.BufferedReader(head, BLOCK), mode="rb"))
    if encoding is Encoding.ZSTD:
        return cast("BinaryIO", zstd.ZstdFile(io.BufferedReader(head, BLOCK), mode="rb"))
    return cast("BinaryIO", head)


def _read(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    size = min(_FIRST_BLOCK, BLOCK)
    while True:
        try:
            block = stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
            raise StoreError(
                f"{path}: compressed data is damaged or not complete: {error}",
                hint="Nothing of it is touched. Wait if it is still being written; else look at it, or move it away.",
            ) from error
        except OSError as error:
            raise StoreError(f"{path}: cannot read: {error.strerror}", hint="Look at the disk.") from error
        if not block:
            return
        yield block
        size = min(2 * size, BLOCK)


class Encoder(Protocol):
    """Something that takes content and writes it on, compressed or not."""

    def write(self, data: bytes, /) -> object:
        """Take content."""
        ...

    def close(self) -> None:
        """Write what is left. The sink stays open."""
        ...


class Sink(Protocol):
    """Where encoded bytes go."""

    def write(self, data: bytes, /) -> int:
        """Take encoded bytes."""
        ...


class _Plain:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> None:
        self._sink.write(data)

    def close(self) -> None:
        pass


def encoder(sink: Sink, encoding: Encoding) -> Encoder:
    """Write content to *sink* the way *encoding* says; a file of no content is a valid one too."""
    stream = cast("BinaryIO", sink)
    if encoding is Encoding.GZIP:
        return gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0)
    if encoding is Encoding.ZSTD:
        return zstd.ZstdFile(stream, "w", options={zstd.CompressionParameter.checksum_flag: 1})
    return _Plain(sink)
