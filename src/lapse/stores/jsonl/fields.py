"""One line in, the values of the fields that a policy uses out; or why it cannot be told what they are.

The fast way is msgspec, which takes the last of duplicate keys and skips what is not asked for. Where that
could matter, the line is read again with the standard library, which shows every key.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec

from lapse.errors import PolicyError

_PART = 256 * 1024
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_@. -]+")
_STEP = re.compile(r'\.(?:"(?P<quoted>[^"]+)"|(?P<plain>[^."\[\]]+))')
_BOM = b"\xef\xbb\xbf"


class Doubtful(Enum):
    """Why a line is kept without being judged."""

    TORN = "last line without a line end"
    LONG = "line longer than 8 MiB"
    BLANK = "blank line"
    NUL = "NUL bytes"
    BOM = "byte order mark"
    NOT_UTF8 = "not UTF-8"
    MALFORMED = "not JSON"
    NO_OBJECT = "JSON, but no object"
    DUPLICATE = "a key twice"
    NO_TIME = "no time"
    NUMBER = "time is a number, and `time format:` does not say its unit"
    NAIVE = "time without an offset, and no `time zone:`"
    BAD_TIME = "unreadable time"
    CRLF = "CR LF as its line end, without `allow: [crlf]`"


class _Pairs(list[tuple[str, Any]]):
    """An object with every key that was written, in order."""


def path_of(field: str) -> tuple[str, ...]:
    """The keys that lead to a field: itself, or those of a JSON path like ``$.detail.user``.

    Raises:
        PolicyError: If a JSON path is none that leads through objects.
    """
    if not field.startswith("$."):
        return (field,)
    steps = [found["quoted"] or found["plain"] for found in _STEP.finditer(field)]
    if "".join(found[0] for found in _STEP.finditer(field)) != field[1:]:
        raise PolicyError(
            f"{field!r} is no JSON path that text logs understand",
            hint='Write keys only, like $.detail.user or $.detail."user name"; lists have no names.',
        )
    return tuple(steps)


ESCAPED = b"\\u00"
"""What every escape of a character in a plain key begins with."""


def needle(key: str) -> bytes:
    """A plain key as it stands in a line."""
    return b'"' + key.encode() + b'"'


def _escapes_of(keys: Iterable[str]) -> re.Pattern[bytes]:
    codes = sorted({f"{ord(char):02x}" for key in keys for char in key if ord(char) < 0x80})
    return re.compile(rb"\\u00(?:%b)" % "|".join(codes).encode(), re.IGNORECASE)


class FieldReader:
    """Reads certain fields of lines."""

    def __init__(self, names: Iterable[str]) -> None:
        self.paths = {name: path_of(name) for name in names}
        """The keys that lead to each field."""
        keys = tuple(dict.fromkeys(key for path in self.paths.values() for key in path))
        self.plain = all(_PLAIN_KEY.fullmatch(key) for key in keys)
        """Whether no key has a character that JSON may write in another way than as it is or as ``\\u00..``."""
        self.spelled = _escapes_of(keys)
        """Finds every escape that could be part of one of the keys."""
        self._needles = tuple(map(needle, keys))
        heads = [key for key in dict.fromkeys(path[0] for path in self.paths.values()) if _PLAIN_KEY.fullmatch(key)]
        self._slots = {head: f"f{number}" for number, head in enumerate(heads)}
        struct = msgspec.defstruct(
            "Fields", [(slot, Any, None) for slot in self._slots.values()],
            rename={slot: head for head, slot in self._slots.items()},
        )  # fmt: skip
        self._decode = msgspec.json.Decoder(struct).decode

    def read(self, line: bytes) -> Mapping[str, object] | Doubtful:
        """The fields by name, None where the line has none; or why they cannot be told."""
        try:
            found = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _reason(line)
        if not line.isascii() and not _is_utf8(line):
            return Doubtful.NOT_UTF8
        if not self.plain or self._is_ambiguous(line):
            return self._read_every_key(line)
        return {name: self._follow(found, path) for name, path in self.paths.items()}

    def _is_ambiguous(self, line: bytes) -> bool:
        if ESCAPED in line and self.spelled.search(line) is not None:
            return True
        return any(line.count(key) > 1 for key in self._needles)

    def _follow(self, found: object, path: tuple[str, ...]) -> object:
        value = getattr(found, self._slots[path[0]])
        for key in path[1:]:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _read_every_key(self, line: bytes) -> Mapping[str, object] | Doubtful:
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            return Doubtful.MALFORMED
        values: dict[str, object] = {}
        for name, path in self.paths.items():
            value: object = pairs
            for key in path:
                under = [item for own, item in value if own == key] if isinstance(value, _Pairs) else []
                if len(under) > 1:
                    return Doubtful.DUPLICATE
                value = under[0] if under else None
            values[name] = value
        return values


def _reason(line: bytes) -> Doubtful:
    """Why a line that is no JSON object is none; the likeliest cause first."""
    if not line.strip():
        return Doubtful.BLANK
    if b"\0" in line:
        return Doubtful.NUL
    if line.startswith(_BOM):
        return Doubtful.BOM
    if not _is_utf8(line):
        return Doubtful.NOT_UTF8
    try:
        value = msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return Doubtful.MALFORMED
    return Doubtful.MALFORMED if bytes(value).lstrip()[:1] == b"{" else Doubtful.NO_OBJECT


def _is_utf8(line: bytes) -> bool:
    """Whether a line is UTF-8; a long one is decoded in parts, as its text takes up to four times its room."""
    try:
        if len(line) <= _PART:
            line.decode()
            return True
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(line), _PART):
            decoder.decode(line[start : start + _PART])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
