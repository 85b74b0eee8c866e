"""The in-memory double: an honest store whose every decision is `Selection.decide` itself.

Addresses are ``memory://NAME``; the records of a name are in `WORLDS`, so that stores opened one after the
other find the same. Values are simple: texts, integers, booleans, floats, bytes, None. Times are ISO texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from lapse.canonical import canonical, sha256
from lapse.errors import ChangedError, LeaseError, ProofError, StoreError, StoreMissingError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Facts, Method, Proof, Waiver
from lapse.model.match import Match, text_of
from lapse.model.newest import Gathering, KnownNewest, Newest, group_of
from lapse.model.plan import CHECKSUM_MODULUS, Fingerprint, Identity, Mark, Tally, merge
from lapse.model.policy import Dataset
from lapse.model.selection import Selection
from lapse.model.timetext import parse_time_text
from lapse.ports import Budget, Found, Matched, Part, RestoreCount, Slice
from lapse.segments.content import ContentDigest
from lapse.sqlcore.fields import fields_of
from lapse.testing.memory_rows import Values, read_field, rows_of, to_part

KEY = "id"
"""The field that names a record; an integer that ascends with arrival."""


@dataclass(slots=True)
class Memory:
    """What one address holds.

    Attributes:
        records: Values by key.
        markers: Disposals by ledger, run and slice.
        leased: Whether a run has the lease.
    """

    records: dict[int, Values] = field(default_factory=dict)
    markers: dict[tuple[str, str, str], Disposal] = field(default_factory=dict)
    leased: bool = False


WORLDS: dict[str, Memory] = {}
"""Every memory by name."""


class MemoryStore:
    """Records in this process; nothing lasts."""

    scheme: ClassVar[str] = "memory"

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        self._dataset = dataset
        self._read_only = read_only
        self._name = dataset.store.removeprefix("memory://")
        self._known: KnownNewest | None = None

    @property
    def _memory(self) -> Memory:
        if self._name not in WORLDS:
            raise StoreMissingError(
                f"there is no memory {self._name!r}", hint="Put one into lapse.testing.memory.WORLDS first."
            )
        return WORLDS[self._name]

    def close(self) -> None:
        """Nothing is held open."""

    def identity(self) -> Identity:
        """The memory, its columns and its highest key."""
        records = self._memory.records
        columns = sorted({name for values in records.values() for name in values})
        parts = (self._name, self._dataset.table or "", sha256(canonical(columns))[:12])
        return Identity(
            fingerprint=Fingerprint(text=":".join((self.scheme, *parts)), parts=parts),
            mark=Mark(kind="key", values={KEY: (max(records, default=0),)}),
        )

    def survey(self, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None = None) -> Iterator[Tally]:
        """Count every record by outcome and tenant."""
        self._known = KnownNewest(selection, _newest(selection, self._below(mark)))
        newest = self._known.newest
        yield from merge(_tally(selection, key, values, newest) for key, values in self._below(mark))

    def _newest(self, selection: Selection, mark: Mapping[str, tuple[int, ...]] | None = None) -> Newest:
        """The newest of each group: as the last survey has seen them, else as they are now."""
        if self._known is None or not self._known.holds_for(selection):
            self._known = KnownNewest(selection, _newest(selection, self._below(mark)))
        return self._known.newest

    def _below(self, mark: Mapping[str, tuple[int, ...]] | None) -> list[tuple[int, Values]]:
        records = sorted(self._memory.records.items())
        return records if mark is None else [(key, values) for key, values in records if key <= mark[KEY][0]]

    def slices(
        self,
        selection: Selection,
        facts: Facts,
        budget: Budget,
        mark: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Iterator[Slice]:
        """Key ranges of lapsed records, destination by destination."""
        number, newest = 0, self._newest(selection, mark)
        for destination in selection.destinations():
            codes = selection.lapsed_codes(destination)
            going = [item for item in self._below(mark) if _code(selection, item[1], newest) in codes]
            for first, last in _ranges(going, budget):
                yield Slice(
                    name=f"{number:06d}",
                    selection=selection,
                    destination=destination,
                    bounds=(first, last),
                    facts=facts,
                )
                number += 1

    @contextmanager
    def take(self, piece: Slice) -> Iterator[MemoryTake]:
        """Copy what lapsed in the slice; nothing leaves before the commit."""
        self._refuse_if_read_only()
        yield MemoryTake(piece, self._memory, self._newest(piece.selection))

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Mark the memory as leased."""
        memory = self._memory
        if memory.leased:
            raise LeaseError(f"another run works on memory {self._name!r}", hint="Wait until it has ended.")
        memory.leased = True
        try:
            yield
        finally:
            memory.leased = False

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Yield every marker; a commit here is never half done."""
        yield from list(self._memory.markers.values())

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Forget markers."""
        self._refuse_if_read_only()
        for disposal in disposals:
            self._memory.markers.pop(_marker(disposal), None)

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The records whose key column, else own key, is *key*."""
        for number, values in self._below(None):
            if text_of(values.get(self._dataset.key or KEY)) == key:
                yield self._shown(selection, number, values)

    def _shown(self, selection: Selection, number: int, values: Values) -> Found:
        used = dict.fromkeys([*self._dataset.fields, *fields_of(selection)])
        return Found(
            key=str(number),
            code=_code(selection, values, self._newest(selection)),
            instant=_instant(selection, values),
            values={name: text_of(read_field(values, name)) for name in used},
        )

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The records that *match* matches, by outcome, and the first of them in key order."""
        matched = [(key, values) for key, values in self._below(None) if match.matches(partial(read_field, values))]
        return Matched(
            tallies=merge(_tally(selection, key, values, self._newest(selection)) for key, values in matched),
            first=tuple(self._shown(selection, key, values) for key, values in matched[:limit]),
        )

    def key_fields(self) -> tuple[str, ...]:
        """The key column, else the own key."""
        return (self._dataset.key or KEY,)

    def lease_holder(self) -> str | None:
        """Somebody, if the memory is leased."""
        return "somebody" if self._memory.leased else None

    def restore(self, part: Part) -> RestoreCount:
        """Put back rows that are not there."""
        self._refuse_if_read_only()
        memory = self._memory
        records, restored, present = dict(memory.records), 0, 0
        for values in rows_of(part):
            key = int(str(values[KEY]))
            if key not in records:
                records[key] = values
                restored += 1
            elif records[key] == values:
                present += 1
            else:
                raise StoreError(
                    f"record {key} is there with other content", hint="Nothing was restored. Compare the two first."
                )
        memory.records = records
        return RestoreCount(restored=restored, present=present)

    def _refuse_if_read_only(self) -> None:
        if self._read_only:
            raise StoreError(f"memory {self._name!r} is open for reading only", hint="Open it for writing.")


