"""Many time values in, their instants out, all of one shape at once; what fits no shape is left to the exact parser.

What is told here is what `lapse.model.timetext` tells, to the nanosecond.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lapse.instant import SECOND
from lapse.model.policy import TimeFormat
from lapse.stores.jsonl.bytescan import Ints

Mask: TypeAlias = NDArray[np.bool_]

_SHAPE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r"(?:[Zz]|(?P<sign>[+-])[0-9]{2}(?::?[0-9]{2})?)?"
)
_MOST_SHAPES = 8
_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # whole years that nanoseconds in 64 bits reach, whatever the offset
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FEW = 32
_EXACT_FLOAT = 2.0**52
_MICROS_IN_RANGE = 2.0**53
_IN_RANGE = 2**62


@dataclass(frozen=True, slots=True)
class _Calendar:
    """Months from January of `_FIRST_YEAR` on: the day each begins, from 1970-01-01, and how many days it has."""

    begins: Ints
    days: Ints


@lru_cache(maxsize=1)
def _calendar() -> _Calendar:
    firsts = [date(year, month, 1) for year in range(_FIRST_YEAR, _LAST_YEAR + 2) for month in range(1, 13)]
    begins = np.array([first.toordinal() - _EPOCH_DAY for first in firsts], np.int64)
    return _Calendar(begins[:-12], np.diff(begins)[: len(begins) - 12])


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the digits of a time text stand, and what stands between them.

    Attributes:
        fixed: Places of characters that are no digits, and which those are; a sign is not among them.
        pairs: Places of the digits, two and two: year, month, day, hour, minute, second, fraction, offset.
            One behind the text stands for a zero.
        fraction: Pairs that are the fraction's.
        sign: Place of the offset's sign. None without an offset.
    """

    fixed: tuple[tuple[int, ...], bytes]
    pairs: tuple[int, ...]
    fraction: int
    sign: int | None


@lru_cache(maxsize=64)
def _shape(pattern: str, *, naive: bool) -> _Shape | None:
    """The shape of a text whose digits have been made zeros. None if it is none that can be read at once."""
    found = _SHAPE.fullmatch(pattern)
    if found is None or not (naive or found["sign"] or pattern[-1] in "Zz"):
        return None
    sign = found.start("sign") if found["sign"] else None
    pairs = [place for place in range(19) if pattern[place] == "0"]
    start, end = found.span("fraction")
    fraction = list(range(start, end)) if found["fraction"] else []
    fraction += [len(pattern)] * (len(fraction) % 2)
    offset = [] if sign is None else [place for place in range(sign, len(pattern)) if pattern[place] == "0"]
    offset += [len(pattern)] * (4 - len(offset)) if offset else []
    fixed = tuple(place for place, char in enumerate(pattern) if char != "0" and place != sign)
    return _Shape(
        fixed=(fixed, "".join(pattern[place] for place in fixed).encode("ascii", "replace")),
        pairs=(*pairs, *fraction, *offset),
        fraction=len(fraction) // 2,
        sign=sign,
    )


_ZEROS = str.maketrans("123456789", "000000000")


def text_instants(texts: Sequence[str], *, naive: bool) -> tuple[Ints, Mask]:
    """The instant of each text, and which were read; the others are for `parse_time_text`.

    Arguments:
        texts: The texts.
        naive: Whether those without an offset are UTC; else they are not read here.
    """
    instants = np.zeros(len(texts), np.int64)
    read = np.zeros(len(texts), np.bool_)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    left = np.arange(len(texts))
    for _ in range(_MOST_SHAPES):
        if len(left) < _FEW and len(left) < len(texts):
            break  # a few odd ones are not worth it
        if not len(left):
            break
        model = texts[left[0]]
        shape = _shape(model.translate(_ZEROS), naive=naive) if len(model) <= _FEW + 4 else None
        alike = lengths[left] == len(model)
        places = left[alike]
        if shape is None:
            left = left[~alike] if len(model) > _FEW + 4 else left[1:]
            continue
        chosen = texts if len(places) == len(texts) else [texts[place] for place in places]
        found, fits = _read(chosen, len(model), shape)
        instants[places] = found
        read[places] = fits
        alike[alike] = fits
        alike[0] = True  # a model of a shape that names no time is not tried again
        left = left[~alike]
    return instants, read


