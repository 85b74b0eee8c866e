"""Bytes put aside: what is known of very many files lies in a temporary file without a name, not in memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable

from lapse.errors import StoreError
from lapse.stores.jsonl.numbered import Numbered
from lapse.stores.jsonl.trouble import translated

_HELD = 256 * 1024
"""Bytes that are held in memory; what comes after them is written to the file."""


class Spool(Numbered[bytes]):
    """Pieces of bytes by number. Where no file can be made, or it is full, memory has them all."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        """One with some *pieces*."""
        self._pieces: list[bytes | range] = []
        self._held = 0
        self._descriptor: int | None = None
        self._written = 0
        for piece in pieces:
            self.append(piece)

    def append(self, piece: bytes) -> None:
        """Put a piece behind the others."""
        self._pieces.append(piece if self._held < _HELD else self._put_away(piece))
        self._held += len(piece)

    def __len__(self) -> int:
        return len(self._pieces)

    def value(self, number: int) -> bytes:
        """A piece; the place in the file is no matter of a position that processes would share.

        Raises:
            StoreError: If it cannot be read back.
        """
        piece = self._pieces[number]
        return piece if isinstance(piece, bytes) else self._read(piece)

    def __reduce__(self) -> tuple[type[Spool], tuple[list[bytes]]]:
        """A copy has a file of its own."""
        return Spool, (list(self),)

    def _put_away(self, piece: bytes) -> bytes | range:
        """The place in the file that has a piece now; the piece itself where it has to stay in memory."""
        try:
            if self._descriptor is None:
                self._descriptor = self._opened()
            written = os.pwrite(self._descriptor, piece, self._written)
        except OSError:
            return piece  # nothing is lost but room in memory
        if written < len(piece):
            return piece
        self._written += written
        return range(self._written - written, self._written)

    def _opened(self) -> int:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def _read(self, place: range) -> bytes:
        assert self._descriptor is not None  # noqa: S101 - what has a place has a file
        with translated("read what was put aside there", tempfile.gettempdir()):
            piece = os.pread(self._descriptor, len(place), place.start)
        if len(piece) < len(place):
            raise StoreError(f"a temporary file in {tempfile.gettempdir()} was cut", hint="Run again.")
        return piece
