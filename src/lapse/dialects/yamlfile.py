"""One configuration file, read as the originals read theirs, in which every key and value knows where it stands.

The form is YAML 1.1, so that everybody finds the values they know. What the originals let pass to somebody's harm
is a complaint: tags (one of them runs a command), duplicate keys, and merge keys unless they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from lapse.errors import Complaint, Origin

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "binary")}
_PLAIN = {*_SCALARS, _TAG + "map", _TAG + "seq"}
_TOO_MANY = 100_000  # nodes once aliases are written out; a few nested aliases can stand for billions


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value.

    Attributes:
        data: What it means; None where nothing is written.
        text: As it is written, without quotes. May hold a secret.
        origin: Where.
    """

    data: object = field(repr=False)
    text: str = field(repr=False)
    origin: Origin


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
        key: The key.
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

    def get(self, *path: str) -> Node | None:
        """The value at the end of *path*. None if there is none."""
        node: Node | None = self
        for key in path:
            entry = node.entry(key) if isinstance(node, Mapped) else None
            node = None if entry is None else entry.node
        return node


Node: TypeAlias = Scalar | Listing | Mapped


def plain(node: Node) -> Any:
    """The data of a tree, without its places, in containers of its own."""
    match node:
        case Scalar():
            return node.data
        case Listing():
            return [plain(item) for item in node.items]
        case Mapped():
            return {entry.key: plain(entry.node) for entry in node.entries}


def read(path: Path, complaints: list[Complaint], *, merging: bool = False) -> Mapped:
    """The tree of one file; without keys if the file is empty, or if a complaint was added.

    Arguments:
        path: The file.
        complaints: Gets everything that is wrong with it.
        merging: Whether ``<<`` takes keys over from another mapping; else it is a complaint.
    """
    file = str(path)
    nothing = Mapped((), Origin(file, 1, 1))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        hint = "Let the user that lapse runs as read it, or take it away."
        complaints.append(Complaint(nothing.origin, f"this cannot be read: {error.strerror}", hint))
        return nothing
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what = f"this is not UTF-8 text: byte 0x{error.object[error.start]:02x}"
        complaints.append(Complaint(Origin(file, line, 1), what, "Save the file as UTF-8."))
        return nothing
    root = _parsed(text, file, complaints, merging=merging)
    if root is None or isinstance(root, Mapped):
        return root or nothing
    kind = "a list" if isinstance(root, Listing) else "a single value"
    complaints.append(Complaint(root.origin, f"the file must be a mapping of keys, not {kind}"))
    return nothing


def _parsed(text: str, file: str, complaints: list[Complaint], *, merging: bool) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
        if root is None or root.tag == f"{_TAG}null":
            return None
        return _Builder(file, yaml, complaints, merging=merging).node(root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(file, mark.line + 1, mark.column + 1) if mark else Origin(file, 1, 1)
        complaints.append(Complaint(origin, f"this is not valid YAML: {error.problem or 'unreadable'}"))
    except YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        complaints.append(Complaint(Origin(file, line, 1), "this is not valid YAML: a character may not stand here"))
    except RecursionError:
        complaints.append(Complaint(Origin(file, 1, 1), "this is nested too deeply"))
    return None


class _Builder:
    """Turns YAML nodes into ours, and notes what is wrong on the way."""

    def __init__(self, file: str, yaml: YAML, complaints: list[Complaint], *, merging: bool) -> None:
        self._file = file
        self._yaml = yaml
        self._complaints = complaints
        self._merging = merging
        self._open: set[int] = set()
        self._count = 0

    def node(self, node: YamlNode) -> Node:
        """Our form of *node*."""
        origin = self._origin(node)
        self._count += 1
        if id(node) in self._open or self._count > _TOO_MANY:
            self._complain(origin, "this stands for itself, or for too much", "Write it out instead of using an alias.")
            return Listing((), origin)
        if node.tag not in _PLAIN:
            tag = str(node.tag).replace(_TAG, "!!")
            self._complain(origin, f"the tag `{tag}` is refused: nothing is run to read a configuration",
                           "Write the value itself.")  # fmt: skip
            return Scalar(None, "", origin)
        self._open.add(id(node))
        try:
            return self._built(node, origin)
        finally:
            self._open.discard(id(node))

    def _built(self, node: YamlNode, origin: Origin) -> Node:
        match node:
            case MappingNode():
                entries = {entry.key: entry for entry in self._entries(node)}
                merged = [entry for each in self._merged(node) for entry in each.entries]
                return Mapped(tuple(({entry.key: entry for entry in reversed(merged)} | entries).values()), origin)
            case SequenceNode():
                return Listing(tuple(self.node(item) for item in node.value), origin)
            case ScalarNode():
                return Scalar(self._data(node, origin), str(node.value), origin)
            case _:
                raise TypeError(f"{type(node).__name__} is no node of YAML")

    def _merged(self, node: MappingNode) -> Iterator[Mapped]:
        """The mappings that keys are taken over from, those first that count first."""
        for key, value in node.value:
            if self._merging and key.tag == _MERGE:
                found = self.node(value)
                yield from (each for each in getattr(found, "items", (found,)) if isinstance(each, Mapped))

    def _entries(self, node: MappingNode) -> Iterator[Entry]:
        seen: dict[str, Origin] = {}
        for key, value in node.value:
            origin = self._origin(key)
            if self._merging and key.tag == _MERGE:
                continue
            if not isinstance(key, ScalarNode) or key.tag == _MERGE:
                self._complain(origin, "a key must be one word or name", "Write the keys out.")
                continue
            name = str(key.value)
            if name in seen:
                self._complain(
                    origin, f"duplicate key `{name}`: it stands at {seen[name]} already", "Keep one of them."
                )
                continue
            seen[name] = origin
            yield Entry(name, self.node(value), origin)

    def _data(self, node: ScalarNode, origin: Origin) -> object:
        try:
            return self._yaml.constructor.construct_object(node)
        except (ValueError, YAMLError) as error:
            self._complain(
                origin, f"`{node.value}` cannot be read: {error}", "Put it in quotes if it is meant as text."
            )
            return None

    def _origin(self, node: YamlNode) -> Origin:
        return Origin(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _complain(self, origin: Origin, message: str, hint: str | None = None) -> None:
        self._complaints.append(Complaint(origin, message, hint))
