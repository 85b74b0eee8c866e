"""What a word was likely meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The word of *known* that *word* was likely meant to be. None if nothing is near."""
    plain = {name.lower().replace("_", " ").replace("-", " "): name for name in known}
    found = difflib.get_close_matches(word.lower().replace("_", " ").replace("-", " "), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: the nearest right spelling, or all of them."""
    names = list(known)
    near = nearest(word, names)
    if near is not None:
        return f"Did you mean `{near}`?"
    return "Known: " + ", ".join(f"`{name}`" for name in names) + "." if names else "There is none."


def few(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, at least one, and how many more they are."""
    more = [f"{len(names) - most:,} more"] if len(names) > most else []
    *first, last = [*names[:most], *more]
    return f"{'; '.join(first)} and {last}" if first else last
