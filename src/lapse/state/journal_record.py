"""What a journal says about a slice: values, their lines, and the state that the lines add up to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from lapse.canonical import Json, canonical
from lapse.errors import StateError


class SliceState(Enum):
    """How far a slice has come; each state is journalled before its work starts, or right after it is done."""

    BEGUN = "begun"
    COMMITTING = "committing"
    COMMITTED = "committed"
    LEDGERED = "ledgered"
    SETTLED = "settled"
    ROLLED_BACK = "rolled back"

    @property
    def is_final(self) -> bool:
        """Whether recovery has nothing left to do."""
        return self in (SliceState.SETTLED, SliceState.ROLLED_BACK)


class ObjectKind(Enum):
    """What an object in an archive is."""

    SEGMENT = "segment"
    MANIFEST = "manifest"
    ENTRY = "entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentIntent:
    """An object that is about to be made, and so might exist.

    Attributes:
        archive: Archive name.
        kind: What it is.
        path: Path in the target. None while it is only staged.
        staged: Name it is staged under, as given to the target. None if it is put in one go.
        digest: SHA-256 of it. None while it is not known.
        size: Bytes of it. None while that is not known.
    """

    archive: str
    kind: ObjectKind
    path: str | None = None
    staged: str | None = None
    digest: str | None = None
    size: int | None = None

    def to_json(self) -> dict[str, Json]:
        """As it is written."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SegmentIntent:
        """Read back what `to_json` wrote."""
        return cls(**{**facts, "kind": ObjectKind(facts["kind"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceIntent:
    """A slice whose work is about to start.

    Attributes:
        run: Run id.
        slice: Slice name, unique in its run.
        dataset: Dataset name.
        store: Which store, as `Dataset.store_id` says: only under its lease is the slice settled.
        ledger: Id of the ledger whose run it is: no other one may say what became of it.
        place: What its store recognises the place by that it was cut from. None where a missing marker proves enough.
        archives: Names of the archives it goes to. Empty under a waiver.
        staged: Objects that may be staged before more is known of them.
    """

    run: str
    slice: str
    dataset: str
    store: str
    ledger: str = ""
    place: str | None = None
    archives: tuple[str, ...] = ()
    staged: tuple[SegmentIntent, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As it is written."""
        return {**asdict(self), "staged": [intent.to_json() for intent in self.staged]}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SliceIntent:
        """Read back what `to_json` wrote."""
        staged = tuple(SegmentIntent.from_json(intent) for intent in facts["staged"])
        return cls(**{**facts, "archives": tuple(facts["archives"]), "staged": staged})


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalledSlice:
    """A slice as its journal has it.

    Attributes:
        intent: What it set out to do.
        state: The last state that was journalled.
        objects: Everything it might have created in archives, staged or final, in the order of the journal.
        pledge: What its store gave to be asked about the outcome of the commit later. None if the marker tells.
    """

    intent: SliceIntent
    state: SliceState
    objects: tuple[SegmentIntent, ...]
    pledge: Mapping[str, Any] | None = None


def begin_line(intent: SliceIntent) -> bytes:
    """The line that a slice begins with."""
    return canonical({"state": SliceState.BEGUN.value, **intent.to_json()}) + b"\n"


def objects_line(slice_name: str, objects: Iterable[SegmentIntent]) -> bytes:
    """The line that says which objects are about to be made."""
    return canonical({"slice": slice_name, "objects": [item.to_json() for item in objects]}) + b"\n"


def state_line(slice_name: str, state: SliceState, pledge: Mapping[str, Json] | None = None) -> bytes:
    """The line that says how far a slice has come."""
    said = {} if pledge is None else {"pledge": pledge}
    return canonical({"slice": slice_name, "state": state.value, **said}) + b"\n"


def slices_of(lines: Iterable[bytes], path: Path) -> dict[str, JournalledSlice]:
    """The slices that the whole lines of one journal add up to, by name.

    Raises:
        StateError: If a line cannot be understood: what it was to tell is unknown, so nothing may be cleared.
    """
    slices: dict[str, JournalledSlice] = {}
    for number, line in enumerate(lines, start=1):
        try:
            _apply(slices, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateError(
                f"{path}:{number}: not a line of a journal: {error}",
                hint="Something else has changed it. Put it back from a backup; until then no slice of it is settled.",
            ) from error
    return slices


def _apply(slices: dict[str, JournalledSlice], facts: dict[str, Any]) -> None:
    if facts.get("state") == SliceState.BEGUN.value:
        del facts["state"]
        intent = SliceIntent.from_json(facts)
        slices[intent.slice] = JournalledSlice(intent=intent, state=SliceState.BEGUN, objects=intent.staged)
        return
    name = facts["slice"]
    if "objects" in facts:
        made = tuple(SegmentIntent.from_json(item) for item in facts["objects"])
        slices[name] = replace(slices[name], objects=slices[name].objects + made)
        return
    state = SliceState(facts["state"])
    if state.is_final and name not in slices:
        return  # settled by two processes, and the journal was finished by one of them in between
    slices[name] = replace(slices[name], state=state, pledge=facts.get("pledge", slices[name].pledge))
