"""The SQL functions that Lapse adds to a connection, for what SQLite's own cannot do exactly."""

from __future__ import annotations

import json
import sqlite3

import msgspec

from lapse.model.match import Glob, text_of
from lapse.model.ranges import whole_number
from lapse.model.timetext import is_naive, parse_time_text
from lapse.sqlcore.rules import MAX_INT64, MIN_INT64, clamped

_NO_TEXT = b"\x00"  # present, but equal to no text: a blob
_ENCODINGS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


def register(connection: sqlite3.Connection, *, zone: str | None, zone_required: bool, encoding: str) -> None:
    """Add the functions to *connection*. Texts are handed over as blobs, since they may be no valid text.

    ``lapse_instant(blob)``: nanoseconds of an ISO text, or NULL. ``lapse_fits(blob, pattern)``: whether a text
    fits a glob. ``lapse_json(blob, key, …)``: the value at a path inside a JSON text, as text; NULL where there is
    none; a blob where it equals no text. ``lapse_number(blob, key, …)``: the whole number that the value at a path is
    for ranges, clamped to 64 bits, or NULL.

    Arguments:
        connection: An open connection.
        zone: Zone of texts without offset. None is UTC.
        zone_required: Whether texts without offset are no times instead.
        encoding: The database's text encoding, as ``PRAGMA encoding`` says.
    """
    codec = _ENCODINGS[encoding]

    def instant(data: bytes) -> int | None:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            return None
        found = None if zone_required and is_naive(text) else parse_time_text(text, zone)
        return None if found is None else clamped(found)

    def fits(data: bytes | None, pattern: str) -> bool:
        # SQLite may ask of a NULL what it need not know.
        return data is not None and Glob(pattern).matches(data.decode(codec, errors="surrogateescape"))

    def path(data: bytes, *keys: str) -> str | bytes | None:
        try:
            return inside(data.decode(codec), keys)
        except UnicodeDecodeError:
            return None

    def number(data: bytes, *keys: str) -> int | None:
        try:
            found = whole_number(_at(_decoded(data.decode(codec)), keys))
        except UnicodeDecodeError:
            return None
        return None if found is None else max(MIN_INT64, min(MAX_INT64, found))

    connection.create_function("lapse_instant", 1, instant, deterministic=True)
    connection.create_function("lapse_fits", 2, fits, deterministic=True)
    connection.create_function("lapse_json", -1, path, deterministic=True)
    connection.create_function("lapse_number", -1, number, deterministic=True)


def inside(text: str, keys: tuple[str, ...]) -> str | bytes | None:
    """The text at a path inside a JSON text. None if there is nothing, a blob if it equals no text."""
    found = _at(_decoded(text), keys)
    if found is None:
        return None
    plain = text_of(found)
    # A lone surrogate can stand in JSON, but in no SQLite text and in no policy.
    return _NO_TEXT if plain is None or any("\ud800" <= char <= "\udfff" for char in plain) else plain


def _at(found: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, msgspec.DecodeError):
        pass  # the standard library reads a few things more: lone surrogates, NaN
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
