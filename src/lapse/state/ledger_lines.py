"""The lines of a ledger file, each judged by itself: is it an entry, unchanged, and signed by a known key?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from lapse.canonical import canonical
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.state.keys import verify


class Flaw(Enum):
    """What is wrong with a line by itself."""

    UNREADABLE = auto()
    CHANGED = auto()
    KEY_UNKNOWN = auto()
    NOT_SIGNED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The counts by tenant that an entry vouches for.

    Attributes:
        run: Run id.
        slice: Slice name.
        digest: SHA-256 of the file.
    """

    run: str
    slice: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a ledger file. What it claims is to be believed only if it has no flaw.

    Attributes:
        number: Line number, from 1.
        flaw: What is wrong with it. None if it is unchanged and signed by a known key.
        reason: The flaw in words; empty without one.
        n: The number it claims. None if it cannot be read.
        prev: The hash it claims for the entry before it; empty if it cannot be read.
        hash: The hash it claims; empty if it cannot be read.
        ledger: The ledger it claims; empty if it cannot be read.
        key: The key it claims; empty if it cannot be read.
        sidecar: The sidecar it vouches for. None if it has none.
    """

    number: int
    flaw: Flaw | None
    reason: str = ""
    n: int | None = None
    prev: str = ""
    hash: str = ""
    ledger: str = ""
    key: str = ""
    sidecar: Sidecar | None = None

    @property
    def sound(self) -> bool:
        """Whether it is unchanged and signed by a known key."""
        return self.flaw is None


def judged(lines: Iterable[bytes], public_keys: Mapping[str, bytes]) -> Iterator[Line]:
    """Each of *lines*, judged by itself; *public_keys* are raw and by id."""
    for number, text in enumerate(lines, start=1):
        try:
            entry = LedgerEntry.from_json(json.loads(text))
            changed = _change(entry, text)
        except (ValueError, TypeError, RecursionError) as error:
            yield Line(number=number, flaw=Flaw.UNREADABLE, reason=str(error))
            continue
        flaw, reason = (Flaw.CHANGED, changed) if changed else _signature_flaw(entry, public_keys)
        yield Line(
            number=number,
            flaw=flaw,
            reason=reason,
            n=entry.n,
            prev=entry.prev,
            hash=entry.hash,
            ledger=entry.ledger,
            key=entry.key,
            sidecar=_sidecar(entry),
        )


def _change(entry: LedgerEntry, text: bytes) -> str:
    """How the line differs from what was hashed; empty if it does not."""
    if entry.computed_hash() != entry.hash:
        return "its content and its hash do not belong together"
    if canonical(entry.to_json()) != text:
        return "it is not written as Lapse writes it"
    return ""


def _signature_flaw(entry: LedgerEntry, public_keys: Mapping[str, bytes]) -> tuple[Flaw | None, str]:
    public = public_keys.get(entry.key)
    if public is None:
        return Flaw.KEY_UNKNOWN, f"key {entry.key} is not known here"
    if not verify(public, entry.hash, entry.signature):
        return Flaw.NOT_SIGNED, f"the signature is not by key {entry.key}"
    return None, ""


def _sidecar(entry: LedgerEntry) -> Sidecar | None:
    body: Mapping[str, Any] = entry.body
    if entry.kind is not EntryKind.DISPOSAL:
        return None
    return Sidecar(run=str(body.get("run")), slice=str(body.get("slice")), digest=str(body.get("tenants_digest")))
