"""The text of a proposed policy: what was found as comments, and keys that keep everything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lapse.instant import rfc3339
from lapse.model.policy import TimeFormat
from lapse.ports import Sketch

_PLAIN = re.compile(
    r"(?!(?:true|false|null|yes|no|on|off|y|n)$)(?:[A-Za-z_/]|\.{1,2}/)[\w./*-]*(:///[\w./-]+)?", re.ASCII | re.I
)
_HEAD = """\
# A policy that `lapse init` proposes. As it stands nothing is ever removed: each dataset is kept forever.
# Write how long to keep into `keep:`, then look before you run:
#   lapse check     is the policy right?
#   lapse plan      what would go, and why?
#   lapse run       seal, verify, remove, record
version: 1

archives:
  # Lapsed records are sealed here, and read back, before they are removed from their store.
  cold: {{to: {archive}}}

datasets:
"""
_TAIL = """
# Records that a case, a law or a contract needs, whatever the rules say:
# holds:
#   - {{matter: 2026-17, match: {{dataset: {name}{scope}}}, reason: litigation}}
# floors:
#   - {{match: {{dataset: {name}}}, at least: 12 months, because: the contract that says so}}

# A run that would take more than this is refused:
# guards: {{share: 90%}}
"""
_PERIODS = ("90 days", "1 year", "6 years")
_SHOWN_TYPES = 3


@dataclass(frozen=True, slots=True)
class Proposed:
    """A dataset of a proposed policy.

    Attributes:
        name: Its name in the policy.
        sketch: What was found, the address as the policy writes it.
    """

    name: str
    sketch: Sketch


def policy_text(datasets: Sequence[Proposed], others: Sequence[Sketch], *, archive: str) -> str:
    """The policy.

    Arguments:
        datasets: What it keeps, at least one; each has a time.
        others: What else was seen; mentioned in comments.
        archive: Folder of the archive.
    """
    blocks = "\n".join("".join(f"{line}\n" for line in _dataset(each)) for each in datasets)
    first = datasets[0]
    actor = first.sketch.actor
    scope = f", {_word(actor)}: …" if actor else ""
    tail = _TAIL.format(name=first.name, scope=scope)
    return _HEAD.format(archive=_word(archive)) + blocks + "".join(_seen(others)) + tail


def _dataset(proposed: Proposed) -> Iterator[str]:
    sketch = proposed.sketch
    yield f"  {proposed.name}:"
    yield f"    # {_extent(sketch)}"
    for note in sketch.notes:
        yield f"    # {_one_line(note)}"
    if sketch.actor:
        yield f"    # Who did it: {_one_line(sketch.actor)}. Rules and holds may name it, as they may name any column."
    for key, value in _keys(sketch):
        yield f"    {key}: {_word(value)}"
    yield "    archive: cold"
    yield "    keep: forever"
    yield from _examples(sketch)


def _keys(sketch: Sketch) -> Iterator[tuple[str, str]]:
    yield "store", sketch.store
    written = (
        ("table", sketch.table),
        ("time", sketch.time),
        ("time format", None if sketch.time_format is TimeFormat.AUTO else sketch.time_format.value),
        ("type", sketch.type),
        ("tenant", sketch.tenant),
        ("key", sketch.key),
        ("expect", None if sketch.fingerprint is None else _without_columns(sketch.fingerprint)),
    )
    yield from ((key, value) for key, value in written if value is not None)


def _without_columns(fingerprint: str) -> str:
    """The fingerprint of store and table alone, so that a rule on another column does not need a new one."""
    return fingerprint.rpartition(":")[0]


def _examples(sketch: Sketch) -> Iterator[str]:
    yield "    # For example, instead of `keep: forever`; the first rule that matches decides:"
    yield "    # keep:"
    if sketch.type is not None:
        for (kind, share), period in zip(sketch.types[:_SHOWN_TYPES], _PERIODS, strict=False):
            yield f"    #   - {{type: {_word(kind)}, for: {period}}}    # {share:.0%} of the records"
    yield "    #   - {for: 365 days}    # all others"


def _seen(others: Sequence[Sketch]) -> Iterator[str]:
    if not others:
        return
    yield "\n# Seen as well, and left out:\n"
    for sketch in others:
        if sketch.time is not None:
            time = _one_line(sketch.time)
            yield f"#   {_place(sketch)}: {sketch.records:,} records; {time} is a time, but it looks like no log\n"
    timeless = ", ".join(_place(sketch) for sketch in others if sketch.time is None)
    if timeless:
        yield f"#   without a time: {timeless}\n"


def _place(sketch: Sketch) -> str:
    return _one_line(sketch.table or sketch.store)


def _extent(sketch: Sketch) -> str:
    about = "about " if sketch.table is None else ""
    text = f"{about}{sketch.records:,} records, {_bytes(sketch.size)}"
    if sketch.oldest is None or sketch.newest is None:
        return text
    return f"{text}, from {rfc3339(sketch.oldest)} to {rfc3339(sketch.newest)}"


def _bytes(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _word(text: str) -> str:
    """*text* as a YAML scalar, plain where that can mean nothing else, and without characters YAML forbids."""
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)


def _one_line(text: str) -> str:
    """*text* for a comment: nothing in it can end the line."""
    return "".join(char if char.isprintable() else "?" for char in text)
