"""Memory that was needed for a while goes back to the system: else every segment would need some more than the last."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)


def trim() -> None:
    """Let the C library give back what it holds without need. Nothing happens where it is another one than glibc."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(ctypes.c_size_t(0))
