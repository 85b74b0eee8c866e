"""Amounts of bytes: ``20GB`` or ``512 MiB`` in, a number out; and back, as people read them."""

from __future__ import annotations

import re

from lapse.errors import UsageError

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_AMOUNT = re.compile(r"(?P<number>[0-9]{1,9}(\.[0-9]{1,6})?) ?(?P<unit>[kKMGTP]i?)?B", re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def size_text(number: int) -> str:
    """Bytes in binary units with one decimal: ``12.1 MiB``."""
    amount = float(number)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{number} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} {_UNITS[-1]}"


def parse_size(text: str) -> int:
    """Bytes of an amount with its unit, rounded down: ``20GB`` is 20 × 10⁹, ``20GiB`` is 20 × 2³⁰.

    Raises:
        UsageError: For anything else, a bare number included.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no amount of bytes", hint="Write it with its unit, like 20GB or 512MiB.")
    unit = found["unit"] or ""
    base = 1024 if unit.endswith("i") else 1000
    return int(float(found["number"]) * base ** _POWERS[unit[:1].upper()])
