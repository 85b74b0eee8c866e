"""Canonical JSON (RFC 8785) and digests: the same value has the same bytes everywhere."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, NewType, TypeAlias

import rfc8785

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hexadecimal digits."""

_EXACT = 2**53 - 1
"""The largest integer that every reader of JSON has exactly."""

_NAMES = {None: "null", True: "true", False: "false"}

_MANY = 32
"""Members from which on it is worth it to look whether a mapping is plain."""


class Spelled(str):
    """The canonical JSON of something large, to stand in its place in several values without being spelled anew."""

    __slots__ = ()


class SelfSpelled(Mapping[str, str]):
    """Texts by name that have their canonical JSON already, or most of it."""

    __slots__ = ()

    @abstractmethod
    def spelled(self) -> Spelled:
        """Its canonical JSON."""


def member(name: str, value: str) -> str:
    """A member of a JSON object, whose *name* needs no escapes."""
    return f'"{name}":{encode_basestring(value)}'


def of_members(members: Iterable[str]) -> Spelled:
    """A JSON object of *members*, which are in the order that RFC 8785 asks for."""
    return Spelled(f"{{{','.join(members)}}}")


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of *value*.

    Raises:
        ValueError: If a number cannot be written exactly (integers beyond 2**53, NaN, infinity).
    """
    try:
        return _spelled(value).encode()
    except UnicodeEncodeError:
        return rfc8785.dumps(value)  # which says what cannot be written


def spelled(value: Json) -> Spelled:
    """The same as text that stands for *value* wherever it is part of another one.

    Raises:
        ValueError: If a number cannot be written exactly.
    """
    return value.spelled() if isinstance(value, SelfSpelled) else Spelled(canonical(value).decode())


def _spelled(value: Json) -> str:
    """The same as text. The plain values that most of everything is made of are spelled here, which is faster."""
    if type(value) is str:
        return encode_basestring(value)
    if type(value) is Spelled:
        return value
    if value is None or type(value) is bool:
        return _NAMES[value]
    if type(value) is int and -_EXACT <= value <= _EXACT:
        return repr(value)
    if type(value) is list or type(value) is tuple:
        return f"[{','.join(map(_spelled, value))}]"
    if isinstance(value, SelfSpelled):
        return value.spelled()
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return _object(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return f"[{','.join(map(_spelled, value))}]"
    return rfc8785.dumps(value).decode()


def _object(value: Mapping[str, Json]) -> str:
    if type(value) is dict and len(value) >= _MANY and _is_plain(value):
        import msgspec  # spells what is plain in the same way, and very many members much faster

        return msgspec.json.encode(value, order="sorted").decode()
    return f"{{{','.join([f'{encode_basestring(key)}:{_spelled(value[key])}' for key in _in_order(value)])}}}"


def _is_plain(value: dict[Any, Any]) -> bool:
    """Whether all values are texts, or all are exact integers, and Python orders the keys as RFC 8785 does."""
    if set(map(type, value)) != {str} or not all(map(str.isascii, value)):
        return False
    kinds = set(map(type, value.values()))
    return kinds == {str} or (kinds == {int} and min(value.values()) >= -_EXACT and max(value.values()) <= _EXACT)


def _in_order(keys: Mapping[str, Json]) -> list[str]:
    """The keys by their UTF-16 code units."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be"))


def digest_of(value: Json) -> Digest:
    """SHA-256 over the canonical JSON of *value*."""
    return sha256(canonical(value))


def sha256(data: bytes) -> Digest:
    """SHA-256 over *data*."""
    return Digest(hashlib.sha256(data).hexdigest())
