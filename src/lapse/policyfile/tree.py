"""A file of keys and values as a tree, in which each of them knows where it is written; there may be a million."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from lapse.errors import Complaint, Origin
from lapse.model.masking import masked

_HALF = re.compile("[\ud800-\udfff]")


class Scalar(Struct, frozen=True, gc=False):
    """One value.

    Attributes:
        value: What it means; None where nothing is written.
        text: As it is written, without quotes. May hold a secret.
        origin: Where.
    """

    value: object
    text: str
    origin: Origin

    def __repr__(self) -> str:
        """Without what may be a secret."""
        return f"{type(self).__name__}(origin={self.origin!r})"

    @property
    def shown(self) -> str:
        """The text for messages, without secrets."""
        return masked(self.text)


class Listing(Struct, frozen=True, gc=False):
    """A list.

    Attributes:
        items: Its values, in order.
        origin: Where it begins.
    """

    items: tuple[Node, ...]
    origin: Origin


class Entry(Struct, frozen=True, gc=False):
    """One key of a mapping with its value.

    Attributes:
        key: The key's text.
        node: Its value.
        origin: Where the key is written.
    """

    key: str
    node: Node
    origin: Origin


class Mapped(Struct, frozen=True, gc=False):
    """A mapping, each key once.

    Attributes:
        entries: Its keys, in order.
        origin: Where it begins.
    """

    entries: tuple[Entry, ...]
    origin: Origin

    def entry(self, key: str) -> Entry | None:
        """The entry of *key*. None if there is none."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, *path: str) -> Node | None:
        """The value at the end of *path*. None if there is none."""
        node: Node | None = self
        for key in path:
            entry = node.entry(key) if isinstance(node, Mapped) else None
            node = None if entry is None else entry.node
        return node

    def text(self, key: str) -> str | None:
        """The value of *key* if it is text. None if it is not, or if there is none."""
        node = self.get(key)
        return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


Node: TypeAlias = Scalar | Listing | Mapped


def half_character(text: str, origin: Origin) -> Complaint | None:
    """What is wrong with a text that has half a character in it, as an escape can name one. None if it has none.

    No database and no file can hold such a text.
    """
    if text.isascii() or _HALF.search(text) is None:
        return None
    return Complaint(origin, "this text has half a character in it, a lone surrogate", "Write the whole character.")


def children(node: Node | None) -> tuple[Entry, ...]:
    """The entries of a mapping; nothing for any other node."""
    return node.entries if isinstance(node, Mapped) else ()


def items(node: Node | None) -> tuple[Node, ...]:
    """The items of a list; nothing for any other node."""
    return node.items if isinstance(node, Listing) else ()


def texts(node: Node) -> Iterator[str]:
    """Every value below *node* that is text, in no order: a quick look at what may be very long."""
    waiting = [node]
    while waiting:
        match waiting.pop():
            case Scalar(value=str(text)):
                yield text
            case Listing(items=nodes):
                waiting += nodes
            case Mapped(entries=entries):
                waiting += [entry.node for entry in entries]


def scalars(node: Node) -> Iterator[tuple[tuple[str | int, ...], Scalar]]:
    """Every value below *node* with its path of keys and positions, in file order."""
    match node:
        case Scalar():
            yield (), node
        case Listing():
            for index, item in enumerate(node.items):
                yield from (((index, *path), scalar) for path, scalar in scalars(item))
        case Mapped():
            for entry in node.entries:
                yield from (((entry.key, *path), scalar) for path, scalar in scalars(entry.node))
