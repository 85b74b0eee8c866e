"""The JSON Schema of what ``--json`` prints, made from the classes in lapse.cli.shapes and their docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

import msgspec

from lapse.cli.shapes import RESULTS, Envelope
from lapse.model import drift, reclaim, report, status, why

_ATTRIBUTES = re.compile(r"\n\s*Attributes:\n(?P<body>(?:\n|\s{4,}.*\n?)*)")
_ATTRIBUTE = re.compile(r"^ {4}(?P<name>\w+): (?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)
_SOURCE = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The whole schema: the envelope, and by command what its ``result`` is."""
    classes = [Envelope, *dict.fromkeys(kind for kinds in RESULTS.values() for kind in kinds)]
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    definitions = {name: _described(name, component) for name, component in sorted(components.items())}
    envelope = definitions.pop("Envelope")
    envelope["required"] = sorted(envelope["properties"])
    return {
        "$schema": _SOURCE,
        "title": "Output of lapse --json",
        **{key: value for key, value in envelope.items() if key != "title"},
        "allOf": [_result_of(command, kinds) for command, kinds in RESULTS.items()],
        "$defs": definitions,
    }


def _result_of(command: str, kinds: tuple[type, ...]) -> dict[str, Any]:
    shapes = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds]
    return {
        "if": {"properties": {"command": {"const": command}}},
        "then": {"properties": {"result": {"anyOf": [*shapes, {"type": "null"}]}}},
    }


def _described(name: str, component: Mapping[str, Any]) -> dict[str, Any]:
    """A component with its fields closed and explained."""
    found = _class_of(name)
    if "properties" not in component:
        return {key: value for key, value in component.items() if key != "title"} | {"description": summary(found)}
    texts = attributes(found)
    return {
        "title": name,
        "description": summary(found),
        "type": "object",
        "properties": {field: {**kind, "description": texts[field]} for field, kind in component["properties"].items()},
        "required": list(component.get("required", ())),
        "additionalProperties": False,
    }


def _class_of(name: str) -> type:
    return next(kind for kind in _classes() if kind.__name__ == name)


def _classes() -> Iterator[type]:
    from lapse.cli import shapes

    models = (drift, reclaim, report, status, why)
    for place in (shapes, shapes.plans, shapes.answers, shapes.ledgers, shapes.archives, *models):
        for value in vars(place).values():
            if isinstance(value, type) and (is_dataclass(value) or issubclass(value, Enum)):
                yield value


def summary(kind: type) -> str:
    """The text of a docstring before its sections, on one line."""
    return " ".join(_ATTRIBUTES.sub("", kind.__doc__ or "").split())


def attributes(kind: type) -> dict[str, str]:
    """What a docstring says about each attribute."""
    section = _ATTRIBUTES.search(_dedented(kind.__doc__ or ""))
    found = _ATTRIBUTE.finditer(section["body"]) if section else ()
    return {each["name"]: " ".join(each["text"].split()) for each in found}


def _dedented(text: str) -> str:
    import inspect

    return "\n" + inspect.cleandoc(text) + "\n"
