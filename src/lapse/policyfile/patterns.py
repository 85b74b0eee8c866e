"""Whether two path patterns could name the same file. On doubt they could."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath

_WILD = re.compile(r"[*?\[\]]|\{segments\}")


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards."""
    return _WILD.search(path) is not None


def start_of(pattern: str) -> str:
    """The folder in which the files of a pattern lie, or from which their folders branch off."""
    fixed: list[str] = []
    for part in PurePosixPath(pattern).parts[:-1]:
        if is_pattern(part):
            break
        fixed.append(part)
    return str(PurePosixPath(*fixed))


def real(pattern: str) -> str:
    """The pattern with symbolic links in its fixed part followed."""
    if not is_pattern(pattern):
        return os.path.realpath(pattern)
    start = start_of(pattern)
    return str(PurePosixPath(os.path.realpath(start)) / PurePosixPath(pattern).relative_to(start))


def meet(one: str, other: str) -> bool:
    """Whether some path could fit both patterns. ``**`` stands for any number of folders."""
    return _meet(PurePosixPath(one).parts, PurePosixPath(other).parts)


def inside(path: str, folder: str) -> bool:
    """Whether *path* is *folder* or lies below it."""
    return PurePosixPath(path).is_relative_to(folder)


@lru_cache(maxsize=4096)
def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return all(part == "**" for part in one + other)
    if one[0] == "**":
        return _meet(one[1:], other) or _meet(one, other[1:])
    if other[0] == "**":
        return _meet(other, one)
    return _names_meet(one[0], other[0]) and _meet(one[1:], other[1:])


def _names_meet(one: str, other: str) -> bool:
    if not is_pattern(one):
        return fnmatchcase(one, _glob(other)) if is_pattern(other) else one == other
    if not is_pattern(other):
        return fnmatchcase(other, _glob(one))
    heads = sorted((_WILD.split(one)[0], _WILD.split(other)[0]), key=len)
    tails = sorted((_WILD.split(one)[-1], _WILD.split(other)[-1]), key=len)
    return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])


def _glob(name: str) -> str:
    """The name with `*` for ``{segments}``, which stands for less."""
    return name.replace("{segments}", "*")