def _read(texts: Sequence[str], length: int, shape: _Shape) -> tuple[Ints, Mask]:
    flat = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)
    rows = np.zeros((length + 1, len(texts)), np.uint8)
    rows[:length] = flat.reshape(len(texts), length).T
    rows[length] = 0x30
    places, chars = shape.fixed
    fits: Mask = (rows[list(places)] == np.frombuffer(chars, np.uint8)[:, None]).all(axis=0)
    digits = rows[list(shape.pairs)] - 0x30
    fits &= (digits <= 9).all(axis=0)
    pairs = digits[0::2] * 10 + digits[1::2]
    seconds = _seconds(pairs[:7], fits)
    behind = 7 + shape.fraction
    if shape.sign is not None:
        seconds -= _offset(pairs[behind:], rows[shape.sign], fits)
    return seconds * SECOND + _fraction(pairs[7:behind]), fits


def _seconds(pairs: NDArray[np.uint8], fits: Mask) -> Ints:
    """Seconds since 1970 of century, year, month, day, hour, minute and second; clears *fits* where they are none."""
    century, year, month, day, hour, minute, second = pairs.astype(np.int64)
    fits &= (month >= 1) & (month <= 12) & (day >= 1) & (hour <= 23) & (minute <= 59) & (second <= 59)
    calendar = _calendar()
    number = (century * 100 + year - _FIRST_YEAR) * 12 + month - 1
    fits &= (number >= 0) & (number < len(calendar.begins))
    number = np.where(fits, number, 0)
    fits &= day <= calendar.days[number]
    seconds: Ints = ((calendar.begins[number] + day - 1) * 24 + hour) * 3600 + minute * 60 + second
    return seconds


def _offset(pairs: NDArray[np.uint8], signs: NDArray[np.uint8], fits: Mask) -> Ints:
    hours, minutes = pairs.astype(np.int64)
    behind = signs == 0x2D
    fits &= (behind | (signs == 0x2B)) & (hours <= 23) & (minutes <= 59)
    seconds: Ints = (hours * 60 + minutes) * 60 * np.where(behind, -1, 1)
    return seconds


def _fraction(pairs: NDArray[np.uint8]) -> Ints | int:
    if not len(pairs):
        return 0
    value = np.zeros(pairs.shape[1], np.int64)
    for pair in pairs:
        value = value * 100 + pair
    digits = 2 * len(pairs)
    return value * 10 ** (9 - digits) if digits <= 9 else value // 10


def number_instants(numbers: Sequence[Any], kind: type, time_format: TimeFormat) -> tuple[Ints, Mask]:
    """The instant of each number, all of one *kind*, and which were read; the others are for `number_instant`."""
    unit = time_format.unit or 0
    try:
        values = np.array(numbers, np.int64 if kind is int else np.float64)
    except OverflowError:
        return np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.bool_)
    if kind is int:
        shift, most = time_format.epoch // unit, _IN_RANGE // unit
        fits = (values > -most - shift) & (values < most - shift)
        return (np.where(fits, values, -shift) + shift) * unit, fits
    if time_format.epoch:
        return np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.bool_)
    with np.errstate(over="ignore"):
        micros = values * (unit / 1000)
    fits = np.abs(micros) < _MICROS_IN_RANGE  # never of infinity, nor of what is no number
    safe = np.where(fits, micros, 0.0)
    rounded = np.where(np.abs(safe) >= _EXACT_FLOAT, safe, np.trunc(safe + np.copysign(0.5, safe)))
    return rounded.astype(np.int64) * 1000, fits
