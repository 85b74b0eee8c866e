"""YAML text to a tree in which every key and value knows where it is written.

Only plain data is let through: text, whole numbers, true and false, lists and mappings. Tags, merge keys,
empty values and numbers that could be read in two ways are complaints, and so is a key written twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from lapse.errors import Complaint, Origin
from lapse.model.masking import masked

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "value")}
_DECIMAL = re.compile(r"0|-?[1-9][0-9]*")
_TOO_MANY = 100_000  # nodes once aliases are written out; a few nested aliases can stand for billions


class WrittenFloat(float):
    """A number with a fraction or exponent, which shows itself as it was written."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        try:
            number = super().__new__(cls, text.replace("_", ""))
        except ValueError:  # `.inf` and `.nan`, as YAML spells them
            number = super().__new__(cls, "nan")
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


Plain: TypeAlias = "str | int | WrittenFloat | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value.

    Attributes:
        value: What it means; None where nothing is written.
        text: As it is written, without quotes. May hold a secret.
        origin: Where.
    """

    value: str | int | WrittenFloat | None = field(repr=False)
    text: str = field(repr=False)
    origin: Origin

    @property
    def shown(self) -> str:
        """The text for messages, without secrets."""
        return masked(self.text)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list.

    Attributes:
        items: Its values, in order.
        origin: Where it begins.
    """

    items: tuple[Node, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value.

    Attributes:
        key: The key's text.
        node: Its value.
        origin: Where the key is written.
    """

    key: str
    node: Node
    origin: Origin


@dataclass(frozen=True, slots=True)
class Mapped:
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

    def get(self, key: str) -> Node | None:
        """The value of *key*. None if there is none."""
        found = self.entry(key)
        return found.node if found else None

    def text(self, key: str) -> str | None:
        """The value of *key* if it is text. None if it is not, or if there is none."""
        node = self.get(key)
        return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


Node: TypeAlias = Scalar | Listing | Mapped


def children(node: Node | None) -> tuple[Entry, ...]:
    """The entries of a mapping; nothing for any other node."""
    return node.entries if isinstance(node, Mapped) else ()


def items(node: Node | None) -> tuple[Node, ...]:
    """The items of a list; nothing for any other node."""
    return node.items if isinstance(node, Listing) else ()


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


def parse(text: str, file: str, complaints: list[Complaint]) -> Node | None:
    """Read YAML *text* of *file*. None, with a complaint added, if it is no YAML or says nothing."""
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
        if root is not None and root.tag != f"{_TAG}null":
            return _Builder(file, complaints).node(root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(file, mark.line + 1, mark.column + 1) if mark else Origin(file, 1, 1)
        complaints.append(Complaint(origin, f"this is not valid YAML: {error.problem or 'unreadable'}"))
        return None
    except YAMLError as error:
        complaints.append(_bad_character(error, text, file))
        return None
    except RecursionError:
        complaints.append(Complaint(Origin(file, 1, 1), "this is nested too deeply"))
        return None
    complaints.append(Complaint(Origin(file, 1, 1), "this file is empty", "Fill it in, or remove it."))
    return None


def _bad_character(error: YAMLError, text: str, file: str) -> Complaint:
    position = getattr(error, "position", 0)
    before = text[:position]
    origin = Origin(file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
    return Complaint(origin, f"this is not valid YAML: character {text[position : position + 1]!r} may not stand here")


class _Builder:
    """Turns YAML nodes into ours, and notes what is wrong on the way."""

    def __init__(self, file: str, complaints: list[Complaint]) -> None:
        self._file = file
        self._complaints = complaints
        self._open: set[int] = set()
        self._count = 0

    def node(self, node: YamlNode, key: ScalarNode | None = None) -> Node:
        """Our form of *node*; *key* is its key, for values that stand nowhere."""
        origin = self._origin(node)
        self._count += 1
        if id(node) in self._open or self._count > _TOO_MANY:
            if self._count <= _TOO_MANY + 1:
                what = "contains itself" if id(node) in self._open else "grows beyond all bounds through its aliases"
                self._complain(origin, f"this {what}", "Write it out instead of using an alias.")
            return Listing((), origin)
        if node.tag not in _PLAIN:
            tag = str(node.tag).replace(_TAG, "!!")
            self._complain(origin, f"the tag `{tag}` is not allowed here", "Write plain text, numbers or lists.")
        self._open.add(id(node))
        try:
            return self._built(node, origin, key)
        finally:
            self._open.discard(id(node))

    def _built(self, node: YamlNode, origin: Origin, key: ScalarNode | None) -> Node:
        match node:
            case MappingNode():
                return Mapped(tuple(self._entries(node)), origin)
            case SequenceNode():
                return Listing(tuple(self.node(item) for item in node.value), origin)
            case ScalarNode():
                return self._scalar(node, origin, key)
            case _:
                raise TypeError(f"{type(node).__name__} is no node of YAML")

    def _entries(self, node: MappingNode) -> Iterator[Entry]:
        seen: dict[str, Origin] = {}
        for key, value in node.value:
            origin = self._origin(key)
            if not isinstance(key, ScalarNode) or key.tag == f"{_TAG}null":
                self._complain(origin, "a key must be one word or name")
                continue
            name = str(key.value)
            if key.tag == f"{_TAG}merge":
                self._complain(origin, "merge keys (`<<`) are not supported", "Write the keys out.")
            elif name in seen:
                hint = "Keep one of the two."
                self._complain(origin, f"duplicate key `{name}`: it stands at {seen[name]} already", hint)
            else:
                seen[name] = origin
                yield Entry(name, self.node(value, key), origin)

    def _scalar(self, node: ScalarNode, origin: Origin, key: ScalarNode | None) -> Scalar:
        text = str(node.value)
        match str(node.tag).removeprefix(_TAG):
            case "null":
                where = origin if key is None else self._origin(key)
                what = "" if key is None else f"`{key.value}`: "
                self._complain(where, f"{what}nothing is written here, or null", "Write a value; null never means all.")
                return Scalar(None, text, where)
            case "int":
                return Scalar(self._whole(text, origin), text, origin)
            case "float":
                return Scalar(WrittenFloat(text), text, origin)
            case "bool":
                return Scalar(self._truth(text, origin), text, origin)
            case _:
                return Scalar(text, text, origin)

    def _whole(self, text: str, origin: Origin) -> int:
        if _DECIMAL.fullmatch(text) and len(text) <= 40:
            return int(text)
        self._complain(
            origin, f"`{text}` can be read in two ways", f'Write it in quotes, "{text}", or as a plain decimal number.'
        )
        return 1

    def _truth(self, text: str, origin: Origin) -> bool:
        if text.lower() not in ("true", "false"):
            self._complain(
                origin, f"`{text}` can be read in two ways", f'Write it in quotes, "{text}", or true or false.'
            )
        return text.lower() == "true"

    def _origin(self, node: YamlNode) -> Origin:
        return Origin(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _complain(self, origin: Origin, message: str, hint: str | None = None) -> None:
        self._complaints.append(Complaint(origin, message, hint))
