"""Names of tables and columns: quoted for SQL, and found by what people meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def quote(name: str) -> str:
    """*name* as a quoted SQL identifier.

    Raises:
        ValueError: If it holds a NUL, which ends a statement.
    """
    if "\0" in name:
        raise ValueError("a name cannot hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names what *name* may have meant, or what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"There is: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}." if names else "There is none at all."
