"""YAML text to a tree, whatever its scalars mean: that is for those who read one kind of file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode

from lapse.errors import Complaint, Origin
from lapse.policyfile import longtexts
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar, half_character

TAG = "tag:yaml.org,2002:"
"""What the tags of YAML's own kinds begin with."""

_MERGE = f"{TAG}merge"
_NULL = f"{TAG}null"
_TOO_MANY = 100_000  # nodes that aliases stand for; a few nested ones can stand for billions


def yaml_reader() -> YAML:
    """What reads YAML, and makes nothing of it but plain data."""
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    return yaml


class TreeBuilder(ABC):
    """Turns YAML into a tree, and notes what is wrong on the way.

    Duplicate keys and aliases that stand for too much are complaints, and so are merge keys unless asked for.
    """

    def __init__(self, file: str, complaints: list[Complaint], *, merging: bool = False) -> None:
        """Build the tree of one file.

        Arguments:
            file: Its name in complaints.
            complaints: Gets everything that is wrong with it.
            merging: Whether ``<<`` takes keys over from another mapping.
        """
        self._file = file
        self._complaints = complaints
        self._merging = merging
        self._aliases = True
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._copies = 0

    @abstractmethod
    def scalar(self, node: ScalarNode, origin: Origin, key: ScalarNode | None) -> Scalar:
        """What a single value means; *key* is its key, for values that stand nowhere."""

    @abstractmethod
    def check_tag(self, node: YamlNode, origin: Origin) -> None:
        """Complain of a tag that may not stand there."""

    def is_key(self, node: YamlNode) -> bool:
        """Whether something may be a key."""
        return isinstance(node, ScalarNode)

    def tree(self, text: str, yaml: YAML) -> Node | None:
        """The tree of *text*. None if it says nothing, or, with a complaint added, if it is no YAML."""
        try:
            return self._of_long(text, yaml) or self._of_any(text, yaml)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            origin = Origin(self._file, mark.line + 1, mark.column + 1) if mark else Origin(self._file, 1, 1)
            self.complain(origin, f"this is not valid YAML: {error.problem or 'unreadable'}")
        except YAMLError as error:
            self._complain_of_character(text, getattr(error, "position", 0))
        except RecursionError:
            self.complain(Origin(self._file, 1, 1), "this is nested too deeply")
        return None

    def _of_long(self, text: str, yaml: YAML) -> Node | None:
        """The tree of a long text in which nothing is odd. None of any other."""
        if self._merging:
            return None  # keys may be taken over from a mapping that was left behind
        known = len(self._complaints)
        self._aliases = False
        found = longtexts.made(text, yaml, self._node)
        self._aliases = True
        if found is None:
            del self._complaints[known:]
        return found

    def _of_any(self, text: str, yaml: YAML) -> Node | None:
        root = yaml.compose(text)
        return None if root is None or root.tag == _NULL else self._node(root)

    def origin(self, node: YamlNode) -> Origin:
        """Where *node* is written."""
        mark = node.start_mark
        return Origin(self._file, mark.line + 1, mark.column + 1)

    def complain(self, origin: Origin, message: str, hint: str | None = None) -> None:
        """Note what is wrong."""
        self._complaints.append(Complaint(origin, message, hint))

    def _node(self, node: YamlNode, key: ScalarNode | None = None) -> Node:
        origin = self.origin(node)
        if not self._aliases:
            self.check_tag(node, origin)
            return self._built(node, origin, key)
        self._copies += id(node) in self._seen
        self._seen.add(id(node))
        if id(node) in self._open or self._copies > _TOO_MANY:
            if self._copies <= _TOO_MANY + 1:
                what = "contains itself" if id(node) in self._open else "grows beyond all bounds through its aliases"
                self.complain(origin, f"this {what}", "Write it out instead of using an alias.")
            return Listing((), origin)
        self.check_tag(node, origin)
        self._open.add(id(node))
        try:
            return self._built(node, origin, key)
        finally:
            self._open.discard(id(node))

    def _built(self, node: YamlNode, origin: Origin, key: ScalarNode | None) -> Node:
        match node:
            case MappingNode() if not self._merging:
                return Mapped(tuple(self._entries(node)), origin)
            case MappingNode():
                entries = {entry.key: entry for entry in self._entries(node)}
                merged = [entry for each in self._merged(node) for entry in each.entries]
                return Mapped(tuple(({entry.key: entry for entry in reversed(merged)} | entries).values()), origin)
            case SequenceNode():
                return Listing(tuple(self._node(item) for item in node.value), origin)
            case ScalarNode():
                self._is_whole(str(node.value), origin)
                return self.scalar(node, origin, key)
            case _:
                raise TypeError(f"{type(node).__name__} is no node of YAML")

    def _merged(self, node: MappingNode) -> Iterator[Mapped]:
        """The mappings that keys are taken over from, those first that count first."""
        for key, value in node.value:
            if key.tag == _MERGE:
                found = self._node(value)
                yield from (each for each in getattr(found, "items", (found,)) if isinstance(each, Mapped))

    def _entries(self, node: MappingNode) -> Iterator[Entry]:
        seen: dict[str, Origin] = {}
        for key, value in node.value:
            origin, name = self.origin(key), str(key.value)
            if key.tag == _MERGE:
                if not self._merging:
                    self.complain(origin, "merge keys (`<<`) are not supported", "Write the keys out.")
            elif not self.is_key(key):
                self.complain(origin, "a key must be one word or name")
            elif name in seen:
                hint = "Keep one of the two."
                self.complain(origin, f"duplicate key `{name}`: it stands at {seen[name]} already", hint)
            elif self._is_whole(name, origin):
                seen[name] = origin
                yield Entry(name, self._node(value, key), origin)

    def _is_whole(self, text: str, origin: Origin) -> bool:
        """Whether a text has no half character in it; else with a complaint."""
        found = half_character(text, origin)
        if found is not None:
            self._complaints.append(found)
        return found is None

    def _complain_of_character(self, text: str, position: int) -> None:
        before, character = text[:position], text[position : position + 1]
        origin = Origin(self._file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
        self.complain(origin, f"this is not valid YAML: character {character!r} may not stand here")
