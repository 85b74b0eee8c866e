"""Long YAML texts composed by way of libyaml: the nodes that ruamel.yaml makes, in a fraction of the time.

The two agree on what is written plainly. A text with anything on which they may differ, and one that is no YAML, is
left to ruamel.yaml: what it says of a mistake is what people are told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_LONG = 256 * 1024
"""Characters from which on it is worth it to load another library."""

_ODD = re.compile("[\t\\\\\x85\u2028\u2029\ufeff]|^(?:%|---|\\.\\.\\.)", re.MULTILINE)
"""What older and newer YAML read in two ways; and what parts documents."""

_NEVER_NESTED = 100
"""Levels that no policy has."""


def composed(text: str, yaml: YAML) -> Node | None:
    """The nodes of *text*. None if it is short, if it is to be read by *yaml* itself, or if there is no libyaml."""
    if len(text) < _LONG or _ODD.search(text):
        return None
    try:
        from yaml import YAMLError, parse
        from yaml.cyaml import CSafeLoader
    except ImportError:
        return None
    try:
        return _Composer(parse(text, Loader=CSafeLoader), yaml).root()
    except (YAMLError, _OddError):
        return None


class _OddError(Exception):
    """Something is in the text that was not to be there."""


class _Composer:
    """Makes nodes of events."""

    def __init__(self, events: Iterator[Any], yaml: YAML) -> None:
        self._next: Callable[[], Any] = events.__next__
        self._resolve = yaml.resolver.resolve
        self._tags: dict[str, Any] = {}
        self._text, self._map, self._list = (
            self._resolve(kind, None, implicit)
            for kind, implicit in ((ScalarNode, (False, True)), (MappingNode, True), (SequenceNode, True))
        )

    def root(self) -> Node:
        """The only document's."""
        begun, document = self._next(), self._next()
        if type(begun).__name__ != "StreamStartEvent" or type(document).__name__ != "DocumentStartEvent":
            raise _OddError
        found = self._node(self._next(), 0)
        ended, last = self._next(), self._next()
        if type(ended).__name__ != "DocumentEndEvent" or type(last).__name__ != "StreamEndEvent":
            raise _OddError
        return found

    def _node(self, event: Any, depth: int) -> Node:
        if depth > _NEVER_NESTED or event.anchor is not None:
            raise _OddError
        mark = event.start_mark
        match type(event).__name__:
            case "ScalarEvent":
                return ScalarNode(self._tag(event), event.value, mark)
            case "SequenceStartEvent":
                items = list(self._until("SequenceEndEvent", depth))
                return SequenceNode(self._list, items, mark)
            case "MappingStartEvent":
                nodes = self._until("MappingEndEvent", depth)
                return MappingNode(self._map, list(zip(nodes, nodes, strict=True)), mark)
            case _:
                raise _OddError

    def _until(self, end: str, depth: int) -> Iterator[Node]:
        while type(event := self._next()).__name__ != end:
            yield self._node(event, depth + 1)

    def _tag(self, event: Any) -> Any:
        if event.tag is not None:
            raise _OddError
        if not event.implicit[0]:
            return self._text
        value = event.value
        if value not in self._tags:
            self._tags[value] = self._resolve(ScalarNode, value, (True, False))
        return self._tags[value]
