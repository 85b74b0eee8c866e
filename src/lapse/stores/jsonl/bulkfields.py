"""A block of lines in, the fields of all that are plain out; lines that need a closer look are named instead.

A line is plain if it is one JSON object and nothing else, in UTF-8, with every key that is asked for at most once
and spelled as it is. All of that is seen of many lines at once: `FieldReader` would say the same of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import stringzilla as sz

from lapse.stores.jsonl.bulktimes import Mask
from lapse.stores.jsonl.bytescan import Ints, is_utf8
from lapse.stores.jsonl.fields import ESCAPED, FieldReader, needle

_OPEN, _CLOSE, _RETURN = 0x7B, 0x7D, 0x0D


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines, one after the other.

    Attributes:
        data: The bytes; each line ends with ``\\n``.
        starts: Where each begins.
        ends: Where each ends, ascending.
    """

    data: bytes | memoryview
    starts: Ints
    ends: Ints

    def line(self, number: int) -> bytes:
        """One of them."""
        return bytes(self.data[self.starts[number] : self.ends[number]])

    def ending_in_crlf(self) -> Mask:
        """Which of them end in CR LF."""
        found: Mask = np.frombuffer(self.data, np.uint8)[self.ends - 2] == _RETURN  # before a bare ``\n`` is another
        return found


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one field, one for each line; UNSET where it has none.

    Attributes:
        values: The values.
        kinds: Their types.
    """

    values: Sequence[Any]
    kinds: frozenset[type]


@dataclass(frozen=True, slots=True)
class Plain:
    """The plain lines of a block.

    Attributes:
        numbers: Which lines they are. None if all are plain.
        count: How many.
        columns: The values of each field.
    """

    numbers: Ints | None
    count: int
    columns: Mapping[str, Column]


class BulkReader:
    """Reads the fields that a `FieldReader` reads, which must be plain ones."""

    def __init__(self, reader: FieldReader) -> None:
        heads = tuple(dict.fromkeys(path[0] for path in reader.paths.values()))
        slots = {head: f"f{number}" for number, head in enumerate(heads)}
        struct = msgspec.defstruct(
            "Row", [(slot, Any, msgspec.UNSET) for slot in slots.values()],
            rename={slot: head for head, slot in slots.items()}, gc=False,
        )  # fmt: skip
        self._decode = msgspec.json.Decoder(struct).decode_lines
        self._paths = reader.paths
        self._slots = slots
        self._spelled = reader.spelled
        deeper = dict.fromkeys(key for path in reader.paths.values() for key in path[1:])
        # What stands further inside is in no row by itself: it is counted line by line.
        self._needles = [(needle(key), None if key in deeper else slots[key]) for key in {**slots, **deeper}]

    def read(self, lines: Lines) -> Plain:
        """The plain lines among *lines*."""
        odd = self._badly_framed(lines)
        if not is_utf8(lines.data):
            odd |= _where(lines, lambda line: not is_utf8(line))
        if sz.count(lines.data, ESCAPED):
            odd |= _counted(lines, self._spelled) > 0
        rows = self._decoded(lines, odd)
        heads = {slot: _column(list(map(attrgetter(slot), rows))) for slot in self._slots.values()}
        twice = self._twice(lines, heads)
        if twice is not None and (twice & ~odd).any():
            stays = (~twice[~odd]).tolist()
            heads = {slot: _column(list(compress(column.values, stays))) for slot, column in heads.items()}
            odd |= twice
        columns = {name: self._followed(heads[self._slots[path[0]]], path) for name, path in self._paths.items()}
        numbers = np.flatnonzero(~odd) if odd.any() else None
        return Plain(numbers, len(odd) if numbers is None else len(numbers), columns)

    @staticmethod
    def _followed(head: Column, path: Sequence[str]) -> Column:
        values = head.values
        if len(path) == 1:
            return head
        for key in path[1:]:
            values = [value.get(key, msgspec.UNSET) if isinstance(value, dict) else msgspec.UNSET for value in values]
        return _column(values)

    @staticmethod
    def _badly_framed(lines: Lines) -> Mask:
        """Lines that do not begin with ``{`` or do not end with ``}``.

        Between lines that do, no JSON value goes on: what stands before a ``{`` inside one is never a ``}``.
        """
        found = np.frombuffer(lines.data, np.uint8)
        last = found[lines.ends - 2]
        if (last == _RETURN).any():
            last = np.where(last == _RETURN, found[lines.ends - 3], last)
        odd: Mask = (found[lines.starts] != _OPEN) | (last != _CLOSE)
        return odd

    def _decoded(self, lines: Lines, odd: Mask) -> list[Any]:
        """A row for each line that is not *odd*; marks further ones that are."""
        if not odd.any():
            return self._isolated(lines, 0, len(odd), odd)
        return [row for low, high in _runs(~odd) for row in self._isolated(lines, low, high, odd)]

    def _isolated(self, lines: Lines, low: int, high: int, odd: Mask) -> list[Any]:
        """The rows of some lines; where they cannot be read together, of their halves."""
        try:
            rows = self._decode(self._between(lines, low, high))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            rows = None
        if rows is not None and len(rows) == high - low:
            return rows
        if high - low == 1:
            odd[low] = True
            return []
        middle = (low + high) // 2
        return self._isolated(lines, low, middle, odd) + self._isolated(lines, middle, high, odd)

    @staticmethod
    def _between(lines: Lines, low: int, high: int) -> bytes | memoryview:
        return memoryview(lines.data)[int(lines.starts[low]) : int(lines.ends[high - 1])]

    def _twice(self, lines: Lines, heads: Mapping[str, Column]) -> Mask | None:
        """Lines in which some key stands twice, be it as a text or further inside. None if there are none.

        Every row that has a key accounts for one place where it stands; if there are no more places, it stands once.
        """
        found: Mask | None = None
        for text, slot in self._needles:
            if sz.count(lines.data, text) != (1 if slot is None else _having(heads[slot])):
                twice = _counted(lines, re.compile(re.escape(text))) > 1
                found = twice if found is None else found | twice
        return found


def _column(values: Sequence[Any]) -> Column:
    return Column(values, frozenset(map(type, values)))


def _having(column: Column) -> int:
    """How many lines have the field."""
    if msgspec.UnsetType not in column.kinds:
        return len(column.values)
    return sum(value is not msgspec.UNSET for value in column.values)


def _where(lines: Lines, test: Any) -> Mask:
    return np.fromiter((test(lines.line(number)) for number in range(len(lines.ends))), np.bool_, len(lines.ends))


def _counted(lines: Lines, pattern: re.Pattern[bytes]) -> Ints:
    """How often the pattern stands in each line."""
    places = [found.start() for found in pattern.finditer(lines.data)]
    return np.bincount(np.searchsorted(lines.ends, places, side="right"), minlength=len(lines.ends))


def _runs(chosen: Mask) -> Iterator[tuple[int, int]]:
    """Begin and end of each stretch of lines that are chosen."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False]))))
    yield from zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True)
