"""One JSON file, strictly by RFC 8259, in which every key and value knows where it stands.

The tree is that of `lapse.policyfile.tree`. What a lenient reader lets pass is a complaint: duplicate keys, NaN,
comments, text that is not UTF-8, anything after the end.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from pathlib import Path

from lapse.errors import Complaint, Origin
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar, half_character

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST = 4000  # digits; the interpreter reads no longer number, and such a one is beyond any meaning anyway
_DEEPEST = 100


def read(data: bytes, file: Path, complaints: list[Complaint]) -> Node | None:
    """The tree of the bytes of a file. None if a complaint was added that leaves no tree.

    Arguments:
        data: All of the file; a byte order mark is passed over.
        file: Where it was read.
        complaints: Gets what is wrong with it: everything, up to the first sign that is no JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(errors="replace")
        origin = Origin(str(file), before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        what = f"this is not UTF-8 text: byte 0x{error.object[error.start]:02x}"
        complaints.append(Complaint(origin, what, "Save the file as UTF-8."))
        return None
    reader = _Reader(text, str(file), complaints)
    try:
        return reader.document()
    except _NotJsonError as error:
        hint = "Correct it: a file that is broken is not taken for one that is missing."
        complaints.append(Complaint(reader.origin(error.place), f"this is not JSON: {error}", hint))
        return None


class _NotJsonError(Exception):
    """A place where the text stops being JSON."""

    def __init__(self, what: str, place: int) -> None:
        super().__init__(what)
        self.place = place


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str, file: str, complaints: list[Complaint]) -> None:
        self._text = text
        self._file = file
        self._complaints = complaints
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._decoder = json.JSONDecoder()

    def origin(self, place: int) -> Origin:
        """Where a place in the text is, for people."""
        line = bisect_right(self._lines, place)
        return Origin(self._file, line, place - self._lines[line - 1] + 1)

    def document(self) -> Node:
        """The whole text: one value."""
        node, place = self._value(self._past_space(0), 0)
        place = self._past_space(place)
        if place < len(self._text):
            raise _NotJsonError("something follows after its end", place)
        return node

    def _past_space(self, place: int) -> int:
        found = _SPACE.match(self._text, place)
        return place if found is None else found.end()

    def _value(self, place: int, depth: int) -> tuple[Node, int]:
        if depth > _DEEPEST:
            raise _NotJsonError("it is nested too deeply", place)
        sign = self._sign(place)
        if sign == "{":
            return self._object(place, depth)
        if sign == "[":
            return self._array(place, depth)
        if sign == '"':
            text, end = self._string(place)
            return Scalar(text, text, self.origin(place)), end
        return self._plain(place)

    def _plain(self, place: int) -> tuple[Scalar, int]:
        number = _NUMBER.match(self._text, place)
        if number is not None:
            text = number[0]
            data: object = float(text) if number["fraction"] else int(text[:_LONGEST])
            return Scalar(data, text, self.origin(place)), number.end()
        word = _WORD.match(self._text, place)
        if word is not None and word[0] in _WORDS:
            return Scalar(_WORDS[word[0]], word[0], self.origin(place)), word.end()
        found = "its end" if place >= len(self._text) else repr(word[0] if word else self._text[place])
        raise _NotJsonError(f"{found} stands where a value is due", place)

    def _string(self, place: int) -> tuple[str, int]:
        try:
            text, end = self._decoder.raw_decode(self._text, place)
        except json.JSONDecodeError as error:
            what = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at").removesuffix(" starting")
            raise _NotJsonError(what, min(error.pos, len(self._text))) from error
        half = half_character(text, self.origin(place))
        if half is not None:
            self._complaints.append(half)
        return str(text), end

    def _array(self, place: int, depth: int) -> tuple[Listing, int]:
        items: list[Node] = []
        at, ended = self._first(place, "]")
        while not ended:
            node, end = self._value(at, depth + 1)
            items.append(node)
            at, ended = self._next(end, "]")
        return Listing(tuple(items), self.origin(place)), at

    def _object(self, place: int, depth: int) -> tuple[Mapped, int]:
        entries: dict[str, Entry] = {}
        at, ended = self._first(place, "}")
        while not ended:
            entry, end = self._entry(at, depth)
            if entry.key in entries:
                what = f"duplicate key `{entry.key}`: it stands at {entries[entry.key].origin} already"
                self._complaints.append(Complaint(entry.origin, what, "Keep one of them."))
            entries.setdefault(entry.key, entry)
            at, ended = self._next(end, "}")
        return Mapped(tuple(entries.values()), self.origin(place)), at

    def _entry(self, place: int, depth: int) -> tuple[Entry, int]:
        if self._sign(place) != '"':
            raise _NotJsonError("a key in double quotes is due", place)
        key, end = self._string(place)
        colon = self._past_space(end)
        if self._sign(colon) != ":":
            raise _NotJsonError("a colon is due after the key", colon)
        node, end = self._value(self._past_space(colon + 1), depth + 1)
        return Entry(key, node, self.origin(place)), end

    def _first(self, place: int, closing: str) -> tuple[int, bool]:
        """Where the first part of a list or object begins; or what follows the whole, and that it has ended."""
        at = self._past_space(place + 1)
        return (at + 1, True) if self._sign(at) == closing else (at, False)

    def _next(self, place: int, closing: str) -> tuple[int, bool]:
        """The same for the part after one that has ended at *place*."""
        at = self._past_space(place)
        if self._sign(at) == closing:
            return at + 1, True
        if self._sign(at) != ",":
            raise _NotJsonError(f"a comma or {closing} is due", at)
        return self._past_space(at + 1), False

    def _sign(self, place: int) -> str:
        """The character there; empty at the end."""
        return self._text[place : place + 1]
