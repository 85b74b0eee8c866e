"""Long YAML texts composed by way of libyaml: the nodes that ruamel.yaml makes, in a fraction of the time.

The two agree on what is written plainly. A text with anything on which they may differ, and one that is no YAML, is
left to ruamel.yaml: what it says of a mistake is what people are told.

Each node is made when it is asked for, so that a long text is never in memory as nodes as well as what is made of them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MadeT = TypeVar("MadeT")

_LONG = 256 * 1024
"""Characters from which on it is worth it to load another library."""

_ODD = re.compile("[\t\\\\\x85\u2028\u2029\ufeff]|^(?:%|---|\\.\\.\\.)", re.MULTILINE)
"""What older and newer YAML read in two ways; and what parts documents."""

_NEVER_NESTED = 100
"""Levels that no policy has."""


def made(text: str, yaml: YAML, make: Callable[[Node], MadeT]) -> MadeT | None:
    """What *make* makes of the root of *text*.

    The items of a node are an iterator, to be asked for once and in order. No node occurs twice.

    None if the text is short, if it is to be read by *yaml* itself, or if there is no libyaml; *make* may have begun.
    """
    if len(text) < _LONG or _ODD.search(text):
        return None
    try:
        from yaml import YAMLError, events
        from yaml.cyaml import CSafeLoader
    except ImportError:
        return None
    loader = CSafeLoader(text)
    try:
        return _Composer(loader.get_event, events, yaml).made(make)
    except (YAMLError, _OddError):
        return None
    finally:
        loader.dispose()


class _OddError(Exception):
    """Something is in the text that was not to be there."""


class _Scalar(ScalarNode):
    """A single value whose tag is known as text."""

    __slots__ = ("_tag",)

    def __init__(self, tag: str, value: str, mark: Any) -> None:
        self._tag = tag
        self.value = value
        self.start_mark = mark

    @property  # type: ignore[misc]  # nobody sets it
    def tag(self) -> str:
        return self._tag


class _Composer:
    """Makes nodes of events."""

    def __init__(self, following: Callable[[], Any], events: Any, yaml: YAML) -> None:
        self._next = following
        self._events = events
        self._scalar, self._begins_map, self._begins_list = (
            events.ScalarEvent,
            events.MappingStartEvent,
            events.SequenceStartEvent,
        )
        self._resolve = yaml.resolver.resolve
        self._tags: dict[str, str] = {}
        self._map, self._list = (self._resolve(kind, None, True) for kind in (MappingNode, SequenceNode))
        self._text = str(self._resolve(ScalarNode, None, (False, True)))

    def made(self, make: Callable[[Node], MadeT]) -> MadeT:
        """What is made of the only document."""
        self._expect(self._events.StreamStartEvent, self._events.DocumentStartEvent)
        root = self._node(self._next(), 0)
        found = make(root)
        self._pass_over(root)
        self._expect(self._events.DocumentEndEvent, self._events.StreamEndEvent)
        return found

    def _expect(self, *kinds: type[Any]) -> None:
        if any(type(self._next()) is not kind for kind in kinds):
            raise _OddError

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if depth > _NEVER_NESTED or kind not in (self._scalar, self._begins_map, self._begins_list):
            raise _OddError
        if event.anchor is not None or event.tag is not None:
            raise _OddError
        if kind is self._scalar:
            return _Scalar(self._tag(event), event.value, event.start_mark)
        if kind is self._begins_list:
            return SequenceNode(self._list, self._until(self._events.SequenceEndEvent, depth), event.start_mark)
        nodes = self._until(self._events.MappingEndEvent, depth)
        return MappingNode(self._map, zip(nodes, nodes, strict=True), event.start_mark)

    def _until(self, end: type[Any], depth: int) -> Iterator[Node]:
        while type(event := self._next()) is not end:
            node = self._node(event, depth + 1)
            yield node
            self._pass_over(node)

    def _pass_over(self, node: Node) -> None:
        """Leave behind what nobody asked for of a node."""
        if type(node) is not _Scalar:
            deque(node.value, maxlen=0)

    def _tag(self, event: Any) -> str:
        if not event.implicit[0]:
            return self._text
        value = event.value
        if value not in self._tags:
            self._tags[value] = str(self._resolve(ScalarNode, value, (True, False)))
        return self._tags[value]
