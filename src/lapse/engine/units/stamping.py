"""A stamp on what Lapse installs, by which it knows its own files again, and whether somebody has changed them."""

from __future__ import annotations

import re
from enum import Enum

from lapse.canonical import sha256

_STAMP = re.compile(r"# Written by `lapse schedule` for (?P<policy>.*); digest (?P<digest>[0-9a-f]{16})\.")


class Ownership(Enum):
    """Whose a text is."""

    FOREIGN = "not written by Lapse"
    OTHER_POLICY = "written by Lapse for another policy"
    CHANGED = "changed since Lapse wrote it"
    OURS = "as Lapse wrote it"


def stamped(text: str, policy: str) -> str:
    """*text* behind a line that says for which policy it was written, and its digest."""
    return f"# Written by `lapse schedule` for {policy}; digest {_digest(text)}.\n{text}"


def ownership(text: str, policy: str) -> Ownership:
    """Whose *text* is, for the policy that asks."""
    first, _, rest = text.partition("\n")
    found = _STAMP.fullmatch(first)
    if found is None:
        return Ownership.FOREIGN
    if found["digest"] != _digest(rest):
        return Ownership.CHANGED
    return Ownership.OURS if found["policy"] == policy else Ownership.OTHER_POLICY


def _digest(text: str) -> str:
    return sha256(text.encode())[:16]
