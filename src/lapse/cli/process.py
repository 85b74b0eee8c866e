"""Settings of the whole process, before anything else happens in it. What a library must not touch is set here."""

from __future__ import annotations

import gc
import io
import os
import sys

_STDOUT, _STDERR = 1, 2


def prepare() -> None:
    """Prepare the process. What a terminal's character set lacks is written as an escape, not as an error."""
    _use_little()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # there are none, and to look for them takes a while
    _occupy_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _occupy_standard_streams() -> None:
    """Where the caller closed a standard stream, no file may get its number: a message would go into that file."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(_STDOUT, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def _use_little() -> None:
    """Measured in bench/."""
    # Arrow's own pool holds on to what slices have freed: 50 MB more at the peak, and no faster.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Nothing here multiplies matrices, but loading numpy starts threads for it, which spin for a tenth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A slice is many tuples at once and no cycles: looking for them again and again costs a tenth of a run.
    gc.set_threshold(100_000, 20, 20)
