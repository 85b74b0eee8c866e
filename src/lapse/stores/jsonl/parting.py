"""Judged lines in, those that go told apart from those that stay; of long files by children, while they are read."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import stringzilla as sz

from lapse.errors import ChangedError
from lapse.stores.jsonl.codec import Encoding, Head, encoding_of
from lapse.stores.jsonl.disk import line_end
from lapse.stores.jsonl.judged import JudgedBlock, Judges, judged_blocks
from lapse.stores.jsonl.manysums import Named, Packed, Sums, apart
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.summing import Sum
from lapse.stores.jsonl.trouble import translated
from lapse.stores.jsonl.workers import processors, streamed

_GOING = re.compile(rb"\x01+")
_FOR_ONE = 64 * 1024 * 1024
_TASK = 8 * 1024 * 1024


class Run(NamedTuple):
    """Lines that follow on each other.

    Attributes:
        start: Where the first begins.
        end: Where the last ends.
        records: How many they are.
    """

    start: int
    end: int
    records: int


@dataclass(frozen=True, slots=True)
class Parted:
    """Lines of a file, in order.

    Attributes:
        start: Offset of the first byte in the content of the file.
        data: The lines, byte for byte; valid until the next ones are asked for.
        going: Those that go, as places in `data`; all others stay.
        sums: Those that go, added up.
        more: Further ones of them, added up in columns. None if there are none.
    """

    start: int
    data: bytes | memoryview
    going: Sequence[Run]
    sums: Sequence[Sum]
    more: Packed | None = None

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.start + len(self.data)


class _Told(NamedTuple):
    """What a child says of some lines; their hash is that of the bytes that it has judged, and the runs are packed."""

    size: int
    hashed: int
    going: bytes
    sums: Sequence[Sum]
    more: Packed | None


class Parting:
    """Tells lines that go from lines that stay."""

    def __init__(self, judges: Judges, going: AbstractSet[int], table: bytes) -> None:
        """A parting by *judges*, of lines whose outcomes are among *going*; *table* has a 1 at each of these."""
        self._judges = judges
        self._going = going
        self._table = table

    def parted(
        self, descriptor: int, extent: Extent, *, start: int, head: Head | None, most: int | None = None
    ) -> Iterator[Parted]:
        """The lines of an open file from offset *start* of its content on, where a line begins.

        Arguments:
            descriptor: The file, open for reading.
            extent: Which part of it.
            start: The offset.
            head: A compressed file as it is read. None reads it without a digest.
            most: Lines that may go at most. None lets all go.

        Raises:
            StoreError: If it cannot be read.
            ChangedError: If it changes meanwhile.
        """
        with translated("read it", extent.path):
            plain = encoding_of(descriptor) is Encoding.PLAIN
        if plain and most is None and extent.size - start >= _FOR_ONE:
            yield from self._by_children(descriptor, extent, start)
            return
        for block in judged_blocks(descriptor, extent, self._judges, start=start, head=head):
            found = self._part(block, most)
            if most is not None:
                most -= sum(run.records for run in found.going)
            yield found

    def _by_children(self, descriptor: int, extent: Extent, start: int) -> Iterator[Parted]:
        with translated("read it", extent.path):
            tasks = list(_tasks(descriptor, start, extent.size))

        def work(number: int) -> Iterator[_Told]:
            task = tasks[number]
            part = replace(extent, size=task.stop)
            for block in judged_blocks(descriptor, part, self._judges, start=task.start):
                found = self._part(block, None)
                yield _Told(len(block.data), sz.hash(block.data), _packed_runs(found.going), found.sums, found.more)

        for told in streamed(len(tasks), work, workers=processors()):
            with translated("read it", extent.path):
                data = os.pread(descriptor, told.size, start)
            if sz.hash(data) != told.hashed:
                raise ChangedError(f"{extent.path} was changed while its lines were read", hint="Run again.")
            yield Parted(start, data, _unpacked_runs(told.going), told.sums, told.more)
            start += told.size

    def _part(self, block: JudgedBlock, most: int | None) -> Parted:
        mask = self._mask(block.codes)
        if most is not None:
            mask = _up_to(mask, most)
        going = _runs(block, mask)
        sums: Sums = block.judgement.sums(0, len(mask)) if going else ()
        named, others = apart(sums)
        more = None if named is None else self._packed(named)
        return Parted(block.start, block.data, going, [item for item in others if item.code in self._going], more)

    def _packed(self, named: Named) -> Packed:
        """Those of some sums that go."""
        from lapse.stores.jsonl.columncounts import packed  # whoever made columns has loaded numpy

        return packed(named, self._marks(named.columns.codes) == 1)

    def _mask(self, codes: Sequence[int]) -> bytes:
        """For each line, 1 if it goes and 0 if it stays."""
        if isinstance(codes, list):
            return bytes(map(self._table.__getitem__, codes))
        return bytes(self._marks(codes))

    def _marks(self, codes: Sequence[int]) -> Any:
        """The same in an array."""
        import numpy as np  # whoever judges many lines at once has loaded it

        return np.frombuffer(self._table, np.uint8)[np.asarray(codes)]


def _runs(block: JudgedBlock, mask: bytes) -> Sequence[Run]:
    """The lines of a block that have a 1 in the *mask*, which may be shorter than they are many."""
    if isinstance(block.ends, list):
        return [_run(block, *found.span()) for found in _GOING.finditer(mask)]
    import numpy as np  # whoever judges many lines at once has loaded it

    edges = np.flatnonzero(np.diff(np.frombuffer(b"\0" + mask + b"\0", np.uint8)))
    firsts, lasts, ends = edges[0::2], edges[1::2], np.concatenate(([0], block.ends))
    return list(map(Run, ends[firsts].tolist(), ends[lasts].tolist(), (lasts - firsts).tolist()))


def _packed_runs(runs: Sequence[Run]) -> bytes:
    return array("q", chain.from_iterable(runs)).tobytes()


def _unpacked_runs(packed: bytes) -> Sequence[Run]:
    numbers = iter(array("q", packed))
    return list(map(Run, numbers, numbers, numbers))


def _run(block: JudgedBlock, first: int, last: int) -> Run:
    """The lines of a block from number *first* to before *last*."""
    return Run(int(block.ends[first - 1]) if first else 0, int(block.ends[last - 1]), last - first)


def _tasks(descriptor: int, start: int, end: int) -> Iterator[range]:
    """Bytes of a plain file in pieces of whole lines. OSErrors are raised."""
    while start < end:
        until = line_end(descriptor, start + _TASK, end)
        yield range(start, until)
        start = until


def _up_to(mask: bytes, number: int) -> bytes:
    """The beginning of *mask* that ends with the 1 of that *number*, from 1; all of it if there are fewer."""
    end = 0
    for _ in range(number):
        end = mask.find(1, end) + 1
        if not end:
            return mask
    return mask[:end]