class MemoryTake:
    """A copy of the lapsed records of a slice, and their removal if they are still the same."""

    def __init__(self, piece: Slice, memory: Memory, newest: Newest) -> None:
        self._piece = piece
        self._memory = memory
        self._newest = newest
        first, last = int(str(piece.bounds[0])), int(str(piece.bounds[1]))
        codes = piece.selection.lapsed_codes(piece.destination)
        self._taken = {
            key: dict(values)
            for key, values in sorted(memory.records.items())
            if first <= key <= last and _code(piece.selection, values, newest) in codes
        }
        self._content = ContentDigest()

    def parts(self) -> Iterator[Part]:
        """One part, if there is anything."""
        if self._taken:
            yield to_part(self._piece.dataset.table or "", list(self._taken.values()), self._content)

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of the copy."""
        return merge(_tally(self._piece.selection, key, values, self._newest) for key, values in self._taken.items())

    def commit(self, proof: Proof) -> Disposal:
        """Remove what was copied, if the proof is for it and nobody changed it."""
        self._check(proof)
        memory, piece = self._memory, self._piece
        if any(memory.records.get(key) != values for key, values in self._taken.items()):
            raise ChangedError(
                f"records of slice {piece.name} changed while they were archived",
                hint="Nothing was removed. Run again.",
            )
        disposal = piece.disposal(Method.ROW_DELETE, tallies=self.tallies(), proof=proof)
        memory.records = {key: values for key, values in memory.records.items() if key not in self._taken}
        if disposal.records:
            memory.markers[_marker(disposal)] = disposal
        return disposal

    def _check(self, proof: Proof) -> None:
        piece = self._piece
        slices = {proof.slice} if isinstance(proof, Waiver) else {verified.slice for verified in proof}
        archives = () if isinstance(proof, Waiver) else tuple(sorted(verified.archive for verified in proof))
        if slices != {piece.name} or archives != piece.destination.archives:
            raise ProofError(f"the proof is not for slice {piece.name}", hint="Nothing was removed.")
        if isinstance(proof, Waiver):
            return
        if any(verified.content != (self._content.digest(),) for verified in proof):
            raise ProofError(f"the proof is for other records than slice {piece.name}", hint="Nothing was removed.")


def _marker(disposal: Disposal) -> tuple[str, str, str]:
    return disposal.owner.ledger, disposal.owner.run, disposal.slice


def _instant(selection: Selection, values: Values) -> Nanos | None:
    value = values.get(selection.dataset.time)
    return parse_time_text(value, selection.dataset.zone) if isinstance(value, str) else None


def _newest(selection: Selection, records: list[tuple[int, Values]]) -> Newest:
    gathering = Gathering(selection)
    for _, values in records:
        instant = _instant(selection, values)
        group = group_of(selection, instant, partial(read_field, values))
        if group is not None and instant is not None:
            gathering.add(group, [instant])
    gathering.check_names()
    return gathering.newest()


def _code(selection: Selection, values: Values, newest: Newest) -> int:
    return newest.decide(selection, _instant(selection, values), partial(read_field, values))


def _tally(selection: Selection, key: int, values: Values, newest: Newest) -> Tally:
    instant, tenant = _instant(selection, values), selection.dataset.tenant
    named = hashlib.sha256(f"{key} {instant}".encode()).digest()
    return Tally(
        code=_code(selection, values, newest),
        tenant=None if tenant is None else text_of(read_field(values, tenant)),
        records=1,
        size=_size(values),
        oldest=instant,
        newest=instant,
        checksum=int.from_bytes(named[:8]) % CHECKSUM_MODULUS,
    )


def _size(values: Values) -> int:
    return sum(len(str(value)) for value in values.values())


def _ranges(records: list[tuple[int, Values]], budget: Budget) -> Iterator[tuple[int, int]]:
    first: int | None = None
    last = rows = size = 0
    for key, values in records:
        if first is not None and (rows >= budget.rows or size + _size(values) > budget.size):
            yield first, last
            first, rows, size = None, 0, 0
        first = key if first is None else first
        last, rows, size = key, rows + 1, size + _size(values)
    if first is not None:
        yield first, last


STORE = MemoryStore
