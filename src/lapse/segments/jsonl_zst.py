"""Text log segments: the original bytes of each line, in one zstd stream with a checksum."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from lapse.errors import StoreError, VerificationError
from lapse.ports import Batch, LineBlock, Part
from lapse.segments.disk import create, give_up, target_error
from lapse.segments.freeing import trim
from lapse.segments.overlapping import Behind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 256 * 1024
"""Bytes of a block that is read, about; a longer line makes a longer block."""

_LEVEL = 3


class LineWriter:
    """Writes one part to a file; closing it makes the file last.

    A block is compressed and written by a thread of its own while its caller goes on; an error comes with a later call.
    """

    def __init__(self, path: Path, part: Part) -> None:
        self._table = part.table
        self._ended = True
        self._stream = _Stream(path)
        self._thread = Behind(self._stream.append)

    def __enter__(self) -> LineWriter:
        return self

    def write(self, batch: Batch) -> None:
        """Append lines.

        Raises:
            StoreError: If they are rows, or follow a line without an end.
            TargetError: If the file cannot be written.
        """
        if not isinstance(batch, LineBlock):
            raise StoreError(f"{self._table}: rows cannot go into a jsonl.zst segment")
        if not batch.data:
            return
        if not self._ended:
            raise StoreError(f"{self._table}: a line without a line end is not the last one")
        self._ended = batch.data.endswith(b"\n")
        self._thread.take(batch.data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._thread.__exit__(kind, error, trace)
            if kind is None:
                self._stream.finish()
        finally:
            self._stream.give_up()


class _Stream:
    """A file that is written through a compressor; it has no reference to its writer, so that both go at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zstd = zstd.ZstdCompressor(
            options={zstd.CompressionParameter.compression_level: _LEVEL, zstd.CompressionParameter.checksum_flag: 1}
        )
        self._file = create(path)

    def append(self, data: bytes) -> None:
        self._put(self._zstd.compress(data))

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise target_error(f"write {self._path}", error) from error

    def finish(self) -> None:
        self._put(self._zstd.flush())
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise target_error(f"write {self._path}", error) from error

    def give_up(self) -> None:
        """Close the file, and let go of what the compressor holds."""
        give_up(self._file)
        del self._zstd
        trim()


def read(file: BinaryIO) -> Iterator[LineBlock]:
    """The lines of a segment, in blocks of whole lines.

    Raises:
        VerificationError: If the file is not one whole zstd stream.
    """
    waiting: list[bytes] = []
    for piece in content(file):
        end = piece.rfind(b"\n") + 1
        if not end:
            waiting.append(piece)
            continue
        yield _block(b"".join([*waiting, memoryview(piece)[:end]]))
        waiting = [piece[end:]] if end < len(piece) else []
    if waiting:
        yield _block(b"".join(waiting))


def _block(data: bytes) -> LineBlock:
    return LineBlock(data, data.count(b"\n") + (not data.endswith(b"\n")))


def content(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a segment one after the other, in pieces that end anywhere.

    Raises:
        VerificationError: If the file is not one whole zstd stream.
    """
    stream = zstd.ZstdDecompressor()
    try:
        while not stream.eof:
            compressed = file.read(BLOCK) if stream.needs_input else b""
            if stream.needs_input and not compressed:
                raise VerificationError("segment ends in the middle of its zstd stream")
            piece = stream.decompress(compressed, max_length=BLOCK)
            if piece:
                yield piece
        if stream.unused_data or file.read(1):
            raise VerificationError("segment goes on after its zstd stream")
    except (zstd.ZstdError, OSError) as error:
        raise VerificationError(f"segment cannot be read as zstd: {error}") from error
    finally:
        del stream
        trim()
