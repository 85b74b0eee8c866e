"""numpy, loaded by who needs it: that takes longer than to read a small file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy, if it is loaded here, start no threads: nothing here would use them, and they cost memory."""
    name = "OPENBLAS_NUM_THREADS"
    said = name in os.environ
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if not said:
            del os.environ[name]
