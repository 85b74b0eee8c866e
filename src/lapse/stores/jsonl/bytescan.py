"""Bytes of many lines at once: where they end, and whether they are UTF-8."""

from __future__ import annotations

import threading
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]

WORD = 8
"""Bytes that are looked at together."""

_KEPT = 4 * 1024 * 1024
_ONE = np.uint64(1)
_HIGH_BITS = np.uint64(0x8080_8080_8080_8080)


_room = threading.local()


def _scratch(size: int) -> Words:
    """Memory for *size* bytes, which whoever asks next gets too: fresh pages cost more than what is done to them."""
    if size > _KEPT:
        return np.empty(size // WORD + 1, np.uint64)
    if not hasattr(_room, "words"):
        _room.words = np.empty(_KEPT // WORD + 1, np.uint64)
    kept: Words = _room.words
    return kept


def line_ends(data: bytes | memoryview) -> Ints:
    """The offset behind each ``\\n``, ascending."""
    bytes_ = np.frombuffer(data, np.uint8)
    found = np.equal(bytes_, 0x0A, out=_scratch(len(bytes_)).view(np.bool_)[: len(bytes_)])
    whole = len(found) & -WORD
    words = found[:whole].view(np.uint64)
    places = np.flatnonzero(words != 0)
    hits = words[places]
    if int(np.bitwise_count(hits).sum()) != len(hits):  # two line ends in one word
        return np.flatnonzero(found) + 1
    # In a little-endian word the lowest bit that is set says which of its bytes it is.
    within = (np.bitwise_count((hits & (~hits + _ONE)) - _ONE) >> 3).astype(np.int64)
    rest = np.flatnonzero(found[whole:]) + whole
    return np.concatenate((places * WORD + within, rest)) + 1


def is_utf8(data: bytes | memoryview) -> bool:
    """Whether *data*, which must begin and end between characters, is UTF-8.

    Only the words with other than ASCII in them are decoded, each with the word behind it: so those that did not
    stand together do not meet.
    """
    found = np.frombuffer(data, np.uint8)
    whole = len(found) & -WORD
    words = found[:whole].view(np.uint64)
    chosen = np.bitwise_and(words, _HIGH_BITS, out=_scratch(whole)[: len(words)]) != 0
    chosen[1:] |= chosen[:-1].copy()
    try:
        # Cut between words: what a word and the rest share is decoded as one text, the others are complete.
        (words[chosen].tobytes() + (b"" if not whole or chosen[-1] else b"\n") + bytes(data[whole:])).decode()
    except UnicodeDecodeError:
        return False
    return True
